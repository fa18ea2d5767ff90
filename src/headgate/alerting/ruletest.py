"""`rules test`: given runs, the states that rules must be in at given times, and the messages they may send.

The form is described in docs/alerting.md. Invariant: no clock and no store; a test file means the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headgate.alerting.load import load_rules, read_spec
from headgate.alerting.replay import message_row, play_rule
from headgate.alerting.rules import Rule
from headgate.alerting.units import Duration, DurationField
from headgate.alerting.yamlfile import Problem, nearest, parse_yaml
from headgate.core.errors import ConfigError
from headgate.core.status import OUR_STATUSES
from headgate.core.storeport import RunRow
from headgate.insights.catalogue import DEFAULT_BRANCH_CLASS

__all__ = ["RuleTestResult", "test_rules"]

# A Monday, so that tests may speak of days: 2026-01-05T00:00:00Z.
START_MS = 1_767_571_200_000
_OPEN = ("pending", "firing", "recovering")
_REPEATED = re.compile(r"^([a-z]+)(?:\*(\d+))?$")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RunsSpec(_Form):
    """A series of runs at a steady rhythm. Times count from the start of the test."""

    project: str
    workflow: str = "build"
    branch: str = "main"
    default: bool = Field(default=True, description="Whether it is the default branch.")
    every: DurationField
    from_: DurationField = Field(default=Duration(0), alias="from")
    until: DurationField
    status: str = Field(default="success", description="Repeated over the series: success*9 failure")
    duration: DurationField = Duration(300_000)

    @field_validator("status")
    @classmethod
    def _readable(cls, text: str) -> str:
        _statuses(text)
        return text


class ExpectSpec(_Form):
    """What must be so at a time. `inactive`: no matching alert is open."""

    at: DurationField
    rule: str
    labels: dict[str, str] = {}
    state: Literal["inactive", "pending", "firing", "recovering", "resolved"]


class CaseSpec(_Form):
    """One test."""

    name: str
    runs: list[RunsSpec] = Field(min_length=1)
    until: DurationField | None = None
    expect: list[ExpectSpec] = []
    messages: dict[Literal["firing", "resolved"], int] | None = None


class RuleTestFile(_Form):
    """A file of tests. `rules`: globs relative to it; without them the shipped rules."""

    version: Literal[1]
    rules: list[str] = []
    tests: list[CaseSpec] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class RuleTestResult:
    """One test: `failures` is empty when it passed. `rows`: the messages, as `rules test --json` prints them."""

    file: str
    name: str
    failures: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]


def test_rules(files: Sequence[str | Path]) -> list[RuleTestResult]:
    """Run every test of the files. Raises ConfigError for test or rule files that cannot be used."""
    results: list[RuleTestResult] = []
    for file in map(Path, files):
        spec = _load(file)
        rules = load_rules(spec.rules, base=file.parent)
        results += [_run(str(file), case, rules) for case in spec.tests]
    return results


def _load(file: Path) -> RuleTestFile:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    problems: list[Problem]
    document, problems = parse_yaml(str(file), text)
    spec = read_spec(document, RuleTestFile, problems) if document else None
    if spec is None:
        raise ConfigError(*map(str, problems))
    return spec


def _run(file: str, case: CaseSpec, rules: Sequence[Rule]) -> RuleTestResult:
    runs = sorted((run for series in case.runs for run in _runs(series)), key=lambda run: run.stopped_ms)
    end_ms = START_MS + max([entry.at.ms for entry in case.expect] + [series.until.ms for series in case.runs])
    if case.until is not None:
        end_ms = START_MS + case.until.ms
    rows: list[dict[str, Any]] = []
    history: list[tuple[int, str, Mapping[str, str], str]] = []
    for rule in rules:
        for at_ms, group in play_rule(rule, runs, START_MS, end_ms):
            labels = {**rule.labels, **group.labels}
            history.append((at_ms, rule.name, labels, str(group.step.alert.state)))
            if group.step.notify:
                rows.append(message_row(rule, group, at_ms))
    known = {rule.name for rule in rules}
    failures = [text for entry in case.expect for text in _unmet(entry, history, known)]
    failures += _miscounted(case, rows)
    return RuleTestResult(file, case.name, tuple(failures), tuple(sorted(rows, key=lambda row: str(row["at"]))))


def _runs(series: RunsSpec) -> Iterator[RunRow]:
    statuses = _statuses(series.status)
    for index, offset in enumerate(range(series.from_.ms, series.until.ms, series.every.ms)):
        yield RunRow(
            workflow_id=f"{series.project}/{series.workflow}/{series.branch}#{offset}",
            project=series.project,
            workflow=series.workflow,
            ref=series.branch,
            branch_class=DEFAULT_BRANCH_CLASS if series.default else 0,
            status=statuses[index % len(statuses)],
            stopped_ms=START_MS + offset,
            duration_ms=series.duration.ms,
            revision=f"{index:040x}",
            pipeline_number=index + 1,
            url="",
        )


def _statuses(text: str) -> list[str]:
    """`success*9 failure` as ten words. Raises ValueError."""
    found: list[str] = []
    for part in text.split():
        form = _REPEATED.match(part)
        word = form.group(1) if form else part
        if form is None or word not in OUR_STATUSES:
            raise ValueError(f"{part!r} is not a status{nearest(word, OUR_STATUSES)}")
        found += [word] * int(form.group(2) or 1)
    if not found:
        raise ValueError("names no status")
    return found


def _unmet(
    entry: ExpectSpec, history: Sequence[tuple[int, str, Mapping[str, str], str]], known: set[str]
) -> Iterator[str]:
    if entry.rule not in known:
        yield f"no rule is called {entry.rule!r}{nearest(entry.rule, known)}"
        return
    states: dict[str, str] = {}
    for at_ms, rule, labels, state in history:
        if at_ms <= START_MS + entry.at.ms and rule == entry.rule and entry.labels.items() <= labels.items():
            states[str(sorted(labels.items()))] = state
    met = not set(_OPEN) & set(states.values()) if entry.state == "inactive" else entry.state in states.values()
    if not met:
        found = ", ".join(sorted(set(states.values()))) or "inactive"
        yield f"at {entry.at.ms // 60_000} min {entry.rule} {dict(entry.labels)} is {found}, not {entry.state}"


def _miscounted(case: CaseSpec, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for state, wanted in (case.messages or {}).items():
        found = sum(row["state"] == state for row in rows)
        if found != wanted:
            yield f"{found} {state} messages, not {wanted}"
