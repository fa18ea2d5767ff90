"""What every store must answer about the parts of many runs: bills, loads, failures, one test, parallel machines."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from headgate.core.detailrows import (
    MOST_FAILED_TESTS,
    AuditedDay,
    FailedStep,
    FailedTest,
    NodeSum,
    OutageSum,
    Percents,
    RepeatSum,
    RerunSum,
    UsageLoad,
    UsageSum,
)
from headgate.core.merge import Observation, ProjectRef
from headgate.core.storeport import Store
from headgate.core.tally import Dimension
from headgate.core.times import DAY_MS
from headgate.testing.store_data import DAY, JOB, NOW, PROJECT, WORKFLOW, job, made_id, merge, pipeline, seen, workflow

__all__ = ["DetailsSuite"]

_SLUG = PROJECT.slug
_ALWAYS = {_SLUG: (0, NOW + DAY)}


def _usage(number: int, **more: Any) -> Observation:
    place = {"workflow_name": "build", "job_name": "test", "resource_class": "large", "executor": "docker"}
    bill = {"run_seconds": 60, "compute_credits": 10, "total_credits": 12, "storage_credits": 2, "dlc_credits": 0}
    fields = place | bill | {"operating_system": "linux", "stopped_at": NOW} | more
    return seen("usage", made_id(21, number), {name: value for name, value in fields.items() if value is not None})


def _step(number: int, status: str = "failed", **more: Any) -> Observation:
    fields = {"job_id": JOB, "name": "make", "status": status, "index": 1, "node": 0, "stopped_at": NOW} | more
    return seen("step", made_id(22, number), fields)


def _result(number: int, word: str = "fail", **more: Any) -> Observation:
    fields = {"job_id": JOB, "name": f"t{number}", "result": word, "stopped_at": NOW, "test_id": made_id(24, number)}
    return seen("test_result", made_id(23, number), fields | more)


class DetailsSuite:
    """Questions of `core.detailport.ReadDetails`."""

    async def test_a_run_of_which_only_an_approval_is_left_is_on_hold(self, store: Store) -> None:
        """CircleCI calls it failing where a job failed; while anything else of it goes on it runs."""
        other = made_id(5, 1)
        waits = job(made_id(5, 2), ended=False, started_at=NOW - 4_000, name="ship?", type="approval", status="on_hold")
        later = job(made_id(5, 3), ended=False, status="blocked")
        failing = workflow(ended=False, status="failing")
        await merge(store, pipeline(), failing, job(other, ended=False, status="running"), waits, later)
        assert (await store.in_flight(1))[0].status == "running"
        await merge(store, job(other, status="failed"))
        found = (await store.in_flight(1))[0]
        assert (found.kind, found.status, found.theirs) == ("workflow", "on_hold", "failing")
        assert found.since_ms == NOW - 4_000

    async def test_bills_are_summed_by_job_and_machine(self, store: Store) -> None:
        """Kinds that nothing was charged for are absent; another machine is a row of its own."""
        await merge(
            store, _usage(1), _usage(2, network_credits=1, total_credits=None), _usage(3, resource_class="small")
        )
        place = (_SLUG, "build", "test")
        first = UsageSum(*place, "large", "docker", "linux", 2, 120, {"compute": 20, "storage": 4, "network": 1}, 12)
        other = UsageSum(*place, "small", "docker", "linux", 1, 60, {"compute": 10, "storage": 2}, 12)
        assert [first, other] == list(await store.usage_sums(_ALWAYS))
        assert list(await store.usage_sums({"gh/acme/api": (0, NOW + DAY)})) == []

    async def test_a_row_without_an_end_is_in_one_window(self, store: Store) -> None:
        """That of its start, else of when it was queued."""
        await merge(
            store,
            _usage(1, stopped_at=None, started_at=NOW - 5, queued_at=1),
            _usage(2, stopped_at=None, queued_at=NOW - 9),
        )
        for since, until, runs in ((NOW - 5, NOW, [1]), (NOW - 9, NOW - 5, [1]), (NOW - 9, NOW, [2]), (0, NOW - 9, [])):
            assert runs == [row.runs for row in await store.usage_sums({_SLUG: (since, until)})]

    async def test_days_with_rows_are_told_once(self, store: Store) -> None:
        """Of each project by its own bounds; a row without an end is of the day of its start."""
        day = NOW // DAY * DAY
        ends = (day, day + 5, day - 2 * DAY - 1, day - 9 * DAY)
        rows = [_usage(number, stopped_at=at) for number, at in enumerate(ends)]
        other = ProjectRef(PROJECT.host, "gh/acme/api", PROJECT.org, made_id(1, 1))
        rows += [_usage(7, stopped_at=None, started_at=day - DAY), replace(_usage(8), project=other)]
        await merge(store, *rows)
        assert await store.usage_days({_SLUG: (day - 5 * DAY, day + 5)}) == {_SLUG: [day - 3 * DAY, day - DAY, day]}
        both = {_SLUG: (0, day - 4 * DAY), other.slug: (NOW, NOW + 1)}
        assert await store.usage_days(both) == {other.slug: [day], _SLUG: [day - 9 * DAY]}
        assert await store.usage_days({_SLUG: (day + 6, NOW + DAY), other.slug: (0, NOW)}) == {}

    async def test_loads_are_counted_in_whole_percents(self, store: Store) -> None:
        """Rounded up; a row without figures is in none, one with some in those."""
        figures = {"ram_max_pct": 30.01, "cpu_median_pct": 5.0, "cpu_max_pct": 99.5}
        await merge(store, _usage(1, **figures), _usage(2, ram_max_pct=31.0), _usage(3), _usage(4, job_name="lint"))
        place = (_SLUG, "build", "test", "large", "docker", "linux")
        expected = UsageLoad(*place, 3, 30, Percents(2, 31, 31), Percents(1, 5, 5), Percents(1, 100, 100))
        lint, found = await store.usage_loads(_ALWAYS)
        assert (expected, "lint", 1, Percents()) == (found, lint.job, lint.runs, lint.ram_max)

    async def test_bills_are_summed_by_the_names_that_are_asked_for(self, store: Store) -> None:
        """Others are empty, and what they would tell apart is one row."""
        await merge(store, _usage(1), _usage(2, resource_class="small"), _usage(3, job_name="lint"))
        found = await store.usage_sums(_ALWAYS, ["job"])
        assert [(row.job, row.resource_class, row.runs) for row in found] == [("lint", "", 1), ("test", "", 2)]
        (whole,) = await store.usage_sums(_ALWAYS, [])
        assert (whole.project, whole.job, whole.runs, whole.total) == (_SLUG, "", 3, 36)

    async def test_failed_jobs_are_told_with_their_reasons(self, store: Store) -> None:
        """Steps and tests that failed, the first few of many; what passed is left out."""
        await merge(store, pipeline(revision="abc"), workflow(), job(status="failed", messages=["no capacity"]))
        await merge(store, job(made_id(5, 1), status="success"), _step(1, exit_code=2, output_tail="boom", node=1))
        await merge(store, _step(2, "success", index=0), _result(0, "pass"))
        await merge(store, *(_result(n, message="m", class_name="C") for n in range(1, 9)))
        (found,) = await store.failed_jobs(_ALWAYS, limit=9)
        assert (found.row.job_id, found.row.status, found.row.revision) == (JOB, "failure", "abc")
        assert ((FailedStep("make", 1, 1, "failure", 2, "boom"),), ("no capacity",)) == (found.steps, found.notes)
        assert (len(found.tests), found.tests_failed) == (MOST_FAILED_TESTS, 8)
        assert FailedTest(made_id(24, 1), "t1", "C", "m") == found.tests[0]

    async def test_failed_jobs_are_told_alone(self, store: Store) -> None:
        """Without what their workflow and pipeline tell."""
        await merge(store, pipeline(revision="abc", ref_name="main", trigger_type="webhook"), workflow())
        await merge(store, job(status="failed", messages=["no capacity"]), _step(1), _result(1))
        (whole,) = await store.failed_jobs(_ALWAYS, limit=9)
        (alone,) = await store.failed_jobs(_ALWAYS, limit=9, alone=True)
        assert all((whole.row.ref, whole.row.revision, whole.row.trigger, whole.row.url, whole.row.workflow))
        assert replace(whole, row=replace(whole.row, ref="", revision="", trigger="", url="")) == alone

    async def test_failed_jobs_have_their_own_reasons(self, store: Store) -> None:
        """Not those of another job that ended at the same time, whatever their ids look like."""
        ids = [JOB, made_id(5, 1), "job-2"]
        jobs = [job(key, status="failed", number=41 + at) for at, key in enumerate(ids)]
        steps = [_step(at, job_id=key, output_tail=key) for at, key in enumerate(ids)]
        await merge(
            store, pipeline(), workflow(), *jobs, *steps, *(_result(at, job_id=key) for at, key in enumerate(ids))
        )
        found = await store.failed_jobs(_ALWAYS, limit=9)
        assert {key: (key, 1) for key in ids} == {
            one.row.job_id: (one.steps[0].tail, one.tests_failed) for one in found if len(one.steps) == 1
        }
        assert list(found[:1]) == list(await store.failed_jobs(_ALWAYS, limit=1))

    async def test_steps_of_a_failed_job_without_a_start_are_told(self, store: Store) -> None:
        """Beside one that began after they ended."""
        late, hour = made_id(5, 1), 3_600_000
        fields = {"name": "test", "number": 41, "workflow_id": WORKFLOW, "status": "failed", "stopped_at": NOW}
        jobs = [seen("job", JOB, fields, terminal=True), job(late, status="failed", started_at=NOW - 9, number=42)]
        await merge(store, pipeline(), workflow(), *jobs, _step(1, stopped_at=NOW - hour), _step(2, job_id=late))
        found = await store.failed_jobs(_ALWAYS, limit=9)
        assert {JOB: (None, 1), late: (NOW - 9, 1)} == {
            one.row.job_id: (one.row.started_ms, len(one.steps)) for one in found
        }

    async def test_the_newest_failed_jobs(self, store: Store) -> None:
        """By end and id, and only what ended within the bounds."""
        ends = {1: NOW, 2: NOW, 3: NOW - 5, 4: NOW + DAY}
        await merge(store, pipeline(), workflow())
        await merge(store, *(job(made_id(5, n), status="timedout", stopped_at=at, number=n) for n, at in ends.items()))
        found = await store.failed_jobs(_ALWAYS, limit=9)
        assert [made_id(5, 2), made_id(5, 1), made_id(5, 3)] == [one.row.job_id for one in found]
        assert list(found[:2]) == list(await store.failed_jobs(_ALWAYS, limit=2))
        assert list(await store.failed_jobs({_SLUG: (0, NOW - 5)}, limit=9)) == []
        assert list(await store.failed_jobs({}, limit=9)) == []

    async def test_a_job_without_a_reason_failed_all_the_same(self, store: Store) -> None:
        """Nothing is known but that it failed."""
        await merge(store, pipeline(), workflow(), job(status="infrastructure_fail"))
        (found,) = await store.failed_jobs(_ALWAYS, limit=9)
        assert (found.steps, found.tests, found.tests_failed, found.notes, found.row.status) == ((), (), 0, (), "error")

    async def test_results_of_one_test_are_told_newest_first(self, store: Store) -> None:
        """Of its project and window alone, with the run that each belongs to."""
        broken = job(made_id(5, 1), status="infrastructure_fail", name="flaky", number=6)
        await merge(store, pipeline(revision="abc", ref_name="main"), workflow(), job(), broken)
        one, other = {"test_id": made_id(24, 0), "name": "t"}, {"test_id": made_id(24, 9)}
        await merge(store, _result(1, "pass", run_ms=7, **one), _result(3, **other))
        await merge(store, _result(2, job_id=made_id(5, 1), stopped_at=NOW + 1, message="boom", node=1, **one))
        asked = (_SLUG, made_id(24, 0), (0, NOW + DAY))
        first, second = await store.test_runs(*asked, limit=9)
        assert (
            first.result,
            first.infra,
            first.message,
            first.node,
            first.job,
            first.number,
        ) == ("fail", True, "boom", 1, "flaky", 6)
        assert (
            second.result,
            second.infra,
            second.run_ms,
            second.workflow_id,
            second.workflow,
            second.ref,
            second.revision,
        ) == ("pass", False, 7, WORKFLOW, "build", "main", "abc")
        assert [first] == list(await store.test_runs(*asked, limit=1))
        assert [second] == list(await store.test_runs(_SLUG, made_id(24, 0), (NOW, NOW + 1), limit=9))
        assert list(await store.test_runs("gh/acme/api", asked[1], asked[2], limit=9)) == []

    async def test_parallel_machines_are_compared(self, store: Store) -> None:
        """From the first step of each to its last; a job on one machine is not compared."""
        await merge(store, pipeline(), workflow(), job(), job(made_id(5, 1), name="alone"))
        times = {"status": "success"}
        await merge(
            store,
            _step(1, **times, started_at=NOW - 100, stopped_at=NOW - 60),
            _step(2, **times, started_at=NOW - 60, stopped_at=NOW, index=2),
            _step(3, **times, started_at=NOW - 90, stopped_at=NOW - 60, node=1),
            _step(4, **times, started_at=NOW - 90, stopped_at=NOW, job_id=made_id(5, 1)),
        )
        assert [NodeSum(_SLUG, "build", "test", 1, 2, 100, 65)] == list(await store.node_sums(_ALWAYS))
        assert list(await store.node_sums({_SLUG: (0, NOW - 1)})) == []

    async def test_jobs_of_repeats_are_summed(self, store: Store) -> None:
        """Where the repeated workflow failed; an approval is no job, and what was skipped did not run."""
        again = workflow(made_id(2, 1), created_at=NOW + 1, stopped_at=NOW + 60_000)
        await merge(store, pipeline(), workflow(status="failed"), job(status="failed"), again)
        mine: dict[str, Any] = {"workflow_id": made_id(2, 1), "started_at": NOW + 2, "stopped_at": NOW + 1_002}
        await merge(
            store,
            job(made_id(5, 1), credits=9, number=8, **mine),
            job(made_id(5, 2), type="approval", name="hold", number=7, **mine),
            job(made_id(5, 3), status="not_run", name="deploy", number=9, **mine),
        )
        assert [RerunSum(_SLUG, "build", "test", 1, 9, 1_000)] == list(await store.rerun_sums(_ALWAYS))
        assert list(await store.rerun_sums({_SLUG: (0, NOW + 1)})) == []

    async def test_audited_hours_are_summed_by_day(self, store: Store) -> None:
        """Runs and reruns together; hours in which nothing was expected are left out, and so are other days."""
        day = NOW // DAY_MS * DAY_MS
        figures = {"expected": 3, "present": 1, "repaired": 1, "unrepairable": 1, "unannounced": 2}
        told = ((f"runs|{day}", day, figures), (f"reruns|{day}", day + 3_600_000, figures))
        empty = dict.fromkeys(figures, 0)
        rest = ((f"runs|{day + DAY_MS}", day + DAY_MS, figures), (f"runs|{day + 1}", day + 7_200_000, empty))
        for key, hour, values in (*told, *rest):
            what = {"what": key.partition("|")[0], "hour": hour, **values}
            await merge(store, seen("audit", key, what, source="audit", terminal=True))
        assert [AuditedDay(_SLUG, day, 6, 2, 2, 2, 4)] == list(await store.audited_days(day, day + DAY_MS))
        assert len(await store.audited_days(day, day + 2 * DAY_MS)) == 2
        assert list(await store.audited_days(day - DAY_MS, day)) == []

    async def test_outages_are_summed(self, store: Store) -> None:
        """From the first failure to the next success and on to the next failure, of each workflow and branch."""
        ends = ("success", "failed", "timedout", "canceled", "success", "failed", "success")
        runs = [
            workflow(made_id(2, place), created_at=NOW + place - 1, stopped_at=NOW + 1_000 * place, status=status)
            for place, status in enumerate(ends)
        ]
        other = workflow(made_id(2, 9), name="lint", status="failed", stopped_at=NOW + 2_500)
        await merge(store, pipeline(ref_name="main"), other, *runs)
        named = OutageSum(_SLUG, "build", "main", 1, 2, 4_000, 1, 1_000)
        by: tuple[Dimension, ...] = ("workflow", "branch", "branch_class", "trigger")
        assert [named] == list(await store.outage_sums(_ALWAYS, by=by, least_ms=0))
        assert [OutageSum(_SLUG, "", "", 0, 2, 4_000, 1, 1_000)] == list(
            await store.outage_sums(_ALWAYS, by=(), least_ms=0)
        )
        late = {_SLUG: (NOW + 3_500, NOW + 4_500)}
        assert [OutageSum(_SLUG, "", "", 0, 1, 3_000, 0, 0)] == list(
            await store.outage_sums(late, by=(), least_ms=DAY_MS)
        )
        assert list(await store.outage_sums(late, by=(), least_ms=0)) == []
        assert [OutageSum(_SLUG, "", "", 0, 1, 2_000, 0, 0)] == list(
            await store.outage_sums(late, by=(), least_ms=1_500)
        )

    async def test_repeats_are_summed(self, store: Store) -> None:
        """Those of failed workflows alone; of a pipeline's branch and trigger where they do not tell theirs."""
        runs = [
            workflow(
                made_id(2, place), created_at=NOW + 60_000 * place - 30_000, stopped_at=NOW + 60_000 * place, **more
            )
            for place, more in (
                (0, {"status": "failed"}),
                (1, {"status": "failed", "credits": 5, "credits_estimated": True}),
                (2, {"credits": 7}),
                (3, {"credits": 100}),
            )
        ]
        await merge(store, pipeline(ref_name="main", trigger_type="api"), *runs)
        spent_ms = 2 * 30_000
        every: tuple[Any, ...] = (2, 1, 12, 2, True, spent_ms)
        assert [RepeatSum(_SLUG, "", "", 0, "", *every)] == list(await store.repeat_sums(_ALWAYS, by=()))
        names = [RepeatSum(_SLUG, "build", "main", 1, "api", *every)]
        by: tuple[Dimension, ...] = ("workflow", "branch", "branch_class", "trigger", "project")
        assert names == list(await store.repeat_sums(_ALWAYS, by=by))
        within = {_SLUG: (NOW + 60_001, NOW + 120_001)}
        newest = RepeatSum(_SLUG, "build", "", 0, "", 1, 1, 7, 1, False, 30_000)
        assert [newest] == list(await store.repeat_sums(within, by=by[:1]))
