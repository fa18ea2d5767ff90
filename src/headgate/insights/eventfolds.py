"""Metrics of failing steps and of deployments, with the DORA proxies. Pure.

Invariant: what is not a fact is not guessed: a deployment whose beginning is not known has no lead time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from headgate.core.runrows import DeploymentRow, StepFailures
from headgate.core.times import DAY_MS
from headgate.insights.metric import FromRows, Measured, Rows
from headgate.insights.sums import nearest_rank, number, share

__all__ = ["Deployed", "DeploymentFold", "fold_deployments", "of_deployments", "step_failures"]


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


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment, and when work on its commit began as far as known: creation of the commit's first workflow."""

    row: DeploymentRow
    begun_ms: int | None = None

    @property
    def project(self) -> str:
        """Project slug."""
        return self.row.project

    @property
    def stopped_ms(self) -> int:
        """When it ended."""
        return self.row.stopped_ms

    @property
    def environment(self) -> str:
        """Where it went."""
        return self.row.environment


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
    _down: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _last: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)

    def add(self, deployed: Deployed, *, inside: bool) -> None:
        """One deployment."""
        row = deployed.row
        key, end = (row.project, row.name, row.environment), (row.revision, row.status)
        if row.status not in ("failed", "succeeded") or (row.revision and self._last.get(key) == end):
            return
        self._last[key] = end
        if row.status == "failed":
            self.failed += inside
            self._down.setdefault(key, row.stopped_ms)
            return
        since_ms = self._down.pop(key, None)
        if inside:
            self._succeed(deployed, since_ms)

    def merge(self, other: DeploymentFold) -> None:
        """Those of another project or environment."""
        self.ok += other.ok
        self.failed += other.failed
        self.recoveries += other.recoveries
        self.down_ms += other.down_ms
        self.leads_ms += other.leads_ms

    def _succeed(self, deployed: Deployed, down_since_ms: int | None) -> None:
        self.ok += 1
        if deployed.begun_ms is not None:
            self.leads_ms.append(max(0, deployed.row.stopped_ms - deployed.begun_ms))
        if down_since_ms is not None:
            self.recoveries += 1
            self.down_ms += deployed.row.stopped_ms - down_since_ms


def fold_deployments(rows: Iterable[tuple[Deployed, bool]]) -> Mapping[tuple[str, str], DeploymentFold]:
    """(project, environment) -> what came of it; coarser groups are merged from these, for nothing crosses them."""
    found: dict[tuple[str, str], DeploymentFold] = {}
    for row, inside in rows:
        key = (row.row.project, row.row.environment)
        fold = found.get(key)
        if fold is None:
            fold = found[key] = DeploymentFold()
        fold.add(row, inside=inside)
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


def of_deployments(what: str) -> FromRows:
    """count, failed, frequency, lead_time, failure_rate or recovery_time."""
    rows: Rows = "leads" if what == "lead_time" else "deployments"
    return FromRows(rows, DeploymentFold, _DEPLOYMENTS[what], context=True)
