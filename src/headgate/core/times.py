"""Reading and writing points in time. Inside Headgate a time is an integer of milliseconds since the epoch.

Whatever a provider writes is read here once; what Headgate writes is RFC 3339, UTC, with milliseconds and `Z`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS", "format_ms", "parse_ms"]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

_GO_TEXT = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? ([+-]\d{2})(\d{2})(?: [A-Z]{2,5})?(?: m=.*)?$")
_PLAIN = (23, 24)  # how long the two usual forms are
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What can be written: from the year 1 to the end of the year 9999.
_FIRST_DAY = (date.min - _EPOCH.date()).days
_LAST_DAY = (date.max - _EPOCH.date()).days
_END_MS = (_LAST_DAY + 1) * DAY_MS


@lru_cache(maxsize=4096)
def _day_ms(day: str) -> int:
    year, month, date = int(day[:4]), int(day[5:7]), int(day[8:10])
    return int((datetime(year, month, date, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000


def parse_ms(text: object) -> int | None:
    """Read a provider's time as milliseconds since the epoch; None where there is none to read.

    Takes RFC 3339 with or without fraction and zone, the `YYYY-MM-DD HH:MM:SS` of the usage export (UTC), and Go's
    default text (`2024-12-18 17:23:29.361740256 +0000 UTC`), which GitHub App pipelines carry. Fractions are cut, not
    rounded, to milliseconds. Blank text, None and unreadable text give None, and so do times before the epoch (Go's
    zero time stands for none) and beyond the year 9999.
    """
    if not isinstance(text, str):
        return None
    # The form of nearly every CircleCI time, 2022-08-27T20:26:31.289Z, and that of the usage export, 2022-08-27
    # 20:26:31.289, without the cost of a full parser.
    if len(text) in _PLAIN and text[10] + text[23:] in ("TZ", " ") and text[19] == ".":
        try:
            day = _day_ms(text[:10])
            hours, minutes, seconds, millis = int(text[11:13]), int(text[14:16]), int(text[17:19]), int(text[20:23])
        except ValueError:
            return None
        if day >= 0 and 0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60 and millis >= 0:
            return day + hours * HOUR_MS + minutes * MINUTE_MS + seconds * 1000 + millis
        return None
    return _parse_any(text.strip())


def _parse_any(text: str) -> int | None:
    if not text:
        return None
    go = _GO_TEXT.match(text)
    if go:
        day, clock, fraction, zone_hours, zone_minutes = go.groups()
        text = f"{day}T{clock}{(fraction or '')[:7]}{zone_hours}:{zone_minutes}"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    delta = parsed - _EPOCH
    ms = (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
    return ms if 0 <= ms < _END_MS else None


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    """Day and time up to the minute, as far as they can be written."""
    day, rest = divmod(minute, DAY_MS // MINUTE_MS)
    known = min(max(day, _FIRST_DAY), _LAST_DAY)
    return f"{(_EPOCH + timedelta(days=known)).date().isoformat()}T{rest // 60:02d}:{rest % 60:02d}:"


def format_ms(ms: int) -> str:
    """Write milliseconds since the epoch as RFC 3339: `2026-11-20T10:02:10.000Z`.

    Never fails: a day beyond the years 1 to 9999, which RFC 3339 cannot write, is written as the nearest that it can.
    """
    minute, rest = divmod(ms, MINUTE_MS)
    return f"{_minute_text(minute)}{rest // 1000:02d}.{rest % 1000:03d}Z"
