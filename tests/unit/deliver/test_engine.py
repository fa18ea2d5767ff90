"""The engine as a whole: a store of lists, scripted sinks, virtual time."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.deliver.driving import make_engine, running, until_drained
from tests.unit.deliver.fakes import (
    BASE_MS,
    FakeSink,
    FakeStore,
    FakeTransport,
    Figures,
    HttpScripted,
    LoopClock,
    ScriptedSignal,
    entry,
    run_virtual,
    unavailable,
)

from headgate.core.errors import BatchRejected, SinkRefused, StoreFailed, StoreFull
from headgate.core.ports import HttpReply, Limits
from headgate.core.storeport import Replay
from headgate.core.verdicts import Reject, SendResult, classify, raise_for, retry_after_seconds
from headgate.deliver import EngineOptions
from headgate.deliver.lane import MAX_HOLES


def names(*seqs, lane="live"):
    """Record ids."""
    return [f"{lane}-{seq}" for seq in seqs]


def deliver(store, signal, *, seconds=7200, **more):
    """Run until drained; returns the engine's figures."""

    async def scenario():
        figures = Figures()
        engine = make_engine(store, FakeSink("a", signal), metrics=figures, **more)
        async with running(engine):
            await until_drained(engine, seconds)
        return figures

    return run_virtual(scenario())


def test_a_backlog_is_delivered_once_and_the_cursor_follows():
    """Every record reaches the signal once, several requests at a time, and the store knows."""
    store = FakeStore(live=[entry(seq) for seq in range(1, 101)])
    signal = ScriptedSignal()
    deliver(store, signal)
    assert sorted(signal.ids) == sorted(names(*range(1, 101)))
    assert store.cursor["a.main", "live"] == (100, ())
    assert store.accepted == {"a.main": 100}
    assert signal.most_in_flight >= 2


def test_order_is_kept_per_key():
    """Records of one key arrive in order; the fake asserts that no two requests of one key are in flight."""
    store = FakeStore(live=[entry(seq, key=seq % 7) for seq in range(1, 301)])
    signal = ScriptedSignal(script=lambda batch, call: (0.05 * (call % 3), None))
    deliver(store, signal)
    for key in range(7):
        assert [one.seq for one in signal.accepted if one.order_key == key] == [
            seq for seq in range(1, 301) if seq % 7 == key
        ]


