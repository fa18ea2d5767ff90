"""What every store must do: subclass `StoreSuite`, give it a fixture `store`, and pytest runs it all.

The fixture yields an open, empty store whose clock stands at `NOW`. Every test asks through the port alone, so the
same suite runs on SQLite, in memory, and on whatever comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from headgate.core.ids import number_key, record_id
from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import Delivery, Lane, LogEntry
from headgate.core.record import Record, decode_record
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import (
    AlertChange,
    AlertRow,
    CursorView,
    MergeResult,
    MergeWork,
    Outcomes,
    SignalSpec,
    SourceCursor,
    Store,
)
from headgate.core.verdicts import Reject

__all__ = ["NOW", "PROJECT", "StoreSuite", "job", "merge", "net_records", "pipeline", "workflow"]

NOW = 1_795_000_000_000
DAY = 86_400_000
AT_ONCE = ReleasePolicy("none")
PROJECT = ProjectRef("circleci.com", "gh/acme/web", "gh/acme", "11111111-1111-4111-8111-111111111111")
PIPELINE = "22222222-2222-4222-8222-222222222222"
WORKFLOW = "33333333-3333-4333-8333-333333333333"
JOB = "44444444-4444-4444-8444-444444444444"
LOGS = SignalSpec("loki", "logs", "http://loki")


def _seen(
    kind: Any, key: str, values: Mapping[str, Any], source: str, observed_ms: int, project: ProjectRef, **flags: bool
) -> Observation:
    return Observation(
        kind=kind,
        key=key,
        project=project,
        source=source,
        observed_ms=observed_ms,
        terminal=flags.get("terminal", False),
        fields=dict(values),
        enriches=flags.get("enriches", False),
    )


def pipeline(key: str = PIPELINE, *, at: int = NOW, source: str = "v2", **more: Any) -> Observation:
    """A pipeline on branch main."""
    fields = {"number": 7, "created_at": NOW - 9_000, "ref_name": "main", "ref_type": "branch"} | more
    return _seen("pipeline", key, fields, source, at, PROJECT)


def workflow(
    key: str = WORKFLOW, *, ended: bool = True, at: int = NOW, source: str = "webhook", **more: Any
) -> Observation:
    """A workflow, ended unless told otherwise."""
    fields = {"name": "build", "created_at": NOW - 8_000, "pipeline_id": PIPELINE, "status": "running"}
    if ended:
        fields |= {"status": "success", "stopped_at": NOW}
    return _seen("workflow", key, fields | more, source, at, PROJECT, terminal=ended)


def job(
    key: str = JOB,
    *,
    ended: bool = True,
    at: int = NOW,
    source: str = "webhook",
    enriches: bool = False,
    **more: Any,
) -> Observation:
    """A job of that workflow, ended unless told otherwise."""
    fields = {"name": "test", "number": 41, "workflow_id": WORKFLOW, "started_at": NOW - 5_000, "status": "running"}
    if ended:
        fields |= {"status": "success", "stopped_at": NOW}
    return _seen("job", key, fields | more, source, at, PROJECT, terminal=ended, enriches=enriches)


async def merge(
    store: Store, *seen: Observation, policy: ReleasePolicy = AT_ONCE, now: int = NOW, live_after: int = 0, **more: Any
) -> MergeResult:
    """Merge observations of source `ci`."""
    return await store.merge_and_release(MergeWork("ci", seen, policy, now, live_after, **more))


async def read(store: Store, lane: Lane = "live", after: int = 0, key: str = LOGS.key) -> list[LogEntry]:
    """Everything after a seq."""
    return list(await store.read_log(key, lane, after, limit=100_000, max_bytes=1 << 40))


def net_records(entries: list[LogEntry]) -> dict[str, dict[str, Any]]:
    """What a sink that applies amendments holds in the end: record id -> attributes."""
    held: dict[str, dict[str, Any]] = {}
    for entry in entries:
        record = decode_record(entry.body)
        attributes = dict(record.attributes)
        if record.kind == "amendment":
            amended = str(attributes.pop("headgate.amends"))
            attributes.pop("headgate.revision")
            held[amended] |= attributes
        else:
            held[record.id] = attributes
    return held


async def cursor(store: Store, lane: Lane = "live", key: str = LOGS.key) -> CursorView:
    """One cursor."""
    return next(one for one in await store.cursors() if (one.signal, one.lane) == (key, lane))


def _delivery(number: int) -> Delivery:
    return Delivery("ci", NOW + number, "job-completed", "application/json", b'{"n": %d}' % number)


class _Intake:
    """Inbox, merging, releasing."""

    async def test_accepted_deliveries_wait_in_order(self, store: Store) -> None:
        """What was accepted is read back byte for byte, oldest first, until it is settled."""
        await store.accept([_delivery(1), _delivery(2)])
        await store.accept([_delivery(3)])
        rows = await store.inbox(10)
        assert [_delivery(1), _delivery(2), _delivery(3)] == [row.delivery for row in rows]
        assert [row.id for row in await store.inbox(2)] == [row.id for row in rows[:2]]
        assert (await store.figures()).inbox_waiting == 3
        assert (await store.figures()).inbox_oldest_ms == NOW + 1

    async def test_settled_deliveries_leave_in_any_order(self, store: Store) -> None:
        """Done and dead deliveries no longer wait, whichever of them is settled first; dead ones keep their reason."""
        await store.accept([_delivery(number) for number in range(5)])
        ids = [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=[ids[3]], inbox_dead=[(ids[1], "not json")])
        assert [ids[0], ids[2], ids[4]] == [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=[ids[0], ids[0], ids[2]])
        assert [ids[4]] == [row.id for row in await store.inbox(10)]
        (dead,) = await store.inbox_dead(10)
        assert (ids[1], "dead", "not json") == (dead.id, dead.state, dead.reason)
        figures = await store.figures()
        assert (1, 1) == (figures.inbox_waiting, figures.inbox_dead)

    async def test_an_ended_job_is_released_once(self, store: Store) -> None:
        """A second equal observation releases nothing and amends nothing."""
        first = await merge(store, pipeline(), workflow(), job())
        assert {("workflow", "live"): 1, ("job", "live"): 1} == first.released
        again = await merge(store, job(), workflow(), pipeline())
        assert ({}, 0, 3) == (dict(again.released), again.amended, again.unchanged)
        assert [1, 2] == [entry.seq for entry in await read(store)]

    async def test_a_record_tells_of_its_workflow_and_pipeline(self, store: Store) -> None:
        """A job's record carries branch and number of its pipeline, and the id that follows from the fact alone."""
        await merge(store, pipeline(), workflow(), job())
        entry = (await read(store))[1]
        record: Record = decode_record(entry.body)
        assert record_id("job", "circleci.com", JOB) == record.id == entry.record_id
        assert ("main", 7) == (
            record.attributes["vcs.ref.head.name"],
            record.attributes["circleci.pipeline.number"],
        )
        assert (NOW, "gh/acme/web") == (entry.occurred_ms, entry.project)

    async def test_a_running_job_is_not_released(self, store: Store) -> None:
        """What has not ended stays, and is listed as unfinished."""
        result = await merge(store, pipeline(), workflow(ended=False), job(ended=False))
        assert {} == dict(result.released)
        (run,) = await store.unfinished("ci", limit=10)
        assert (WORKFLOW, PIPELINE, PROJECT.project_id) == (run.workflow_id, run.pipeline_id, run.project_key)

    async def test_a_pipeline_without_workflows_is_listed_for_an_hour(self, store: Store) -> None:
        """A new pipeline whose workflows are not known yet is asked about again."""
        await merge(store, pipeline(created_at=NOW - 60_000))
        (run,) = await store.unfinished("ci", limit=10)
        assert (PIPELINE, None) == (run.pipeline_id, run.workflow_id)
        await merge(store, workflow())
        assert [] == list(await store.unfinished("ci", limit=10))

    async def test_a_job_waits_for_enrichment_until_it_comes(self, store: Store) -> None:
        """Under profile batch an ended job waits, is listed, and leaves when its enrichment arrives."""
        batch = ReleasePolicy("batch", 60_000)
        waits = await merge(store, pipeline(), workflow(), job(), policy=batch)
        assert ({}, NOW + 60_000, {PROJECT.project_id}) == (
            dict(waits.released),
            waits.next_due_ms,
            waits.wants_enrichment,
        )
        assert [JOB] == [ref.job_id for ref in await store.wanting_enrichment("ci", limit=10)]
        assert 2 == (await store.figures()).unreleased
        done = await merge(store, job(source="v1.1", enriches=True, queued_at=NOW - 7_000), policy=batch)
        assert {("job", "live"): 1} == done.released
        assert [] == list(await store.wanting_enrichment("ci", limit=10))

    async def test_a_job_leaves_when_its_wait_is_over(self, store: Store) -> None:
        """`release_due` lets go what waited long enough, and nothing earlier."""
        batch = ReleasePolicy("batch", 60_000)
        await merge(store, pipeline(), workflow(), job(), policy=batch)
        early = await store.release_due(batch, "ci", now_ms=NOW + 59_999, live_after_ms=0)
        assert ({}, NOW + 60_000) == (dict(early.released), early.next_due_ms)
        other = await store.release_due(batch, "other", now_ms=NOW + 60_000, live_after_ms=0)
        assert {} == dict(other.released)
        due = await store.release_due(batch, "ci", now_ms=NOW + 60_000, live_after_ms=0)
        assert ({("workflow", "live"): 1, ("job", "live"): 1}, None) == (dict(due.released), due.next_due_ms)
        assert 0 == (await store.figures()).unreleased

    async def test_a_gone_job_no_longer_waits(self, store: Store) -> None:
        """What the source no longer has counts as enriched, and an unfinished workflow is no longer listed."""
        batch = ReleasePolicy("batch", 60_000)
        await merge(store, pipeline(), workflow(ended=False), job(), policy=batch)
        result = await merge(store, gone=[JOB, WORKFLOW], policy=batch)
        assert {("job", "live"): 1} == result.released
        assert [] == list(await store.unfinished("ci", limit=10))

    async def test_what_comes_later_is_an_amendment(self, store: Store) -> None:
        """A changed value goes out with the id it amends and a revision; equal values with a newer stamp do not."""
        await merge(store, pipeline(), workflow(), job())
        assert 0 == (await merge(store, job(at=NOW + 5))).amended
        assert 1 == (await merge(store, job(at=NOW + 9, resource_class="large"))).amended
        assert 1 == (await merge(store, job(at=NOW + 10, resource_class="xlarge"))).amended
        first, second = (decode_record(entry.body) for entry in (await read(store))[2:])
        identity = record_id("job", "circleci.com", JOB)
        assert {
            "circleci.resource_class": "large",
            "headgate.amends": identity,
            "headgate.revision": 1,
        } == first.attributes
        assert (2, "xlarge") == (
            second.attributes["headgate.revision"],
            second.attributes["circleci.resource_class"],
        )

    async def test_a_change_of_the_pipeline_amends_its_released_runs(self, store: Store) -> None:
        """A shared field learnt late reaches the records of the workflow and of its jobs."""
        await merge(store, pipeline(), workflow(), job())
        assert 2 == (await merge(store, pipeline(at=NOW + 1, revision="abc"))).amended
        held = net_records(await read(store))
        assert {"abc"} == {attributes["vcs.ref.head.revision"] for attributes in held.values()}

    async def test_a_change_of_the_workflow_amends_its_released_jobs(self, store: Store) -> None:
        """The name of a workflow is part of its jobs' records."""
        await merge(store, pipeline(), workflow(), job())
        assert 2 == (await merge(store, workflow(at=NOW + 1, name="ship"))).amended

    async def test_old_ends_go_to_the_backfill_lane(self, store: Store) -> None:
        """Each lane has its own numbers without gaps."""
        await merge(store, pipeline(), workflow(), job(stopped_at=NOW - 1), live_after=NOW)
        assert ([(1, "workflow")], [(1, "job")]) == (
            [(entry.seq, entry.kind) for entry in await read(store)],
            [(entry.seq, entry.kind) for entry in await read(store, "backfill")],
        )

    async def test_a_uuid_learnt_later_is_no_second_fact(self, store: Store) -> None:
        """A build known by number alone becomes the job with the UUID."""
        numbered = number_key(str(PROJECT.project_id), 41)
        await merge(store, job(numbered, source="v1.1", ended=False))
        await merge(store, pipeline(), workflow(), job())
        await merge(store, job(numbered, source="v1.1", resource_class="large"))
        assert 1 == (await store.figures()).facts["job"]
        (one,) = await store.explain(JOB)
        assert ("large", record_id("job", "circleci.com", JOB)) == (one.fields["resource_class"][0], one.record_id)

    async def test_a_uuid_learnt_after_release_is_an_alias(self, store: Store) -> None:
        """The record that left by number keeps its id; what comes under the UUID amends it."""
        numbered = number_key(str(PROJECT.project_id), 41)
        await merge(store, pipeline(), workflow(), job(numbered, source="v1.1"))
        result = await merge(store, job(resource_class="large"))
        assert ({}, 1) == (dict(result.released), result.amended)
        assert {"job": 1} == {kind: n for kind, n in (await store.figures()).facts.items() if kind == "job"}
        (one,) = await store.explain(JOB)
        assert record_id("job", "circleci.com", numbered) == one.record_id

    async def test_two_names_of_one_job_are_united(self, store: Store) -> None:
        """A job seen by UUID without its number, and by number, is one fact once somebody knows both."""
        numbered = number_key(str(PROJECT.project_id), 41)
        by_id = job(ended=False)
        fields = {name: value for name, value in by_id.fields.items() if name != "number"}
        await merge(store, msgspec.structs.replace(by_id, fields=fields))
        await merge(store, job(numbered, source="v1.1", ended=False, resource_class="large"))
        assert 2 == (await store.figures()).facts["job"]
        await merge(store, pipeline(), workflow(), job())
        assert 1 == (await store.figures()).facts["job"]
        (one,) = await store.explain(JOB)
        assert ("large", True) == (one.fields["resource_class"][0], one.released)

    async def test_a_rename_keeps_the_history(self, store: Store) -> None:
        """Runs of a project are found under its old and its new slug, and shown under the new one."""
        await merge(store, pipeline(), workflow())
        renamed = ProjectRef("circleci.com", "gh/acme/site", "gh/acme", PROJECT.project_id)
        other = "55555555-5555-4555-8555-555555555555"
        seen = workflow(other, at=NOW + 5)
        await merge(store, msgspec.structs.replace(seen, project=renamed))
        for slug in ("gh/acme/web", "gh/acme/site"):
            runs = await store.recent_runs(10, project=slug)
            assert {("gh/acme/site", WORKFLOW), ("gh/acme/site", other)} == {
                (run.project, run.workflow_id) for run in runs
            }

    async def test_a_slug_alone_finds_its_project(self, store: Store) -> None:
        """An input without the project's id belongs to the project that bears the slug, before and after it is known."""
        nameless = ProjectRef("circleci.com", "gh/acme/web", "gh/acme")
        await merge(store, msgspec.structs.replace(workflow(), project=nameless))
        await merge(store, pipeline())
        assert [WORKFLOW] == [run.workflow_id for run in await store.recent_runs(10, project="gh/acme/web")]
        other = "55555555-5555-4555-8555-555555555555"
        await merge(store, msgspec.structs.replace(workflow(other, ended=False), project=nameless))
        (run,) = await store.unfinished("ci", limit=10)
        assert PROJECT.project_id == run.project_key

    async def test_a_bad_observation_fails_alone(self, store: Store) -> None:
        """A unit that cannot be kept raises, leaves nothing behind, and the next one works."""
        with pytest.raises(KeyError):
            await merge(store, pipeline(), workflow(), _seen("job", JOB, {"no_field": 1}, "v2", NOW, PROJECT))
        assert {} == {kind: n for kind, n in (await store.figures()).facts.items() if n}
        assert [] == await read(store)
        assert 2 == sum((await merge(store, pipeline(), workflow(), job())).released.values())
        assert [1, 2] == [entry.seq for entry in await read(store)]

    async def test_a_poll_stores_its_cursor_with_its_facts(self, store: Store) -> None:
        """The cursor of a page is there after its unit, per source and scope."""
        where = SourceCursor("ci", "p1", high=7, walk_high=9, complete_ms=NOW)
        await merge(store, pipeline(), cursor=where)
        assert {"p1": where} == dict(await store.source_cursors("ci"))
        assert {} == dict(await store.source_cursors("other"))

    async def test_runs_are_read_by_their_end(self, store: Store) -> None:
        """Ended workflows with ref, class, duration and page; running ones are not among them."""
        other = "55555555-5555-4555-8555-555555555555"
        await merge(store, pipeline(), workflow(status="failed"), workflow(other, ended=False), job())
        (run,) = await store.runs_between(NOW, NOW + 1)
        assert ("gh/acme/web", "build", "main", 1, "failure", 8_000, 7) == (
            run.project,
            run.workflow,
            run.ref,
            run.branch_class,
            run.status,
            run.duration_ms,
            run.pipeline_number,
        )
        assert f"https://app.circleci.com/pipelines/github/acme/web/7/workflows/{WORKFLOW}" == run.url
        assert [] == list(await store.runs_between(NOW - 10, NOW))
        assert {"failure": 1} == (await store.figures()).statuses["workflow"]
        await merge(store, workflow(at=NOW + 1, status="success"))
        assert {"success": 1} == (await store.figures()).statuses["workflow"]


