"""What every store must answer about projects and their runs: the newest, branches, one run whole, tests, steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from headgate.core.merge import Observation, ProjectRef
from headgate.core.runrows import ProjectRow, RunChoice, StepFailures
from headgate.core.storeport import Store
from headgate.testing.store_data import (
    DAY,
    JOB,
    NOW,
    PROJECT,
    WORKFLOW,
    approval,
    job,
    made_id,
    merge,
    pipeline,
    seen,
    workflow,
)

__all__ = ["ProjectsSuite"]

_HOUR = DAY // 24
_SLUG = PROJECT.slug
_ALWAYS = {_SLUG: (0, NOW + DAY)}
_URL = f"https://app.circleci.com/pipelines/github/acme/web/7/workflows/{WORKFLOW}"


class ProjectsSuite:
    """The newest runs, what there is of projects, tests and steps."""

    async def test_the_newest_runs_of_each_project(self, store: Store) -> None:
        """So many of each, of the names that are asked for, newest first over all."""
        other = ProjectRef("circleci.com", "gh/acme/api", "gh/acme", made_id(3, 1))
        for number in range(4):
            await merge(store, pipeline(), workflow(made_id(2, number), stopped_at=NOW - number, created_at=NOW - 9))
        api = workflow(made_id(2, 9), stopped_at=NOW - 2, pipeline_id=made_id(1, 9), status="failed")
        await merge(store, msgspec.structs.replace(api, project=other), workflow(made_id(2, 8), name="ship"))
        names = {_SLUG: ("build", "never"), "gh/acme/api": ("build",), "gh/acme/none": ("build",)}
        found = await store.newest_runs(names, since_ms=0, before=(NOW, ""), limit=2)
        assert [(run.project, run.stopped_ms) for run in found] == [
            (_SLUG, NOW - 1), ("gh/acme/api", NOW - 2), (_SLUG, NOW - 2),
        ]  # fmt: skip
        asked: dict[str, Any] = {"before": (NOW + 1, ""), "limit": 9}
        found = await store.newest_runs(names, chosen=RunChoice(branch_class=1), since_ms=NOW - 2, **asked)
        assert [run.stopped_ms for run in found] == [NOW, NOW - 1, NOW - 2]
        assert list(await store.newest_runs({}, since_ms=0, **asked)) == []
        last = NOW - 1, made_id(2, 1)
        found = await store.newest_runs({_SLUG: ("build",)}, since_ms=0, before=last, limit=9)
        assert [run.stopped_ms for run in found] == [NOW - 2, NOW - 3]

    async def test_the_newest_runs_of_all_names(self, store: Store) -> None:
        """As of those that are named; of ends at once those with the greatest ids; however old, and of any choice."""
        other = ProjectRef("circleci.com", "gh/acme/api", "gh/acme", made_id(3, 1))
        for number in reversed(range(60)):
            at = NOW - number // 3
            await merge(store, pipeline(), workflow(made_id(2, number), stopped_at=at, created_at=NOW - 99))
        told = workflow(made_id(2, 99), stopped_at=NOW - 70, pipeline_id=made_id(1, 9), name="ship")
        await merge(store, msgspec.structs.replace(told, project=other))
        asked: dict[str, Any] = {"since_ms": NOW - 80, "before": (NOW + 1, ""), "limit": 2}
        of_all, named = {_SLUG: None, "gh/acme/api": None}, {_SLUG: ("build",), "gh/acme/api": ("ship",)}
        found = list(await store.newest_runs(of_all, **asked))
        assert [run.workflow_id for run in found] == [made_id(2, 2), made_id(2, 1), made_id(2, 99)]
        assert found == list(await store.newest_runs(named, **asked))
        chosen = RunChoice(branch_class=1)
        assert found[:2] == list(await store.newest_runs(of_all, chosen=chosen, **asked))
        asked["before"] = NOW, made_id(2, 2)
        assert [made_id(2, 1), made_id(2, 0)] == [
            run.workflow_id for run in await store.newest_runs({_SLUG: None}, **asked)
        ]
        assert list(await store.newest_runs({_SLUG: ()}, **asked)) == []

    @pytest.mark.parametrize(
        ("chosen", "found"),
        [
            pytest.param(RunChoice(), [0, 1, 2, 3, 4], id="all"),
            pytest.param(RunChoice(branch="main"), [0, 3, 4], id="a branch, of runs or of their pipeline"),
            pytest.param(RunChoice(branch="fix"), [1, 2], id="another"),
            pytest.param(RunChoice(branch="fix", status="failure"), [2], id="a branch and a status"),
            pytest.param(RunChoice(branch="fix", branch_class=1), [], id="a branch of the other class"),
            pytest.param(RunChoice(trigger="api"), [1, 3], id="a trigger, of runs or of their pipeline"),
            pytest.param(RunChoice(trigger="api", branch="main"), [3], id="a trigger and a branch"),
            pytest.param(RunChoice(status="unknown"), [4], id="a status that nobody knows"),
            pytest.param(RunChoice(branch="none"), [], id="no such branch"),
            pytest.param(RunChoice(trigger="none"), [], id="no such trigger"),
            pytest.param(RunChoice(status="none"), [], id="no such status"),
        ],
    )
    async def test_the_newest_runs_of_a_choice(self, store: Store, chosen: RunChoice, found: list[int]) -> None:
        """By branch, class of it, trigger and status; of two pages each run is on one."""
        api = pipeline(made_id(1, 9), ref_name="fix", trigger_type="api", number=9)
        told: list[dict[str, Any]] = [
            {"trigger_type": "webhook"},
            {"pipeline_id": made_id(1, 9)},
            {"ref_name": "fix", "status": "failed"},
            {"pipeline_id": made_id(1, 9), "ref_name": "main"},
            {"name": "ship", "status": "odd"},
        ]
        runs = [
            workflow(made_id(2, at), stopped_at=NOW - at // 2, created_at=NOW - 9, **fields)
            for at, fields in enumerate(told)
        ]
        await merge(store, pipeline(), api, *runs)
        ids = [made_id(2, at) for at in sorted(found, key=lambda at: (at // 2, -at))]
        asked: dict[str, Any] = {"chosen": chosen, "since_ms": 0}
        names = {_SLUG: ("build", "ship")}
        whole = await store.newest_runs(names, before=(NOW + 1, ""), limit=9, **asked)
        assert [run.workflow_id for run in whole] == ids
        first = await store.newest_runs(names, before=(NOW + 1, ""), limit=2, **asked)
        place = (first[-1].stopped_ms, first[-1].workflow_id) if first else (0, "")
        second = await store.newest_runs(names, before=place, limit=9, **asked)
        assert [*first, *second] == list(whole)
        assert [
            run.workflow_id
            for run in await store.newest_runs({_SLUG: ("ship",)}, before=(NOW + 1, ""), limit=9, **asked)
        ] == [one for one in ids if one == made_id(2, 4)]

    async def test_branches_are_counted(self, store: Store) -> None:
        """Of each project, each once, of runs that ended within its bounds; a pipeline tells where the run does not.

        Skipped ones did not run; of an unknown status nothing says so.
        """
        await merge(store, pipeline(), workflow(), workflow(made_id(2, 1), ref_name="fix"), workflow(made_id(2, 2)))
        await merge(store, workflow(made_id(2, 3), ref_name="old", stopped_at=NOW - DAY, created_at=NOW - DAY))
        skipped = [workflow(made_id(2, 10 + n), ref_name="fix" if n else "none", status="not_run") for n in range(2)]
        unnamed = pipeline(made_id(1, 5), ref_name="nobody's")
        await merge(store, *skipped, unnamed, workflow(made_id(2, 9), pipeline_id=unnamed.key, status="not_run"))
        assert dict(await store.branch_counts({_SLUG: (NOW - 1, NOW + 1), "gh/acme/api": (0, NOW)})) == {_SLUG: 2}
        assert dict(await store.branch_counts(_ALWAYS)) == {_SLUG: 3}
        assert dict(await store.branch_counts({_SLUG: (NOW + 1, NOW + 2)})) == {}
        await merge(store, workflow(made_id(2, 8), ref_name="odd", status="odd"))
        assert dict(await store.branch_counts(_ALWAYS)) == {_SLUG: 4}

    async def test_projects_are_listed(self, store: Store) -> None:
        """Each slug once, with what is known of it."""
        named = replace(PROJECT, default_branch="main")
        other = replace(PROJECT, slug="gh/acme/api", project_id=made_id(3, 1))
        await merge(store, *(msgspec.structs.replace(pipeline(), project=one) for one in (named,)))
        await merge(store, msgspec.structs.replace(pipeline(made_id(1, 1)), project=other))
        expected = [ProjectRow("gh/acme/api", "gh/acme", ""), ProjectRow(_SLUG, "gh/acme", "main")]
        assert expected == list(await store.projects())

    async def test_a_run_is_told_with_its_jobs_and_steps(self, store: Store) -> None:
        """Jobs that have not ended too; what is not known is None or empty; another run's parts are not in it."""
        assert await store.run_detail(WORKFLOW) is None
        told: dict[str, Any] = {
            "queued_at": NOW - 6_000,
            "requires": [made_id(4, 0)],
            "resource_class": "large",
            "parallelism": 2,
        }
        late = {"name": "test", "number": 42, "workflow_id": WORKFLOW, "status": "queued", "queued_at": NOW + 1}
        waits = seen("job", made_id(5, 1), late)
        words = {"job_id": JOB, "index": 3, "node": 1, "name": "make", "status": "failed", "exit_code": 2}
        step = seen("step", made_id(9, 1), words | {"started_at": NOW - 90, "stopped_at": NOW - 10})
        strange = seen("step", made_id(9, 2), words | {"job_id": made_id(5, 9), "stopped_at": NOW - 10})
        mine = pipeline(trigger_type="api", revision="abc", author_login="ada", commit_subject="Mend it")
        await merge(store, mine, workflow(ended=False, credits=7), job(**told), approval())
        await merge(store, waits, job(made_id(5, 9), workflow_id=made_id(2, 9)))
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
        assert (first.requires, first.resource_class, first.parallelism) == ((made_id(4, 0),), "large", 2)
        (only,) = found.steps
        assert (only.job_id, only.index, only.node, only.step, only.status) == (JOB, 3, 1, "make", "failure")
        assert (only.started_ms, only.stopped_ms, only.exit_code) == (NOW - 90, NOW - 10, 2)

    async def test_tests_are_counted_by_commit(self, store: Store) -> None:
        """What the infrastructure broke is counted apart; pages follow one another."""

        def result(number: int, job_id: str, word: str, test: int = 1) -> Observation:
            fields = {"job_id": job_id, "name": f"t{test}", "suite": "s", "result": word, "run_ms": 10}
            return seen("test_result", made_id(7, number), fields | {"test_id": made_id(8, test), "stopped_at": NOW})

        other = workflow(made_id(2, 1), pipeline_id=made_id(1, 1), name="ship", revision="def", ref_name="fix/a")
        broken = job(made_id(5, 1), status="infrastructure_fail", name="flaky")
        await merge(store, pipeline(revision="abc"), workflow(), other, job(), broken)
        await merge(store, job(made_id(5, 2), workflow_id=made_id(2, 1)))
        results = [result(1, JOB, "pass"), result(2, JOB, "fail"), result(4, JOB, "pass", 2)]
        await merge(store, *results, result(3, made_id(5, 1), "fail"), result(5, made_id(5, 2), "skip"))
        found = await store.test_outcomes(_ALWAYS, limit=10)
        assert [(one.name, one.revision, one.passed, one.failed, one.infra, one.jobs, one.run_ms) for one in found] == [
            ("t1", "abc", 1, 1, 1, ("flaky", "test"), 30),
            ("t1", "def", 0, 0, 0, ("test",), 10),
            ("t2", "abc", 1, 0, 0, ("test",), 10),
        ]
        assert [one.branch_class for one in found] == [1, 0, 1]
        first = found[0]
        assert (first.suite, first.class_name, first.file, first.first_ms, first.last_ms) == ("s", "", "", NOW, NOW)
        after = (first.project, first.test_id, first.revision)
        assert [found[1]] == list(await store.test_outcomes(_ALWAYS, after=after, limit=1))
        behind = (_SLUG, found[1].test_id, "def")
        assert list(found[2:]) == list(await store.test_outcomes(_ALWAYS, after=behind, limit=9))
        assert list(await store.test_outcomes({_SLUG: (0, NOW), "gh/acme/api": (0, NOW + 1)}, limit=9)) == []
        assert list(found[:2]) == list(await store.test_outcomes(_ALWAYS, limit=9, failing=True))
        assert [found[1]] == list(await store.test_outcomes(_ALWAYS, after=after, limit=9, failing=True))

    async def test_failing_steps_are_counted(self, store: Store) -> None:
        """By project, workflow, job and step; others are not."""

        def step(number: int, word: str, at: int = NOW) -> Observation:
            fields = {"job_id": JOB, "name": "make", "status": word, "stopped_at": at}
            return seen("step", made_id(9, number), fields)

        await merge(store, pipeline(), workflow(), job())
        await merge(store, step(1, "failed", NOW - 5), step(2, "timedout"), step(3, "success"))
        await merge(store, step(4, "failed", NOW + DAY))
        expected = StepFailures(_SLUG, "build", "test", "make", 2, NOW)
        assert [expected] == list(await store.steps_failed(_ALWAYS))
        assert list(await store.steps_failed({_SLUG: (0, 1)})) == []
