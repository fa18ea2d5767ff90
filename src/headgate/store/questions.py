"""The questions of the SQLite adapter, each one short read transaction on a reader's thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from headgate.core.deployed import Deployed
from headgate.core.ports import Lane, LogEntry
from headgate.core.readport import (
    AlertRow,
    CursorView,
    DeadLetter,
    Explained,
    GapRow,
    InboxRow,
    OutcomeCounts,
    Replay,
    SourceCursor,
    StorePart,
)
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
from headgate.store import (
    alerts,
    commits,
    delivery,
    inbox,
    live_queries,
    positions,
    queries,
    replays,
    run_detail,
    run_queries,
    setaside,
    test_queries,
    trail,
)
from headgate.store.detail_questions import DetailQuestions
from headgate.store.explain import explain
from headgate.store.notedsums import NotedSums
from headgate.store.notedtests import NotedTests
from headgate.store.sizes import parts
from headgate.store.tallies import tallies

__all__ = ["Questions"]


class Questions(DetailQuestions):
    """See `core.readport.ReadStore` for what each method promises."""

    _noted_sums: NotedSums
    _noted_tests: NotedTests

    async def parts(self) -> Sequence[StorePart]:
        return await self._ask(parts)

    async def cursors(self) -> Sequence[CursorView]:
        return await self._ask(delivery.cursors)

    async def outcome_counts(self) -> Mapping[str, OutcomeCounts]:
        return await self._ask(delivery.outcome_counts)

    async def source_cursors(self, source: str) -> Mapping[str, SourceCursor]:
        return await self._ask(lambda db: positions.source_cursors(db, source))

    async def source_marks(self, source: str, prefix: str = "") -> Mapping[str, bytes]:
        return await self._ask(lambda db: positions.source_marks(db, source, prefix))

    async def inbox_dead(self, limit: int, *, ids: Sequence[int] = (), before: int | None = None) -> Sequence[InboxRow]:
        return await self._ask(lambda db: inbox.dead_rows(db, ids, before, limit))

    async def inbox_dead_ids(
        self, *, source: str | None = None, reason: str | None = None, after: int = 0, limit: int
    ) -> Sequence[int]:
        return await self._ask(lambda db: setaside.set_aside_ids(db, source, reason, after, limit))

    async def due_sources(self) -> Sequence[str]:
        return await self._ask(queries.due_sources)

    async def dead_letters(
        self, *, signal: str | None = None, ids: Sequence[int] = (), before: int | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        return await self._ask(lambda db: delivery.dead_letters(db, signal, ids, before, limit))

    async def gaps(self, limit: int) -> Sequence[GapRow]:
        return await self._ask(lambda db: queries.gaps(db, limit))

    async def recent_runs(self, limit: int, *, project: str | None = None) -> Sequence[RunRow]:
        return await self._ask(lambda db: run_queries.recent_runs(db, limit, project))

    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        return await self._ask(lambda db: run_queries.runs_between(db, since_ms, until_ms, after, limit))

    async def jobs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[JobRow]:
        return await self._ask(lambda db: run_queries.jobs_between(db, since_ms, until_ms, after, limit))

    async def deployments_between(
        self,
        since_ms: int,
        until_ms: int,
        *,
        after: tuple[int, str] | None = None,
        limit: int,
        project: str | None = None,
    ) -> Sequence[DeploymentRow]:
        return await self._ask(
            lambda db: run_queries.deployments_between(db, since_ms, until_ms, after, limit=limit, project=project)
        )

    async def deployment_ends(
        self, since_ms: int, until_ms: int, *, project: str | None = None, begun: bool = False
    ) -> Sequence[Deployed]:
        return await self._ask(lambda db: commits.deployment_ends(db, since_ms, until_ms, project=project, begun=begun))

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
        return await self._ask(
            lambda db: run_queries.series(
                db,
                kind,
                project=project,
                workflow=workflow,
                job=job,
                chosen=RunChoice(branch, branch_class, trigger),
                statuses=statuses,
                span=(since_ms, before_ms),
                limit=limit,
            )
        )

    async def tallies(self, query: TallyQuery) -> Mapping[tuple[str, ...], Tally]:
        return await self._ask(lambda db: tallies(db, query, self._noted_sums))

    async def newest_runs(
        self,
        names: Mapping[str, Collection[str] | None],
        *,
        chosen: RunChoice = RunChoice(),  # noqa: B008  # frozen, takes everything
        since_ms: int,
        before: tuple[int, str],
        limit: int,
    ) -> Sequence[RunRow]:
        return await self._ask(lambda db: run_queries.newest_runs(db, names, chosen, (since_ms, before), limit))

    async def branch_counts(self, bounds: Bounds) -> Mapping[str, int]:
        return await self._ask(lambda db: run_detail.branch_counts(db, bounds))

    async def projects(self) -> Sequence[ProjectRow]:
        return await self._ask(run_detail.projects)

    async def run_detail(self, workflow_id: str) -> RunDetail | None:
        return await self._ask(lambda db: run_detail.run_detail(db, workflow_id))

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        return await self._ask(lambda db: live_queries.test_outcomes(db, bounds, after, limit, failing=failing))

    async def outcomes_of(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestOutcome]:
        return await self._ask(lambda db: test_queries.outcomes_of(db, bounds, tests))

    async def test_commits(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestCommit]:
        return await self._ask(lambda db: test_queries.test_commits(db, bounds, tests, self._noted_tests))

    async def test_sums(self, bounds: Bounds, before: Bounds, *, branch_class: int | None = None) -> TestsOver:
        return await self._ask(lambda db: test_queries.test_sums(db, bounds, before, branch_class, self._noted_tests))

    async def test_faults(self, bounds: Bounds) -> Sequence[TestOutcome]:
        return await self._ask(lambda db: test_queries.test_faults(db, bounds, self._noted_tests))

    async def test_counts(self, bounds: Bounds) -> Mapping[str, int]:
        return await self._ask(lambda db: test_queries.test_counts(db, bounds, self._noted_tests))

    async def steps_failed(self, bounds: Bounds) -> Sequence[StepFailures]:
        return await self._ask(lambda db: live_queries.steps_failed(db, bounds))

    async def explain(self, provider_or_record_id: str) -> Sequence[Explained]:
        return await self._ask(lambda db: explain(db, provider_or_record_id))

    async def tail(self, after: Mapping[str, int], limit: int) -> Sequence[LogEntry]:
        return await self._ask(lambda db: queries.tail(db, after, limit))

    async def alerts(self) -> Sequence[AlertRow]:
        return await self._ask(alerts.alerts)

    async def alert_history(self, fingerprint: str | None, limit: int) -> Sequence[tuple[str, int, bytes]]:
        return await self._ask(lambda db: alerts.alert_history(db, fingerprint, limit))

    async def alert_lines(
        self, since_ms: int, until_ms: int, *, before: int | None = None, limit: int
    ) -> Sequence[tuple[int, str, int, bytes]]:
        return await self._ask(lambda db: alerts.alert_lines(db, since_ms, until_ms, before, limit))

    async def records_between(
        self, since_ms: int, until_ms: int, *, after: tuple[Lane, int] | None = None, limit: int
    ) -> Sequence[LogEntry]:
        return await self._ask(lambda db: queries.records_between(db, since_ms, until_ms, after, limit))

    async def replays(self) -> Sequence[Replay]:
        return await self._ask(replays.replays)

    async def trail(
        self, *, since_ms: int, before: int | None = None, limit: int, action: str = ""
    ) -> Sequence[TrailEntry]:
        return await self._ask(lambda db: trail.newest(db, since_ms, before, limit, action))
