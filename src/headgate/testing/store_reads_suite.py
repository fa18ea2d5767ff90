"""What every store must answer about runs: rows by time, series, sums, what is in flight, tests, steps, deployments."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec

from headgate.core.merge import Observation, ProjectRef
from headgate.core.runrows import DeploymentRow, JobRow, ProjectRow, StepFailures
from headgate.core.storeport import Store
from headgate.core.tally import STEPS, Dimension, Tally, TallyQuery
from headgate.core.times import format_ms
from headgate.testing.store_data import (
    DAY,
    JOB,
    NOW,
    PROJECT,
    WORKFLOW,
    job,
    merge,
    pipeline,
    seen,
    workflow,
)

__all__ = ["ReadsSuite"]

_HOUR = DAY // 24
_SLUG = PROJECT.slug
_ALWAYS = {_SLUG: (0, NOW + DAY)}
_URL = f"https://app.circleci.com/pipelines/github/acme/web/7/workflows/{WORKFLOW}"


def _id(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


def _approval(number: int = 0, *, ended: bool = True, **more: Any) -> Observation:
    times = {"started_at": NOW - 4_000, "name": "ship?", "type": "approval"}
    words: dict[str, Any] = {"status": "success", "stopped_at": NOW - 1_000} if ended else {"status": "on_hold"}
    fields = {"workflow_id": WORKFLOW} | times | words | more
    return seen("job", _id(4, number), fields, terminal=ended)


def _jobs(ends: dict[int, str], **more: Any) -> list[Observation]:
    """One job for each end; it ran a second for each hour that it ended before `NOW`, at least one."""
    found = []
    for number, (at, status) in enumerate(ends.items()):
        began = at - 1_000 * max(1, (NOW - at) // _HOUR)
        told: dict[str, Any] = {"number": 100 + number, "status": status, "started_at": began, "stopped_at": at} | more
        found.append(job(_id(5 + len(str(more.get("name", ""))), NOW - at), at=NOW, **told))
    return found


class RowsSuite:
    """Rows by time, series, and what is in flight."""

    async def test_a_run_is_told_whole(self, store: Store) -> None:
        """With what its pipeline and its approvals know."""
        told = workflow(credits=7, credits_estimated=True)
        await merge(store, pipeline(trigger_type="webhook", revision="abc"), told, job(), _approval())
        (run,) = await store.runs_between(0, NOW + 1, limit=9)
        assert (run.created_ms, run.hold_ms, run.credits, run.credits_estimated) == (NOW - 8_000, 3_000, 7, True)
        assert (
            run.trigger,
            run.revision,
            run.ref,
            run.attempt,
            run.rerun_of,
            run.url,
        ) == ("webhook", "abc", "main", 1, "", _URL)

    async def test_a_rerun_says_what_it_repeats(self, store: Store) -> None:
        """Its attempt and the run before."""
        again = workflow(_id(2, 1), created_at=NOW + 2_000, stopped_at=NOW + 9_000)
        await merge(store, pipeline(), workflow(), again)
        _, rerun = await store.runs_between(0, NOW + DAY, limit=9)
        assert (rerun.attempt, rerun.rerun_of) == (2, WORKFLOW)

    async def test_jobs_are_read_by_their_end(self, store: Store) -> None:
        """A page at a time, approvals too; with what the workflow and the pipeline know."""
        told = job(queued_at=NOW - 6_000, resource_class="large", executor="docker", parallelism=2, credits=5)
        await merge(store, pipeline(trigger_type="api", revision="abc"), workflow(), told, _approval())
        held, run = await store.jobs_between(0, NOW + 1, limit=9)
        assert run == JobRow(
            job_id=JOB,
            workflow_id=WORKFLOW,
            project=_SLUG,
            workflow="build",
            job="test",
            ref="main",
            branch_class=1,
            status="success",
            type="",
            resource_class="large",
            executor="docker",
            parallelism=2,
            started_ms=NOW - 5_000,
            stopped_ms=NOW,
            duration_ms=5_000,
            queue_ms=1_000,
            credits=5,
            revision="abc",
            number=41,
            url=f"{_URL}/jobs/41",
            trigger="api",
        )
        assert (held.type, held.duration_ms, held.queue_ms, held.url) == ("approval", None, None, _URL)
        assert [held] == list(await store.jobs_between(0, NOW + 1, limit=1))
        assert [run] == list(await store.jobs_between(0, NOW + 1, after=(held.stopped_ms, held.job_id), limit=9))
        assert list(await store.jobs_between(0, NOW - 1_000, limit=9)) == []

    async def test_deployments_are_read_by_their_end(self, store: Store) -> None:
        """Those that ended, as they were told."""
        told = {"name": "web", "environment": "prod", "status": "failed", "revision": "abc", "version": "1"}
        times = {"started_at": NOW - 9, "stopped_at": NOW}
        ended = seen("deployment", _id(6, 1), told | times | {"job_id": JOB, "origin": "rule"})
        await merge(store, ended, seen("deployment", _id(6, 2), told | {"started_at": NOW}))
        words = ("web", "prod", "failed", "abc", "1")
        expected = DeploymentRow(_id(6, 1), _SLUG, *words, NOW - 9, NOW, "", JOB, "rule", "")
        assert [expected] == list(await store.deployments_between(0, NOW + 1, limit=9))
        assert list(await store.deployments_between(0, NOW + 1, after=(NOW, _id(6, 1)), limit=9)) == []

    async def test_the_first_run_of_a_commit_is_found(self, store: Store) -> None:
        """By its own revision, else that of its pipeline, or by its id; of that project, once it has ended."""
        commit = "a" * 40
        await merge(
            store,
            pipeline(revision=commit),
            workflow(_id(3, 1), created_at=NOW - 30),
            workflow(_id(3, 2), created_at=NOW - 20),
            workflow(_id(3, 3), created_at=NOW - 90, ended=False),
            workflow(_id(3, 4), created_at=NOW - 80, revision="b" * 40),
            workflow(_id(3, 5), created_at=NOW - 70, revision="a" * 39 + "b"),
        )
        names = [commit, "b" * 40, "a" * 8, _id(3, 2), _id(3, 3), "", "x"]
        found = await store.first_created({_SLUG: names, "gh/acme/other": names})
        assert {(_SLUG, commit): NOW - 30, (_SLUG, "b" * 40): NOW - 80, (_SLUG, _id(3, 2)): NOW - 20} == found

    async def test_a_series_is_the_newest_that_qualify(self, store: Store) -> None:
        """Of one name, project and class, with the wanted ends, before a time; oldest first."""
        ends = {NOW - number * _HOUR: "failed" if number % 3 == 0 else "success" for number in range(9)}
        await merge(store, pipeline(), workflow(), *_jobs(ends), *_jobs({NOW - 7: "success"}, name="lint"))
        asked: dict[str, Any] = {"project": _SLUG, "workflow": "build", "job": "test", "limit": 3}
        found = await store.series("job", **asked, statuses={"success"}, before_ms=NOW - _HOUR)
        assert [row.stopped_ms for row in found] == [NOW - 5 * _HOUR, NOW - 4 * _HOUR, NOW - 2 * _HOUR]
        found = await store.series("job", **asked, branch_class=1, statuses={"failure", "error"}, before_ms=NOW + 1)
        assert [row.stopped_ms for row in found] == [NOW - 6 * _HOUR, NOW - 3 * _HOUR, NOW]
        for other in ({"branch_class": 0}, {"job": "deploy"}, {"workflow": "ship"}, {"project": "gh/acme/api"}):
            assert list(await store.series("job", **asked | other, statuses={"success"}, before_ms=NOW + 1)) == []
        asked = {"project": _SLUG, "workflow": "build", "before_ms": NOW + 1, "limit": 5}
        runs = await store.series("workflow", **asked, statuses={"success"})
        assert list(await store.runs_between(0, NOW + 1, limit=9)) == list(runs)

    async def test_a_series_takes_words_that_nobody_knows(self, store: Store) -> None:
        """A status that CircleCI invents tomorrow is `unknown` and nothing else."""
        await merge(store, pipeline(), workflow(status="odd"))
        asked: dict[str, Any] = {"project": _SLUG, "workflow": "build", "before_ms": NOW + 1, "limit": 5}
        assert len(await store.series("workflow", **asked, statuses={"unknown", "success"})) == 1
        assert list(await store.series("workflow", **asked, statuses={"success", "failure"})) == []

    async def test_what_is_in_flight(self, store: Store) -> None:
        """Since when it runs, waits for a machine or for somebody; without what waits for other jobs or has ended."""
        run = workflow(ended=False, status="on_hold")
        queued = job(_id(5, 1), ended=False, status="queued", queued_at=NOW - 3_000, created_at=NOW - 7_000)
        blocked = job(_id(5, 2), ended=False, status="blocked")
        waits = _approval(ended=False, created_at=NOW - 5_000)
        await merge(store, pipeline(), run, queued, blocked, waits, job(created_at=NOW - 6_000, ended=False))
        await merge(store, workflow(_id(2, 5)), job(_id(5, 3), ended=False, workflow_id=_id(2, 5)))
        found = await store.in_flight(10)
        assert [(row.kind, row.status, row.theirs, row.since_ms, row.created_ms, row.job) for row in found] == [
            ("workflow", "on_hold", "on_hold", NOW - 4_000, NOW - 8_000, ""),
            ("job", "queued", "queued", NOW - 3_000, NOW - 7_000, "test"),
            ("job", "running", "running", NOW - 5_000, NOW - 6_000, "test"),
            ("job", "on_hold", "on_hold", NOW - 4_000, NOW - 5_000, "ship?"),
        ]
        assert [_URL, f"{_URL}/jobs/41", f"{_URL}/jobs/41", _URL] == [row.url for row in found]
        places = {(row.project, row.workflow, row.ref, row.branch_class) for row in found}
        assert places == {(_SLUG, "build", "main", 1)}
        assert list(found[:2]) == list(await store.in_flight(2))
        await merge(store, gone=[WORKFLOW])
        assert list(await store.in_flight(10)) == []

    async def test_a_run_is_in_flight_since_it_was_approved(self, store: Store) -> None:
        """Nobody is to blame for the time in which it waited for somebody."""
        await merge(store, pipeline(), workflow(ended=False, status="running"), _approval())
        assert [(row.status, row.since_ms, row.created_ms) for row in await store.in_flight(10)] == [
            ("running", NOW - 1_000, NOW - 8_000)
        ]

    async def test_the_newest_runs_of_each_project(self, store: Store) -> None:
        """So many of each, of the names that are asked for, newest first over all."""
        other = ProjectRef("circleci.com", "gh/acme/api", "gh/acme", _id(3, 1))
        for number in range(4):
            await merge(store, pipeline(), workflow(_id(2, number), stopped_at=NOW - number, created_at=NOW - 9))
        api = workflow(_id(2, 9), stopped_at=NOW - 2, pipeline_id=_id(1, 9), status="failed")
        await merge(store, msgspec.structs.replace(api, project=other), workflow(_id(2, 8), name="ship"))
        names = {_SLUG: ("build", "never"), "gh/acme/api": ("build",), "gh/acme/none": ("build",)}
        found = await store.newest_runs(names, before_ms=NOW, limit=2)
        assert [(run.project, run.stopped_ms) for run in found] == [
            (_SLUG, NOW - 1), ("gh/acme/api", NOW - 2), (_SLUG, NOW - 2),
        ]  # fmt: skip
        found = await store.newest_runs(names, branch_class=1, before_ms=NOW + 1, limit=9)
        assert [run.stopped_ms for run in found] == [NOW, NOW - 1, NOW - 2, NOW - 3]
        assert list(await store.newest_runs({}, before_ms=NOW, limit=2)) == []

    async def test_branches_are_counted(self, store: Store) -> None:
        """Of each project, each once, of runs that ended within its bounds; a pipeline tells where the run does not."""
        await merge(store, pipeline(), workflow(), workflow(_id(2, 1), ref_name="fix"), workflow(_id(2, 2)))
        await merge(store, workflow(_id(2, 3), ref_name="old", stopped_at=NOW - DAY, created_at=NOW - DAY))
        assert dict(await store.branch_counts({_SLUG: (NOW - 1, NOW + 1), "gh/acme/api": (0, NOW)})) == {_SLUG: 2}
        assert dict(await store.branch_counts(_ALWAYS)) == {_SLUG: 3}
        assert dict(await store.branch_counts({_SLUG: (NOW + 1, NOW + 2)})) == {}

    async def test_projects_are_listed(self, store: Store) -> None:
        """Each slug once, with what is known of it."""
        named = replace(PROJECT, default_branch="main")
        other = replace(PROJECT, slug="gh/acme/api", project_id=_id(3, 1))
        await merge(store, *(msgspec.structs.replace(pipeline(), project=one) for one in (named,)))
        await merge(store, msgspec.structs.replace(pipeline(_id(1, 1)), project=other))
        expected = [ProjectRow("gh/acme/api", "gh/acme", ""), ProjectRow(_SLUG, "gh/acme", "main")]
        assert expected == list(await store.projects())

    async def test_a_run_is_told_with_its_jobs_and_steps(self, store: Store) -> None:
        """Jobs that have not ended too; what is not known is None or empty; another run's parts are not in it."""
        assert await store.run_detail(WORKFLOW) is None
        told: dict[str, Any] = {
            "queued_at": NOW - 6_000,
            "requires": [_id(4, 0)],
            "resource_class": "large",
            "parallelism": 2,
        }
        late = {"name": "test", "number": 42, "workflow_id": WORKFLOW, "status": "queued", "queued_at": NOW + 1}
        waits = seen("job", _id(5, 1), late)
        words = {"job_id": JOB, "index": 3, "node": 1, "name": "make", "status": "failed", "exit_code": 2}
        step = seen("step", _id(9, 1), words | {"started_at": NOW - 90, "stopped_at": NOW - 10})
        strange = seen("step", _id(9, 2), words | {"job_id": _id(5, 9), "stopped_at": NOW - 10})
        mine = pipeline(trigger_type="api", revision="abc", author_login="ada", commit_subject="Mend it")
        await merge(store, mine, workflow(ended=False, credits=7), job(**told), _approval())
        await merge(store, waits, job(_id(5, 9), workflow_id=_id(2, 9)))
        await merge(store, step, strange)
        found = await store.run_detail(WORKFLOW)
        assert found is not None
        assert (found.project, found.workflow, found.ref, found.branch_class) == (_SLUG, "build", "main", 1)
        assert (found.status, found.created_ms, found.stopped_ms, found.credits) == ("running", NOW - 8_000, None, 7)
        assert (found.revision, found.trigger, found.author, found.subject, found.url) == (
            "abc", "api", "ada", "Mend it", _URL,
        )  # fmt: skip
        assert [(one.job, one.type, one.status, one.number) for one in found.jobs] == [
            ("test", "", "success", 41),
            ("ship?", "approval", "success", None),
            ("test", "", "queued", 42),
        ]
        first = found.jobs[0]
        assert (first.queued_ms, first.started_ms, first.stopped_ms) == (NOW - 6_000, NOW - 5_000, NOW)
        assert (first.requires, first.resource_class, first.parallelism) == ((_id(4, 0),), "large", 2)
        (only,) = found.steps
        assert (only.job_id, only.index, only.node, only.step, only.status) == (JOB, 3, 1, "make", "failure")
        assert (only.started_ms, only.stopped_ms, only.exit_code) == (NOW - 90, NOW - 10, 2)

    async def test_tests_are_counted_by_commit(self, store: Store) -> None:
        """What the infrastructure broke is counted apart; pages follow one another."""

        def result(number: int, job_id: str, word: str, test: int = 1) -> Observation:
            fields = {"job_id": job_id, "name": f"t{test}", "suite": "s", "result": word, "run_ms": 10}
            return seen("test_result", _id(7, number), fields | {"test_id": _id(8, test), "stopped_at": NOW})

        other = workflow(_id(2, 1), pipeline_id=_id(1, 1), name="ship", revision="def")
        broken = job(_id(5, 1), status="infrastructure_fail", name="flaky")
        await merge(store, pipeline(revision="abc"), workflow(), other, job(), broken)
        await merge(store, job(_id(5, 2), workflow_id=_id(2, 1)))
        results = [result(1, JOB, "pass"), result(2, JOB, "fail"), result(4, JOB, "pass", 2)]
        await merge(store, *results, result(3, _id(5, 1), "fail"), result(5, _id(5, 2), "skip"))
        found = await store.test_outcomes(_ALWAYS, limit=10)
        assert [(one.name, one.revision, one.passed, one.failed, one.infra, one.jobs, one.run_ms) for one in found] == [
            ("t1", "abc", 1, 1, 1, ("flaky", "test"), 30),
            ("t1", "def", 0, 0, 0, ("test",), 10),
            ("t2", "abc", 1, 0, 0, ("test",), 10),
        ]
        first = found[0]
        assert (first.suite, first.class_name, first.file, first.first_ms, first.last_ms) == ("s", "", "", NOW, NOW)
        after = (found[0].project, found[0].test_id, found[0].revision)
        assert [found[1]] == list(await store.test_outcomes(_ALWAYS, after=after, limit=1))
        assert list(found[2:]) == list(
            await store.test_outcomes(_ALWAYS, after=(_SLUG, found[1].test_id, "def"), limit=9)
        )
        assert list(await store.test_outcomes({_SLUG: (0, NOW), "gh/acme/api": (0, NOW + 1)}, limit=9)) == []
        assert list(found[:2]) == list(await store.test_outcomes(_ALWAYS, limit=9, failing=True))
        assert [found[1]] == list(await store.test_outcomes(_ALWAYS, after=after, limit=9, failing=True))

    async def test_failing_steps_are_counted(self, store: Store) -> None:
        """By project, workflow, job and step; others are not."""

        def step(number: int, word: str, at: int = NOW) -> Observation:
            fields = {"job_id": JOB, "name": "make", "status": word, "stopped_at": at}
            return seen("step", _id(9, number), fields)

        await merge(store, pipeline(), workflow(), job())
        await merge(store, step(1, "failed", NOW - 5), step(2, "timedout"), step(3, "success"))
        await merge(store, step(4, "failed", NOW + DAY))
        expected = StepFailures(_SLUG, "build", "test", "make", 2, NOW)
        assert [expected] == list(await store.steps_failed(_ALWAYS))
        assert list(await store.steps_failed({_SLUG: (0, 1)})) == []


