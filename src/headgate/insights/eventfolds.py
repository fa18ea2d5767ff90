"""Metrics of failing steps and of deployments, with the DORA proxies. Pure.

Invariant: what is not a fact is not guessed: a deployment whose beginning is not known has no lead time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from headgate.core.runrows import DeploymentRow, StepFailures
from headgate.core.times import DAY_MS
from headgate.insights.metric import FromRows, Measured, Rows
from headgate.insights.sums import nearest_rank, number, share

__all__ = ["Deployed", "of_deployments", "step_failures"]


@dataclass(slots=True)
class _Steps:
    """Failures of steps."""

    n: int = 0

    def add(self, step: StepFailures, *, inside: bool) -> None:
        """One step of one job."""
        self.n += step.n * inside

    def measured(self) -> Measured | None:
        """How often they failed."""
        return number(self.n, self.n) if self.n else None


def step_failures() -> FromRows:
    """How often steps failed."""
    return FromRows("steps", lambda _span: _Steps())


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
    def environment(self) -> str:
        """Where it went."""
        return self.row.environment


@dataclass(slots=True)
class _Deployments:
    """Deployments and their failures; failures are recovered from by the next success of that name there."""

    read: Callable[[_Deployments], Measured]
    span_ms: int
    ok: int = 0
    failed: int = 0
    recoveries: int = 0
    down_ms: int = 0
    leads_ms: list[int] = field(default_factory=list)
    _down: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, deployed: Deployed, *, inside: bool) -> None:
        """One deployment."""
        row = deployed.row
        key = (row.project, row.name, row.environment)
        if row.status == "failed":
            self.failed += inside
            self._down.setdefault(key, row.stopped_ms)
        elif row.status == "succeeded":
            since_ms = self._down.pop(key, None)
            if inside:
                self._succeed(deployed, since_ms)

    def _succeed(self, deployed: Deployed, down_since_ms: int | None) -> None:
        self.ok += 1
        if deployed.begun_ms is not None:
            self.leads_ms.append(max(0, deployed.row.stopped_ms - deployed.begun_ms))
        if down_since_ms is not None:
            self.recoveries += 1
            self.down_ms += deployed.row.stopped_ms - down_since_ms

    def measured(self) -> Measured | None:
        """What was asked for."""
        return self.read(self) if self.ok + self.failed else None


def _lead_time(seen: _Deployments) -> Measured:
    leads = seen.leads_ms
    return Measured(nearest_rank(leads, 0.5) / 1000 if leads else None, len(leads))


_DEPLOYMENTS: dict[str, Callable[[_Deployments], Measured]] = {
    "count": lambda seen: number(seen.ok, seen.ok + seen.failed),
    "frequency": lambda seen: number(seen.ok * DAY_MS / seen.span_ms, seen.ok + seen.failed),
    "lead_time": _lead_time,
    "failure_rate": lambda seen: share(seen.failed, seen.ok + seen.failed),
    "recovery_time": lambda seen: number(seen.down_ms / max(1, seen.recoveries) / 1000, seen.recoveries),
}


def of_deployments(what: str) -> FromRows:
    """count, frequency, lead_time, failure_rate or recovery_time."""
    rows: Rows = "leads" if what == "lead_time" else "deployments"
    return FromRows(rows, lambda span: _Deployments(_DEPLOYMENTS[what], span), context=True)
