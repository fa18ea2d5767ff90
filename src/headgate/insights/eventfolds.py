"""Metrics of failing steps and of deployments, with the DORA proxies. Pure.

Invariant: what is not a fact is not guessed: a deployment whose beginning is not known has no lead time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from headgate.core.deployed import Deployed
from headgate.core.runrows import StepFailures
from headgate.core.times import DAY_MS
from headgate.insights.metric import FromDeployments, FromRows, Measured
from headgate.insights.sums import nearest_rank, number, share

__all__ = ["DeploymentFold", "fold_deployments", "of_deployments", "step_failures"]


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


def fold_deployments(
    rows: Iterable[Deployed], spans: Mapping[str, tuple[int, int, int]]
) -> Mapping[tuple[str, str], DeploymentFold]:
    """(project, environment) -> what came of it; coarser groups are merged from these, for nothing crosses them.

    `spans`: project -> from when on what came before counts as known, then begin and end of its window.
    """
    found: dict[tuple[str, str], DeploymentFold] = {}
    for one in rows:
        place, stopped_ms = one.place, one.stopped_ms
        span = spans.get(place[0])
        if span is None or one.repeats_ms >= span[0] or not span[1] <= stopped_ms < span[2]:
            continue
        fold = found.get(place)
        if fold is None:
            fold = found[place] = DeploymentFold()
        if not one.ok:
            fold.failed += 1
            continue
        fold.ok += 1
        if one.lead_ms is not None:
            fold.leads_ms.append(one.lead_ms)
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
