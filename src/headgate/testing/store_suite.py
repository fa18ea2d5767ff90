"""What every store must do: subclass `StoreSuite`, give it a fixture `store`, and pytest runs it all.

The fixture yields an open, empty store whose clock stands at `NOW`. Every test asks through the port alone, so the
same suite runs on SQLite, in memory, and on whatever comes next.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headgate.core.audits import Kept
from headgate.core.ids import amendment_id, record_id
from headgate.core.record import Record, decode_record
from headgate.core.storeport import (
    AlertChange,
    AlertRow,
    OutboxEntry,
    Store,
)
from headgate.testing.store_aside_suite import AsideSuite
from headgate.testing.store_data import (
    DAY,
    JOB,
    LOGS,
    NOW,
    PIPELINE,
    PROJECT,
    WORKFLOW,
    delivery,
    job,
    merge,
    net_records,
    pipeline,
    read,
    workflow,
)
from headgate.testing.store_delivery_suite import DeliverySuite
from headgate.testing.store_details_suite import DetailsSuite
from headgate.testing.store_intake_suite import IntakeSuite
from headgate.testing.store_pages_suite import PagesSuite
from headgate.testing.store_reads_suite import ReadsSuite
from headgate.testing.store_telling_suite import TellingSuite

__all__ = ["LOGS", "NOW", "PROJECT", "StoreSuite", "job", "merge", "net_records", "pipeline", "read", "workflow"]

_SIZES = ("small", "medium", "large", "xlarge")


class RestSuite:
    """Alerts, trimming, life."""

    async def test_an_audit_sees_what_is_kept(self, store: Store) -> None:
        """With its end or without, told by a webhook or not, an old pipeline or not; what is unknown is absent."""
        other, old = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
        await merge(store, pipeline(), workflow(source="v2"), job(), workflow(other, ended=False))
        await merge(store, pipeline(old, created_at=NOW - 2 * DAY))
        rerun = workflow("00000000-0000-4000-8000-000000000003", pipeline_id=old, source="v2")
        await merge(store, rerun)
        runs = await store.kept("workflow", [WORKFLOW, other, rerun.key, "nobody"])
        assert dict(runs) == {
            WORKFLOW: Kept(ended=True, announced=False, rerun=False, stopped_ms=NOW),
            other: Kept(ended=False, announced=False, rerun=False),
            rerun.key: Kept(ended=True, announced=False, rerun=True, stopped_ms=NOW),
        }
        assert dict(await store.kept("job", [JOB])) == {
            JOB: Kept(ended=True, announced=True, rerun=False, stopped_ms=NOW)
        }

    async def test_an_audit_sees_the_jobs_of_a_run(self, store: Store) -> None:
        """Those that ran and ended, by workflow or pipeline; no approval, and none that is known by number alone."""
        await merge(store, pipeline(), workflow(), job())
        names = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 5)]
        queued = job(names[1])
        never = msgspec.structs.replace(
            queued, fields={name: it for name, it in queued.fields.items() if name != "started_at"}
        )
        await merge(store, job(names[0], source="v2"), never, job(names[2], type="approval"))
        await merge(store, job(names[3], ended=False), job("gh/a/b#42"))
        found = {JOB: Kept(True, True, False, NOW), names[0]: Kept(True, False, False, NOW)}
        assert dict(await store.jobs_of([WORKFLOW])) == found
        assert dict(await store.jobs_of([PIPELINE, WORKFLOW, "nobody"])) == found
        assert dict(await store.jobs_of([JOB])) == {}

    async def test_a_pipeline_is_whole_once_it_has_a_run_or_an_error(self, store: Store) -> None:
        """One without either may lack its workflows."""
        bad, empty = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
        await merge(store, pipeline(), workflow(), pipeline(bad, errors=["config"]), pipeline(empty))
        kept = await store.kept("pipeline", [PIPELINE, bad, empty])
        assert [kept[key].ended for key in (PIPELINE, bad, empty)] == [True, True, False]

    async def test_marks_are_kept_with_the_facts_they_speak_of(self, store: Store) -> None:
        """Set, replaced and forgotten; those of other sources and prefixes apart."""
        await merge(store, workflow(), marks={"backfill/a": b"1", "backfill/b": b"2", "zeal": b"3"})
        assert dict(await store.source_marks("ci", "backfill/")) == {"backfill/a": b"1", "backfill/b": b"2"}
        await merge(store, marks={"backfill/a": b"9", "backfill/b": None})
        assert dict(await store.source_marks("ci")) == {"backfill/a": b"9", "zeal": b"3"}
        assert dict(await store.source_marks("other")) == {}

    async def test_a_transition_is_one_piece(self, store: Store) -> None:
        """State, history, outbox and record; an equal notification is stored once, even after it was sent."""
        row = AlertRow("f1", "rule", {"project": "web"}, "firing", b"{}", NOW)
        attributes: dict[str, Any] = {"headgate.alert.state": "firing"}
        record = Record(
            id=record_id("alert", "headgate", "f1:1"),
            schema=1,
            kind="alert",
            occurred_at="2026-11-18T11:06:40.000Z",
            observed_at="2026-11-18T11:06:40.000Z",
            sources=["rules"],
            tenant="headgate",
            attributes=attributes,
        )
        change = AlertChange([row], (), [("f1", NOW, b"fired")], [OutboxEntry("ops", "f1:1", b"{}", NOW + 5)], [record])
        await store.transition(change)
        assert [row] == list(await store.alerts())
        assert list(await store.alert_history("f1", 10)) == [("f1", NOW, b"fired")]
        (entry,) = await read(store)
        assert ("alert", NOW, record) == (entry.kind, entry.occurred_ms, decode_record(entry.body))
        assert list(await store.outbox_due(now_ms=NOW + 4, limit=10)) == []
        (due,) = await store.outbox_due(now_ms=NOW + 5, limit=10)
        await store.outbox_retry([due.id], due_ms=NOW + 50, error="503")
        (due,) = await store.outbox_due(now_ms=NOW + 50, limit=10)
        assert (due.attempts, due.last_error, (await store.figures()).outbox_waiting) == (1, "503", 1)
        await store.outbox_done([due.id, due.id])
        await store.transition(AlertChange([], ["f1"], (), [OutboxEntry("ops", "f1:1", b"{}", NOW)]))
        figures = await store.figures()
        assert (list(await store.alerts()), figures.outbox_waiting) == ([], 0)

    async def test_a_dead_notification_is_not_sent_again(self, store: Store) -> None:
        """It leaves the outbox with its error."""
        await store.transition(AlertChange(outbox=[OutboxEntry("ops", "k", b"{}", NOW)]))
        (due,) = await store.outbox_due(now_ms=NOW, limit=1)
        await store.outbox_dead([due.id], error="400", at_ms=NOW)
        await store.outbox_retry([due.id], due_ms=NOW, error="late")
        assert (
            list(await store.outbox_due(now_ms=NOW, limit=1)),
            (await store.figures()).outbox_waiting,
        ) == ([], 0)

    async def test_a_group_is_bound_into_one_message(self, store: Store) -> None:
        """Waiting rows of a group, due or not, go together, for good; later ones make a message of their own."""
        entries = [OutboxEntry("ops", f"k{number}", b"{}", NOW + number, "g") for number in range(4)]
        others = [OutboxEntry("ops", "other", b"{}", NOW, "h"), OutboxEntry("hook", "k0", b"{}", NOW, "g")]
        await store.transition(AlertChange(outbox=[*entries[:3], *others]))
        first = next(row for row in await store.outbox_due(now_ms=NOW, limit=9) if row.key == "k0")
        bound = [row.key for row in await store.outbox_bind(first.id, limit=2)]
        await store.transition(AlertChange(outbox=entries[3:]))
        again = await store.outbox_bind(first.id, limit=9)
        assert (bound, [row.key for row in again]) == (["k0", "k1"], ["k0", "k1"])
        await store.outbox_done([row.id for row in again], memory=("ops", "g", {"ts": "17"}))
        assert list(await store.outbox_bind(first.id, limit=9)) == []
        rest = await store.outbox_due(now_ms=NOW + 9, limit=9)
        third = next(row for row in rest if row.key == "k2")
        assert [row.key for row in await store.outbox_bind(third.id, limit=9)] == ["k2", "k3"]
        alone = next(row for row in rest if row.key == "other")
        assert [row.key for row in await store.outbox_bind(alone.id, limit=9)] == ["other"]

    async def test_a_notifier_remembers(self, store: Store) -> None:
        """By thread; what is remembered last counts, and an empty mapping forgets."""
        assert dict(await store.notifier_memory("ops", "g")) == {}
        await store.outbox_done([], memory=("ops", "g", {"ts": "17", "n": "1"}))
        await store.outbox_done([], memory=("ops", "g", {"ts": "18"}))
        assert dict(await store.notifier_memory("ops", "g")) == {"ts": "18"}
        assert dict(await store.notifier_memory("hook", "g")) == {}
        await store.outbox_done([], memory=("ops", "h", {"ts": "19"}))
        assert dict(await store.notifier_memories("ops")) == {"g": {"ts": "18"}, "h": {"ts": "19"}}
        assert dict(await store.notifier_memories("hook")) == {}
        await store.outbox_done([], memory=("ops", "g", {}))
        assert dict(await store.notifier_memory("ops", "g")) == {}

    async def test_trimming_forgets_old_facts(self, store: Store) -> None:
        """Facts past retention go; figures follow; a fact that is seen again afterwards is new."""
        await merge(store, pipeline(), workflow(), job())
        trimmed = await store.trim({"facts": 100}, now_ms=NOW + 101)
        assert dict(trimmed) == {"facts": 3}
        figures = await store.figures()
        assert [figures.facts.get(kind, 0) for kind in ("pipeline", "workflow", "job")] == [0, 0, 0]
        assert {kind: words for kind, words in figures.statuses.items() if any(words.values())} == {}
        with pytest.raises(KeyError):
            await store.trim({"no_part": 1, "log": 0}, now_ms=NOW + DAY)
        assert len(await read(store)) == 2

    async def test_revisions_go_on_when_a_thing_comes_back(self, store: Store) -> None:
        """Its facts went before the log: amendments that are still there keep their ids, later ones get others."""
        identity = record_id("job", "circleci.com", JOB)

        async def amend(at: int, size: str) -> None:
            assert (await merge(store, job(at=at, resource_class=size))).amended == 1

        await merge(store, pipeline(), workflow(), job())
        await amend(NOW + 1, "small")
        await amend(NOW + 2, "medium")
        await store.trim({"facts": 0}, now_ms=NOW + 3)
        first = amendment_id(identity, 1)
        assert list(await store.explain(first)) == []
        await merge(store, pipeline(), workflow(), job())
        await amend(NOW + 3, "large")
        await amend(NOW + 4, "xlarge")
        (found,) = await store.explain(JOB)
        told = [decode_record(body) for body in found.amendments]
        assert [(n, amendment_id(identity, n), size) for n, size in enumerate(_SIZES, 1)] == [
            (one.attributes["headgate.revision"], one.id, one.attributes["circleci.resource_class"]) for one in told
        ]
        assert list(found.amendments) == [e.body for e in await read(store) if e.kind == "amendment"]
        (one,) = await store.explain(first)
        assert (one.kind, one.provider_id, one.record) == ("amendment", JOB, found.amendments[0])
        await store.trim({"log": 0}, now_ms=NOW + DAY)
        await amend(NOW + 5, "2xlarge")
        (last,) = await read(store)
        assert decode_record(last.body).attributes["headgate.revision"] == 5

    async def test_trimming_the_inbox_keeps_what_waits(self, store: Store) -> None:
        """Settled deliveries go after their time, waiting ones never; new ones get new numbers."""
        await store.accept([delivery(0), delivery(1), delivery(2)])
        ids = [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=ids[:1], inbox_dead=[(ids[1], "bad")])
        deleted = await store.trim({"inbox": 10, "inbox_dead": 10}, now_ms=NOW + 12)
        assert dict(deleted) == {"inbox": 1, "inbox_dead": 1}
        assert ids[2:] == [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=ids[2:])
        await store.trim({"inbox": 10}, now_ms=NOW + 13)
        await store.accept([delivery(3)])
        (row,) = await store.inbox(10)
        assert (row.id > ids[2], (await store.figures()).inbox_waiting) == (True, 1)

    async def test_life(self, store: Store) -> None:
        """A ping goes round, nothing waits, closing twice is fine."""
        await store.ping()
        assert (store.accept_wait_seconds(), store.space_level()) == (0.0, "ok")
        await store.close()
        await store.close()


class StoreSuite(AsideSuite, IntakeSuite, DeliverySuite, PagesSuite, ReadsSuite, DetailsSuite, TellingSuite, RestSuite):
    """The whole contract. Give it a fixture `store`."""