class _Delivery:
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
        assert {} == dict(await store.open_signals(specs, now_ms=NOW))
        where = {one.signal: (one.acked, one.waiting) for one in await store.cursors() if one.lane == "live"}
        assert {"loki.logs": (2, 0), "a.x": (0, 2), "b.x": (1, 1), "c.x": (2, 0)} == where

    async def test_outcomes_move_the_cursor(self, store: Store) -> None:
        """Acked and holes are stored together with the counts; what waits is arithmetic."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 6)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 2, (4, 5), accepted=3, skipped={"too_old": 1})])
        one = await cursor(store)
        assert (2, (4, 5), 6, 2) == (one.acked, one.holes, one.head, one.waiting)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 6, accepted=2, skipped={"too_old": 1})])
        assert 0 == (await cursor(store)).waiting
        counts = (await store.outcome_counts())[LOGS.key]
        assert (5, 0, {"too_old": 2}) == (counts.accepted, counts.dead, dict(counts.skipped))

    async def test_outcomes_of_nobody_change_nothing(self, store: Store) -> None:
        """An unknown signal, or a seq beyond the lane, raises; the outcomes beside it are not stored either."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 2)
        good = Outcomes(LOGS.key, "live", 1, accepted=1)
        with pytest.raises(KeyError):
            await store.record_outcomes([good, Outcomes("no.such", "live", 1)])
        with pytest.raises(ValueError, match="ends at 2"):
            await store.record_outcomes([good, Outcomes(LOGS.key, "live", 3)])
        assert 0 == (await cursor(store)).acked
        assert 0 == (await store.outcome_counts())[LOGS.key].accepted

    async def test_reading_is_bounded_but_never_stuck(self, store: Store) -> None:
        """By count and by bytes; a record larger than the bytes is still read."""
        await self._fill(store, 4)
        assert [2, 3] == [e.seq for e in await store.read_log("s", "live", 1, limit=2, max_bytes=1 << 30)]
        assert [1] == [e.seq for e in await store.read_log("s", "live", 0, limit=9, max_bytes=1)]
        assert [] == list(await store.read_log("s", "live", 4, limit=9, max_bytes=1))

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
        assert [] == await read(store, "dead")
        assert 1 == await store.requeue_dead([letter.id, 999])
        (again,) = await read(store, "dead")
        assert (letter.id, entry.body, entry.order_key) == (again.seq, again.body, again.order_key)
        await store.record_outcomes([Outcomes(LOGS.key, "dead", 0, dead=[(again, Reject("bad"), 1)], at_ms=NOW + 1)])
        (letter,) = await store.dead_letters(ids=[letter.id])
        assert ("bad", 3, NOW, NOW + 1, False) == (
            letter.reason,
            letter.attempts,
            letter.first_ms,
            letter.last_ms,
            letter.requeued,
        )
        await store.requeue_dead([letter.id])
        await store.record_outcomes([Outcomes(LOGS.key, "dead", 0, accepted=1, settled_dead=[letter.id])])
        assert [] == list(await store.dead_letters())
        counts = (await store.outcome_counts())[LOGS.key]
        assert (1, 0) == (counts.accepted, counts.dead)

    async def test_purging_is_a_gap(self, store: Store) -> None:
        """A loss that somebody chose is written down."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 1)
        (entry,) = await read(store)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1, dead=[(entry, Reject("bad"), 1)])])
        (letter,) = await store.dead_letters()
        assert 1 == await store.purge_dead([letter.id])
        assert 0 == await store.purge_dead([letter.id])
        (gap,) = await store.gaps(10)
        assert ("loki", 1) == (gap.sink, gap.count)
        assert 1 == (await store.figures()).gaps

    async def test_a_changed_destination_is_refused(self, store: Store) -> None:
        """Until the signal is reset; its cursor stays where it was."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 1)
        moved = SignalSpec("loki", "logs", "http://elsewhere")
        problems = await store.open_signals([moved], now_ms=NOW)
        assert [LOGS.key] == list(problems)
        assert "http://elsewhere" in problems[LOGS.key]
        assert 1 == (await cursor(store)).waiting
        await store.reset_signal(LOGS.key, start="now")
        assert {} == dict(await store.open_signals([moved], now_ms=NOW))
        assert 0 == (await cursor(store)).waiting
        with pytest.raises(KeyError):
            await store.reset_signal("no.such", start="now")

    async def test_the_state_of_a_signal_is_kept(self, store: Store) -> None:
        """With its reason; a removed signal says so, and is ok again when it comes back."""
        await store.open_signals([LOGS], now_ms=NOW)
        await store.set_signal_state(LOGS.key, "held", "key refused")
        one = await cursor(store)
        assert ("held", "key refused") == (one.state, one.reason)
        await store.open_signals([], now_ms=NOW)
        assert "removed" == (await cursor(store)).state
        await store.open_signals([LOGS], now_ms=NOW)
        assert "ok" == (await cursor(store)).state

    async def test_the_log_waits_for_the_slowest(self, store: Store) -> None:
        """Trimming keeps what a signal has not got; a removed one holds it for a day and then has a gap."""
        await store.open_signals([LOGS], now_ms=NOW)
        await self._fill(store, 4)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1, (3,))])
        assert {"log": 1} == dict(await store.trim({"log": 10}, now_ms=NOW + 11))
        assert [2, 3, 4] == [entry.seq for entry in await read(store)]
        await store.open_signals([], now_ms=NOW)
        assert {"log": 0} == dict(await store.trim({"log": 10}, now_ms=NOW + DAY - 1))
        assert {"log": 3} == dict(await store.trim({"log": 10}, now_ms=NOW + DAY + 1))
        await store.open_signals([LOGS], now_ms=NOW)
        (gap,) = await store.gaps(1)
        assert (2, 4, 2) == (gap.first, gap.last, gap.count)
        assert (4, 0) == ((await cursor(store)).acked, (await cursor(store)).waiting)

    async def test_drop_oldest_loses_with_a_gap(self, store: Store) -> None:
        """Only the signal that says so; the loss is a row."""
        lossy = SignalSpec("b", "x", "", overflow="drop_oldest")
        await store.open_signals([LOGS, lossy], now_ms=NOW)
        await self._fill(store, 3)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 2)])
        assert {"log": 2} == dict(await store.trim({"log": 10}, now_ms=NOW + 11))
        (gap,) = await store.gaps(5)
        assert ("b", 1, 2, 2) == (gap.sink, gap.first, gap.last, gap.count)
        assert (2, 1) == ((await cursor(store, key="b.x")).acked, (await cursor(store, key="b.x")).waiting)

    async def test_a_replay_sends_the_same_bytes(self, store: Store) -> None:
        """From the log where it still is, else rendered again and marked; one at a time; over when all is settled."""
        await store.open_signals([LOGS], now_ms=NOW)
        await merge(store, pipeline(), workflow(stopped_at=NOW - 5_000))
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1)])
        await store.trim({"log": 1}, now_ms=NOW + 2)
        await merge(store, job(), now=NOW + 3)
        replay = await store.open_replay(LOGS.key, since_ms=NOW - 9_000, until_ms=NOW + 1)
        assert (2, 0) == (replay.total, replay.done)
        with pytest.raises(ValueError, match="under way"):
            await store.open_replay(LOGS.key, since_ms=0, until_ms=1)
        again, logged = await read(store, "replay")
        assert ([1, 2], "workflow") == ([again.seq, logged.seq], again.kind)
        assert decode_record(again.body).attributes["headgate.rerendered"] is True
        assert (await read(store))[0].body == logged.body
        await store.record_outcomes([Outcomes(LOGS.key, "replay", 1, accepted=1, replay=replay.id)])
        assert 1 == (await store.replays())[0].done
        assert [2] == [entry.seq for entry in await read(store, "replay", 1)]
        await store.record_outcomes([Outcomes(LOGS.key, "replay", 2, accepted=1, replay=replay.id)])
        assert ([], []) == (list(await store.replays()), await read(store, "replay"))
        with pytest.raises(KeyError):
            await store.open_replay("no.such", since_ms=0, until_ms=1)

    async def test_explain_follows_a_record(self, store: Store) -> None:
        """By provider id and by record id: fields with provenance, record, amendments, the way to each signal."""
        await store.open_signals([LOGS], now_ms=NOW)
        await merge(store, pipeline(), workflow(), job())
        await merge(store, job(at=NOW + 1, resource_class="large"))
        await store.open_signals([LOGS, SignalSpec("late", "x", "")], now_ms=NOW)
        await store.record_outcomes([Outcomes(LOGS.key, "live", 1)])
        for given in (JOB, JOB.upper(), record_id("job", "circleci.com", JOB)):
            (one,) = await store.explain(given)
            assert ("job", JOB, "live", 2, True) == (one.kind, one.provider_id, one.lane, one.seq, one.released)
            assert ("large", "webhook", NOW + 1, True) == one.fields["resource_class"]
            assert {LOGS.key: "waiting", "late.x": "before_start"} == dict(one.path)
            assert ((await read(store))[1].body, 1) == (one.record, len(one.amendments))
        assert ["pipeline"] == [one.kind for one in await store.explain(PIPELINE)]
        assert [] == list(await store.explain("66666666-6666-4666-8666-666666666666"))

    async def test_tail_shows_the_newest(self, store: Store) -> None:
        """Of both lanes, in the order of appending, beyond the given seqs."""
        await self._fill(store, 3)
        await merge(store, pipeline(), job(stopped_at=NOW - 10, workflow_id=self._id(0)), now=NOW + 9, live_after=NOW)
        assert [("live", 3), ("backfill", 1)] == [(e.lane, e.seq) for e in await store.tail({}, 2)]
        assert [("live", 3)] == [(e.lane, e.seq) for e in await store.tail({"live": 2, "backfill": 1}, 10)]

    @staticmethod
    def _id(number: int) -> str:
        return f"77777777-7777-4777-8777-{number:012d}"

    async def _fill(self, store: Store, n: int) -> None:
        await merge(store, pipeline(), *(workflow(self._id(number)) for number in range(n)))


