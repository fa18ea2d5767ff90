"""What every store must answer about runs: rows by time, series, what is in flight, and with others sums."""

from __future__ import annotations

from typing import Any

from headgate.core.deployed import Deployed
from headgate.core.runrows import DeploymentRow, JobRow, LiveChoice, RunChoice
from headgate.core.storeport import Store
from headgate.testing.store_data import (
    DAY,
    JOB,
    NOW,
    PROJECT,
    WORKFLOW,
    approval,
    job,
    jobs,
    made_id,
    merge,
    pipeline,
    seen,
    workflow,
)
from headgate.testing.store_projects_suite import ProjectsSuite
from headgate.testing.store_tally_suite import TallySuite

__all__ = ["ReadsSuite"]

_HOUR = DAY // 24
_SLUG = PROJECT.slug
_ALWAYS = {_SLUG: (0, NOW + DAY)}
_URL = f"https://app.circleci.com/pipelines/github/acme/web/7/workflows/{WORKFLOW}"


class RowsSuite:
    """Rows by time, series, and what is in flight."""

    async def test_a_run_is_told_whole(self, store: Store) -> None:
        """With what its pipeline and its approvals know."""
        told = workflow(credits=7, credits_estimated=True)
        await merge(store, pipeline(trigger_type="webhook", revision="abc"), told, job(), approval())
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

    async def test_waits_for_approval_are_known_once_jobs_were_listed(self, store: Store) -> None:
        """The list alone tells of approvals, and the type of a job; of an open one the end is not known."""

        async def hold_ms() -> int | None:
            (run,) = await store.runs_between(0, NOW + 1, limit=9)
            assert list(await store.recent_runs(9)) == [run]
            return run.hold_ms

        await merge(store, pipeline(), workflow())
        assert await hold_ms() is None
        await merge(store, job())
        assert await hold_ms() is None
        await merge(store, job(type="build", at=NOW + 1))
        assert await hold_ms() == 0
        await merge(store, approval(ended=False))
        assert await hold_ms() is None
        await merge(store, approval())
        assert await hold_ms() == 3_000

    async def test_a_rerun_says_what_it_repeats(self, store: Store) -> None:
        """Its attempt and the run before."""
        again = workflow(made_id(2, 1), created_at=NOW + 2_000, stopped_at=NOW + 9_000)
        await merge(store, pipeline(), workflow(), again)
        _, rerun = await store.runs_between(0, NOW + DAY, limit=9)
        assert (rerun.attempt, rerun.rerun_of) == (2, WORKFLOW)

    async def test_jobs_are_read_by_their_end(self, store: Store) -> None:
        """A page at a time, approvals too; with what the workflow and the pipeline know."""
        told = job(queued_at=NOW - 6_000, resource_class="large", executor="docker", parallelism=2, credits=5)
        await merge(store, pipeline(trigger_type="api", revision="abc"), workflow(), told, approval())
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
        ended = seen("deployment", made_id(6, 1), told | times | {"job_id": JOB, "origin": "rule"})
        await merge(store, ended, seen("deployment", made_id(6, 2), told | {"started_at": NOW}))
        words = ("web", "prod", "failed", "abc", "1")
        expected = DeploymentRow(made_id(6, 1), _SLUG, *words, NOW - 9, NOW, "", JOB, "rule", "")
        assert [expected] == list(await store.deployments_between(0, NOW + 1, limit=9))
        assert list(await store.deployments_between(0, NOW + 1, after=(NOW, made_id(6, 1)), limit=9)) == []
        assert [expected] == list(await store.deployments_between(0, NOW + 1, limit=9, project=expected.project))
        assert list(await store.deployments_between(0, NOW + 1, limit=9, project="gh/acme/none")) == []

    async def test_deployments_have_the_beginning_of_their_commit(self, store: Store) -> None:
        """Of its first ended workflow, whose revision is its own or that of its pipeline; without one of the run."""
        commit, later = "a" * 40, "b" * 40
        await merge(
            store,
            pipeline(revision=commit),
            workflow(made_id(3, 1), created_at=NOW - 30),
            workflow(made_id(3, 2), created_at=NOW - 20),
            workflow(made_id(3, 3), created_at=NOW - 90, ended=False),
            workflow(made_id(3, 4), created_at=NOW - 80, revision=later),
            workflow(made_id(3, 5), created_at=NOW - 70, revision="a" * 39 + "b"),
        )
        of = [
            {"revision": commit},
            {"revision": later, "workflow_id": made_id(3, 1)},
            {"revision": "a" * 8},
            {"workflow_id": made_id(3, 2)},
            {"workflow_id": made_id(3, 3)},
            {"revision": commit, "status": "failed"},
            {},
        ]
        told = {"name": "web", "environment": "prod", "status": "succeeded"}
        await merge(
            store,
            *(seen("deployment", made_id(6, n), told | one | {"stopped_at": NOW + n}) for n, one in enumerate(of)),
        )
        found = await store.deployment_ends(0, NOW + 9, begun=True)
        assert [one.lead_ms for one in found] == [30, 81, None, 23, None, None, None]
        assert [one.down_ms for one in found] == [(), (), (), (), (), (), [NOW + 5]]
        assert [Deployed(NOW, (_SLUG, "prod"), ok=True)] == list(await store.deployment_ends(NOW, NOW + 1))
        assert list(await store.deployment_ends(0, NOW + 9, project="gh/acme/other")) == []

    async def test_a_series_is_the_newest_that_qualify(self, store: Store) -> None:
        """Of one name, project and class, with the wanted ends, before a time; oldest first."""
        ends = {NOW - number * _HOUR: "failed" if number % 3 == 0 else "success" for number in range(9)}
        await merge(store, pipeline(), workflow(), *jobs(ends), *jobs({NOW - 7: "success"}, name="lint"))
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

    async def test_a_series_of_a_branch_and_a_trigger(self, store: Store) -> None:
        """Those of the workflow, else of the pipeline; of ends since a time."""
        await merge(store, pipeline(trigger_type="api"), workflow(), job(), workflow(made_id(3, 2), ref_name="fix"))
        await merge(store, *(job(made_id(5, n), workflow_id=made_id(3, 2), stopped_at=NOW - n) for n in range(4)))
        asked: dict[str, Any] = {"project": _SLUG, "workflow": "build", "statuses": {"success"}, "before_ms": NOW + 1}
        for words, wanted in (
            ({"branch": "fix"}, [1, 3]),
            ({"branch": "fix", "trigger": "api", "since_ms": NOW - 2}, [1, 3]),
            ({"branch": "main", "trigger": "api"}, [1, 1]),
            ({"branch": "none"}, [0, 0]),
            ({"trigger": "none"}, [0, 0]),
        ):
            found = [await store.series("workflow", **asked, **words, limit=3)]
            found.append(await store.series("job", **asked, **words, job="test", limit=3))
            assert [len(rows) for rows in found] == wanted

    async def test_a_series_takes_words_that_nobody_knows(self, store: Store) -> None:
        """A status that CircleCI invents tomorrow is `unknown` and nothing else."""
        await merge(store, pipeline(), workflow(status="odd"))
        asked: dict[str, Any] = {"project": _SLUG, "workflow": "build", "before_ms": NOW + 1, "limit": 5}
        assert len(await store.series("workflow", **asked, statuses={"unknown", "success"})) == 1
        assert list(await store.series("workflow", **asked, statuses={"success", "failure"})) == []

    async def test_what_is_in_flight(self, store: Store) -> None:
        """Since when it runs, waits for a machine or for somebody; without what waits for other jobs or has ended."""
        run = workflow(ended=False, status="on_hold")
        queued = job(made_id(5, 1), ended=False, status="queued", queued_at=NOW - 3_000, created_at=NOW - 7_000)
        blocked = job(made_id(5, 2), ended=False, status="blocked")
        waits = approval(ended=False, created_at=NOW - 5_000)
        began = pipeline(trigger_type="api")
        await merge(store, began, run, queued, blocked, waits, job(created_at=NOW - 6_000, ended=False))
        await merge(store, workflow(made_id(2, 5)), job(made_id(5, 3), ended=False, workflow_id=made_id(2, 5)))
        found = await store.in_flight(10)
        assert [(row.kind, row.status, row.theirs, row.since_ms, row.created_ms, row.job) for row in found] == [
            ("workflow", "on_hold", "on_hold", NOW - 4_000, NOW - 8_000, ""),
            ("job", "queued", "queued", NOW - 3_000, NOW - 7_000, "test"),
            ("job", "running", "running", NOW - 5_000, NOW - 6_000, "test"),
            ("job", "on_hold", "on_hold", NOW - 4_000, NOW - 5_000, "ship?"),
        ]
        assert [_URL, f"{_URL}/jobs/41", f"{_URL}/jobs/41", _URL] == [row.url for row in found]
        places = {(row.project, row.workflow, row.ref, row.branch_class, row.trigger) for row in found}
        assert places == {(_SLUG, "build", "main", 1, "api")}
        assert list(found[:2]) == list(await store.in_flight(2))
        await merge(store, gone=[WORKFLOW])
        assert list(await store.in_flight(10)) == []

    async def test_what_is_in_flight_is_chosen_before_it_is_cut(self, store: Store) -> None:
        """By kind, status, place, branch, class and trigger, from either end; counts have no end."""
        of_old: dict[str, Any] = {"ref_name": "fix", "trigger_type": "api"}
        olds = [workflow(made_id(2, n), ended=False, created_at=NOW - 90_000 + n, **of_old) for n in range(4)]
        for run in olds:
            waits = {"workflow_id": run.key, "created_at": NOW - 90_000}
            await merge(store, run, approval(int(run.key[-2:]), ended=False, **waits))
        ship = workflow(made_id(2, 8), ended=False, name="ship", created_at=NOW - 7_000)
        queued = job(made_id(5, 1), ended=False, status="queued", name="e2e", created_at=NOW - 6_000)
        await merge(store, pipeline(), workflow(ended=False), ship, queued, job(created_at=NOW - 6_000, ended=False))
        held, runs = LiveChoice("workflow", ("on_hold",)), LiveChoice("workflow", ("running",))
        tables: list[tuple[LiveChoice, bool, list[str]]] = [
            (held, False, [olds[0].key, olds[1].key]),
            (held, True, [olds[3].key, olds[2].key]),
            (runs, False, [WORKFLOW, ship.key]),
            (LiveChoice("workflow"), True, [ship.key, WORKFLOW]),
            (LiveChoice("job", ("queued", "running")), False, [queued.key, JOB]),
            (LiveChoice("job", ("queued",)), True, [queued.key]),
            (LiveChoice("job", places={(_SLUG, "build", "e2e")}), False, [queued.key]),
            (LiveChoice("workflow", places={(_SLUG, "ship", ""), (_SLUG, "none", "")}), False, [ship.key]),
            (LiveChoice("workflow", places=()), False, []),
            (LiveChoice("workflow", run=RunChoice(branch="main")), False, [WORKFLOW, ship.key]),
            (LiveChoice("workflow", run=RunChoice(trigger="api")), False, [olds[0].key, olds[1].key]),
            (LiveChoice("workflow", run=RunChoice(branch_class=1)), False, [WORKFLOW, ship.key]),
            (LiveChoice("workflow", run=RunChoice(branch="nobody's")), False, []),
        ]
        for chosen, newest, wanted in tables:
            found = await store.in_flight(2, chosen, newest=newest)
            assert sorted(row.id for row in found) == sorted(wanted), (chosen, newest)
        counts = {("on_hold", _SLUG, "build", ""): 4, ("running", _SLUG, "build", ""): 1}
        counts |= {("running", _SLUG, "ship", ""): 1, ("queued", _SLUG, "build", "e2e"): 1}
        assert dict(await store.live_counts()) == counts
        of_fix = dict(await store.live_counts(RunChoice(branch="fix", branch_class=0, trigger="api")))
        assert of_fix == {("on_hold", _SLUG, "build", ""): 4}

    async def test_a_run_is_in_flight_since_it_was_approved(self, store: Store) -> None:
        """Nobody is to blame for the time in which it waited for somebody."""
        await merge(store, pipeline(), workflow(ended=False, status="running"), approval())
        assert [(row.status, row.since_ms, row.created_ms) for row in await store.in_flight(10)] == [
            ("running", NOW - 1_000, NOW - 8_000)
        ]


class ReadsSuite(RowsSuite, ProjectsSuite, TallySuite):
    """All of it."""
