"""The store port: a handful of named units of work, each atomic, and the questions that readers ask.

An adapter that cannot make a unit atomic is not an adapter. Units are awaited from the event loop and run one after the
other; when a unit returns, it is flushed. Every unit may raise StoreFull (nothing of it was kept) and StoreFailed (stop
the process). Readers see committed state only and never block a unit.

Over 400 lines because the whole port is read in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from headgate.core.audits import Kept, ListedKind
from headgate.core.merge import Observation
from headgate.core.ports import Delivery, JobRef, Lane, LogEntry, RunRef
from headgate.core.record import Record
from headgate.core.release import ReleasePolicy
from headgate.core.silences import Silence
from headgate.core.verdicts import Reject

__all__ = [
    "NO_SOURCE",
    "AlertChange",
    "AlertRow",
    "CursorView",
    "DeadLetter",
    "Explained",
    "GapRow",
    "InboxRow",
    "MergeResult",
    "MergeWork",
    "OutboxEntry",
    "OutboxRow",
    "OutcomeCounts",
    "Outcomes",
    "ReadStore",
    "Replay",
    "RunRow",
    "SignalSpec",
    "SignalState",
    "SourceCursor",
    "SpaceLevel",
    "Store",
    "StoreFigures",
]

# Why a delivery is set aside that waits for its source to be configured again.
NO_SOURCE = "no_source"
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
class MergeWork:
    """Observations that enter together, with whatever must be true in the same transaction.

    `now_ms`: when it is merged, by our clock. `live_after_ms`: records that end earlier go to lane backfill.
    `inbox_done`, `inbox_dead`: inbox rows that this settles; dead ones with reason. `gone`: keys of jobs (or workflows)
    that the source no longer has: they count as enriched, and unfinished ones are no longer listed. `marks`: what the
    source remembers from now on, by key; None forgets it.
    """

    source: str
    observations: Sequence[Observation]
    policy: ReleasePolicy
    now_ms: int
    live_after_ms: int
    inbox_done: Sequence[int] = ()
    inbox_dead: Sequence[tuple[int, str]] = ()
    cursor: SourceCursor | None = None
    gone: Sequence[str] = ()
    marks: Mapping[str, bytes | None] = field(default_factory=dict)
    app_url: str = "https://app.circleci.com"


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge did. `released`: records by (kind, lane). `unchanged`: observations that told nothing new.

    `next_due_ms`: earliest time at which `release_due` has something to do; None when nothing waits.
    `wants_enrichment`: project keys with ended facts that wait for it. `withheld`: kind, key and error of facts that
    our own code cannot render; they wait for the next thing that is learnt of them, and nobody waits for them.
    """

    released: Mapping[tuple[str, str], int] = field(default_factory=dict)
    amended: int = 0
    unchanged: int = 0
    next_due_ms: int | None = None
    wants_enrichment: frozenset[str] = frozenset()
    withheld: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """A configured signal. `start`: now, retained, or milliseconds since the epoch; used only when it is new.

    `overflow`: whether log entries past retention may go before the signal has them; each loss is a gap row.
    """

    sink: str
    signal: str
    destination: str
    start: Literal["now", "retained"] | int = "now"
    overflow: Literal["keep", "drop_oldest"] = "keep"

    @property
    def key(self) -> str:
        """Name of the cursor: `sink.signal`."""
        return f"{self.sink}.{self.signal}"


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
class Outcomes:
    """What became of some entries of one signal and lane, stored in one transaction.

    `acked`, `holes`: the cursor after them. `accepted`: how many. `dead`: entry and why; `attempts` made with it.
    `skipped`: reason -> count. `settled_dead`: for lane `dead`, numbers of dead letters that are now delivered.
    """

    signal: str
    lane: Lane
    acked: int
    holes: tuple[int, ...] = ()
    accepted: int = 0
    dead: Sequence[tuple[LogEntry, Reject, int]] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    settled_dead: Sequence[int] = ()
    at_ms: int = 0
    replay: int | None = None


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
class OutboxEntry:
    """One thing to tell through one notifier. `payload`: `core.messages.payload_of`.

    `due_ms`: when it is sent at the earliest. `group`: those of an equal one, not empty, may be sent as one message.
    """

    notifier: str
    key: str
    payload: bytes
    due_ms: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One entry on its way. `due_ms`: next attempt. `batch`: row that leads the message it was bound into, or None."""

    id: int
    notifier: str
    key: str
    payload: bytes
    created_ms: int
    due_ms: int
    attempts: int = 0
    last_error: str = ""
    group: str = ""
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class AlertChange:
    """Transitions of alert instances with everything that must be true in the same transaction.

    `rows`: upserts; `removed`: fingerprints. `history`: (fingerprint, at_ms, JSON). `outbox`: an equal notifier and key
    is stored once. `records`: alert records for every sink, lane live.
    """

    rows: Sequence[AlertRow] = ()
    removed: Sequence[str] = ()
    history: Sequence[tuple[str, int, bytes]] = ()
    outbox: Sequence[OutboxEntry] = ()
    records: Sequence[Record] = ()


@dataclass(frozen=True, slots=True)
class RunRow:
    """One ended workflow for metrics and pages. Times in milliseconds; `duration_ms` None where unknown.

    `project`: slug. `status`: our word. `branch_class`: 1 for the default branch, else 0.
    """

    workflow_id: str
    project: str
    workflow: str
    ref: str
    branch_class: int
    status: str
    stopped_ms: int
    duration_ms: int | None
    revision: str
    pipeline_number: int | None
    url: str


@dataclass(frozen=True, slots=True)
class Explained:
    """All that is known about one workflow or job: facts with provenance, records, and their path through each signal.

    `fields`: name -> (value, source, observed_ms, terminal). `path`: signal -> waiting, accepted, dead, before_start;
    what was skipped, or is a dead letter that was purged, counts as accepted. `kind` amendment: asked for by its id;
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


