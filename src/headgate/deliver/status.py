"""The figures of one signal, as the engine knows them, and their gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.metrics import Metrics
from headgate.core.storeport import SignalState

__all__ = ["SignalStatus", "tell_figures", "tell_state"]


@dataclass(frozen=True, slots=True)
class SignalStatus:
    """One signal, as `headgate status --json` shows it. `cursor`: of lane live. `waiting`: in all lanes.

    `lag_seconds`: age of the oldest live record that is not settled; 0 when there is none. `next_try_ms`: when the next
    request may go after a failure; None when none is due or one is out. `ahead_until_ms`: nothing goes before, because
    the next record is dated ahead; None when that is not so.
    """

    state: SignalState
    reason: str
    cursor: int
    lag_seconds: float
    waiting: int
    dead: int
    skipped: Mapping[str, int]
    accepted: int
    next_try_ms: int | None = None
    ahead_until_ms: int | None = None


def tell_state(metrics: Metrics, sink: str, signal: str, state: SignalState) -> None:
    """Set the gauge: 1 for the state that a signal is in, 0 for the others."""
    for name in ("ok", "retrying", "open", "held"):
        metrics.set("headgate_sink_state", float(name == state), sink=sink, signal=signal, state=name)


def tell_figures(metrics: Metrics, sink: str, signal: str, status: SignalStatus) -> None:
    """Set every gauge of a signal."""
    metrics.set("headgate_sink_waiting", status.waiting, sink=sink, signal=signal)
    metrics.set("headgate_sink_lag_seconds", status.lag_seconds, sink=sink, signal=signal)
    metrics.set("headgate_sink_dead", status.dead, sink=sink, signal=signal)
    tell_state(metrics, sink, signal, status.state)
