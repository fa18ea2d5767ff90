"""The figures of one signal, as the engine knows them. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.storeport import SignalState

__all__ = ["SignalStatus"]


@dataclass(frozen=True, slots=True)
class SignalStatus:
    """One signal, as `headgate status --json` shows it. `cursor`: of lane live. `waiting`: in all lanes.

    `lag_seconds`: age of the oldest live record that is not settled; 0 when there is none.
    """

    state: SignalState
    reason: str
    cursor: int
    lag_seconds: float
    waiting: int
    dead: int
    skipped: Mapping[str, int]
    accepted: int