class TallySuite:
    """Sums. `tests/unit/store/test_tallies.py` compares adapters at random; here are the promises one by one."""

    async def test_runs_are_summed_by_group(self, store: Store) -> None:
        """Each end in its place, spans of those that have them."""
        words = ("success", "failed", "infrastructure_fail", "canceled", "not_run")
        ends = {NOW - number: word for number, word in enumerate(words, 1)}
        await merge(store, pipeline(), workflow(), *_jobs(ends, queued_at=NOW - 2_000, credits=3), _approval())
        by: tuple[Dimension, ...] = ("org", "project", "workflow", "job", "branch_class")
        found = await store.tallies(TallyQuery("job", _ALWAYS, by, frozenset({"hold", "queue"})))
        place = ("gh/acme", _SLUG, "build")
        assert set(found) == {(*place, "test", "@default"), (*place, "ship?", "@default")}
        runs, held = found[*place, "test", "@default"], found[*place, "ship?", "@default"]
        assert Tally(hold_ms=3_000, held=1, bins=held.bins) == held
        assert (
            runs.n, runs.ok, runs.failed, runs.errors, runs.canceled, runs.skipped, runs.credits,
        ) == (5, 1, 2, 1, 1, 1, 15)  # fmt: skip
        assert (
            runs.duration_ok_ms, runs.timed_ok, runs.duration_ms, runs.timed, runs.queue_ms, runs.queued,
        ) == (1_000, 1, 3_000, 3, 4_985, 5)  # fmt: skip
        assert {"queue"} == set(runs.bins)
        assert math.isclose(3, held.quantile("hold", 0.5) or 0, rel_tol=0.0101)
        assert runs.quantile("hold", 0.5) is None

    async def test_sums_are_of_the_very_bounds(self, store: Store) -> None:
        """Whole days, hours and what is cut off them; a bound belongs to what follows."""
        ends = {NOW - number * 977_777: "success" for number in range(300)}
        await merge(store, pipeline(), workflow(), *_jobs(ends))
        bounds = [(0, NOW + 1), (NOW - 977_777, NOW), (NOW - 3 * DAY + 1, NOW - DAY // 2), (NOW, NOW), (NOW, 0)]
        for since, until in bounds:
            expected = sum(since <= at < until for at in ends)
            found = await store.tallies(TallyQuery("job", {_SLUG: (since, until)}))
            assert expected == sum(tally.n for tally in found.values())

    async def test_each_project_has_its_own_bounds(self, store: Store) -> None:
        """One that is not named is not counted; one that was renamed is known by its present name."""
        other = ProjectRef("circleci.com", "gh/acme/api", "gh/acme", "99999999-9999-4999-8999-999999999999")
        old = workflow(_id(2, 1), stopped_at=NOW - DAY, created_at=NOW - DAY - 9)
        told = msgspec.structs.replace(old, project=other)
        await merge(store, pipeline(), workflow(), told)
        query = TallyQuery("workflow", {_SLUG: (NOW, NOW + 1), "gh/acme/api": (NOW - DAY, NOW)}, ("project",))
        assert {key: one.n for key, one in (await store.tallies(query)).items()} == {(_SLUG,): 1, ("gh/acme/api",): 1}
        assert list(await store.tallies(replace(query, bounds=_ALWAYS))) == [(_SLUG,)]
        renamed = replace(PROJECT, slug="gh/acme/site")
        await merge(store, msgspec.structs.replace(pipeline(at=NOW + 1), project=renamed))
        found = await store.tallies(replace(query, bounds=_ALWAYS | {"gh/acme/site": (0, NOW + 1)}))
        assert list(found) == [("gh/acme/site",)]

    async def test_any_dimension_of_a_fact_will_do(self, store: Store) -> None:
        """Branch, trigger and machine size; empty where the kind has none."""
        await merge(store, pipeline(trigger_type="api"), workflow(), job(resource_class="large"))
        asked = TallyQuery("job", _ALWAYS, ("branch", "resource_class", "trigger"), frozenset({"duration_ok"}))
        found = await store.tallies(asked)
        assert list(found) == [("main", "large", "api")]
        assert sum(found["main", "large", "api"].bins["duration_ok"].values()) == 1
        assert list(await store.tallies(replace(asked, kind="workflow"))) == [("main", "", "api")]

    async def test_sums_by_hour_and_day(self, store: Store) -> None:
        """Every step of a series at once, from buckets and from facts at the edges."""
        ends = {NOW - number * 7 * _HOUR: "success" for number in range(12)}
        await merge(store, pipeline(), workflow(), *_jobs(ends))
        for step, length in STEPS.items():
            expected = Counter(format_ms(at // length * length) for at in ends if NOW - 3 * DAY <= at < NOW)
            found = await store.tallies(TallyQuery("job", {_SLUG: (NOW - 3 * DAY, NOW)}, (step,)))
            assert expected == {key: tally.n for (key,), tally in found.items()}

    async def test_what_is_corrected_is_counted_as_it_is_now(self, store: Store) -> None:
        """Nothing stays of the old end, whatever bucket it was in; a rerun is counted as one."""
        await merge(store, pipeline(), workflow(status="failed", stopped_at=NOW - 2 * DAY))
        await merge(store, workflow(at=NOW + 1, source="v2", stopped_at=NOW - DAY, created_at=NOW - 2 * DAY))
        query = TallyQuery("workflow", _ALWAYS, ("workflow",), frozenset({"duration_ok", "duration_failed"}))
        found = await store.tallies(query)
        (row,) = await store.runs_between(0, NOW + 1, limit=9)
        tally = found["build",]
        assert (tally.n, tally.duration_ms) == (1, row.duration_ms)
        assert sum(sum(counts.values()) for counts in tally.bins.values()) == 1
        again = workflow(_id(2, 1), created_at=NOW, stopped_at=NOW + 9)
        await merge(store, again)
        found = await store.tallies(TallyQuery("workflow", _ALWAYS))
        assert (found[()].n, found[()].reruns) == (2, 1)

    async def test_jobs_hear_of_a_pipeline_that_comes_with_news_of_their_workflow(self, store: Store) -> None:
        """Their branch is the pipeline's, though the workflow changed in the same piece of work."""
        await merge(store, workflow(), job())
        await merge(store, workflow(at=NOW + 1, status="failed"), pipeline())
        found = await store.tallies(TallyQuery("job", _ALWAYS, ("branch_class", "branch")))
        assert list(found) == [("@default", "main")]


class ReadsSuite(RowsSuite, TallySuite):
    """All of it."""
