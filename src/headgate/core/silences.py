"""Silences: what somebody decided not to hear of for a while. Data alone; `alerting.silencing` applies them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Silence", "history_name"]


@dataclass(frozen=True, slots=True)
class Silence:
    """`matchers`: as people write them, all must hold. `starts_ms` <= t < `ends_ms`. `id`: 0 until it is stored."""

    id: int
    matchers: tuple[str, ...]
    starts_ms: int
    ends_ms: int
    author: str
    comment: str


def history_name(number: int) -> str:
    """Stands in the alert history where a line about an alert has its fingerprint."""
    return f"silence:{number}"
