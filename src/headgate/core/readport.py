"""The reading half of the store port: the questions that readers ask, and the rows that answer them.

Readers see committed state only. Rows about single runs are in `core.runrows`, sums over many in `core.tally`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from headgate.core.detailport import ReadDetails
from headgate.core.ports import Delivery, Lane, LogEntry, RunRef
from headgate.core.rollup import RollupKind
from headgate.core.runrows import (
    DeploymentRow,
    JobRow,
    ProjectRow,
    RunChoice,
    RunDetail,
    RunRow,
    StepFailures,
    TestOutcome,
)
from headgate.core.tally import Bounds, Tally, TallyQuery
from headgate.core.trail import TrailEntry

__all__ = [
    "AlertRow",
    "CursorView",
    "DeadLetter",
    "Explained",
    "GapRow",
    "InboxRow",
    "OutcomeCounts",
    "ReadStore",
    "Replay",
    "SignalState",
    "SourceCursor",
    "SpaceLevel",
    "StoreFigures",
    "StorePart",
]

SignalState = Literal["ok", "retrying", "open", "held", "removed"]
# ok, warn 70 %, trim 80 %, pause 85 % (polling and audit stop), refuse 95 % (webhooks get 503).
SpaceLevel = Literal["ok", "warn", "trim", "pause", "refuse"]


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One kept delivery. `id` grows; `reason` only on dead ones."""

    id: int
    delivery: Delivery
    state: Literal["waiting", "done", "dead"] = "waiting"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SourceCursor:
    """How far polling got. `high`: position of the newest thing of the last complete walk.

    `walk_high`: highest position seen in a walk that has not ended. `complete_ms`: start of the last complete walk.
    """

    source: str
    scope: str
    high: int | None = None
    walk_high: int | None = None
    complete_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CursorView:
    """Where a signal stands in one lane. `acked`: every seq up to it is settled. `holes`: settled ones beyond it.

    `head`: highest seq of the lane; `waiting` = head - acked - len(holes).
    """

    signal: str
    lane: Lane
    acked: int
    holes: tuple[int, ...]
    head: int
    epoch: int
    state: SignalState
    reason: str

    @property
    def waiting(self) -> int:
        """Records of the lane not yet settled."""
        return max(0, self.head - self.acked - len(self.holes))


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Totals of one signal over its life."""

    accepted: int
    dead: int
    skipped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that a sink will never take as it is, with its words. `answer`: at most 2 kB. `requeued`: sent again."""

    id: int
    signal: str
    seq: int
    record_id: str
    kind: str
    occurred_ms: int
    project: str
    reason: str
    status: int | None
    attempts: int
    first_ms: int
    last_ms: int
    answer: str
    requeued: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """A second, temporary cursor over a time range. `total`: records in it, `done`: settled so far."""

    id: int
    signal: str
    since_ms: int
    until_ms: int
    total: int
    done: int


