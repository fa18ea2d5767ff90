"""The seams of Headgate: what a source, a sink and a notifier must do, when they are called, what may go wrong.

Engines (collect, deliver, alerting, web) know only this module; `app` joins them with adapters. The numbered rules are
docs/spec/component.md; `headgate.testing` has the suites that enforce them on every plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from headgate.core.changes import Change, Detector
from headgate.core.clock import Clock
from headgate.core.merge import Observation
from headgate.core.messages import (
    Acknowledging,
    CallNotifier,
    Digest,
    Exchange,
    Message,
    Notification,
    Notifier,
    Probing,
    Refreshing,
)
from headgate.core.metrics import Metrics
from headgate.core.setup import SetsUp, SetUpOutcome, SetUpStep
from headgate.core.verdicts import SendResult
from headgate.core.webhooks import Delivery, Refusal, WebhookAdmin, WebhookPolicy, WebhookSource

__all__ = [
    "Acknowledging",
    "BuildContext",
    "CallNotifier",
    "CallSignal",
    "Change",
    "CheckResult",
    "Delivery",
    "Detector",
    "Digest",
    "Enrichment",
    "Exchange",
    "HttpReply",
    "HttpRequest",
    "HttpSignal",
    "JobRef",
    "Lane",
    "Limits",
    "LogEntry",
    "Message",
    "Notification",
    "Notifier",
    "Plugin",
    "PluginKind",
    "Probing",
    "Refreshing",
    "Refusal",
    "RunRef",
    "Scope",
    "Scraped",
    "SetUpOutcome",
    "SetUpStep",
    "SetsUp",
    "Signal",
    "Sink",
    "Source",
    "SourceUsage",
    "TransportOptions",
    "WalkPage",
    "WebhookAdmin",
    "WebhookPolicy",
    "WebhookSource",
]

PluginKind = Literal["source", "sink", "notifier", "detector"]
Lane = Literal["live", "backfill", "replay", "dead"]


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a plugin may use beside its own configuration."""

    clock: Clock
    metrics: Metrics
    user_agent: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """One source, sink, notifier or detector type.

    `config`: a frozen pydantic model that forbids unknown keys. `build(name, config, context)` makes an instance; it
    does no I/O and imports a vendor's client only now. It may raise ConfigError. `extra`: the optional dependency that
    brings the client, named by `check` and `run` when it is missing.
    """

    kind: PluginKind
    name: str
    config: type[Any]
    build: Any
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `headgate check`. `reason` from docs/check-reasons.md; `fix` empty when `ok`."""

    name: str
    ok: bool
    reason: str
    fix: str = ""


# --- Sources ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scope:
    """One thing that is walked by itself, with its own cursor: for CircleCI a project. `key` is stable (an id)."""

    key: str
    slug: str


@dataclass(frozen=True, slots=True)
class WalkPage:
    """One page of a newest-first walk.

    `high`: the highest position on the page (a pipeline number), None on an empty page. `last`: nothing older is
    wanted or there is nothing older; only then may the cursor move to the highest `high` of the walk. `capped`: the
    walk was cut by the page cap before its end; the cursor must not move.
    """

    observations: Sequence[Observation]
    high: int | None
    last: bool
    capped: bool = False


@dataclass(frozen=True, slots=True)
class RunRef:
    """An unfinished workflow, or a pipeline whose workflows are not known yet (`workflow_id` None).

    `ended`: the workflow itself has ended, jobs of it have not.
    """

    project_slug: str
    project_key: str
    pipeline_id: str | None
    workflow_id: str | None
    created_ms: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class JobRef:
    """A job that waits for its detail."""

    project_slug: str
    project_key: str
    job_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What could not be had: `gone` jobs are released without it, and counted by `reason`."""

    observations: Sequence[Observation]
    gone: Sequence[str] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SourceUsage:
    """Live figures for `status` and `/metrics`. `budget_left`: calls that could be made at once, None: no budget.

    `paused_seconds`: how long the far side still has us wait, 0 where it does not. `per_second`: calls that the budget
    lets through in the long run, None: no budget.
    """

    calls: int
    budget_left: float | None
    refused: str | None
    skew_seconds: float
    paused_seconds: float = 0.0
    per_second: float | None = None


