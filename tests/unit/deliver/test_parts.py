"""Batches on their way."""

from __future__ import annotations

from tests.unit.deliver.fakes import entry

from headgate.deliver.lane import LaneQueue
from headgate.deliver.parts import Parts, make_part

LANE = LaneQueue("a.main", "live", 0)


def part(*seqs, key):
    """A part whose records share a key."""
    return make_part([entry(seq, key=key) for seq in seqs], LANE)


def test_halves_of_one_key_go_one_after_the_other():
    """The second waits for the first, and the queue for both."""
    parts, whole = Parts(), part(1, 2, key=5)
    parts.start(whole)
    parts.finish(whole)
    first, second = part(1, key=5), part(2, key=5)
    parts.postpone([second, first])
    assert parts.busy == {5}
    assert parts.ready(LANE, 0.0)[0] is first
    parts.start(first)
    assert parts.ready(LANE, 0.0)[0] is None
    parts.finish(first)
    assert parts.busy == {5}
    assert parts.ready(LANE, 0.0)[0] is second
    parts.start(second)
    parts.finish(second)
    assert parts.busy == set()


def test_a_part_that_waits_by_itself_tells_how_long():
    """Others pass it, its own key does not."""
    parts, late, same, other = Parts(), part(1, key=1), part(2, key=1), part(3, key=2)
    late.not_before = 9.0
    parts.postpone([late, same, other])
    assert parts.ready(LANE, 4.0) == (other, 5.0)
    assert parts.ready(LaneQueue("a.main", "backfill", 0), 4.0)[0] is None


def test_giving_up_frees_the_keys():
    """Everything that was to be sent again comes back; what flies keeps its key."""
    parts, flying, waiting = Parts(), part(1, key=1), part(2, key=2)
    parts.start(flying)
    parts.postpone([waiting])
    assert parts.give_up() == [waiting]
    assert parts.busy == {1}