class _Rest:
    """Alerts, trimming, life."""

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
        change = AlertChange([row], (), [("f1", NOW, b"fired")], [("ops", "f1:1", b"{}", NOW + 5)], [record])
        await store.transition(change)
        assert [row] == list(await store.alerts())
        assert [("f1", NOW, b"fired")] == list(await store.alert_history("f1", 10))
        (entry,) = await read(store)
        assert ("alert", NOW, record) == (entry.kind, entry.occurred_ms, decode_record(entry.body))
        assert ([], NOW + 5) == (
            list(await store.outbox_due(now_ms=NOW, limit=10)),
            await store.outbox_next_due(),
        )
        (due,) = await store.outbox_due(now_ms=NOW + 5, limit=10)
        await store.outbox_retry(due.id, due_ms=NOW + 50, error="503")
        (due,) = await store.outbox_due(now_ms=NOW + 50, limit=10)
        assert (1, "503", 1) == (due.attempts, due.last_error, (await store.figures()).outbox_waiting)
        await store.outbox_done([due.id, due.id])
        await store.transition(AlertChange([], ["f1"], (), [("ops", "f1:1", b"{}", NOW)]))
        figures = await store.figures()
        assert ([], 0, None) == (list(await store.alerts()), figures.outbox_waiting, await store.outbox_next_due())

    async def test_a_dead_notification_is_not_sent_again(self, store: Store) -> None:
        """It leaves the outbox with its error."""
        await store.transition(AlertChange(outbox=[("ops", "k", b"{}", NOW)]))
        (due,) = await store.outbox_due(now_ms=NOW, limit=1)
        await store.outbox_dead(due.id, error="400", at_ms=NOW)
        await store.outbox_retry(due.id, due_ms=NOW, error="late")
        assert ([], 0) == (
            list(await store.outbox_due(now_ms=NOW, limit=1)),
            (await store.figures()).outbox_waiting,
        )

    async def test_trimming_forgets_old_facts(self, store: Store) -> None:
        """Facts past retention go; figures follow; a fact that is seen again afterwards is new."""
        await merge(store, pipeline(), workflow(), job())
        trimmed = await store.trim({"facts": 100}, now_ms=NOW + 101)
        assert {"facts": 3} == dict(trimmed)
        figures = await store.figures()
        assert [0, 0, 0] == [figures.facts.get(kind, 0) for kind in ("pipeline", "workflow", "job")]
        assert {} == {kind: words for kind, words in figures.statuses.items() if any(words.values())}
        with pytest.raises(KeyError):
            await store.trim({"no_part": 1, "log": 0}, now_ms=NOW + DAY)
        assert 2 == len(await read(store))

    async def test_trimming_the_inbox_keeps_what_waits(self, store: Store) -> None:
        """Settled deliveries go after their time, waiting ones never; new ones get new numbers."""
        await store.accept([_delivery(0), _delivery(1), _delivery(2)])
        ids = [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=ids[:1], inbox_dead=[(ids[1], "bad")])
        deleted = await store.trim({"inbox": 10, "inbox_dead": 10}, now_ms=NOW + 12)
        assert {"inbox": 1, "inbox_dead": 1} == dict(deleted)
        assert ids[2:] == [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=ids[2:])
        await store.trim({"inbox": 10}, now_ms=NOW + 13)
        await store.accept([_delivery(3)])
        (row,) = await store.inbox(10)
        assert (True, 1) == (row.id > ids[2], (await store.figures()).inbox_waiting)

    async def test_life(self, store: Store) -> None:
        """A ping goes round, nothing waits, closing twice is fine."""
        await store.ping()
        assert (0.0, "ok") == (store.accept_wait_seconds(), store.space_level())
        await store.close()
        await store.close()


class StoreSuite(_Intake, _Delivery, _Rest):
    """The whole contract. Give it a fixture `store`."""
