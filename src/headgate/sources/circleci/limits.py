"""Reads what an answer's headers say about limits and time. Pure.

Three families are seen: Retry-After (seconds or a date), RateLimit-* and X-RateLimit-*, the last also with -Second,
-Minute, -Hour, -Day. Where they disagree the lower rules. Source: docs/circleci.md, "Authentication, slugs, limits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["RateHint", "date_ms", "rate_hint", "retry_after_seconds"]

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
# A reset beyond this many seconds is taken to be a point in time since the epoch, as some gateways write it.
_EPOCH_LIKE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RateHint:
    """What the server lets us do. `remaining`: calls left in its window; `reset_seconds`: until the window ends.

    `per_second`: the lowest rate that a limit with a known unit comes to. None where nothing was said.
    """

    remaining: float | None = None
    reset_seconds: float | None = None
    per_second: float | None = None


def rate_hint(headers: Mapping[str, str], now_ms: int) -> RateHint:
    """The strictest reading of both families. `headers`: lower-case names."""
    remaining: float | None = None
    reset: float | None = None
    rate: float | None = None
    for prefix in ("ratelimit-", "x-ratelimit-"):
        left = _number(headers.get(f"{prefix}remaining"))
        ends = _reset(headers.get(f"{prefix}reset"), now_ms)
        remaining, reset = _stricter((remaining, reset), (left, ends))
        for unit, seconds in _UNITS.items():
            limit = _number(headers.get(f"{prefix}limit-{unit}"))
            if limit:
                rate = limit / seconds if rate is None else min(rate, limit / seconds)
            left = _number(headers.get(f"{prefix}remaining-{unit}"))
            remaining, reset = _stricter((remaining, reset), (left, ends or float(seconds)))
    return RateHint(remaining, reset, rate)


def _stricter(
    old: tuple[float | None, float | None], new: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """Fewer calls left is stricter; with none left in both, the longer wait."""
    if new[0] is None or (old[0] is not None and (old[0], -(old[1] or 0)) <= (new[0], -(new[1] or 0))):
        return old
    return new


def retry_after_seconds(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Seconds to wait as an answer asks: Retry-After in both its forms, else the reset of a rate limit."""
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        at = date_ms(text)
        # The date is the server's, so is compared with the server's own Date where it sends one.
        seconds = None if at is None else max(0.0, (at - (date_ms(headers.get("date", "")) or now_ms)) / 1000)
    if seconds is not None:
        return seconds
    resets = [_reset(headers.get(f"{prefix}reset"), now_ms) for prefix in ("ratelimit-", "x-ratelimit-")]
    return max((reset for reset in resets if reset), default=None)


def date_ms(text: str) -> int | None:
    """An HTTP date as milliseconds since the epoch; None where it is none."""
    if not text:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """The first number of a header such as `10`, `1.5` or `100, 100;w=10`; None if negative or nothing."""
    try:
        value = float((text or "").split(",")[0].split(";")[0])
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _reset(text: str | None, now_ms: int) -> float | None:
    value = _number(text)
    if value is None or value < _EPOCH_LIKE:
        return value
    return max(0.0, value - now_ms / 1000)