class Source(Protocol):
    """A place that facts come from.

    Methods are called from one event loop, several at once for different scopes. They wait for their own request
    budget, obey the far side's limits, and raise SourceUnavailable, SourceRefused or NotFound; the engine decides when
    to ask again. They never touch the store. Every await can be canceled.
    """

    name: str
    host: str
    webhook: WebhookPolicy | None

    def normalize(self, delivery: Delivery) -> Sequence[Observation]:
        """What a delivery says. Pure, called in any thread. Raises Unparsable; a ping gives an empty sequence."""
        ...

    async def scopes(self) -> Sequence[Scope]:
        """Everything to walk now, each once, sorted by slug."""
        ...

    def walk(self, scope: Scope, *, after: int | None, since_ms: int, below: bool) -> AsyncIterator[WalkPage]:
        """Walk a scope from its newest end to position `after` (exclusive) or `since_ms`; `below`: with its runs."""
        ...

    async def revisit(self, run: RunRef) -> Sequence[Observation]:
        """Ask again about an unfinished run. Raises NotFound when the far side no longer has it."""
        ...

    async def enrich_recent(self, scope: Scope, jobs: Sequence[JobRef]) -> Enrichment:
        """One cheap call that tells more about the newest jobs of a scope (profile batch)."""
        ...

    async def enrich_job(self, job: JobRef) -> Enrichment:
        """One call that tells all about one job (profile each)."""
        ...

    async def check(self) -> Sequence[CheckResult]:
        """Try the token and the configured organisations by real calls."""
        ...

    def now_ms(self) -> int:
        """The far side's clock: ours corrected by the skew last seen."""
        ...

    def usage(self) -> SourceUsage:
        """Figures since start."""
        ...

    async def aclose(self) -> None:
        """Free connections. Safe before any call and twice."""
        ...


# --- Sinks --------------------------------------------------------------------------------------------------------


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One record on its way to a sink.

    `seq`: position in its lane, contiguous per lane (for lane `dead`: number of the dead letter). `body`: canonical
    JSON of the record, encoded once. `order_key`: entries with an equal key are delivered in order. `project`: slug
    or empty.
    """

    seq: int
    lane: Lane
    record_id: str
    kind: str
    occurred_ms: int
    project: str
    order_key: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request of a signal may hold. The engine enforces all of them when it sends.

    `max_bytes`: of the encoded body before compression. `max_record_bytes`: a longer record is rejected as too_large.
    `max_age_ms`: an older record is skipped as too_old. `max_ahead_ms`: a record further in the future waits until it
    is not; one that is a day further is sent, and the far side decides. `concurrency`: requests in flight at most.
    """

    max_records: int = 1000
    max_bytes: int = 1_000_000
    max_record_bytes: int | None = None
    max_age_ms: int | None = None
    max_ahead_ms: int | None = None
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that the engine's transport sends. `headers`: name and value. `gzip`: compress the body on the way.

    `good_until_ms`: when it has to be sent again after this, the batch is encoded anew. None: it stays as it is.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    gzip: bool = False
    timeout_seconds: float = 30.0
    good_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer. `headers`: lower-case names. `body`: at most 10 MB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self, limit: int = 2000) -> str:
        """The start of the body as text, with whatever secret the far side repeats in it."""
        return self.body[:limit].decode("utf-8", "replace").strip()


class Signal(Protocol):
    """One endpoint of a sink, with its own cursor, limits and state. It never retries, sleeps, batches or logs."""

    name: str
    limits: Limits
    # Where it sends to, without secrets; a change under an old name is refused until `headgate sinks reset`.
    destination: str
    # Kinds of record it takes; None: all. Others are passed over, which is not a skip.
    kinds: frozenset[str] | None


@runtime_checkable
class HttpSignal(Signal, Protocol):
    """A signal that only encodes and interprets; the engine's transport sends. Neither method does I/O."""

    # Verify TLS, a private CA file, a proxy: read by the transport. None: defaults.
    transport: TransportOptions

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest | None:
        """The request for a batch, which is never empty. The same batch gives the same bytes while they are good.

        None: no record of it is for this endpoint; nothing is sent and all of them are done with.
        """
        ...

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """Outcome by index. Raises SinkUnavailable, BatchRejected, SinkRefused (core.verdicts)."""
        ...


@runtime_checkable
class CallSignal(Signal, Protocol):
    """A signal that sends through a vendor's client, whose own retry, batching and time-outs are off."""

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """Send one batch. Raises as `HttpSignal.interpret`; every lower error is translated."""
        ...


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How a signal's connections are made. `ca_file`: PEM of a private CA. `proxy`: URL. `verify`: TLS verification."""

    ca_file: str | None = None
    proxy: str | None = None
    verify: bool = True


class Sink(Protocol):
    """A backend: one or several signals. Built once, used from one event loop."""

    name: str

    def signals(self) -> Sequence[HttpSignal | CallSignal]:
        """Its endpoints, at least one, in a fixed order, names unique."""
        ...

    async def check(self) -> Sequence[CheckResult]:
        """Try address, key and product by real calls that store nothing."""
        ...

    async def aclose(self) -> None:
        """Free connections. Safe before any call and twice."""
        ...


@runtime_checkable
class Scraped(Protocol):
    """A sink that is asked as well: what it holds is served at `/metrics/ci`."""

    def exposition(self) -> bytes | None:
        """The page in Prometheus' text format; None where the sink, as configured, is not asked."""
        ...
