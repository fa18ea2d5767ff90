"""What people and scripts can ask of Headgate, whoever answers: the running daemon, or the store alone.

`app` implements it over the store and over HTTP; the API, the page and the commands only see this. All answers are
plain JSON data with times as RFC 3339 text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from headgate.web.workings import Workings

__all__ = [
    "Asked",
    "ChosenDeliveries",
    "ChosenLetters",
    "Health",
    "HistoryKind",
    "Json",
    "NewSilence",
    "Operations",
    "Order",
    "Problem",
    "WantedExport",
    "WantedReport",
]

Json = dict[str, Any]
HistoryKind = Literal["runs", "jobs"]


class Problem(Exception):
    """An operation that cannot be done: `reason` is a fixed word, the text is for people."""

    def __init__(self, reason: Literal["unknown", "refused", "busy"], detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Order:
    """Long work that is wanted on a span of the past, `since_ms` <= t < `until_ms`.

    `source`: empty for all; `orgs`, `projects` (globs): only these.
    """

    since_ms: int
    until_ms: int
    source: str = ""
    orgs: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChosenDeliveries:
    """Webhooks that were set aside: these numbers, or all of this source and reason; None: of any.

    `everything`: none of the others is said, and that is meant.
    """

    ids: tuple[int, ...] = ()
    source: str | None = None
    reason: str | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class ChosenLetters:
    """Dead letters: these numbers, or all of this signal and reason; None: of any.

    `everything`: none of the others is said, and that is meant.
    """

    ids: tuple[int, ...] = ()
    signal: str | None = None
    reason: str | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class NewSilence:
    """What is not to be told: all matchers must hold, `starts_ms` <= t < `ends_ms`."""

    matchers: tuple[str, ...]
    starts_ms: int
    ends_ms: int
    author: str
    comment: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a metric, as `/api/v1/query` takes it: dimensions, matchers, times as people write them."""

    metric: str
    by: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    window: str | None = None
    step: str | None = None
    cursor: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class WantedExport:
    """A table as a file: its name, the format, and the words of its question, as `/api/v1/export` takes them."""

    table: str
    form: str
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedReport:
    """The review of the last whole week or month (UTC) before `until`, else before now; of some projects or teams."""

    every: Literal["week", "month"]
    until: str | None = None
    projects: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


