"""What the routes about single runs, jobs, tests and records answer, for the OpenAPI document; see `web.answers`."""

from __future__ import annotations

from typing import Any, Literal

from headgate.web.answers import Answer, Count, Time

__all__ = ["ExplainedAnswer", "HistoryJob", "HistoryRun", "OutcomeAnswer", "RuleText", "TailAnswer"]

_Number = float | None


class _HistoryRow(Answer):
    project: str
    workflow: str
    ref: str
    branch_class: Literal[0, 1]
    status: str
    stopped_ms: int
    duration_ms: int | None
    revision: str
    url: str
    credits: _Number
    trigger: str
    workflow_id: str


class HistoryRun(_HistoryRow):
    """An ended workflow; times in milliseconds since the epoch."""

    pipeline_number: int | None
    created_ms: int | None
    hold_ms: int | None
    attempt: int
    rerun_of: str
    credits_estimated: bool


class HistoryJob(_HistoryRow):
    """An ended job; times in milliseconds since the epoch."""

    job_id: str
    job: str
    type: str
    resource_class: str
    executor: str
    parallelism: int | None
    started_ms: int | None
    queue_ms: int | None
    number: int | None


class FieldAnswer(Answer):
    """One field of a fact, and where it came from."""

    value: Any
    source: str
    observed_at: Time
    terminal: bool


class ExplainedAnswer(Answer):
    """All about one workflow, job or record. `path`: signal -> what became of it there."""

    kind: str
    provider_id: str
    project: str
    record_id: str
    released: bool
    due_at: Time | None
    fields: dict[str, FieldAnswer]
    record: Any
    amendments: list[Any]
    lane: str | None
    seq: int | None
    path: dict[str, str]


class Entry(Answer):
    """A record with its place in the log."""

    lane: str
    seq: int
    record: Any


class TailAnswer(Answer):
    """Records, and where the next call goes on, by lane."""

    records: list[Entry]
    after: dict[str, Count]


class OutcomeAnswer(Answer):
    """What came of one test on one commit; times in milliseconds since the epoch."""

    project: str
    test_id: str
    revision: str
    name: str
    suite: str
    class_name: str
    file: str
    passed: Count
    failed: Count
    infra: Count
    jobs: list[str]
    first_ms: int
    last_ms: int
    run_ms: int


class RuleText(Answer):
    """A rule file in force."""

    file: str
    text: str