class ReadStore(Protocol):
    """Questions. Safe at any time after open, from the event loop; answered from committed state."""

    async def figures(self) -> StoreFigures: ...
    async def cursors(self) -> Sequence[CursorView]: ...
    async def outcome_counts(self) -> Mapping[str, OutcomeCounts]: ...
    async def source_cursors(self, source: str) -> Mapping[str, SourceCursor]: ...
    async def source_marks(self, source: str, prefix: str = "") -> Mapping[str, bytes]:
        """What a source remembers under keys that begin with `prefix`, in the order of the keys."""
        ...

    async def inbox_dead(self, limit: int) -> Sequence[InboxRow]:
        """Deliveries that were set aside, newest first; reason `NO_SOURCE`: they wait for their source."""
        ...

    async def inbox_dead_ids(
        self, *, source: str | None = None, reason: str | None = None, after: int = 0, limit: int
    ) -> Sequence[int]:
        """Numbers of those beyond number `after`, ascending."""
        ...

    async def due_sources(self) -> Sequence[str]:
        """Sources with ended facts that wait to be released, whether they are configured or not; sorted."""
        ...

    async def dead_letters(
        self, *, signal: str | None = None, ids: Sequence[int] = (), limit: int = 100
    ) -> Sequence[DeadLetter]: ...
    async def gaps(self, limit: int) -> Sequence[GapRow]: ...
    async def recent_runs(self, limit: int, *, project: str | None = None) -> Sequence[RunRow]: ...
    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        """Ended workflows by end time, `since_ms` <= end < `until_ms`, oldest first, `limit` at most.

        `after`: end time and id of the last one of the page before; `core.runs.run_pages` reads them all.
        """
        ...

    async def explain(self, provider_or_record_id: str) -> Sequence[Explained]: ...
    async def tail(self, after: Mapping[str, int], limit: int) -> Sequence[LogEntry]:
        """Newest entries beyond the given seq per lane, in append order."""
        ...

    async def alerts(self) -> Sequence[AlertRow]: ...
    async def alert_history(self, fingerprint: str | None, limit: int) -> Sequence[tuple[str, int, bytes]]: ...
    async def replays(self) -> Sequence[Replay]: ...


