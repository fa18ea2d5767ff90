"""Batches cut by what a signal declares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.deliver.fakes import BASE_MS, entry

from headgate.core.ports import Limits
from headgate.core.times import DAY_MS
from headgate.deliver.limits import SizeRatio, admit, cut, judged


def seqs(entries):
    """Numbers of entries."""
    return [one.seq for one in entries]


def sized(*sizes):
    """Entries with bodies of these sizes."""
    return [entry(seq, body=b"x" * size) for seq, size in enumerate(sizes, 1)]


@pytest.mark.parametrize(
    ("limits", "queue", "more", "batch", "rest"),
    [
        pytest.param(Limits(max_records=2), sized(1, 1, 1), {}, [1, 2], [3], id="records"),
        pytest.param(Limits(max_bytes=10), sized(4, 4, 4), {}, [1, 2], [3], id="bytes"),
        pytest.param(Limits(max_bytes=10), sized(4, 4, 4), {"ratio": 2.0}, [1], [2, 3], id="bytes as encoded"),
        pytest.param(Limits(max_bytes=10), sized(40, 4), {}, [1], [2], id="one too long goes alone"),
        pytest.param(Limits(max_records=5), sized(1, 1, 1), {"max_records": 1}, [1], [2, 3], id="a probe is small"),
        pytest.param(Limits(), sized(1, 1, 1), {"busy": {2}}, [1, 3], [2], id="busy keys wait"),
        pytest.param(Limits(), sized(1, 1), {"busy": {1, 2}}, [], [1, 2], id="all busy"),
        pytest.param(Limits(max_bytes=4), sized(3, 3, 3), {"busy": {1}}, [2], [1, 3], id="rest stays in order"),
        pytest.param(Limits(), [], {}, [], [], id="empty"),
    ],
)
def test_cut(limits, queue, more, batch, rest):
    """The batch fits all limits; what does not go stays in order."""
    made = cut(queue, limits, now_ms=BASE_MS, **more)
    assert (batch, rest) == (seqs(made.batch), seqs(made.rest))


class Picky:
    """Finds records too old or early by their number."""

    def __init__(self, **verdicts):
        self.verdicts = {int(name[1:]): verdict for name, verdict in verdicts.items()}

    def judge(self, batch, now_ms):
        return {index: self.verdicts[one.seq] for index, one in enumerate(batch) if one.seq in self.verdicts}


def test_a_signal_may_judge_what_is_cut():
    """What it finds too old is beside the others that are, what it wants later goes back in order."""
    queue = [entry(1, occurred_ms=BASE_MS - 1001), *sized(1, 1, 1, 1)[1:]]
    made = cut(queue, Limits(max_records=3, max_age_ms=1000), now_ms=BASE_MS)
    made = judged(made, Picky(_2="later", _3="too_old"), BASE_MS)
    assert (seqs(made.too_old), seqs(made.batch), seqs(made.rest)) == ([1, 3], [4], [2])


def test_old_records_are_set_aside_at_send_time():
    """Exactly the age allowed is not too old."""
    queue = [entry(1, occurred_ms=BASE_MS - 1001), entry(2, occurred_ms=BASE_MS - 1000), entry(3)]
    made = cut(queue, Limits(max_age_ms=1000), now_ms=BASE_MS)
    assert (seqs(made.too_old), seqs(made.batch), made.rest) == ([1], [2, 3], [])


def test_future_records_wait_and_hold_back_their_key():
    """A later record of the same key does not overtake; other keys go."""
    queue = [entry(1, key=7, occurred_ms=BASE_MS + 5000), entry(2, key=7), entry(3, key=8)]
    made = cut(queue, Limits(max_ahead_ms=1000), now_ms=BASE_MS)
    assert (seqs(made.batch), seqs(made.rest), made.next_ms) == ([3], [1, 2], BASE_MS + 4000)


def test_a_record_of_another_year_is_not_waited_for():
    """Waiting would hold the cursor, and soon the whole lane, for ever: it is sent and the far side decides."""
    far = BASE_MS + 1000 + DAY_MS
    queue = [entry(1, key=7, occurred_ms=far + 1), entry(2, key=7), entry(3, key=8, occurred_ms=far)]
    made = cut(queue, Limits(max_ahead_ms=1000), now_ms=BASE_MS)
    assert (seqs(made.batch), seqs(made.rest), made.next_ms) == ([1, 2], [3], far - 1000)


def test_admit_sorts_out_what_time_does_not_change():
    """Wrong kinds are passed over, too long records named, settled ones forgotten."""
    rows = [entry(1), entry(2, kind="step"), entry(3, body=b"x" * 50), entry(4)]
    made = admit(rows, Limits(max_record_bytes=10), frozenset({"job"}), {4})
    assert (seqs(made.keep), seqs(made.too_large), seqs(made.passed)) == ([1], [3], [2])


def test_ratio_rises_at_once_and_falls_slowly():
    """A body that came out larger is believed immediately."""
    ratio = SizeRatio()
    ratio.learn(100, 300)
    assert ratio.value == 3.0
    ratio.learn(100, 100)
    assert ratio.value == pytest.approx(2.8)
    ratio.learn(0, 100)
    assert ratio.value == pytest.approx(2.8)


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(-3000, 3000), st.integers(0, 30)), max_size=40)


@given(
    rows=rows,
    busy=st.sets(st.integers(0, 4)),
    records=st.integers(1, 12),
    most=st.integers(1, 100),
    age=st.none() | st.integers(0, 2000),
    ahead=st.none() | st.integers(0, 2000),
)
def test_every_entry_comes_back_once_and_in_order(*, rows, busy, records, most, age, ahead):
    """Nothing is lost or doubled, every limit holds, and no key is overtaken."""
    queue = [
        entry(seq, key=key, occurred_ms=BASE_MS + off, body=b"x" * size) for seq, (key, off, size) in enumerate(rows, 1)
    ]
    limits = Limits(max_records=records, max_bytes=most, max_age_ms=age, max_ahead_ms=ahead)
    made = cut(queue, limits, now_ms=BASE_MS, busy=busy)
    assert sorted(seqs(made.batch) + seqs(made.rest) + seqs(made.too_old)) == seqs(queue)
    assert seqs(made.rest) == sorted(seqs(made.rest))
    assert seqs(made.batch) == sorted(seqs(made.batch))
    assert len(made.batch) <= records
    assert len(made.batch) <= 1 or sum(len(one.body) for one in made.batch) <= most
    assert not busy & {one.order_key for one in made.batch}
    for one in made.batch:
        assert not [e for e in made.rest if e.order_key == one.order_key and e.seq < one.seq]
        assert age is None or one.occurred_ms >= BASE_MS - age
        assert ahead is None or one.occurred_ms <= BASE_MS + ahead
    if made.next_ms is not None:
        assert any(one.occurred_ms == made.next_ms + ahead for one in made.rest)
