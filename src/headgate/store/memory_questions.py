"""The questions about runs, jobs and tests to the store in memory; see `core.readport.ReadStore` for their promises."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from headgate.core.deployed import Deployed
from headgate.core.rollup import RollupKind
from headgate.core.runrows import (
    DeploymentRow,
    JobRow,
    ProjectRow,
    RunChoice,
    RunDetail,
    RunRow,
    StepFailures,
    TestCommit,
    TestOutcome,
    TestsOver,
)
from headgate.core.tally import Bounds, Tally, TallyQuery
from headgate.core.trail import TrailEntry
from headgate.store import memory_live, memory_run_detail, memory_runs, memory_tests
from headgate.store.memory_details import MemoryDetails
from headgate.store.memory_facts import MemoryFacts

__all__ = ["MemoryQuestions"]


class MemoryQuestions(MemoryDetails):
    """Answers from `facts`."""

    facts: MemoryFacts
    entries: list[TrailEntry]

    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        return memory_runs.between(memory_runs.runs(self.facts), since_ms, until_ms, after, limit)

    async def jobs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[JobRow]:
        return memory_runs.between(memory_runs.jobs(self.facts), since_ms, until_ms, after, limit)

    async def deployments_between(
        self,
        since_ms: int,
        until_ms: int,
        *,
        after: tuple[int, str] | None = None,
        limit: int,
        project: str | None = None,
    ) -> Sequence[DeploymentRow]:
        rows = [row for row in memory_runs.deployments(self.facts) if project in (None, row.project)]
        return memory_runs.between(rows, since_ms, until_ms, after, limit)

    async def deployment_ends(
        self, since_ms: int, until_ms: int, *, project: str | None = None, begun: bool = False
    ) -> Sequence[Deployed]:
        return memory_runs.deployment_ends(self.facts, since_ms, until_ms, project, begun=begun)

    async def series(
        self,
        kind: RollupKind,
        *,
        project: str,
        workflow: str,
        job: str | None = None,
        branch_class: int | None = None,
        branch: str = "",
        trigger: str = "",
        statuses: Collection[str],
        since_ms: int = 0,
        before_ms: int,
        limit: int,
    ) -> Sequence[RunRow | JobRow]:
        rows = memory_runs.runs(self.facts) if kind == "workflow" else memory_runs.jobs(self.facts)
        return memory_runs.series(
            rows,
            project=project,
            workflow=workflow,
            job=job,
            chosen=RunChoice(branch, branch_class, trigger),
            statuses=statuses,
            span=(since_ms, before_ms),
            limit=limit,
        )

    async def tallies(self, query: TallyQuery) -> Mapping[tuple[str, ...], Tally]:
        return memory_runs.tallies(self.facts, query)

    async def newest_runs(
        self,
        names: Mapping[str, Collection[str] | None],
        *,
        chosen: RunChoice = RunChoice(),  # noqa: B008  # frozen, takes everything
        since_ms: int,
        before: tuple[int, str],
        limit: int,
    ) -> Sequence[RunRow]:
        return memory_runs.newest_runs(self.facts, names, chosen, (since_ms, before), limit)

    async def branch_counts(self, bounds: Bounds) -> Mapping[str, int]:
        return memory_run_detail.branch_counts(self.facts, bounds)

    async def projects(self) -> Sequence[ProjectRow]:
        return memory_run_detail.projects(self.facts)

    async def run_detail(self, workflow_id: str) -> RunDetail | None:
        return memory_run_detail.run_detail(self.facts, workflow_id)

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        return memory_live.test_outcomes(self.facts, bounds, after, limit, failing=failing)

    async def outcomes_of(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestOutcome]:
        return memory_tests.outcomes_of(self.facts, bounds, tests)

    async def test_commits(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestCommit]:
        return memory_tests.test_commits(self.facts, bounds, tests)

    async def test_sums(self, bounds: Bounds, before: Bounds, *, branch_class: int | None = None) -> TestsOver:
        return memory_tests.test_sums(self.facts, bounds, before, branch_class)

    async def test_faults(self, bounds: Bounds) -> Sequence[TestOutcome]:
        return memory_tests.test_faults(self.facts, bounds)

    async def test_counts(self, bounds: Bounds) -> Mapping[str, int]:
        return memory_tests.test_counts(self.facts, bounds)

    async def steps_failed(self, bounds: Bounds) -> Sequence[StepFailures]:
        return memory_live.steps_failed(self.facts, bounds)

    async def trail(
        self, *, since_ms: int, before: int | None = None, limit: int, action: str = ""
    ) -> Sequence[TrailEntry]:
        found = [one for one in self.entries if one.at_ms >= since_ms and (before is None or one.id < before)]
        return [one for one in found[::-1] if not action or one.action == action][:limit]