def test_order_is_kept_per_key_through_retries_and_splits():
    """Failures, partial answers and bisection never let a later record of a key overtake."""

    def script(batch, call):
        if call % 5 == 0:
            raise unavailable()
        if call % 7 == 0 and len(batch) > 1:
            raise BatchRejected("too big", status=413, reason="too_large")
        if call % 3 == 0 and len(batch) > 2:
            # All later ones of the same key are asked for again too: a far side that stops at the first.
            return SendResult(retry=frozenset(range(len(batch) // 2, len(batch))))
        return None

    store = FakeStore(live=[entry(seq, key=seq % 5) for seq in range(1, 201)])
    signal = ScriptedSignal(script=script)
    deliver(store, signal, seconds=100_000)
    assert len(signal.ids) == 200
    for key in range(5):
        found = [one.seq for one in signal.accepted if one.order_key == key]
        assert found == sorted(found)


def test_lanes_go_live_first():
    """Backfill gets the slots that live leaves, dead letters and replays come last and never share a request."""
    store = FakeStore(
        live=[entry(seq) for seq in range(1, 31)],
        backfill=[entry(seq, lane="backfill", key=1000 + seq) for seq in range(1, 31)],
        dead=[entry(seq, lane="dead", key=2000 + seq) for seq in (3, 9)],
        replay=[entry(seq, lane="replay", key=3000 + seq) for seq in range(1, 5)],
    )
    store.replay = Replay(7, "a.main", 0, 1, 4, 0)
    signal = ScriptedSignal()
    deliver(store, signal)
    lanes = [call[0].split("-")[0] for call in signal.calls]
    assert lanes == sorted(lanes, key=["live", "backfill", "dead", "replay"].index)
    assert all(len({one.split("-")[0] for one in call}) == 1 for call in signal.calls)
    assert store.dead_queue == []
    assert store.replay.done == 4


def test_new_live_records_overtake_a_backfill():
    """A record that appears while a long backfill runs is sent with the next free slot."""

    async def scenario():
        store = FakeStore(backfill=[entry(seq, lane="backfill", key=-seq) for seq in range(1, 1001)])
        signal = ScriptedSignal(seconds=1.0)
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(5.5)
            store.log["live"].append(entry(1))
            engine.wake()
            await asyncio.sleep(2.1)
            assert "live-1" in signal.ids

    run_virtual(scenario())


def test_a_wake_sends_at_once():
    """An idle engine needs no poll: the delay is the request's own."""

    async def scenario():
        store = FakeStore()
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(1.0)
            store.log["live"].append(entry(1))
            began = asyncio.get_running_loop().time()
            engine.wake()
            await asyncio.sleep(0.5)
            assert signal.times[0] - began < 0.001

    run_virtual(scenario())


# --- verdicts -------------------------------------------------------------------------------------------------------


def answer_of(status, headers=None, body=b""):
    """Read an HTTP status by the common table."""

    def read(reply, batch):
        raise_for(
            classify(reply.status),
            reply.status,
            reply.text(),
            retry_after=retry_after_seconds(reply.headers),
        )
        return SendResult()

    return read, HttpReply(status, headers or {}, body)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_is_accepted(status):
    """Nothing is sent twice."""
    read, reply = answer_of(status)
    store = FakeStore(live=[entry(1), entry(2)])
    transport = FakeTransport(lambda wire, call: reply)
    figures = deliver(store, HttpScripted(read=read), transport=transport)
    assert [wire.body for wire in transport.sent] == [b'{"n":1}\n{"n":2}']
    assert figures.get("headgate_sink_records_total", sink="a", signal="main", outcome="accepted") == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_retry_resends_the_same_bytes(status):
    """The request is kept as it was and sent again until it is taken."""
    read, reply = answer_of(status)
    store = FakeStore(live=[entry(1), entry(2)])
    transport = FakeTransport(lambda wire, call: HttpReply(200, {}, b"") if call > 3 else reply)
    figures = deliver(store, HttpScripted(read=read, gzip=True), transport=transport)
    assert len(transport.sent) == 4
    assert all(wire is transport.sent[0] for wire in transport.sent)
    assert store.accepted == {"a.main": 2}
    assert figures.get("headgate_sink_unforeseen_answers_total", sink="a", signal="main", status=str(status)) == 0


@pytest.mark.parametrize("status", [418, 599, 700])
def test_an_unforeseen_answer_is_retried_and_counted(status):
    """Nobody foresaw it: never dropped."""
    read, reply = answer_of(status)
    store = FakeStore(live=[entry(1)])
    transport = FakeTransport(lambda wire, call: HttpReply(200, {}, b"") if call > 2 else reply)
    figures = deliver(store, HttpScripted(read=read), transport=transport)
    assert store.accepted == {"a.main": 1}
    assert figures.get("headgate_sink_unforeseen_answers_total", sink="a", signal="main", status=str(status)) == 2


@pytest.mark.parametrize(("status", "reason"), [(400, "refused"), (422, "refused"), (413, "too_large")])
def test_bad_records_are_found_by_halving(status, reason):
    """The good ones are delivered, each bad one is a dead letter with status and words."""
    bad = {4, 17}

    def script(wire, call):
        hit = any(b'{"n":%d}' % seq in wire.body.split(b"\n") for seq in bad)
        return HttpReply(status, {}, b"no thanks") if hit else HttpReply(200, {}, b"")

    read, _ = answer_of(status)
    store = FakeStore(live=[entry(seq) for seq in range(1, 21)])
    transport = FakeTransport(script)
    deliver(store, HttpScripted(read=read), transport=transport)
    assert store.accepted == {"a.main": 18}
    assert {(one.seq, why.reason, why.status, why.answer) for _, one, why, _ in store.dead} == {
        (seq, reason, status, "no thanks") for seq in bad
    }
    assert store.cursor["a.main", "live"] == (20, ())
    assert len(transport.sent) < 20


def test_partial_answers_are_applied_by_record():
    """Accepted, rejected and retried records of one batch go their own ways."""

    def script(batch, call):
        if call == 1:
            return SendResult(rejected={1: Reject("mapper", 400, "no")}, retry=frozenset({3}))
        return None

    store = FakeStore(live=[entry(seq) for seq in range(1, 6)])
    signal = ScriptedSignal(script=script)
    figures = deliver(store, signal)
    assert signal.calls == [names(1, 2, 3, 4, 5), names(4)]
    assert [(one.seq, why.reason) for _, one, why, _ in store.dead] == [(2, "mapper")]
    assert store.accepted == {"a.main": 4}
    assert figures.get("headgate_sink_records_total", sink="a", signal="main", outcome="retried") == 1


def test_records_refused_without_a_name_are_counted_and_never_sent_again():
    """Where the far side only counts what it refused, so many count as skipped instead of accepted."""
    store = FakeStore(live=[entry(seq) for seq in range(1, 6)])
    signal = ScriptedSignal(script=lambda batch, call: SendResult(unnamed=2, words="too old"))
    figures = deliver(store, signal)
    assert signal.calls == [names(1, 2, 3, 4, 5)]
    assert store.accepted == {"a.main": 3}
    assert store.skips["a.main"] == {"refused_unnamed": 2}
    assert figures.get("headgate_sink_records_total", sink="a", signal="main", outcome="accepted") == 3
    assert figures.get("headgate_sink_skipped_total", sink="a", signal="main", reason="refused_unnamed") == 2


def test_a_record_that_waits_alone_does_not_hold_up_the_rest():
    """The others are delivered, the cursor stays before it and the rest are holes."""

    async def scenario():
        def script(batch, call):
            return SendResult(retry=frozenset(i for i, one in enumerate(batch) if one.seq == 3))

        store = FakeStore(live=[entry(seq) for seq in range(1, 41)])
        signal = ScriptedSignal(script=script)
        async with running(make_engine(store, FakeSink("a", signal))):
            await asyncio.sleep(60)
        assert len(signal.ids) == 39
        assert store.cursor["a.main", "live"] == (2, tuple(range(4, 41)))

    run_virtual(scenario())


def test_retry_after_is_obeyed():
    """Nothing is sent before the far side wants it, and soon after."""
    store = FakeStore(live=[entry(seq) for seq in range(1, 41)])

    def script(batch, call):
        if call <= 2:
            raise unavailable("429", retry_after=30.0)

    signal = ScriptedSignal(script=script)
    deliver(store, signal, clock=LoopClock(draw=0.1))
    assert len([time for time in signal.times if time < 30]) == 2
    assert 30 <= signal.times[2] < 32


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_an_outage_is_waited_out(draw):
    """Two hours of failure: few requests, the breaker opens, nothing is lost, recovery within a minute."""

    async def scenario():
        back = 7200.0

        def script(batch, call):
            if asyncio.get_running_loop().time() < back:
                raise unavailable()

        store = FakeStore(live=[entry(seq) for seq in range(1, 201)])
        signal = ScriptedSignal(script=script)
        events = []
        engine = make_engine(store, FakeSink("a", signal), clock=LoopClock(draw), on_event=events.append)
        async with running(engine):
            await asyncio.sleep(100)
            assert store.states["a.main"][0] == "open"
            assert [event.kind for event in events] == ["opened"]
            await until_drained(engine, 100_000)
        assert len(signal.ids) == 200
        assert asyncio.get_running_loop().time() < back + 62
        # One a second at most, whatever the draw; with a usual draw the back-off makes it few.
        assert len(signal.calls) < 7300
        assert draw == 0.0 or len(signal.calls) < 300
        assert store.states["a.main"] == ("ok", "")

    run_virtual(scenario())


def test_refusal_holds_everything_and_resumes_by_a_small_probe():
    """A bad key loses nothing; a probe a minute finds out when it works again."""

    async def scenario():
        def script(batch, call):
            if asyncio.get_running_loop().time() < 200:
                raise SinkRefused("answered 401", reason="auth", fix="check the key")

        store = FakeStore(live=[entry(seq) for seq in range(1, 101)])
        signal = ScriptedSignal(script=script, limits=Limits(max_records=50))
        events = []
        engine = make_engine(
            store, FakeSink("a", signal), on_event=events.append, options=EngineOptions(probe_records=3)
        )
        async with running(engine):
            await asyncio.sleep(150)
            assert store.states["a.main"] == ("held", "auth: answered 401; check the key")
            assert (await engine.snapshot())["a"]["main"].state == "held"
            assert not await engine.drained()
            held = [call for call, at in zip(signal.calls, signal.times, strict=True) if at > 1]
            assert [len(call) for call in held] == [3, 3]
            await until_drained(engine)
        assert sorted(signal.ids) == sorted(names(*range(1, 101)))
        assert store.dead == []
        assert [event.kind for event in events] == ["held", "resumed"]
        assert store.states["a.main"] == ("ok", "")

    run_virtual(scenario())


def test_a_signal_that_rejects_everything_is_held():
    """A hundred in a row say that the signal is wrong: the rest stays in the log, and probes try others."""

    async def scenario():
        def script(batch, call):
            if asyncio.get_running_loop().time() < 1000:
                raise BatchRejected("no", status=400, reason="refused")

        store = FakeStore(live=[entry(seq) for seq in range(1, 501)])
        signal = ScriptedSignal(script=script)
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(990)
            assert store.states["a.main"][0] == "held"
            assert "rejects" in store.states["a.main"][1]
            assert len(store.dead) == 99
            probes = [call for call, at in zip(signal.calls, signal.times, strict=True) if at > 100]
            assert all(len(call) == 1 for call in probes)
            assert len({call[0] for call in probes}) > 5
            await until_drained(engine)
        assert len(store.dead) + len(signal.ids) == 500
        assert len(store.dead) == 99

    run_virtual(scenario())


def test_one_percent_of_a_thousand_is_held_without_dead_letters():
    """A partial answer that trips the guard leaves its rejected records in the log."""

    async def scenario():
        def script(batch, call):
            return SendResult(rejected={i: Reject("mapper", 400) for i in range(0, len(batch), 50)})

        store = FakeStore(live=[entry(seq) for seq in range(1, 2001)])
        signal = ScriptedSignal(script=script, limits=Limits(max_records=1000))
        async with running(make_engine(store, FakeSink("a", signal))):
            await asyncio.sleep(10)
            assert store.states["a.main"][0] == "held"
        assert store.dead == []
        assert store.accepted["a.main"] == 2 * 980

    run_virtual(scenario())


def test_a_bug_in_a_sink_holds_that_signal_alone():
    """An unexpected exception loses nothing, tells its place but not its text, and harms no other."""

    async def scenario():
        def script(batch, call):
            if asyncio.get_running_loop().time() < 100:
                raise KeyError("hunter2")

        store = FakeStore(live=[entry(seq) for seq in range(1, 101)])
        broken, fine = ScriptedSignal(script=script), ScriptedSignal()
        engine = make_engine(store, FakeSink("broken", broken), FakeSink("fine", fine))
        async with running(engine):
            await asyncio.sleep(20)
            assert len(fine.ids) == 100
            state, reason = store.states["broken.main"]
            assert (state, reason.split(":")[0]) == ("held", "internal")
            assert "KeyError" in reason
            assert "hunter2" not in reason
            await until_drained(engine)
        assert sorted(broken.ids) == sorted(fine.ids)

    run_virtual(scenario())


def test_a_batch_that_encodes_too_long_is_split_before_it_is_sent():
    """No request exceeds the declared bytes; a single record that does is a dead letter."""
    rows = [entry(seq, body=b"x" * 10) for seq in range(1, 11)]
    rows[4] = entry(5, body=b"x" * 200)
    store = FakeStore(live=rows)
    transport = FakeTransport(lambda wire, call: HttpReply(200, {}, b""))
    deliver(store, HttpScripted(limits=Limits(max_records=10, max_bytes=32)), transport=transport)
    assert max(wire.body_bytes for wire in transport.sent) <= 32
    assert [(one.seq, why.reason) for _, one, why, _ in store.dead] == [(5, "too_large")]
    assert store.accepted == {"a.main": 9}


def test_limits_are_enforced_and_counted():
    """Too old is skipped with a count, too large rejected, other kinds passed over in silence."""
    rows = [
        entry(1, occurred_ms=BASE_MS - 100_000),
        entry(2, body=b"x" * 100),
        entry(3, kind="step"),
        entry(4),
        entry(5, occurred_ms=BASE_MS + 60_000),
    ]
    store = FakeStore(live=rows)
    signal = ScriptedSignal(
        kinds=frozenset({"job"}), limits=Limits(max_age_ms=50_000, max_record_bytes=50, max_ahead_ms=10_000)
    )
    figures = deliver(store, signal)
    assert signal.ids == names(4, 5)
    assert signal.accepted_at[1] >= 50
    assert store.skips["a.main"] == {"too_old": 1}
    assert [(one.seq, why.reason) for _, one, why, _ in store.dead] == [(2, "too_large")]
    assert figures.get("headgate_sink_skipped_total", sink="a", signal="main", reason="too_old") == 1
    assert store.cursor["a.main", "live"] == (5, ())


def test_what_becomes_too_old_while_it_waits_is_skipped():
    """A batch that waits to be sent again is judged again, by its limits and by the signal itself."""

    class Picky(ScriptedSignal):
        def judge(self, batch, now_ms):
            late = now_ms > BASE_MS + 1000
            return {index: "too_old" for index, one in enumerate(batch) if late and one.seq == 3}

    def script(batch, call):
        if call == 1:
            raise unavailable("429", retry_after=60.0)

    rows = [entry(1, occurred_ms=BASE_MS - 40_000), entry(2), entry(3)]
    store, signal = FakeStore(live=rows), Picky(limits=Limits(max_age_ms=90_000), script=script)
    deliver(store, signal)
    assert signal.calls == [names(1, 2, 3), names(2)]
    assert (store.skips["a.main"], store.dead) == ({"too_old": 2}, [])
    assert store.cursor["a.main", "live"] == (3, ())


def test_a_requeued_dead_letter_goes_back_when_it_is_refused_again():
    """It is sent once per requeue, settled by its number, and never disturbs the guard."""
    store = FakeStore(dead=[entry(seq, lane="dead") for seq in range(1, 151)])

    def script(batch, call):
        if any(one.seq != 7 for one in batch):
            raise BatchRejected("no", status=400, reason="refused")

    signal = ScriptedSignal(script=script)

    async def scenario():
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(30)
            assert store.states["a.main"] == ("ok", "")
            assert store.dead_queue == []
            store.dead_queue = [entry(7, lane="dead")]
            engine.wake()
            await asyncio.sleep(1)
        assert signal.ids == ["dead-7", "dead-7"]
        assert sorted(one.seq for _, one, _, _ in store.dead) == [seq for seq in range(1, 151) if seq != 7]

    run_virtual(scenario())


def test_a_slow_far_side_gets_more_requests_at_once():
    """The limit grows from two to sixteen while the round trip stays the same."""
    store = FakeStore(live=[entry(seq) for seq in range(1, 3001)])
    signal = ScriptedSignal(seconds=0.2)
    deliver(store, signal)
    assert signal.most_in_flight == 16


def test_declared_concurrency_is_kept():
    """A signal that wants one request at a time gets one."""
    store = FakeStore(live=[entry(seq) for seq in range(1, 301)])
    signal = ScriptedSignal(limits=Limits(max_records=10, concurrency=1))
    deliver(store, signal)
    assert signal.most_in_flight == 1


def test_memory_is_bounded_while_a_far_side_is_away():
    """Of 100 MB that wait, only what is read ahead is held."""

    async def scenario():
        def script(batch, call):
            raise unavailable()

        body = b"x" * 1000
        store = FakeStore(live=[entry(seq, body=body) for seq in range(1, 100_001)])
        signal = ScriptedSignal(script=script, limits=Limits(max_bytes=100_000))
        engine = make_engine(store, FakeSink("a", signal), options=EngineOptions(lane_bytes=500_000))
        async with running(engine):
            await asyncio.sleep(600)
            lane = engine._running["a.main"].worker._lanes["live"]
            assert 0 < lane.bytes <= 500_000
            assert lane.window.pending_count <= 500

    run_virtual(scenario())


def test_holes_are_bounded_behind_a_stuck_record():
    """One record that is asked for again for ever lets others pass, but not without end."""

    async def scenario():
        def script(batch, call):
            return SendResult(retry=frozenset(i for i, one in enumerate(batch) if one.seq == 1))

        store = FakeStore(live=[entry(seq) for seq in range(1, 40_001)])
        signal = ScriptedSignal(script=script, limits=Limits(max_records=1000))
        async with running(make_engine(store, FakeSink("a", signal))):
            await asyncio.sleep(60)
        acked, holes = store.cursor["a.main", "live"]
        assert acked == 0
        assert 0.9 * MAX_HOLES <= len(holes) <= MAX_HOLES

    run_virtual(scenario())


def test_a_replay_that_opens_later_is_found():
    """The engine looks for replays by itself; a second one starts from its own beginning."""

    async def scenario():
        store = FakeStore(live=[entry(1)])
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await until_drained(engine)
            for number in (1, 2):
                store.replay_rows = [entry(seq, lane="replay", occurred_ms=number) for seq in range(1, 4)]
                store.replay = Replay(number, "a.main", 0, 1, 3, 0)
                await until_drained(engine)
                assert store.replay.done == 3
            assert signal.ids == [*names(1), *names(1, 2, 3, lane="replay") * 2]

    run_virtual(scenario())


def test_a_replay_that_was_asked_for_here_starts_at_once():
    """A command tells the engine; nobody waits for the next look."""

    async def scenario():
        store = FakeStore()
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await until_drained(engine)
            store.replay_rows = [entry(1, lane="replay")]
            store.replay = Replay(1, "a.main", 0, 1, 1, 0)
            began = asyncio.get_running_loop().time()
            engine.look()
            await until_drained(engine)
            assert signal.ids == names(1, lane="replay")
            assert asyncio.get_running_loop().time() - began < 0.5

    run_virtual(scenario())


def test_a_replay_ends_although_its_last_records_are_gone():
    """Erased records leave positions empty; the replay is done nevertheless."""
    store = FakeStore()
    store.replay_rows = [entry(seq, lane="replay") for seq in (2, 3)]
    store.replay = Replay(1, "a.main", 0, 1, 6, 0)
    signal = ScriptedSignal()
    deliver(store, signal)
    assert signal.ids == names(2, 3, lane="replay")
    assert store.replay.done == 6


# --- neighbours, store, life ----------------------------------------------------------------------------------------


def test_a_black_hole_delays_nobody():
    """The neighbour of a signal that never answers is as fast as alone."""

    def lags(*, hole):
        async def scenario():
            store = FakeStore()
            fine = ScriptedSignal()
            sinks = [FakeSink("fine", fine)]
            if hole:
                sinks.append(FakeSink("hole", ScriptedSignal(seconds=1e6)))
            engine = make_engine(store, *sinks)
            async with running(engine):
                appended = []
                for seq in range(1, 301):
                    store.log["live"].append(entry(seq))
                    appended.append(asyncio.get_running_loop().time())
                    engine.wake()
                    await asyncio.sleep(0.1)
                await asyncio.sleep(1)
                return [at - appended[one.seq - 1] for one, at in zip(fine.accepted, fine.accepted_at, strict=True)]

        return run_virtual(scenario())

    alone, beside = lags(hole=False), lags(hole=True)
    assert len(alone) == len(beside) == 300
    assert beside == pytest.approx(alone, abs=1e-6)


def test_outcomes_of_many_requests_are_stored_together():
    """A hundred requests in a second cost a handful of transactions, each within 250 ms."""
    store = FakeStore(live=[entry(seq) for seq in range(1, 1001)])
    deliver(store, ScriptedSignal(limits=Limits(max_records=5)))
    assert sum(one.accepted for commit in store.commits for one in commit) == 1000
    assert len(store.commits) <= 20


def test_a_full_store_stops_sending_until_outcomes_can_be_stored():
    """What was sent is not sent again, and little is sent without being recorded."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 100_001)])

        def before(unit, argument):
            if unit == "outcomes" and asyncio.get_running_loop().time() < 60:
                raise StoreFull("quota")

        store.before = before
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(50)
            sent = len(signal.ids)
            assert max(signal.times) < 0.5
            await asyncio.sleep(20)
            assert len(signal.ids) > sent
        assert len(signal.ids) == len(set(signal.ids)) == store.accepted["a.main"]

    run_virtual(scenario())


def test_a_store_that_failed_ends_the_engine():
    """Nobody goes on with a store that cannot be trusted."""

    async def scenario():
        store = FakeStore(live=[entry(1)])

        def before(unit, argument):
            if unit == "outcomes":
                raise StoreFailed("flush failed")

        store.before = before
        with pytest.raises(BaseExceptionGroup) as caught:
            await make_engine(store, FakeSink("a", ScriptedSignal())).run()
        assert caught.group_contains(StoreFailed)

    run_virtual(scenario())


def test_outcomes_that_the_store_refuses_harm_only_their_signal():
    """The worker reads its cursor again and goes on; the others are stored."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 11)])
        failures = []

        def before(unit, argument):
            if unit == "outcomes" and any(one.signal == "a.main" for one in argument) and len(failures) < 2:
                failures.append(argument)
                raise ValueError("no such signal")

        store.before = before
        one, two = ScriptedSignal(), ScriptedSignal()
        engine = make_engine(store, FakeSink("a", one), FakeSink("b", two))
        async with running(engine):
            await until_drained(engine)
        assert len(two.ids) == 10
        assert set(one.ids) == set(two.ids)
        assert store.accepted == {"a.main": 10, "b.main": 10}

    run_virtual(scenario())


def test_a_worker_that_fails_starts_again():
    """An error while reading is logged, waited out, and costs nothing."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 11)])
        reads = []

        def before(unit, argument):
            if unit == "read":
                reads.append(argument)
                if len(reads) < 4:
                    raise OSError("disk")

        store.before = before
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await until_drained(engine)
        assert len(signal.ids) == 10

    run_virtual(scenario())


def test_a_refused_signal_is_shown_and_not_driven():
    """A changed destination under an old name waits for `sinks reset`."""

    async def scenario():
        store = FakeStore(live=[entry(1, occurred_ms=BASE_MS - 5000)])
        store.problems["a.main"] = "destination changed"
        store.cursor["a.main", "live"], store.states["a.main"] = (0, ()), ("ok", "")
        signal, figures = ScriptedSignal(), Figures()
        engine = make_engine(store, FakeSink("a", signal), metrics=figures)
        async with running(engine):
            await asyncio.sleep(5.5)
            status = (await engine.snapshot())["a"]["main"]
            assert (status.state, status.reason) == ("held", "destination changed")
            gauges = [figures.get("headgate_sink_state", sink="a", signal="main", state=one) for one in ("held", "ok")]
            assert gauges == [1, 0]
            assert figures.get("headgate_sink_lag_seconds", sink="a", signal="main") == pytest.approx(10, abs=0.1)
            assert not await engine.drained()
            assert signal.calls == []
            await engine.reset("a.main", start="retained")
            await until_drained(engine)
            assert signal.ids == names(1)
            with pytest.raises(KeyError):
                await engine.reset("nobody.main", start="now")

    run_virtual(scenario())


def test_apply_swaps_only_what_changed():
    """An unchanged sink is not touched, a replaced one goes on from its cursor, a removed one is closed."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 11)])
        same, old, new, gone = (FakeSink(n, ScriptedSignal()) for n in ("same", "swap", "swap", "gone"))
        engine = make_engine(store, same, old, gone)
        async with running(engine):
            await until_drained(engine)
            await engine.apply({"same": same, "swap": new}, {"swap": "retained"})
            store.log["live"] += [entry(seq) for seq in range(11, 16)]
            engine.wake()
            await until_drained(engine)
            assert (same.closed, old.closed, new.closed, gone.closed) == (0, 1, 0, 1)
            assert set(await engine.snapshot()) == {"same", "swap"}
        assert len(same.signals()[0].ids) == 15
        assert new.signals()[0].ids == names(*range(11, 16))
        assert len(gone.signals()[0].ids) == 10
        assert (same.closed, new.closed) == (1, 1)

    run_virtual(scenario())


@pytest.mark.parametrize("calls_that_work", [0, 1], ids=["before-the-swap", "in-the-swap"])
def test_a_store_that_cannot_write_at_a_swap_costs_no_worker(calls_that_work):
    """Found before anything ended: all goes on as it was. Found later: what was swapped in opens by itself."""

    async def scenario():
        store = FakeStore(live=[entry(1)])
        old, new = FakeSink("swap", ScriptedSignal()), FakeSink("swap", ScriptedSignal())
        engine = make_engine(store, old)
        async with running(engine):
            await until_drained(engine)
            calls = iter(range(calls_that_work + 1))

            def full(unit, _argument):
                if unit == "open" and next(calls, None) == calls_that_work:
                    raise StoreFull("no space")

            store.before = full
            with pytest.raises(StoreFull):
                await engine.apply({"swap": new})
            store.log["live"].append(entry(2))
            engine.wake()
            await asyncio.sleep(30)
            assert names(2) == (new if calls_that_work else old).signals()[0].ids[-1:]
            assert await engine.drained()

    run_virtual(scenario())


def test_a_sink_whose_code_fails_at_start_harms_no_other():
    """It is told and left out; the engine is never drained while it is configured."""

    class Broken(FakeSink):
        def signals(self):
            raise RuntimeError("bug")

        async def aclose(self):
            raise RuntimeError("another")

    async def scenario():
        store = FakeStore(live=[entry(1)])
        signal = ScriptedSignal()
        engine = make_engine(store, Broken("bad"), FakeSink("good", signal))
        async with running(engine):
            await asyncio.sleep(1)
            assert signal.ids == names(1)
            assert not await engine.drained()

    run_virtual(scenario())


def test_stop_lets_requests_end_and_stores_their_outcomes():
    """What ends in time is recorded, what does not is given up within the bound."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 21)])
        signal = ScriptedSignal(script=lambda batch, call: (1.0 if call == 1 else 1e6, None))
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(0.1)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 5
        assert store.accepted == {"a.main": 10}
        assert store.cursor["a.main", "live"][0] == 10

    run_virtual(scenario())


def test_a_held_signal_is_probed_at_once_after_a_restart():
    """A restart often follows the cure: no minute is lost, and only a probe is risked."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 31)])
        store.states["a.main"] = ("held", "auth: answered 401")
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal), options=EngineOptions(probe_records=2))
        async with running(engine):
            await until_drained(engine, 5)
        assert len(signal.calls[0]) == 2
        assert store.states["a.main"] == ("ok", "")

    run_virtual(scenario())


def test_snapshot_tells_lag_and_waiting():
    """The age of the oldest undelivered live record, and how many wait."""

    async def scenario():
        store = FakeStore(live=[entry(seq, occurred_ms=BASE_MS - 5000) for seq in range(1, 31)])
        figures = Figures()
        engine = make_engine(store, FakeSink("a", ScriptedSignal(seconds=1e6)), metrics=figures)
        async with running(engine):
            await asyncio.sleep(10.5)
            status = (await engine.snapshot())["a"]["main"]
            assert (status.cursor, status.waiting, status.dead) == (0, 30, 0)
            assert status.lag_seconds == pytest.approx(15.5, abs=0.1)
            assert figures.get("headgate_sink_waiting", sink="a", signal="main") == 30
            assert figures.get("headgate_sink_lag_seconds", sink="a", signal="main") == pytest.approx(15, abs=0.1)
            assert figures.get("headgate_sink_state", sink="a", signal="main", state="ok") == 1

    run_virtual(scenario())


def test_snapshot_tells_when_the_next_try_is():
    """While the sink is away: the time, a minute ahead at most."""

    async def scenario():
        signal = ScriptedSignal(script=_away)
        engine = make_engine(FakeStore(live=[entry(1)]), FakeSink("a", signal), clock=LoopClock(0.999))
        async with running(engine):
            await asyncio.sleep(1000)
            status = (await engine.snapshot())["a"]["main"]
            now_ms = LoopClock().now_ms()
            assert status.state == "open"
            assert status.next_try_ms is not None
            assert now_ms <= status.next_try_ms <= now_ms + 60_000

    run_virtual(scenario())


def _away(batch, call):
    raise unavailable()


def test_snapshot_tells_that_a_record_is_dated_ahead():
    """Until its time, less the allowance of the sink."""

    async def scenario():
        limits = Limits(max_ahead_ms=60_000)
        signal = ScriptedSignal(limits=limits)
        engine = make_engine(FakeStore(live=[entry(1, occurred_ms=BASE_MS + 100_000)]), FakeSink("a", signal))
        async with running(engine):
            await asyncio.sleep(10)
            status = (await engine.snapshot())["a"]["main"]
            assert (status.state, status.ahead_until_ms) == ("ok", BASE_MS + 40_000)
            await until_drained(engine)
            assert (await engine.snapshot())["a"]["main"].ahead_until_ms is None
            assert signal.times == [pytest.approx(40, abs=0.1)]

    run_virtual(scenario())
