"""What is read, queued, settled and told to the store."""

from __future__ import annotations

from tests.unit.deliver.fakes import BASE_MS, entry

from headgate.core.ports import Limits
from headgate.core.shaping import Shaped
from headgate.core.storeport import Replay, Skip
from headgate.core.verdicts import Reject
from headgate.deliver.lane import LaneQueue
from headgate.deliver.limits import SizeRatio


def lane_of(*entries, lane="live", limits=Limits(), kinds=None, **more):  # noqa: B008  # frozen
    """A lane that has read these."""
    made = LaneQueue("a.main", lane, 0, **more)
    made.read(Shaped(entries), entries[-1].seq, limits, kinds)
    return made


def cut(lane, limits=Limits(), **more):  # noqa: B008  # frozen
    """The next batch."""
    return lane.cut(limits, now_ms=BASE_MS, busy=frozenset(), ratio=SizeRatio(), **more).batch


def test_outcomes_are_told_once():
    """What was taken is not told again; nothing to tell is None."""
    lane = lane_of(entry(1), entry(2), entry(3))
    assert lane.take(5) is None
    first, second, third = cut(lane)
    lane.accept([first], len(first.body))
    lane.reject(third, Reject("mapper", 400, "x" * 5000), 2)
    told = lane.take(5)
    assert (told.signal, told.lane, told.acked, told.holes, told.accepted, told.at_ms) == (
        "a.main",
        "live",
        1,
        (3,),
        1,
        5,
    )
    ((dead, why, attempts),) = told.dead
    assert (dead, why.reason, len(why.answer), attempts) == (third, "mapper", 2048, 2)
    assert lane.take(6) is None
    lane.accept([second], len(second.body))
    told = lane.take(7)
    assert (told.acked, told.holes, told.accepted, told.dead) == (3, (), 1, ())
    assert (lane.bytes, lane.queue_bytes, lane.busy) == (0, 0, False)


def test_put_back_restores_order():
    """Entries that were not settled come again before later ones."""
    lane = lane_of(*(entry(seq) for seq in range(1, 6)))
    batch = cut(lane, Limits(max_records=3))
    lane.put_back(batch[1:])
    assert [one.seq for one in lane.queue] == [2, 3, 4, 5]


def test_probes_take_turns():
    """Each turn another record is tried, never one behind an earlier one of its key."""
    lane = lane_of(*(entry(seq, key=seq % 50) for seq in range(1, 101)))
    tried = []
    for turn in range(20):
        (one,) = lane.pick(Limits(), now_ms=BASE_MS, busy={3}, turn=turn).batch
        tried.append(one.seq)
        lane.put_back([one])
    assert len(set(tried)) == 20
    assert max(tried) <= 50
    assert 3 not in tried
    assert not lane.pick(Limits(), now_ms=BASE_MS, busy=set(range(50)), turn=0).batch


def test_skips_are_told_by_position():
    """In stretches without a hole, once."""
    old = [entry(seq, occurred_ms=0) for seq in (1, 2, 3, 5)]
    limits = Limits(max_age_ms=1000)
    lane = lane_of(*old[:3], entry(4), old[3], limits=limits)
    cut(lane, limits)
    told = lane.take(1)
    assert dict(told.skipped) == {"too_old": 4}
    assert told.skips == (Skip(1, 3, "too_old"), Skip(5, 5, "too_old"))
    lane.accept([entry(4)], 0)
    assert lane.take(2).skips == ()


def test_dead_letters_have_no_cursor():
    """They are settled by number, and what would be skipped goes back to the dead letters."""
    rows = [entry(4, lane="dead"), entry(9, lane="dead", kind="step"), entry(12, lane="dead", occurred_ms=0)]
    limits = Limits(max_age_ms=1000)
    lane = lane_of(*rows, lane="dead", limits=limits, kinds=frozenset({"job"}))
    batch = cut(lane, limits)
    lane.accept(batch, len(batch[0].body))
    told = lane.take(1)
    assert (told.acked, told.holes, told.settled_dead, dict(told.skipped)) == (0, (), (4,), {})
    assert [(one.seq, why.reason) for one, why, _ in told.dead] == [(9, "not_taken"), (12, "too_old")]
    lane.rewind()
    assert lane.window.read_to == 12
    lane.stored()
    lane.rewind()
    assert lane.window.read_to == 0


def test_a_replay_tells_its_number_and_ends():
    """Its outcomes name it; it reads nothing beyond its end."""
    lane = lane_of(entry(1, lane="replay"), lane="replay", replay=Replay(7, "a.main", 0, 1, 3, 0))
    batch = cut(lane)
    assert lane.wants(1000)
    assert not lane.ended()
    assert not lane.wants(1000)
    lane.accept(batch, len(batch[0].body))
    told = lane.take(1)
    assert (told.replay, told.acked) == (7, 3)
