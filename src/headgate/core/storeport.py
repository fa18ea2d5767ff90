"""The store port: a handful of named units of work, each atomic; `core.readport` has the questions that readers ask.

An adapter that cannot make a unit atomic is not an adapter. Units are awaited from the event loop and run one after the
other; when a unit returns, it is flushed. Every unit may raise StoreFull (nothing of it was kept) and StoreFailed (stop
the process). Readers see committed state only and never block a unit. Rows that units take or give back, and those of
readers that go with them, are all importable from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from headgate.core.audits import Kept, ListedKind
from headgate.core.merge import Observation
from headgate.core.ports import Delivery, JobRef, Lane, LogEntry, RunRef
from headgate.core.readport import (
    AlertRow,
    CursorView,
    DeadLetter,
    Explained,
    GapRow,
    InboxRow,
    OutcomeCounts,
    ReadStore,
    Replay,
    SignalState,
    SourceCursor,
    SpaceLevel,
    StoreFigures,
)
from headgate.core.record import Record
from headgate.core.release import ReleasePolicy
from headgate.core.runrows import RunRow
from headgate.core.silences import Silence
from headgate.core.trail import TrailEntry
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
    "Skip",
    "SourceCursor",
    "SpaceLevel",
    "Store",
    "StoreFigures",
]

# Why a delivery is set aside that waits for its source to be configured again.
NO_SOURCE = "no_source"


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
class Skip:
    """Positions of a lane, `last` included, that a signal skipped: all of them, for one reason."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of some entries of one signal and lane, stored in one transaction.

    `acked`, `holes`: the cursor after them. `accepted`: how many. `dead`: entry and why; `attempts` made with it.
    `skipped`: reason -> count. `skips`: which they are, where that is known. `settled_dead`: for lane `dead`, numbers
    of dead letters that are now delivered.
    """

    signal: str
    lane: Lane
    acked: int
    holes: tuple[int, ...] = ()
    accepted: int = 0
    dead: Sequence[tuple[LogEntry, Reject, int]] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    skips: Sequence[Skip] = ()
    settled_dead: Sequence[int] = ()
    at_ms: int = 0
    replay: int | None = None


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

    async def unfinished(
        self, source: str, *, ended_since_ms: int, empty_since_ms: int, limit: int
    ) -> Sequence[RunRef]:
        """Workflows that have not ended, and what may not be known whole; newest first.

        The latter are workflows that ended since `ended_since_ms` with jobs that have not, and pipelines that were made
        since `empty_since_ms` and have no workflows. Both are times of the source's clock.
        """
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

    async def jobs_of(self, runs: Sequence[str]) -> Mapping[str, Kept]:
        """Jobs that ran and ended, of pipelines or workflows by their keys; without those known by number alone."""
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

        Records that waited and are passed over become a gap row. Its replay ends; no dead letter is queued any more.
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

    async def requeue_dead(self, ids: Sequence[int]) -> int:  # those of removed signals are left as they are
        ...
    async def purge_dead(self, ids: Sequence[int]) -> int: ...
    async def open_replay(self, key: str, *, since_ms: int, until_ms: int) -> Replay:
        """Begin to send a time range again.

        What the log no longer has is rendered from facts and marked `headgate.rerendered`. One replay per signal at a
        time: a second raises ValueError, and so does a removed signal.
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
    async def append_trail(self, entries: Sequence[TrailEntry]) -> None:
        """Keep what people did, in this order."""
        ...

    async def trim(self, retention: Mapping[str, int], *, now_ms: int) -> Mapping[str, int]:
        """Delete what is past retention (part -> milliseconds), in slices; returns rows deleted per part.

        Undelivered log entries stay unless a signal says drop_oldest, and then a gap row is written.
        """
        ...

    async def backup(self, path: str) -> None:
        """A consistent copy of the store at `path` while running."""
        ...
