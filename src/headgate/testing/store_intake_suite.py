"""What every store must do with what comes in: inbox, merging, releasing, amending."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from headgate.core.ids import number_key, record_id
from headgate.core.merge import ProjectRef
from headgate.core.record import Record, decode_record
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import (
    RunRow,
    SourceCursor,
    Store,
)
from headgate.core.times import HOUR_MS
from headgate.testing.store_data import (
    JOB,
    NOW,
    PIPELINE,
    PROJECT,
    WORKFLOW,
    delivery,
    job,
    made_id,
    merge,
    net_records,
    pipeline,
    read,
    seen,
    workflow,
)

__all__ = ["IntakeSuite"]

# What `unfinished` is asked with.
LATELY: Final = {"ended_since_ms": NOW - 30 * HOUR_MS, "empty_since_ms": NOW - HOUR_MS, "limit": 10}


class IntakeSuite:
    """Inbox, merging, releasing."""

    async def test_accepted_deliveries_wait_in_order(self, store: Store) -> None:
        """What was accepted is read back byte for byte, oldest first, until it is settled."""
        await store.accept([delivery(1), delivery(2)])
        await store.accept([delivery(3)])
        rows = await store.inbox(10)
        assert [delivery(1), delivery(2), delivery(3)] == [row.delivery for row in rows]
        assert [row.id for row in await store.inbox(2)] == [row.id for row in rows[:2]]
        assert (await store.figures()).inbox_waiting == 3
        assert (await store.figures()).inbox_oldest_ms == NOW + 1

    async def test_settled_deliveries_leave_in_any_order(self, store: Store) -> None:
        """Done and dead deliveries no longer wait, whichever of them is settled first; dead ones keep their reason."""
        await store.accept([delivery(number) for number in range(5)])
        ids = [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=[ids[3]], inbox_dead=[(ids[1], "not json")])
        assert [ids[0], ids[2], ids[4]] == [row.id for row in await store.inbox(10)]
        await merge(store, inbox_done=[ids[0], ids[0], ids[2]])
        assert [ids[4]] == [row.id for row in await store.inbox(10)]
        (dead,) = await store.inbox_dead(10)
        assert (ids[1], "dead", "not json") == (dead.id, dead.state, dead.reason)
        figures = await store.figures()
        assert (figures.inbox_waiting, figures.inbox_dead) == (1, 1)

    async def test_an_ended_job_is_released_once(self, store: Store) -> None:
        """A second equal observation releases nothing and amends nothing."""
        first = await merge(store, pipeline(), workflow(), job())
        assert first.released == {("workflow", "live"): 1, ("job", "live"): 1}
        again = await merge(store, job(), workflow(), pipeline())
        assert (dict(again.released), again.amended, again.unchanged) == ({}, 0, 3)
        assert [entry.seq for entry in await read(store)] == [1, 2]

    async def test_a_record_tells_of_its_workflow_and_pipeline(self, store: Store) -> None:
        """A job's record carries branch and number of its pipeline, and the id that follows from the fact alone."""
        await merge(store, pipeline(), workflow(), job())
        entry = (await read(store))[1]
        record: Record = decode_record(entry.body)
        assert record_id("job", "circleci.com", JOB) == record.id == entry.record_id
        assert (
            record.attributes["vcs.ref.head.name"],
            record.attributes["circleci.pipeline.number"],
        ) == ("main", 7)
        assert (entry.occurred_ms, entry.project) == (NOW, "gh/acme/web")

    async def test_a_running_job_is_not_released(self, store: Store) -> None:
        """What has not ended stays, and is listed as unfinished."""
        result = await merge(store, pipeline(), workflow(ended=False), job(ended=False))
        assert dict(result.released) == {}
        (run,) = await store.unfinished("ci", **LATELY)
        assert (WORKFLOW, PIPELINE, PROJECT.project_id) == (run.workflow_id, run.pipeline_id, run.project_key)

    async def test_what_has_not_ended_is_read_in_parts(self, store: Store) -> None:
        """However many began at one moment; without what ended, and without pipelines."""
        runs = [workflow(made_id(2, n), ended=n == 9, created_at=NOW - n // 4) for n in range(10)]
        await merge(store, pipeline(), pipeline(made_id(1, 2), created_at=NOW - 60_000), *runs, job(ended=False))
        place, found = (NOW + 1, ""), []
        while part := await store.unended("ci", before=place, limit=2):
            place = (part[-1].created_ms, part[-1].workflow_id or "")
            found += [run.workflow_id for run in part]
        lately = {**LATELY, "empty_since_ms": NOW}
        assert found == [run.workflow_id for run in await store.unfinished("ci", **lately) if not run.ended]
        assert (len(found), len(set(found))) == (9, 9)
        assert list(await store.unended("nobody", before=(NOW + 1, ""), limit=2)) == []

    async def test_a_pipeline_without_workflows_is_listed_for_an_hour(self, store: Store) -> None:
        """A new pipeline whose workflows are not known yet is asked about again."""
        await merge(store, pipeline(created_at=NOW - 60_000))
        (run,) = await store.unfinished("ci", **LATELY)
        assert (run.pipeline_id, run.workflow_id) == (PIPELINE, None)
        await merge(store, workflow())
        assert list(await store.unfinished("ci", **LATELY)) == []

    async def test_an_ended_workflow_with_open_jobs_is_listed_as_far_back_as_wanted(self, store: Store) -> None:
        """No webhook tells of jobs that never ran: it is known to have ended, and they may have."""
        await merge(store, pipeline(), workflow(stopped_at=NOW - 40 * HOUR_MS), job(ended=False))
        assert list(await store.unfinished("ci", **LATELY)) == []
        longer = {**LATELY, "ended_since_ms": NOW - 41 * HOUR_MS}
        (run,) = await store.unfinished("ci", **longer)
        assert (run.workflow_id, run.ended) == (WORKFLOW, True)

    async def test_ended_runs_are_asked_about_once_unless_their_like_is_known(self, store: Store) -> None:
        """Of a name: the first, every one that did not succeed, and all where one had a job no webhook told of."""
        first, second, failed = WORKFLOW, WORKFLOW[:-1] + "7", WORKFLOW[:-1] + "8"

        async def asked() -> set[str | None]:
            return {run.workflow_id for run in await store.unasked("ci", since_ms=NOW - 3_600_000, limit=10)}

        await merge(store, workflow(source="webhook"), job(source="webhook"))
        assert await asked() == {first}
        await merge(store, workflow(source="v2", at=NOW + 1, started_by="x"))
        assert await asked() == set()
        ended = {"name": "build", "status": "success", "stopped_at": NOW}
        await merge(store, seen("workflow", second, ended, source="webhook", terminal=True))
        await merge(store, seen("workflow", failed, {**ended, "status": "failed"}, source="webhook", terminal=True))
        assert await asked() == {failed}
        await merge(store, job(key=JOB[:-1] + "9", source="v2", type="approval"))
        assert await asked() == {second, failed}
        assert list(await store.unasked("other", since_ms=0, limit=10)) == []

    async def test_a_job_waits_for_enrichment_until_it_comes(self, store: Store) -> None:
        """Under profile batch an ended job waits, is listed, and leaves when its enrichment arrives."""
        batch = ReleasePolicy("batch", 60_000)
        waits = await merge(store, pipeline(), workflow(), job(), policy=batch)
        assert (dict(waits.released), waits.next_due_ms) == ({}, NOW + 60_000)
        assert waits.wants_enrichment == {PROJECT.project_id}
        assert [ref.job_id for ref in await store.wanting_enrichment("ci", due_by_ms=NOW + 60_000, limit=10)] == [JOB]
        assert list(await store.wanting_enrichment("ci", due_by_ms=NOW + 59_999, limit=10)) == []
        assert (await store.figures()).unreleased == 2
        done = await merge(store, job(source="v1.1", enriches=True, queued_at=NOW - 7_000), policy=batch)
        assert done.released == {("job", "live"): 1}
        assert list(await store.wanting_enrichment("ci", due_by_ms=NOW + 60_000, limit=10)) == []

    async def test_a_job_leaves_when_its_wait_is_over(self, store: Store) -> None:
        """`release_due` lets go what waited long enough, and nothing earlier."""
        batch = ReleasePolicy("batch", 60_000)
        await merge(store, pipeline(), workflow(), job(), policy=batch)
        early = await store.release_due(batch, "ci", now_ms=NOW + 59_999, live_after_ms=0)
        assert (dict(early.released), early.next_due_ms) == ({}, NOW + 60_000)
        other = await store.release_due(batch, "other", now_ms=NOW + 60_000, live_after_ms=0)
        assert dict(other.released) == {}
        due = await store.release_due(batch, "ci", now_ms=NOW + 60_000, live_after_ms=0)
        assert (dict(due.released), due.next_due_ms) == ({("workflow", "live"): 1, ("job", "live"): 1}, None)
        assert (await store.figures()).unreleased == 0

    async def test_a_gone_job_no_longer_waits(self, store: Store) -> None:
        """What the source no longer has counts as enriched, and an unfinished workflow is no longer listed."""
        batch = ReleasePolicy("batch", 60_000)
        await merge(store, pipeline(), workflow(ended=False), job(), policy=batch)
        result = await merge(store, gone=[JOB, WORKFLOW], policy=batch)
        assert result.released == {("job", "live"): 1}
        assert list(await store.unfinished("ci", **LATELY)) == []

    async def test_what_comes_later_is_an_amendment(self, store: Store) -> None:
        """A changed value goes out with the id it amends and a revision; equal values with a newer stamp do not."""
        await merge(store, pipeline(), workflow(), job())
        assert (await merge(store, job(at=NOW + 5))).amended == 0
        assert (await merge(store, job(at=NOW + 9, resource_class="large"))).amended == 1
        assert (await merge(store, job(at=NOW + 10, resource_class="xlarge"))).amended == 1
        first, second = (decode_record(entry.body) for entry in (await read(store))[2:])
        identity = record_id("job", "circleci.com", JOB)
        assert {
            "circleci.resource_class": "large",
            "headgate.amends": identity,
            "headgate.revision": 1,
        } == first.attributes
        assert (
            second.attributes["headgate.revision"],
            second.attributes["circleci.resource_class"],
        ) == (2, "xlarge")

    async def test_a_change_of_the_pipeline_amends_its_released_runs(self, store: Store) -> None:
        """A shared field learnt late reaches the records of the workflow and of its jobs."""
        await merge(store, pipeline(), workflow(), job())
        assert (await merge(store, pipeline(at=NOW + 1, revision="abc"))).amended == 2
        held = net_records(await read(store))
        assert {"abc"} == {attributes["vcs.ref.head.revision"] for attributes in held.values()}

    async def test_a_change_of_the_workflow_amends_its_released_jobs(self, store: Store) -> None:
        """The name of a workflow is part of its jobs' records."""
        await merge(store, pipeline(), workflow(), job())
        assert (await merge(store, workflow(at=NOW + 1, name="ship"))).amended == 2

    async def test_old_ends_go_to_the_backfill_lane(self, store: Store) -> None:
        """Each lane has its own numbers without gaps."""
        await merge(store, pipeline(), workflow(), job(stopped_at=NOW - 1), live_after=NOW)
        assert (
            [(entry.seq, entry.kind) for entry in await read(store)],
            [(entry.seq, entry.kind) for entry in await read(store, "backfill")],
        ) == ([(1, "workflow")], [(1, "job")])

    async def test_a_uuid_learnt_later_is_no_second_fact(self, store: Store) -> None:
        """A build known by number alone becomes the job with the UUID."""
        numbered = number_key(str(PROJECT.project_id), 41)
        await merge(store, job(numbered, source="v1.1", ended=False))
        await merge(store, pipeline(), workflow(), job())
        await merge(store, job(numbered, source="v1.1", resource_class="large"))
        assert (await store.figures()).facts["job"] == 1
        (one,) = await store.explain(JOB)
        assert ("large", record_id("job", "circleci.com", JOB)) == (one.fields["resource_class"][0], one.record_id)

    async def test_a_uuid_learnt_after_release_is_an_alias(self, store: Store) -> None:
        """The record that left by number keeps its id; what comes under the UUID amends it."""
        numbered = number_key(str(PROJECT.project_id), 41)
        await merge(store, pipeline(), workflow(), job(numbered, source="v1.1"))
        result = await merge(store, job(resource_class="large"))
        assert (dict(result.released), result.amended) == ({}, 1)
        assert {kind: n for kind, n in (await store.figures()).facts.items() if kind == "job"} == {"job": 1}
        (one,) = await store.explain(JOB)
        assert record_id("job", "circleci.com", numbered) == one.record_id

    async def test_two_names_of_one_job_are_united(self, store: Store) -> None:
        """A job seen by UUID without its number, and by number, is one fact once somebody knows both."""
        numbered = number_key(str(PROJECT.project_id), 41)
        by_id = job(ended=False)
        fields = {name: value for name, value in by_id.fields.items() if name != "number"}
        await merge(store, msgspec.structs.replace(by_id, fields=fields))
        await merge(store, job(numbered, source="v1.1", ended=False, resource_class="large"))
        assert (await store.figures()).facts["job"] == 2
        await merge(store, pipeline(), workflow(), job())
        assert (await store.figures()).facts["job"] == 1
        (one,) = await store.explain(JOB)
        assert (one.fields["resource_class"][0], one.released) == ("large", True)

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
        """An input without the project's id belongs to the project that bears the slug, whichever came first."""
        nameless = ProjectRef("circleci.com", "gh/acme/web", "gh/acme")
        await merge(store, msgspec.structs.replace(workflow(), project=nameless))
        await merge(store, pipeline())
        assert [run.workflow_id for run in await store.recent_runs(10, project="gh/acme/web")] == [WORKFLOW]
        other = "55555555-5555-4555-8555-555555555555"
        await merge(store, msgspec.structs.replace(workflow(other, ended=False), project=nameless))
        (run,) = await store.unfinished("ci", **LATELY)
        assert PROJECT.project_id == run.project_key

    async def test_a_bad_observation_fails_alone(self, store: Store) -> None:
        """A unit that cannot be kept raises, leaves nothing behind, and the next one works."""
        with pytest.raises(KeyError):
            await merge(store, pipeline(), workflow(), seen("job", JOB, {"no_field": 1}))
        assert {kind: n for kind, n in (await store.figures()).facts.items() if n} == {}
        assert await read(store) == []
        assert sum((await merge(store, pipeline(), workflow(), job())).released.values()) == 2
        assert [entry.seq for entry in await read(store)] == [1, 2]

    async def test_a_leaf_leaves_at_once_and_tells_of_its_job(self, store: Store) -> None:
        """A row of usage waits for nothing, takes over what its job is known by, and is amended by its own changes."""
        await merge(store, pipeline(), workflow(), job())
        row = seen("usage", JOB, {"job_id": JOB, "total_credits": 7, "stopped_at": NOW}, source="export", terminal=True)
        waits = ReleasePolicy("batch", 60_000)
        assert (await merge(store, row, policy=waits)).released == {("usage", "live"): 1}
        record = decode_record((await read(store))[-1].body)
        assert (record.kind, record.id) == ("usage", record_id("usage", "circleci.com", JOB))
        assert record.attributes["circleci.credits.total"] == 7
        assert record.attributes["cicd.pipeline.task.name"] == "test"
        assert record.attributes["vcs.ref.head.name"] == "main"
        assert (await merge(store, row)).unchanged == 1
        # Its job changes: the row does not say so again. It changes itself: it does.
        await merge(store, job(name="renamed", at=NOW + 1))
        assert [entry.kind for entry in await read(store)][3:] == ["amendment"]
        more = {"job_id": JOB, "total_credits": 8}
        await merge(store, seen("usage", JOB, more, source="export", observed_ms=NOW + 2, terminal=True))
        last = decode_record((await read(store))[-1].body)
        assert last.attributes == {
            "circleci.credits.total": 8,
            "headgate.amends": record.id,
            "headgate.revision": 1,
        }

    async def test_numbers_of_an_insight_become_attributes(self, store: Store) -> None:
        """Each number by its name; what CircleCI does not know is absent."""
        fields = {"subject": "workflow", "window": "last-7-days", "numbers": {"total_runs": 3, "success_rate": 0.5}}
        await merge(store, seen("insight", "w|last-7-days|2026-11-21", fields, source="insights", terminal=True))
        (entry,) = await read(store)
        attributes = decode_record(entry.body).attributes
        assert attributes == {
            "circleci.insight.subject": "workflow",
            "circleci.insight.success_rate": 0.5,
            "circleci.insight.total_runs": 3,
            "circleci.insight.window": "last-7-days",
        }

    async def test_credits_of_insights_are_marked_as_estimates(self, store: Store) -> None:
        """Until the export tells them exactly."""
        await merge(store, pipeline(), workflow())
        await merge(store, seen("workflow", WORKFLOW, {"credits": 90, "credits_estimated": True}, source="insights"))
        estimate = decode_record((await read(store))[-1].body).attributes
        assert (estimate["circleci.credits"], estimate["circleci.credits_estimated"]) == (90, True)
        await merge(store, seen("workflow", WORKFLOW, {"credits": 90, "credits_estimated": False}, source="export"))
        exact = decode_record((await read(store))[-1].body).attributes
        assert exact["circleci.credits_estimated"] is False
        assert "circleci.credits" not in exact

    async def test_a_poll_stores_its_cursor_with_its_facts(self, store: Store) -> None:
        """The cursor of a page is there after its unit, per source and scope."""
        where = SourceCursor("ci", "p1", high=7, walk_high=9, complete_ms=NOW)
        await merge(store, pipeline(), cursor=where)
        assert {"p1": where} == dict(await store.source_cursors("ci"))
        assert dict(await store.source_cursors("other")) == {}

    async def test_runs_are_read_by_their_end(self, store: Store) -> None:
        """Ended workflows with ref, class, duration and page; running ones are not among them."""
        other = "55555555-5555-4555-8555-555555555555"
        await merge(store, pipeline(), workflow(status="failed"), workflow(other, ended=False), job())
        (run,) = await store.runs_between(NOW, NOW + 1, limit=9)
        assert (
            run.project,
            run.workflow,
            run.ref,
            run.branch_class,
            run.status,
            run.duration_ms,
            run.pipeline_number,
        ) == ("gh/acme/web", "build", "main", 1, "failure", 8_000, 7)
        assert f"https://app.circleci.com/pipelines/github/acme/web/7/workflows/{WORKFLOW}" == run.url
        assert list(await store.runs_between(NOW - 10, NOW, limit=9)) == []
        assert (await store.figures()).statuses["workflow"] == {"failure": 1}
        await merge(store, workflow(at=NOW + 1, status="success"))
        assert (await store.figures()).statuses["workflow"] == {"success": 1}

    async def test_runs_are_read_in_pages(self, store: Store) -> None:
        """Each run is on one page, whatever the size of the pages and however many end in one millisecond."""
        keys = [f"{number:08x}-0000-4000-8000-000000000000" for number in (9, 3, 7, 1, 5)]
        ends = (NOW, NOW, NOW, NOW - 1, NOW + 1)
        await merge(store, pipeline(), *(workflow(key, stopped_at=at) for key, at in zip(keys, ends, strict=True)))
        wanted = [keys[3], keys[1], keys[2], keys[0], keys[4]]
        for limit in (1, 2, 3, 9):
            found: list[RunRow] = []
            while page := await store.runs_between(
                NOW - 1,
                NOW + 2,
                after=(found[-1].stopped_ms, found[-1].workflow_id) if found else None,
                limit=limit,
            ):
                assert len(page) <= limit
                found += page
            assert [run.workflow_id for run in found] == wanted
        assert list(await store.runs_between(NOW, NOW, limit=9)) == []