class Operations(Workings, Protocol):
    """Everything the API and the commands offer. Raises Problem; store errors pass through."""

    async def status(self) -> Json:
        """The figures of `headgate status --json`."""
        ...

    async def overview(self) -> Json:
        """What the page shows.

        `{"status", "facts": {kind: n}, "ended": {kind: {our status: n}}, "unreleased", "level", "runs", "alerts",
        "completeness": [{"source", "project", "expected", "present", "repaired", "unrepairable", "unannounced"}],
        "hints": [text]}`; `completeness` is of the last 24 hours, `hints` says what is missing and what to do.
        """
        ...

    async def runs(self, limit: int, project: str | None) -> list[Json]:
        """Ended workflows, newest first."""
        ...

    async def history(
        self, since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int, kind: HistoryKind = "runs"
    ) -> list[Json]:
        """Ended workflows or jobs by end time, `since_ms` <= end < `until_ms`, oldest first; fields of RunRow, JobRow.

        A page of at most `limit`; `after`: end time and id of the last one of the page before.
        """
        ...

    async def alert_history(self, fingerprint: str, limit: int) -> list[Json]:
        """What became of one alert, newest first: `at`, `from`, `to`, `why`, the numbers, and whom it was told."""
        ...

    async def explain(self, query: str) -> list[Json]:
        """All that is known about a workflow or job: a URL, a provider id or a record id."""
        ...

    async def tail(self, after: Mapping[str, int], limit: int) -> Json:
        """`{"records": [...], "after": {lane: seq}}`: the newest records; with `after` of a page, those that follow it.

        They follow from the oldest on, none is left out, lane live first; a lane that `after` does not name begins now.
        """
        ...

    async def dead_letters(
        self, signal: str | None, ids: Sequence[int], limit: int, before: int | None = None
    ) -> list[Json]:
        """Dead letters, newest first, with the sink's words and the record. `before`: with smaller numbers only."""
        ...

    async def dead_deliveries(self, limit: int, ids: Sequence[int] = (), before: int | None = None) -> list[Json]:
        """Webhooks that could not be parsed, or that wait for a source (`no_source`), with the reason, newest first.

        `ids`, `before`: as of dead letters. A page may have fewer than `limit` where they are large; the last is empty.
        """
        ...

    async def replay_dead(self, chosen: ChosenLetters) -> int:
        """Send dead letters again; returns how many are queued."""
        ...

    async def purge_dead(self, chosen: ChosenLetters) -> int:
        """Forget dead letters for good; returns how many."""
        ...

    async def replay_deliveries(self, chosen: ChosenDeliveries) -> int:
        """Merge webhooks that were set aside again; returns how many."""
        ...

    async def purge_deliveries(self, chosen: ChosenDeliveries) -> int:
        """Forget webhooks that were set aside for good; returns how many."""
        ...

    async def replay(self, sink: str, since_ms: int, until_ms: int) -> list[Json]:
        """Send a time range to a sink (or one signal, `sink.signal`) again."""
        ...

    async def reset_sink(self, sink: str, start: Literal["now", "retained"] | int) -> list[str]:
        """Forget the cursors of a sink; returns the signals that start again."""
        ...

    async def deployment(self, told: Mapping[str, Any]) -> Json:
        """Keep a deployment that a caller told of (`web.deployments.ToldDeployment`), flushed when this returns.

        `{"id": record id, "new": whether it was not known before}`.
        """
        ...

    async def alerts(self) -> list[Json]:
        """Alert instances that are not inactive."""
        ...

    async def acknowledge(self, fingerprint: str, *, by: str, comment: str, verdict: str) -> Json:
        """Say that somebody has seen a firing alert (the start of its fingerprint is enough); returns it as listed."""
        ...

    async def silences(self) -> list[Json]:
        """Silences: those that hold first, then those to come, then the newest that ended."""
        ...

    async def silence(self, wanted: NewSilence) -> Json:
        """Make a silence; returns it as listed."""
        ...

    async def expire_silence(self, number: int, *, by: str, comment: str) -> Json:
        """End a silence now; returns it as listed."""
        ...

    async def backup(self, path: str) -> Json:
        """Copy the store to `path` while it runs."""
        ...

    async def backfill(self, order: Order) -> list[Json]:
        """Ask for history; returns the requests made, one for each source, as `backfills` lists them."""
        ...

    async def backfills(self) -> list[Json]:
        """Requests for history and how far they are, the newest last."""
        ...

    async def audit(self, order: Order) -> list[Json]:
        """Ask for an audit; returns the requests made, one for each source, as `audits` lists them."""
        ...

    async def audits(self) -> list[Json]:
        """Requests for audits and what came out, the newest last."""
        ...

    async def query(self, asked: Asked) -> Json:
        """A metric by group and over time: `insights.views.ask.QueryPage` as JSON."""
        ...

    def export(self, wanted: WantedExport) -> AsyncIterator[bytes]:
        """A table as the bytes of a file; what cannot be answered is raised before the first of them."""
        ...

    async def report(self, wanted: WantedReport) -> str:
        """A review as one file of HTML."""
        ...

    async def saved_reports(self) -> list[Json]:
        """Reports that were saved, the newest first: `report`, `file`, `until`, `bytes`."""
        ...

    async def saved_report(self, name: str, file: str) -> str:
        """One of them as HTML."""
        ...

    async def trail(self, since_ms: int, before: int | None, limit: int, action: str = "") -> list[Json]:
        """Who did what since then, newest first, fields of TrailEntry with `at` as text.

        `before`: `id` of the last one of the page before; `action`: only such entries.
        """
        ...

    async def reload(self) -> Json:
        """Read the configuration again: `{"ok", "changed": [...], "problems": [...]}`."""
        ...


class Health(Protocol):
    """What `/livez` and `/readyz` ask."""

    async def alive(self) -> str | None:
        """None while the event loop and the store's writer answer; else what does not."""
        ...

    def ready(self) -> str | None:
        """None once the store is open and every listener is bound; else what is missing. Sinks do not matter."""
        ...
