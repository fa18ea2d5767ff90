"""What every store must do for what goes out: signals, cursors, outcomes, replays."""

from __future__ import annotations

import pytest

from headgate.core.ids import amendment_id, record_id
from headgate.core.record import decode_record
from headgate.core.storeport import (
    Outcomes,
    SignalSpec,
    Skip,
    Store,
)
from headgate.core.verdicts import Reject
from headgate.testing.store_data import (
    DAY,
    JOB,
    LOGS,
    NOW,
    PIPELINE,
    cursor,
    job,
    merge,
    pipeline,
    read,
    workflow,
)

__all__ = ["DeliverySuite"]


class DeliverySuite:
    """Signals, cursors, outcomes."""

    async def test_a_new_signal_starts_now(self, store: Store) -> None:
        """Or at what is retained, or at a time, as it says."""
        await merge(store, pipeline(), workflow())
        await merge(store, job(), now=NOW + 1000)
        specs = [
            LOGS,
            SignalSpec("a", "x", "", "retained"),
            SignalSpec("b", "x", "", NOW + 1000),
            SignalSpec("c", "x", "", NOW + 2000),
        ]
        assert dict(await store.open_signals(specs, now_ms=NOW)) == {}
        where = {one.signal: (one.acked, one.waiting) for one in await store.cursors() if one.lane == "live"}
        assert where == {"loki.logs": (2, 0), "a.x": (0, 2), "b.x": (1, 1), "c.x": (2, 0)}

    async def test_outcomes_move_the_cursor(self, store: Store) -> None:
        """Acked and holes are stored together with the counts; what waits is arithmetic."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 6)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 2, (4, 5), accepted=3, skipped={"too_old": 1})])
        one = await cursor(store)
        assert (one.acked, one.holes, one.head, one.waiting) == (2, (4, 5), 6, 2)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 6, accepted=2, skipped={"too_old": 1})])
        assert (await cursor(store)).waiting == 0
        counts = (await store.outcome_counts())[LOGS.key]
        assert (counts.accepted, counts.dead, dict(counts.skipped)) == (5, 0, {"too_old": 2})

    async def test_what_was_skipped_can_be_told_from_what_was_accepted(self, store: Store) -> None:
        """By position and reason, also in one stretch over several outcomes, until the signal starts again."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 6)

        async def ways() -> list[str]:
            entries = await read(store)
            return [(await store.explain(entry.record_id))[0].path[LOGS.key] for entry in entries]

        old = "too_old"
        one = Outcomes(LOGS.key, "live", 3, accepted=1, skipped={old: 2}, skips=[Skip(2, 3, old)])
        two = Outcomes(LOGS.key, "live", 4, (6,), skipped={old: 2}, skips=[Skip(4, 4, old), Skip(6, 6, old)])
        await store.record_outcomes([one])
        await store.record_outcomes([two])
        skip = "skipped: too_old"
        assert await ways() == ["accepted", skip, skip, skip, "waiting", skip]
        first = (await read(store))[0].record_id
        assert set((await store.explain(first))[0].noted[LOGS.key]) == {old}
        await store.record_outcomes([Outcomes(LOGS.key, "live", 6, skipped={old: 1})])
        assert set((await store.explain(first))[0].noted[LOGS.key]) == set()
        await store.reset_signal(LOGS.key, start="retained")
        await store.record_outcomes([Outcomes(LOGS.key, "live", 6, accepted=6)])
        assert await ways() == ["accepted"] * 6

    async def test_outcomes_of_nobody_change_nothing(self, store: Store) -> None:
        """An unknown signal, or a seq beyond the lane, raises; the outcomes beside it are not stored either."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 2)
        good = Outcomes(LOGS.key, "live", 1, accepted=1)
        with pytest.raises(KeyError):
            await store.record_outcomes([good, Outcomes("no.such", "live", 1)])
        with pytest.raises(ValueError, match="ends at 2"):
            await store.record_outcomes([good, Outcomes(LOGS.key, "live", 3)])
        assert (await cursor(store)).acked == 0
        assert (await store.outcome_counts())[LOGS.key].accepted == 0

    async def test_reading_is_bounded_but_never_stuck(self, store: Store) -> None:
        """By count and by bytes; a record larger than the bytes is still read."""
        await self._fill(store, 4)
        assert [e.seq for e in await store.read_log("s", "live", 1, limit=2, max_bytes=1 << 30)] == [2, 3]
        assert [e.seq for e in await store.read_log("s", "live", 0, limit=9, max_bytes=1)] == [1]
        assert list(await store.read_log("s", "live", 4, limit=9, max_bytes=1)) == []

    async def test_dead_letters_are_kept_and_sent_again(self, store: Store) -> None:
        """With body and words; requeued ones are read from lane `dead`, refused again or settled."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 2)
        entry = (await read(store))[0]
        why = Reject("too_large", 413, "x" * 5000)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1, dead=[(entry, why, 2)], at_ms=NOW)])
        (letter,) = await store.dead_letters(signal=LOGS.key)
        assert (entry.body, "too_large", 413, 2, 2048) == (
            letter.body,
            letter.reason,
            letter.status,
            letter.attempts,
            len(letter.answer),
        )
        assert await read(store, "dead") == []
        assert await store.requeue_dead([letter.id, 999]) == 1
        (again,) = await read(store, "dead")
        assert (letter.id, entry.body, entry.order_key) == (again.seq, again.body, again.order_key)
        await store.record_outcomes([Outcomes(LOGS.key, "dead", 0, dead=[(again, Reject("bad"), 1)], at_ms=NOW + 1)])
        (letter,) = await store.dead_letters(ids=[letter.id])
        assert (
            letter.reason,
            letter.attempts,
            letter.first_ms,
            letter.last_ms,
            letter.requeued,
        ) == ("bad", 3, NOW, NOW + 1, False)
        await store.requeue_dead([letter.id])
        await store.record_outcomes([Outcomes(LOGS.key, "dead", 0, accepted=1, settled_dead=[letter.id])])
        assert list(await store.dead_letters()) == []
        counts = (await store.outcome_counts())[LOGS.key]
        assert (counts.accepted, counts.dead) == (1, 0)

    async def test_purging_is_a_gap(self, store: Store) -> None:
        """A loss that somebody chose is written down."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 1)
        (entry,) = await read(store)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1, dead=[(entry, Reject("bad"), 1)])])
        (letter,) = await store.dead_letters()
        assert await store.purge_dead([letter.id]) == 1
        assert await store.purge_dead([letter.id]) == 0
        (gap,) = await store.gaps(10)
        assert (gap.sink, gap.count) == ("loki", 1)
        assert (await store.figures()).gaps == 1

    async def test_a_changed_destination_is_refused(self, store: Store) -> None:
        """Until the signal is reset; its cursor stays where it was."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 1)
        moved = SignalSpec("loki", "logs", "http://elsewhere")
        problems = await store.open_signals([moved], now_ms=NOW)
        assert [LOGS.key] == list(problems)
        assert "http://elsewhere" in problems[LOGS.key]
        assert (await cursor(store)).waiting == 1
        await store.reset_signal(LOGS.key, start="now")
        assert dict(await store.open_signals([moved], now_ms=NOW)) == {}
        assert (await cursor(store)).waiting == 0
        with pytest.raises(KeyError):
            await store.reset_signal("no.such", start="now")

    async def test_a_reset_that_passes_records_over_says_so(self, store: Store) -> None:
        """What waited and will not be sent is a gap; a reset to what is retained loses nothing."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 4)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1, (3,))])
        await store.reset_signal(LOGS.key, start="now")
        (gap,) = await store.gaps(10)
        assert (gap.sink, gap.first, gap.last, gap.count) == ("loki", 2, 4, 2)
        await store.reset_signal(LOGS.key, start="retained")
        assert len(await store.gaps(10)) == 1

    async def test_the_state_of_a_signal_is_kept(self, store: Store) -> None:
        """With its reason; a removed signal says so, and is ok again when it comes back."""
        await store.open_signals([LOGS], now_ms=NOW)
        await store.set_signal_state(LOGS.key, "held", "key refused")
        one = await cursor(store)
        assert (one.state, one.reason) == ("held", "key refused")
        await store.open_signals([], now_ms=NOW)
        assert (await cursor(store)).state == "removed"
        await store.open_signals([LOGS], now_ms=NOW)
        assert (await cursor(store)).state == "ok"

    async def test_the_log_waits_for_the_slowest(self, store: Store) -> None:
        """Trimming keeps what a signal has not got; a removed one holds it for a day and then has a gap."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 4)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1, (3,))])
        assert dict(await store.trim({"log": 10}, now_ms=NOW + 11)) == {"log": 1}
        assert [entry.seq for entry in await read(store)] == [2, 3, 4]
        await store.open_signals([], now_ms=NOW)
        assert dict(await store.trim({"log": 10}, now_ms=NOW + DAY - 1)) == {"log": 0}
        assert dict(await store.trim({"log": 10}, now_ms=NOW + DAY + 1)) == {"log": 3}
        await store.open_signals([LOGS], now_ms=NOW)
        (gap,) = await store.gaps(1)
        assert (gap.first, gap.last, gap.count) == (2, 4, 2)
        assert ((await cursor(store)).acked, (await cursor(store)).waiting) == (4, 0)

    async def test_drop_oldest_loses_with_a_gap(self, store: Store) -> None:
        """Only the signal that says so; the loss is a row."""
        lossy = SignalSpec("b", "x", "", overflow="drop_oldest")
        await store.open_signals([LOGS, lossy], now_ms=NOW)
        await self._fill(store, 3)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 2)])
        assert dict(await store.trim({"log": 10}, now_ms=NOW + 11)) == {"log": 2}
        (gap,) = await store.gaps(5)
        assert (gap.sink, gap.first, gap.last, gap.count) == ("b", 1, 2, 2)
        assert ((await cursor(store, key="b.x")).acked, (await cursor(store, key="b.x")).waiting) == (2, 1)

    async def test_a_trim_under_a_worker_is_not_taken_back(self, store: Store) -> None:
        """What the worker stores of before the trim moves no cursor back, and no loss is counted twice."""
        lossy = SignalSpec("b", "x", "", overflow="drop_oldest")
        await store.open_signals([LOGS, lossy], now_ms=NOW)
        await self._fill(store, 4)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 2)])
        await store.trim({"log": 10}, now_ms=NOW + 11)
        await store.record_outcomes([Outcomes("b.x", "live", 1, holes=(2, 4))])
        after = await cursor(store, key="b.x")
        assert (after.acked, after.holes, after.waiting) == (2, (4,), 1)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 4)])
        await store.trim({"log": 10}, now_ms=NOW + 12)
        assert [(gap.first, gap.last, gap.count) for gap in await store.gaps(9)] == [(3, 4, 1), (1, 2, 2)]

    async def test_a_replay_sends_the_same_bytes(self, store: Store) -> None:
        """From the log where it still is, else rendered again and marked; one at a time; over when all is settled."""
        await store.open_signals([LOGS], now_ms=NOW)
        await merge(store, pipeline(), workflow(stopped_at=NOW - 5_000))
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1)])
        await store.trim({"log": 1}, now_ms=NOW + 2)
        await merge(store, job(), now=NOW + 3)
        replay = await store.open_replay(LOGS.key, since_ms=NOW - 9_000, until_ms=NOW + 1)
        assert (replay.total, replay.done) == (2, 0)
        with pytest.raises(ValueError, match="under way"):
            await store.open_replay(LOGS.key, since_ms=0, until_ms=1)
        again, logged = await read(store, "replay")
        assert ([again.seq, logged.seq], again.kind) == ([1, 2], "workflow")
        assert decode_record(again.body).attributes["headgate.rerendered"] is True
        assert (await read(store))[0].body == logged.body
        await store.record_outcomes([Outcomes(LOGS.key, "replay", 1, accepted=1, replay=replay.id)])
        assert (await store.replays())[0].done == 1
        assert [entry.seq for entry in await read(store, "replay", 1)] == [2]
        await store.record_outcomes([Outcomes(LOGS.key, "replay", 2, accepted=1, replay=replay.id)])
        assert (list(await store.replays()), await read(store, "replay")) == ([], [])
        with pytest.raises(KeyError):
            await store.open_replay("no.such", since_ms=0, until_ms=1)

    async def _with_a_letter(self, store: Store, n: int) -> int:
        """So many records that a signal has, but for the first, which it refused; number of its dead letter."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, n)
        first = (await read(store))[0]
        await store.record_outcomes([Outcomes(LOGS.key, "live", n, dead=[(first, Reject("bad"), 1)], at_ms=NOW)])
        return (await store.dead_letters())[0].id

    async def test_nothing_is_sent_again_to_a_removed_signal(self, store: Store) -> None:
        """Neither a time range nor dead letters; both are once it is back."""
        letter = await self._with_a_letter(store, 2)
        await store.open_signals([], now_ms=NOW)
        with pytest.raises(ValueError, match="was removed"):
            await store.open_replay(LOGS.key, since_ms=0, until_ms=NOW + 1)
        assert (list(await store.replays()), await store.requeue_dead([letter])) == ([], 0)
        assert not (await store.dead_letters())[0].requeued
        await store.reset_signal(LOGS.key, start="now")
        assert ((await cursor(store)).state, await store.requeue_dead([letter])) == ("removed", 0)
        await store.open_signals([LOGS], now_ms=NOW)
        assert (await store.open_replay(LOGS.key, since_ms=0, until_ms=NOW + 1)).total == 2
        assert await store.requeue_dead([letter]) == 1

    async def test_what_is_sent_again_to_a_removed_signal_is_given_up_after_a_day(self, store: Store) -> None:
        """Its replay holds the log no longer, and dead letters that were queued again go with their retention."""
        await store.requeue_dead([await self._with_a_letter(store, 3)])
        await store.open_replay(LOGS.key, since_ms=0, until_ms=NOW + 1)
        await store.open_signals([], now_ms=NOW)
        kept = {"log": 10, "dead_letters": 10}
        assert dict(await store.trim(kept, now_ms=NOW + DAY - 1)) == {"log": 0, "dead_letters": 0}
        assert len(await store.replays()) == 1
        assert dict(await store.trim(kept, now_ms=NOW + DAY + 1)) == {"log": 3, "dead_letters": 1}
        assert (list(await store.replays()), await read(store, "replay")) == ([], [])

    async def test_a_reset_ends_what_is_sent_again(self, store: Store) -> None:
        """A replay that was asked for by mistake, and dead letters that wait: the letters are kept."""
        await store.requeue_dead([await self._with_a_letter(store, 2)])
        await store.open_replay(LOGS.key, since_ms=0, until_ms=NOW + 1)
        await store.reset_signal(LOGS.key, start="now")
        assert (list(await store.replays()), await read(store, "replay"), await read(store, "dead")) == ([], [], [])
        assert [letter.requeued for letter in await store.dead_letters()] == [False]
        assert (await store.open_replay(LOGS.key, since_ms=0, until_ms=NOW + 1)).total == 2

    async def test_explain_follows_a_record(self, store: Store) -> None:
        """By provider id and by record id: fields with provenance, record, amendments, the way to each signal."""
        await store.open_signals([LOGS], now_ms=NOW)
        await merge(store, pipeline(), workflow(), job())
        await merge(store, job(at=NOW + 1, resource_class="large"))
        await store.open_signals([LOGS, SignalSpec("late", "x", "")], now_ms=NOW)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1)])
        for given in (JOB, JOB.upper(), record_id("job", "circleci.com", JOB)):
            (one,) = await store.explain(given)
            assert (one.kind, one.provider_id, one.lane, one.seq, one.released) == ("job", JOB, "live", 2, True)
            assert one.fields["resource_class"] == ("large", "webhook", NOW + 1, True)
            assert {LOGS.key: "waiting", "late.x": "before_start"} == dict(one.path)
            assert ((await read(store))[1].body, 1) == (one.record, len(one.amendments))
        (later,) = await store.explain(amendment_id(record_id("job", "circleci.com", JOB), 1))
        assert (later.kind, later.provider_id, later.lane, later.seq) == ("amendment", JOB, "live", 3)
        assert later.record == (await read(store))[2].body
        assert {LOGS.key: "waiting", "late.x": "before_start"} == dict(later.path)
        assert [one.kind for one in await store.explain(PIPELINE)] == ["pipeline"]
        assert list(await store.explain("66666666-6666-4666-8666-666666666666")) == []

    async def test_tail_shows_the_newest(self, store: Store) -> None:
        """Of both lanes, in the order of appending, beyond the given seqs."""
        await self._fill(store, 3)
        await merge(store, pipeline(), job(stopped_at=NOW - 10, workflow_id=self._id(0)), now=NOW + 9, live_after=NOW)
        assert [(e.lane, e.seq) for e in await store.tail({}, 2)] == [("live", 3), ("backfill", 1)]
        assert [(e.lane, e.seq) for e in await store.tail({"live": 2, "backfill": 1}, 10)] == [("live", 3)]

    @staticmethod
    def _id(number: int) -> str:
        return f"77777777-7777-4777-8777-{number:012d}"

    async def _fill(self, store: Store, n: int) -> None:
        await merge(store, pipeline(), *(workflow(self._id(number)) for number in range(n)))