class Store(ReadStore, Protocol):
    """Units of work. One writer; each call is one transaction unless it says otherwise."""

    async def open(self) -> None:
        """Open, lock, migrate, salvage if damaged. Raises StoreLocked, StoreError. Never needs a human."""
        ...

    async def close(self) -> None:
        """Finish what was queued, checkpoint, mark the shutdown clean. Safe twice."""
        ...

    async def failed(self) -> BaseException:
        """Wait until the store can no longer be trusted; returns why. The process must then exit non-zero."""
        ...

    async def ping(self) -> None:
        """One empty round trip through the writer; feeds the watchdog."""
        ...

    # -- intake
    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Append deliveries to the inbox; returns after the flush. The only unit on the path of a 2xx; goes first."""
        ...

    def accept_wait_seconds(self) -> float:
        """How long the oldest waiting `accept` has waited; beyond 2 s the receiver answers 503."""
        ...

    def in_burst(self) -> bool:
        """Whether many webhooks arrive at once just now, so that other work had better wait. Does not block."""
        ...

    def space_level(self) -> SpaceLevel:
        """Rung of the quota ladder, as last measured. Does not block."""
        ...

    async def inbox(self, limit: int) -> Sequence[InboxRow]:
        """Oldest waiting deliveries; at least one if any waits, fewer than `limit` where bodies are large."""
        ...

    async def park_inbox(self, ids: Sequence[int], *, now_ms: int) -> int:
        """Let waiting deliveries wait apart for their source; returns how many. Settled ones change nothing."""
        ...

    async def requeue_inbox(self, ids: Sequence[int]) -> int:
        """Let deliveries that were set aside wait in the inbox again, renumbered, at its end; returns how many."""
        ...

    async def purge_inbox(self, ids: Sequence[int]) -> int:
        """Forget deliveries that were set aside; a gap row for each source says so. Returns how many."""
        ...

    async def merge_and_release(self, work: MergeWork) -> MergeResult:
        """Facts, rollups, releases, amendments, inbox rows and cursor of one piece of work; idempotent."""
        ...

    async def release_due(
        self, policy: ReleasePolicy, source: str, *, now_ms: int, live_after_ms: int, limit: int = 500
    ) -> MergeResult:
        """Release ended facts of a source whose wait is over. One that cannot be rendered holds up no other."""
        ...

    async def unfinished(self, source: str, *, limit: int) -> Sequence[RunRef]:
        """Workflows that have not ended, and pipelines of the last hour without workflows; newest first."""
        ...

    async def unasked(self, source: str, *, since_ms: int, limit: int) -> Sequence[RunRef]:
        """Workflows that ended since then, of which webhooks alone told and which may hold jobs no webhook tells of.

        That is: it did not succeed, or none of its name that succeeded was asked about in a week, or one that was
        had such jobs. Newest first.
        """
        ...

    async def kept(self, kind: ListedKind, keys: Sequence[str]) -> Mapping[str, Kept]:
        """What is known of the given keys; those of which nothing is kept are absent."""
        ...

    async def wanting_enrichment(self, source: str, *, due_by_ms: int, limit: int) -> Sequence[JobRef]:
        """Ended, unreleased jobs that wait for enrichment until then at most; oldest due first."""
        ...

    # -- delivery
    async def open_signals(self, specs: Sequence[SignalSpec], *, now_ms: int) -> Mapping[str, str]:
        """Create missing cursors and mark removed ones.

        Returns key -> problem for signals that are refused: a changed destination under an old name.
        """
        ...

    async def reset_signal(self, key: str, *, start: Literal["now", "retained"] | int) -> None:
        """Forget a signal's cursor, state and destination; it starts again. Raises KeyError for an unknown one.

        Records that waited and are passed over become a gap row.
        """
        ...

    async def set_signal_state(self, key: str, state: SignalState, reason: str) -> None: ...

    async def read_log(self, key: str, lane: Lane, after: int, *, limit: int, max_bytes: int) -> Sequence[LogEntry]:
        """Entries after `after` in order of seq; at least one if any exists.

        Lane `dead` reads requeued dead letters, lane `replay` the signal's open replay (seq is then the
        position inside it).
        """
        ...

    async def record_outcomes(self, outcomes: Sequence[Outcomes]) -> None: ...

    async def requeue_dead(self, ids: Sequence[int]) -> int: ...
    async def purge_dead(self, ids: Sequence[int]) -> int: ...
    async def open_replay(self, key: str, *, since_ms: int, until_ms: int) -> Replay:
        """Begin to send a time range again.

        What the log no longer has is rendered from facts and marked `headgate.rerendered`. One replay per signal at a
        time: a second raises ValueError.
        """
        ...

    # -- alerts
    async def transition(self, change: AlertChange) -> None: ...
    async def put_silence(self, silence: Silence, line: bytes, *, at_ms: int) -> int:
        """Store a silence, a new one under its `id` 0, with its line of history; returns its number."""
        ...

    async def silences(self) -> Sequence[Silence]:
        """All of them, also those that ended, by number, until the retention of alerts."""
        ...

    async def outbox_groups(self, *, since_ms: int) -> Mapping[tuple[str, str], int]:
        """Notifier and group -> when its newest message was or will be sent, of those not before `since_ms`."""
        ...

    async def outbox_failing(self) -> Mapping[str, tuple[int, int, str]]:
        """Notifiers whose dead letters are newer than anything they accepted: when the first died, how many, why."""
        ...

    async def projects_since(self) -> Mapping[str, int]:
        """Project slug -> start of the first day of which it has an ended run."""
        ...

    async def outbox_due(self, *, now_ms: int, limit: int) -> Sequence[OutboxRow]: ...
    async def outbox_bind(self, row_id: int, *, limit: int) -> Sequence[OutboxRow]:
        """The rows that are sent in one message with this one, itself first, due or not; oldest first.

        They are bound to each other for good, so that every attempt, also after a restart, sends the same message. A
        row without a group is alone. Empty when the row has left the outbox.
        """
        ...

    async def outbox_done(
        self, ids: Sequence[int], *, memory: tuple[str, str, Mapping[str, str]] | None = None, sent: bool = True
    ) -> None:
        """These were accepted, or, not `sent`, nobody wants them any more.

        `memory`: notifier, thread and what it remembers of it from now on; empty forgets.
        """
        ...

    async def outbox_retry(self, ids: Sequence[int], *, due_ms: int, error: str) -> None: ...
    async def outbox_dead(self, ids: Sequence[int], *, error: str, at_ms: int) -> None: ...
    async def notifier_memory(self, notifier: str, thread: str) -> Mapping[str, str]:
        """What a notifier remembers of a thread: of a group, or of one alert; empty if nothing."""
        ...

    async def notifier_memories(self, notifier: str) -> Mapping[str, Mapping[str, str]]:
        """Everything that a notifier remembers, by thread."""
        ...

    # -- housekeeping
    async def trim(self, retention: Mapping[str, int], *, now_ms: int) -> Mapping[str, int]:
        """Delete what is past retention (part -> milliseconds), in slices; returns rows deleted per part.

        Undelivered log entries stay unless a signal says drop_oldest, and then a gap row is written.
        """
        ...

    async def backup(self, path: str) -> None:
        """A consistent copy of the store at `path` while running."""
        ...
