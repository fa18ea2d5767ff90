"""Times of the twin: integers of milliseconds since the epoch, and the texts CircleCI writes them as.

Invariant: no function here reads a clock.
"""

import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _at(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def rfc3339_ms(ms: int) -> str:
    """Write milliseconds, as pipelines, v1.1 and webhooks do: `2026-11-20T10:02:10.123Z`."""
    return f"{_at(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def rfc3339_seconds(ms: int) -> str:
    """Write whole seconds, floored, as the v2 lists of workflows and jobs do."""
    return f"{_at(ms):%Y-%m-%dT%H:%M:%S}Z"


def rfc3339_micros(ms: int, micros: int) -> str:
    """Write microseconds, as `happened_at` of webhooks does; `micros` (0 to 999) follow the milliseconds."""
    return f"{_at(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}{micros:03d}Z"


def offset_seconds(ms: int) -> str:
    """Write whole seconds with a numeric zone, as GitLab does: `2022-09-30T21:02:59+00:00`."""
    return f"{_at(ms):%Y-%m-%dT%H:%M:%S}+00:00"


def go_text(ms: int, nanos: int) -> str:
    """Write Go's default time text, as GitHub App pipelines carry it; `nanos` (0 to 999,999) follow."""
    return f"{_at(ms):%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}{nanos:06d} +0000 UTC"


def http_date(ms: int) -> str:
    """Write the `Date` header (RFC 9110, section 5.6.7), in English whatever the locale."""
    at = _at(ms)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day}, {at.day:02d} {months[at.month - 1]} {at.year} {at:%H:%M:%S} GMT"


def csv_time(ms: int) -> str:
    """Write milliseconds without a zone, as the usage export does: `2025-07-02 18:25:46.234`."""
    return f"{_at(ms):%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}"


def csv_date(ms: int) -> str:
    """Write the day, as the usage export does."""
    return f"{_at(ms):%Y-%m-%d}"


def parse(text: str) -> int:
    """Read an RFC 3339 text; one without a zone is UTC. Raises ValueError on anything else."""
    at = datetime.fromisoformat(text)
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def parse_rfc3339(text: object) -> int:
    """Read a full RFC 3339 text, with time and zone. Raises ValueError on anything else."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    return parse(text.upper())


def weekday(day: int) -> int:
    """Say the weekday (0 is Monday) of a day counted from the epoch, which was a Thursday."""
    return (day + 3) % 7
