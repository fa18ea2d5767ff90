"""A worker under any sequence of answers."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.deliver.driving import make_engine, running, until_drained
from tests.unit.deliver.fakes import BASE_MS, FakeSink, FakeStore, ScriptedSignal, entry, run_virtual, unavailable

from headgate.core.errors import BatchRejected, SinkRefused
from headgate.core.ports import Limits
from headgate.core.verdicts import Reject, SendResult

ANSWERS = ("ok", "ok", "ok", "away", "wait", "split", "refuse", "bug", "partial", "retry_some", "retry_all", "drop_one")


def answer(word, batch):
    """What the far side does with a batch. Rejections are single and rare: the guard is tested elsewhere."""
    last = len(batch) - 1
    match word:
        case "away":
            raise unavailable()
        case "wait":
            raise unavailable("429", retry_after=7.0)
        case "split":
            raise BatchRejected("too large", status=413, reason="too_large")
        case "refuse":
            raise SinkRefused("401", reason="auth")
        case "bug":
            raise ZeroDivisionError
        case "partial":
            return SendResult(rejected={last: Reject("mapper", 400)})
        case "retry_some":
            return SendResult(retry=frozenset({last}))
        case "retry_all":
            return SendResult(retry=frozenset(range(last + 1)), retry_after=3.0)
        case "drop_one":
            return SendResult(rejected={0: Reject("mapper", 400)}, retry=frozenset({last} - {0}))
    return None


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(ANSWERS), max_size=40),
    keys=st.lists(st.integers(0, 6), min_size=1, max_size=60),
    backfill=st.integers(0, 15),
    records=st.integers(1, 12),
    ages=st.sets(st.integers(1, 60), max_size=5),
)
def test_everything_is_settled_once_and_in_order(*, words, keys, backfill, records, ages):
    """Accepted, dead or skipped: each record exactly once; accepted ones of a key in order; no byte is left behind."""
    rows = [entry(seq, key=key, occurred_ms=BASE_MS - (10**9 if seq in ages else 0)) for seq, key in enumerate(keys, 1)]
    store = FakeStore(live=rows, backfill=[entry(seq, lane="backfill", key=seq % 7) for seq in range(1, backfill + 1)])
    signal = ScriptedSignal(
        script=lambda batch, call: answer(words[call - 1], batch) if call <= len(words) else None,
        limits=Limits(max_records=records, max_age_ms=10**8),
    )

    async def scenario():
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await until_drained(engine, 100_000)
            lanes = engine._running["a.main"].worker._lanes.values()
            assert [(lane.bytes, lane.queue_bytes, lane.queue) for lane in lanes] == [(0, 0, [])] * 3

    run_virtual(scenario())
    dead = [one.record_id for _, one, _, _ in store.dead]
    skipped = [one.record_id for one in rows if one.occurred_ms < BASE_MS]
    settled = [*signal.ids, *dead, *skipped]
    assert sorted(settled) == sorted(one.record_id for lane in store.log.values() for one in lane)
    assert store.skips.get("a.main", {}).get("too_old", 0) == len(skipped)
    for lane in ("live", "backfill"):
        for key in set(keys):
            found = [one.seq for one in signal.accepted if one.lane == lane and one.order_key == key]
            if not any(word in {"partial", "retry_some", "retry_all", "drop_one"} for word in words):
                assert found == sorted(found)
    assert store.accepted.get("a.main", 0) == len(signal.ids)


def test_few_records_wait_a_little_for_company():
    """A trickle does not cost a request each, and waits no longer than the linger."""

    async def scenario():
        store = FakeStore()
        signal = ScriptedSignal(limits=Limits(max_records=1000), seconds=0.001)
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            appended = []
            for seq in range(1, 1001):
                store.log["live"].append(entry(seq))
                appended.append(asyncio.get_running_loop().time())
                engine.wake()
                await asyncio.sleep(0.002)
            await asyncio.sleep(1)
        assert len(signal.ids) == 1000
        assert len(signal.calls) <= 45
        assert (
            max(at - appended[one.seq - 1] for one, at in zip(signal.accepted, signal.accepted_at, strict=True)) < 0.06
        )

    run_virtual(scenario())
