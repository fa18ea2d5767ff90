"""What the routes outside of `/api/v1/insights` answer, for the OpenAPI document.

The answers themselves are made by `Operations` and sent as they are: nothing here checks or changes them. A test holds
what a store with history answers against these.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AlertAnswer",
    "AlertLine",
    "Answer",
    "AuditAnswer",
    "BackfillAnswer",
    "BackupAnswer",
    "DeadDelivery",
    "DeadLetterAnswer",
    "DeploymentAnswer",
    "OverviewAnswer",
    "ReloadAnswer",
    "ReplayAnswer",
    "RunAnswer",
    "SavedReport",
    "SilenceAnswer",
    "StatusAnswer",
    "TrailAnswer",
]

Time = Annotated[str, Field(description="RFC 3339, UTC.")]
Count = Annotated[int, Field(ge=0)]
_Number = float | None


class Answer(BaseModel):
    """One that costs nothing until the document is asked for."""

    model_config = ConfigDict(defer_build=True)


class ReplayAnswer(Answer):
    """A time range that is sent again, and how far that is."""

    id: int
    signal: str
    since: Time
    until: Time
    total: Count
    done: Count


class SignalAnswer(Answer):
    """One signal of a sink. `cursor`: of lane live; other figures are sums over its lanes. `replay`: the open one."""

    state: Literal["ok", "retrying", "open", "held", "removed"]
    cursor: Count
    lag_seconds: float
    waiting: Count
    dead: Count
    skipped: dict[str, Count]
    accepted: Count
    replay: ReplayAnswer | None


class SinkAnswer(Answer):
    """A sink. `records`: what its section of that name says."""

    signals: dict[str, SignalAnswer]
    records: dict[str, Any] = {}


class SourceAnswer(Answer):
    """A source. `gone`: projects that the far side no longer has, with since when."""

    calls: Count
    budget_left: _Number
    refused: str | None
    waits_until: Time | None
    calls_per_hour: _Number
    calls_per_hour_estimate: dict[str, _Number] | None
    last_complete_walk: Time | None
    last_insights: Time | None
    gone: dict[str, Time]


class NotifierAnswer(Answer):
    """A notifier. `dead`: messages given up since it took one; `lag_seconds`: of the oldest that should be out."""

    state: Literal["ok", "retrying", "failing"]
    waiting: Count
    lag_seconds: float
    dead: Count
    failing_since: Time | None
    last_error: str | None


class AuditFigures(Answer):
    """Of the last 24 hours; null until an audit has run."""

    expected: Count | None
    present: Count | None
    repaired: Count | None
    unrepairable: Count | None
    unannounced: Count | None


class StoreAnswer(Answer):
    """The store. `schema`: version of its tables."""

    bytes: Count
    schema_: Annotated[int, Field(alias="schema")]


class StatusAnswer(Answer):
    """Everything in figures."""

    sinks: dict[str, SinkAnswer]
    inbox: dict[str, Count | dict[str, Count]]
    sources: dict[str, SourceAnswer]
    notifiers: dict[str, NotifierAnswer]
    audit: AuditFigures
    store: StoreAnswer


class RunAnswer(Answer):
    """An ended workflow."""

    workflow_id: str
    project: str
    workflow: str
    ref: str
    status: str
    stopped_at: Time
    duration_ms: int | None
    revision: str
    pipeline_number: int | None
    url: str


class Acknowledged(Answer):
    """Who has seen an alert."""

    by: str
    at: Time
    comment: str
    verdict: str | None


class AlertAnswer(Answer):
    """An alert instance. `told`: whether anybody was; `waiting`: notifier -> what its last attempt said.

    `format`, `unit`: of value and baseline, as `/api/v1/metrics` has them; null where they are plain counts.
    `first_bad`: id of the first bad run or job, with its end and link where they are known.
    """

    fingerprint: str
    rule: str
    labels: dict[str, str]
    state: Literal["pending", "firing", "recovering", "resolved", "inactive"]
    since: Time
    started_at: Time | None
    evaluated_at: Time | None
    value: _Number
    baseline: _Number
    format: Literal["percentage", "duration", "number", "credits", "score"] | None
    unit: str | None
    n: int | None
    first_bad: str | None
    first_bad_at: Time | None
    first_bad_url: str | None
    flags: list[str]
    told: bool
    receivers: list[str]
    held: dict[str, Any]
    waiting: dict[str, str]
    acknowledged: Acknowledged | None


class AlertLine(Answer):
    """One line of the history of an alert, newest first; what else it has depends on what happened."""

    at: Time


class AuditTally(Answer):
    """What an audit found."""

    expected: Count
    present: Count
    repaired: Count
    unrepairable: Count
    unannounced: Count


class Completeness(AuditTally):
    """A project of a source, over the last 24 hours."""

    source: str
    project: str


class OverviewAnswer(Answer):
    """What the page of delivery shows. `ended`: kind -> our status -> how many; `hints`: what is missing."""

    status: StatusAnswer
    facts: dict[str, Count]
    ended: dict[str, dict[str, Count]]
    unreleased: Count
    level: Literal["ok", "warn", "trim", "pause", "refuse"]
    runs: list[RunAnswer]
    alerts: list[AlertAnswer]
    completeness: list[Completeness]
    hints: list[str]


class _Request(Answer):
    source: str
    id: int | str
    state: str
    since: Time
    until: Time
    orgs: list[str]
    projects: Any
    unmatched: dict[str, str]
    waits_for: str | None


class BackfillAnswer(_Request):
    """A request for history and how far it is. `share`: 0 to 1; `problems_more`: how many are not in `problems`."""

    projects: list[str]
    strategy: str | None
    why: list[str]
    share: float
    calls: Count
    observations: Count
    seconds_left: _Number
    problems: list[str]
    problems_more: Count
    trouble: str | None


class AuditAnswer(_Request):
    """A request for an audit and what came out, by project."""

    projects: dict[str, AuditTally]
    problems: dict[str, str]


class DeadLetterAnswer(Answer):
    """A record that a sink will never take as it is, with the sink's words."""

    id: int
    signal: str
    reason: str
    status: int | None
    answer: str
    attempts: Count
    first_at: Time
    last_at: Time
    requeued: bool
    record_id: str
    kind: str
    project: str
    occurred_at: Time
    record: Any


class DeadDelivery(Answer):
    """A webhook that was set aside. `body`: its first 2000 bytes as text."""

    id: int
    source: str
    arrived_at: Time
    event_type: str
    reason: str
    bytes: Count
    body: str


class SilenceAnswer(Answer):
    """A silence."""

    id: int
    state: Literal["active", "pending", "expired"]
    matchers: list[str]
    starts_at: Time
    ends_at: Time
    author: str
    comment: str


class TrailAnswer(Answer):
    """One thing that somebody did. `action`: a word, or the method of a request; `times`: within a few seconds."""

    id: int
    at: Time
    who: str
    via: str
    peer: str
    action: str
    about: str
    status: int
    times: Count


class ReloadAnswer(Answer):
    """What a reload changed, what takes effect after a restart, and why nothing changed where it did not."""

    ok: bool
    changed: list[str]
    restart: list[str] = []
    problems: list[str]


class BackupAnswer(Answer):
    """Where the copy is."""

    path: str
    bytes: Count


class DeploymentAnswer(Answer):
    """The record of a deployment. `new`: it was not known before."""

    id: str
    new: bool


class SavedReport(Answer):
    """A saved review of the time before `until`."""

    report: str
    file: str
    until: Time
    bytes: Count