@dataclass(frozen=True, slots=True)
class GapRow:
    """Any loss that was chosen or found. `first`, `last`: seq or inbox ids where known."""

    at_ms: int
    sink: str
    first: int | None
    last: int | None
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert instance as stored. `state_json`: the state machine's own data (core.alerts)."""

    fingerprint: str
    rule: str
    labels: Mapping[str, str]
    state: str
    state_json: bytes
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Explained:
    """All that is known about one workflow or job: facts with provenance, records, and their path through each signal.

    `fields`: name -> (value, source, observed_ms, terminal). `path`: signal -> waiting, accepted, dead, before_start,
    `skipped: REASON`; what was skipped and not noted, or is a dead letter that was purged, counts as accepted. `noted`:
    signal -> reasons of which every skip is noted: accepted is none of these. `kind` amendment: asked for by its id;
    fields are those of the fact, record, place and path are its own.
    """

    kind: str
    provider_id: str
    project: str
    record_id: str
    released: bool
    due_ms: int | None
    fields: Mapping[str, tuple[Any, str, int, bool]]
    record: bytes | None
    amendments: Sequence[bytes]
    lane: str | None
    seq: int | None
    path: Mapping[str, str]
    noted: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Numbers for `status`, health and the page.

    `facts`: kind -> rows. `statuses`: kind -> our status -> ended rows. `log_head`: lane -> highest seq.
    `unreleased`: ended facts that still wait. `bytes`: database and WAL. `inbox_parked`: source that is not configured
    -> deliveries that wait for it; they are neither in `inbox_waiting` nor in `inbox_dead`.
    """

    inbox_waiting: int
    inbox_dead: int
    inbox_oldest_ms: int | None
    facts: Mapping[str, int]
    statuses: Mapping[str, Mapping[str, int]]
    log_head: Mapping[str, int]
    unreleased: int
    outbox_waiting: int
    bytes: int
    level: SpaceLevel
    schema: int
    store_id: str
    epoch: int
    gaps: int
    inbox_parked: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StorePart:
    """One part of the store. `bytes`: its room, 0 where the adapter keeps no file; times of what is in it, if known.

    Facts go by the end of workflows, rollups by the begin of their hour or day; an adapter in memory knows fewer.
    """

    part: str
    bytes: int
    oldest_ms: int | None
    newest_ms: int | None


class ReadStore(ReadDetails, Protocol):
    """Questions. Safe at any time after open, from the event loop; answered from committed state."""

    async def figures(self) -> StoreFigures: ...
    async def parts(self) -> Sequence[StorePart]:
        """What each part takes and from when to when it reaches; seconds for a large store."""
        ...

    async def cursors(self) -> Sequence[CursorView]: ...
    async def outcome_counts(self) -> Mapping[str, OutcomeCounts]: ...
    async def source_cursors(self, source: str) -> Mapping[str, SourceCursor]: ...
    async def source_marks(self, source: str, prefix: str = "") -> Mapping[str, bytes]:
        """What a source remembers under keys that begin with `prefix`, in the order of the keys."""
        ...

    async def inbox_dead(self, limit: int, *, ids: Sequence[int] = (), before: int | None = None) -> Sequence[InboxRow]:
        """Those set aside, as `dead_letters`, fewer where large; reason `NO_SOURCE`: they wait for their source."""
        ...

    async def inbox_dead_ids(
        self, *, source: str | None = None, reason: str | None = None, after: int = 0, limit: int
    ) -> Sequence[int]:
        """Numbers of those beyond number `after`, ascending."""
        ...

    async def unended(self, source: str, *, before: tuple[int, str], limit: int) -> Sequence[RunRef]:
        """Workflows that have not ended, newest first, after one by creation and id."""
        ...

    async def due_sources(self) -> Sequence[str]:
        """Sources with ended facts that wait to be released, whether they are configured or not; sorted."""
        ...

    async def dead_letters(
        self, *, signal: str | None = None, ids: Sequence[int] = (), before: int | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Newest first. `ids`: only these; `before`: only those with smaller numbers, for the page that follows."""
        ...

    async def gaps(self, limit: int) -> Sequence[GapRow]: ...
    async def recent_runs(self, limit: int, *, project: str | None = None) -> Sequence[RunRow]: ...
    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        """Ended workflows by end time, `since_ms` <= end < `until_ms`, oldest first, `limit` at most.

        `after`: end time and id of the last one of the page before; `core.runs.run_pages` reads them all.
        """
        ...

    async def jobs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[JobRow]:
        """Ended jobs, approvals included, in the order and pages of `runs_between`."""
        ...

    async def deployments_between(
        self,
        since_ms: int,
        until_ms: int,
        *,
        after: tuple[int, str] | None = None,
        limit: int,
        project: str | None = None,
    ) -> Sequence[DeploymentRow]:
        """Ended deployments, of one project (slug) or all, in the order and pages of `runs_between`."""
        ...

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
        """The newest `limit` runs of a name that ended from `since_ms` to before `before_ms` with one of `statuses`.

        Oldest first. Workflows, or jobs named `job` of that workflow; of both branch classes where none is given, of
        all branches and triggers where none is named. Found through an index, however old they are.
        """
        ...

    async def tallies(self, query: TallyQuery) -> Mapping[tuple[str, ...], Tally]:
        """Sums by the dimensions of `query.by`; groups without a run or approval are absent.

        Values of the key: names, an empty text where unknown or where the kind has no such thing; of `branch_class`
        "@default" and "@other". An approval counts in `held` and `hold_ms` of its job alone, never in `n`.

        Exact for any bounds while the facts at their edges are kept. Where retention deleted those, an edge counts the
        whole hour that it cuts (the whole UTC day where hours are no longer kept apart), and dimensions without
        rollups (`tally.ROLLED` has those with) count what is left.
        """
        ...

    async def newest_runs(
        self,
        names: Mapping[str, Collection[str] | None],
        *,
        chosen: RunChoice = RunChoice(),  # noqa: B008  # frozen, takes everything
        since_ms: int,
        before: tuple[int, str],
        limit: int,
    ) -> Sequence[RunRow]:
        """The newest `limit` ended workflows of each project of `names`: slug -> names of workflows, None for all.

        Of ends since `since_ms`; newest first by end and id, over all projects. `before`: end and id of the last one of
        the page before; without an id, the end of the time. Found through indexes.
        """
        ...

    async def branch_counts(self, bounds: Bounds) -> Mapping[str, int]:
        """Project -> how many names of branches and tags had runs that ended within its bounds, skipped ones left out.

        One without any is absent.
        """
        ...

    async def projects(self) -> Sequence[ProjectRow]:
        """Every project of which anything is known, by slug; of two with one slug the first that was seen."""
        ...

    async def run_detail(self, workflow_id: str) -> RunDetail | None:
        """All of one run for its page; None where it is not known."""
        ...

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        """Results by project, test and commit, of jobs that ended within the bounds; ordered by those three.

        `after`: project, test id and revision of the last one of the page before. `failing`: only tests that failed in
        the bounds at least once, the machine's faults included. Results without a test id (old schemas) are left out.
        """
        ...

    async def steps_failed(self, bounds: Bounds) -> Sequence[StepFailures]:
        """Which steps failed how often, by end of the step; ordered by project, workflow, job and step."""
        ...

    async def explain(self, provider_or_record_id: str) -> Sequence[Explained]: ...
    async def tail(self, after: Mapping[str, int], limit: int) -> Sequence[LogEntry]:
        """Newest entries beyond the given seq per lane, in append order."""
        ...

    async def alerts(self) -> Sequence[AlertRow]: ...
    async def alert_history(self, fingerprint: str | None, limit: int) -> Sequence[tuple[str, int, bytes]]: ...
    async def alert_lines(
        self, since_ms: int, until_ms: int, *, before: int | None = None, limit: int
    ) -> Sequence[tuple[int, str, int, bytes]]:
        """History of alerts in a time range, newest first: number, fingerprint, time, JSON; numbers below `before`."""
        ...

    async def records_between(
        self, since_ms: int, until_ms: int, *, after: tuple[Lane, int] | None = None, limit: int
    ) -> Sequence[LogEntry]:
        """Records of the log that tell of something in a time range: lane live first, each lane by number.

        `after`: lane and number of the last one of the page before. What the log no longer holds is not there.
        """
        ...

    async def replays(self) -> Sequence[Replay]: ...
    async def trail(
        self, *, since_ms: int, before: int | None = None, limit: int, action: str = ""
    ) -> Sequence[TrailEntry]:
        """What people did since then, the newest first; `before`: last `id` of the page before; `action`: only such."""
