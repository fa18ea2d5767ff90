"""`rules test`: given runs, the states that rules must be in at given times, and the messages they may send.

The form is described in docs/alerting.md. Invariant: no clock and no store; a test file means the same everywhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headgate.alerting.history import History
from headgate.alerting.load import load_rules, read_spec
from headgate.alerting.replay import labels_of, message_row, play_rules
from headgate.alerting.rules import Rule
from headgate.alerting.spec import Ground
from headgate.alerting.units import Duration, DurationField
from headgate.alerting.view import DetectorFactory
from headgate.alerting.yamlfile import Problem, nearest, parse_yaml
from headgate.core.errors import ConfigError
from headgate.core.runrows import JobRow, RunRow, TestOutcome
from headgate.core.status import OUR_STATUSES
from headgate.core.times import DAY_MS
from headgate.insights.owners import Owners

__all__ = ["RuleTestResult", "test_rules"]

# A Monday, so that tests may speak of days: 2026-01-05T00:00:00Z.
START_MS = 1_767_571_200_000
_OPEN = ("pending", "firing", "recovering")
_SATURDAY = 5
# What a test did on one commit -> passed, failed, failed for the machine's sake.
_OUTCOMES = {"pass": (1, 0, 0), "fail": (0, 1, 0), "flake": (1, 1, 0), "infra": (1, 0, 1)}
_REPEATED = re.compile(r"^([a-z]+)(?:\*(\d+))?$")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Series(_Form):
    """Something that ends at a steady rhythm. Times count from the start of the test, which is a Monday, UTC."""

    project: str
    every: DurationField
    from_: DurationField = Field(default=Duration(0), alias="from")
    until: DurationField
    weekdays: bool = Field(default=False, description="Whether nothing ends on Saturdays and Sundays.")

    def offsets(self) -> Iterator[int]:
        """When each ends, milliseconds from the start."""
        for offset in range(self.from_.ms, self.until.ms, self.every.ms):
            if not self.weekdays or offset // DAY_MS % 7 < _SATURDAY:
                yield offset


class RunsSpec(_Series):
    """A series of runs of one workflow."""

    workflow: str = "build"
    branch: str = "main"
    default: bool = Field(default=True, description="Whether it is the default branch.")
    status: str = Field(default="success", description="Repeated over the series: success*9 failure")
    duration: DurationField = Duration(300_000)
    hold: DurationField = Field(default=Duration(0), description="How much of it was waiting for approval.")
    credits: int | None = Field(default=None, description="Credits of each run.")

    @field_validator("status")
    @classmethod
    def _readable(cls, text: str) -> str:
        _words(text, OUR_STATUSES)
        return text


class JobsSpec(RunsSpec):
    """A series of jobs; runs of their workflow are given apart."""

    job: str
    queue: DurationField | None = Field(default=None, description="How long each waited for a machine.")
    resource_class: str = "medium"


class TestsSpec(_Series):
    """Outcomes of one test, one a commit."""

    __test__ = False

    test: str
    job: str = "test"
    outcome: str = Field(
        default="pass", description="Repeated over the series: pass, fail, flake (both on one commit), infra"
    )

    @field_validator("outcome")
    @classmethod
    def _readable(cls, text: str) -> str:
        _words(text, _OUTCOMES)
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
    runs: list[RunsSpec] = []
    jobs: list[JobsSpec] = []
    tests: list[TestsSpec] = []
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


def test_rules(
    files: Sequence[str | Path],
    *,
    detectors: DetectorFactory,
    ground: Ground,
    owners: Owners,
) -> list[RuleTestResult]:
    """Run every test of the files. Raises ConfigError for test or rule files that cannot be used.

    `ground`, `owners`: of the configuration.
    """
    return asyncio.run(_all(files, detectors, ground, owners))


async def _all(
    files: Sequence[str | Path], detectors: DetectorFactory, ground: Ground, owners: Owners
) -> list[RuleTestResult]:
    results: list[RuleTestResult] = []
    for file in map(Path, files):
        spec = _load(file)
        rules = load_rules(spec.rules, base=file.parent, ground=ground)
        results += [await _run(str(file), case, rules, detectors, owners) for case in spec.tests]
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


async def _run(
    file: str, case: CaseSpec, rules: Sequence[Rule], detectors: DetectorFactory, owners: Owners
) -> RuleTestResult:
    given: list[_Series] = [*case.runs, *case.jobs, *case.tests]
    end_ms = START_MS + max([entry.at.ms for entry in case.expect] + [series.until.ms for series in given], default=0)
    if case.until is not None:
        end_ms = START_MS + case.until.ms
    history = History(
        [run for series in case.runs for run in _runs(series)],
        [job for series in case.jobs for job in _jobs(series)],
        [outcome for series in case.tests for outcome in _outcomes(series)],
    )
    rows: list[dict[str, Any]] = []
    seen: list[tuple[int, str, Mapping[str, str], str]] = []
    played = play_rules(rules, history, START_MS, end_ms, detectors=detectors, owners=owners)
    async for at_ms, rule, group in played:
        labels = labels_of(rule, group, owners)
        seen.append((at_ms, rule.name, labels, str(group.step.alert.state)))
        if group.step.notify:
            rows.append(message_row(rule, group, at_ms, owners))
    known = {rule.name for rule in rules}
    failures = [text for entry in case.expect for text in _unmet(entry, seen, known)]
    failures += _miscounted(case, rows)
    return RuleTestResult(file, case.name, tuple(failures), tuple(sorted(rows, key=lambda row: str(row["at"]))))


def _runs(series: RunsSpec) -> Iterator[RunRow]:
    statuses = _words(series.status, OUR_STATUSES)
    for index, offset in enumerate(series.offsets()):
        stopped_ms = START_MS + offset
        yield RunRow(
            workflow_id=f"{series.project}/{series.workflow}/{series.branch}#{offset}",
            project=series.project,
            workflow=series.workflow,
            ref=series.branch,
            branch_class=int(series.default),
            status=statuses[index % len(statuses)],
            stopped_ms=stopped_ms,
            duration_ms=series.duration.ms,
            revision=f"{index:040x}",
            pipeline_number=index + 1,
            url="",
            created_ms=stopped_ms - series.duration.ms,
            hold_ms=series.hold.ms,
            credits=series.credits,
        )


def _jobs(series: JobsSpec) -> Iterator[JobRow]:
    statuses = _words(series.status, OUR_STATUSES)
    for index, offset in enumerate(series.offsets()):
        stopped_ms = START_MS + offset
        yield JobRow(
            job_id=f"{series.project}/{series.workflow}/{series.job}#{offset}",
            workflow_id=f"{series.project}/{series.workflow}/{series.branch}#{offset}",
            project=series.project,
            workflow=series.workflow,
            job=series.job,
            ref=series.branch,
            branch_class=int(series.default),
            status=statuses[index % len(statuses)],
            type="build",
            resource_class=series.resource_class,
            executor="docker",
            parallelism=None,
            started_ms=stopped_ms - series.duration.ms,
            stopped_ms=stopped_ms,
            duration_ms=series.duration.ms,
            queue_ms=series.queue.ms if series.queue is not None else None,
            credits=series.credits,
            revision=f"{index:040x}",
            number=index + 1,
            url="",
            trigger="",
        )


def _outcomes(series: TestsSpec) -> Iterator[TestOutcome]:
    words = _words(series.outcome, _OUTCOMES)
    for index, offset in enumerate(series.offsets()):
        passed, failed, infra = _OUTCOMES[words[index % len(words)]]
        yield TestOutcome(
            project=series.project,
            test_id=series.test,
            revision=f"{index:040x}",
            name=series.test,
            suite="",
            class_name="",
            file="",
            passed=passed,
            failed=failed,
            infra=infra,
            jobs=(series.job,),
            first_ms=START_MS + offset,
            last_ms=START_MS + offset,
            run_ms=1000,
        )


def _words(text: str, known: Collection[str]) -> list[str]:
    """`success*9 failure` as ten words. Raises ValueError."""
    found: list[str] = []
    for part in text.split():
        form = _REPEATED.match(part)
        word = form.group(1) if form else part
        if form is None or word not in known:
            raise ValueError(f"{part!r} is not a status{nearest(word, known)}")
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
