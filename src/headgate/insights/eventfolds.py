"""Metrics of failing steps and of deployments, with the DORA proxies. Pure.

Invariant: what is not a fact is not guessed: a deployment whose beginning is not known has no lead time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from headgate.core.runrows import DeploymentEnd, StepFailures
from headgate.core.times import DAY_MS
from headgate.insights.metric import FromDeployments, FromRows, Measured
from headgate.insights.sums import nearest_rank, number, share

__all__ = ["Deployed", "DeploymentFold", "fold_deployments", "of_deployments", "placed", "step_failures"]


@dataclass(slots=True)
class _Steps:
    """Failures of steps."""

    n: int = 0

    def add(self, step: StepFailures, *, inside: bool) -> None:
        """One step of one job."""
        self.n += step.n * inside


def step_failures() -> FromRows:
    """How often steps failed."""
    return FromRows("steps", _Steps, lambda seen, _span: number(seen.n, seen.n))


class Deployed(msgspec.Struct, frozen=True, gc=False):
    """One deployment that succeeded or failed, beside those of its name and environment before it; see `placed`.

    `repeats_ms`: end of the one before where that ended the same with the same commit, else before all times.
    `lead_ms`: since work on its commit began, None where that is not known. `down_ms`: of a success, ends of the
    failures since the success before it, oldest first.
    """

    stopped_ms: int
    project: str
    environment: str
    ok: bool
    repeats_ms: int
    lead_ms: int | None
    down_ms: Sequence[int]


@dataclass(slots=True)
class DeploymentFold:
    """Deployments and their failures; failures are recovered from by the next success of that name there.

    The same end of the same commit, with no other of that name there in between, is a rerun and counts once.
    """

    ok: int = 0
    failed: int = 0
    recoveries: int = 0
    down_ms: int = 0
    leads_ms: list[int] = field(default_factory=list)

    def merge(self, other: DeploymentFold) -> None:
        """Those of another project or environment."""
        self.ok += other.ok
        self.failed += other.failed
        self.recoveries += other.recoveries
        self.down_ms += other.down_ms
        self.leads_ms += other.leads_ms


_NO_FAILURES: Sequence[int] = ()
_NEVER = -(1 << 62)


def placed(rows: Iterable[DeploymentEnd]) -> list[Deployed]:
    """Deployments in the order of their end -> those that succeeded or failed, each with what came before it."""
    found: list[Deployed] = []
    last: dict[tuple[str, ...], tuple[int, str, bool]] = {}
    down: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        ok, repeats_ms, failures = row.status == "succeeded", _NEVER, _NO_FAILURES
        if not ok and row.status != "failed":
            continue
        stopped_ms, revision, begun_ms = row.stopped_ms, row.revision, row.begun_ms
        key = (row.project, row.environment, row.name)
        before = last.get(key)
        if before is not None and revision and before[1] == revision and before[2] is ok:
            repeats_ms = before[0]
        last[key] = (stopped_ms, revision, ok)
        if not ok:
            down.setdefault(key, []).append(stopped_ms)
        elif key in down:
            failures = down.pop(key)
        lead_ms = None if begun_ms is None else stopped_ms - begun_ms if stopped_ms > begun_ms else 0
        found.append(Deployed(stopped_ms, row.project, row.environment, ok, repeats_ms, lead_ms, failures))
    return found


def fold_deployments(
    rows: Iterable[Deployed], spans: Mapping[str, tuple[int, int, int]]
) -> Mapping[tuple[str, str], DeploymentFold]:
    """(project, environment) -> what came of it; coarser groups are merged from these, for nothing crosses them.

    `spans`: project -> from when on what came before counts as known, then begin and end of its window. For lead times
    nothing before the window does.
    """
    found: dict[tuple[str, str], DeploymentFold] = {}
    for one in rows:
        span, stopped_ms = spans.get(one.project), one.stopped_ms
        if span is None or one.repeats_ms >= span[1] or not span[1] <= stopped_ms < span[2]:
            continue
        fold = found.get((one.project, one.environment))
        if fold is None:
            fold = found[one.project, one.environment] = DeploymentFold()
        if one.ok and one.lead_ms is not None:
            fold.leads_ms.append(one.lead_ms)
        if one.repeats_ms >= span[0]:
            continue
        if not one.ok:
            fold.failed += 1
            continue
        fold.ok += 1
        since_ms = next((at for at in one.down_ms if at >= span[0]), None) if one.down_ms else None
        if since_ms is not None:
            fold.recoveries += 1
            fold.down_ms += stopped_ms - since_ms
    return found


def _lead_time(seen: DeploymentFold, _span_ms: int) -> Measured:
    leads = seen.leads_ms
    return Measured(nearest_rank(leads, 0.5) / 1000 if leads else None, len(leads))


_DEPLOYMENTS: dict[str, Callable[[DeploymentFold, int], Measured]] = {
    "count": lambda seen, _: number(seen.ok, seen.ok + seen.failed),
    "failed": lambda seen, _: number(seen.failed, seen.ok + seen.failed),
    "frequency": lambda seen, span_ms: number(seen.ok * DAY_MS / span_ms, seen.ok + seen.failed),
    "lead_time": _lead_time,
    "failure_rate": lambda seen, _: share(seen.failed, seen.ok + seen.failed),
    "recovery_time": lambda seen, _: number(seen.down_ms / max(1, seen.recoveries) / 1000, seen.recoveries),
}


def of_deployments(what: str) -> FromDeployments:
    """count, failed, frequency, lead_time, failure_rate or recovery_time."""
    return FromDeployments(_DEPLOYMENTS[what], begun=what == "lead_time")
