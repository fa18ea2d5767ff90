"""What a far side's answer means for the records that were sent. One reading for every sink and notifier.

The eight classes come from the notes on sinks (docs/sinks/verdicts.md); a sink never invents its own reading of a
status, it only narrows the table where its vendor documents something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable

__all__ = [
    "MAX_RETRY_AFTER_SECONDS",
    "Reject",
    "SendResult",
    "Verdict",
    "classify",
    "raise_for",
    "retry_after_seconds",
]

# A far side may not park us for longer than this; after it we ask again.
MAX_RETRY_AFTER_SECONDS = 3600.0
# Characters of the far side's words that a dead letter keeps.
_WORDS = 2000


class Verdict(Enum):
    """Class of one answer."""

    OK = "ok"
    OK_ASYNC = "ok_async"
    PARTIAL = "partial"
    RETRY = "retry"
    SPLIT = "split"
    AUTH = "auth"
    DROP = "drop"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that the far side will never take. `answer`: its words, at most 2 kB are kept."""

    reason: str
    status: int | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Outcome of one batch by index into it; every index that is not named was accepted.

    `retry`: send again later. `retry_after`: seconds the far side asked for, None where it did not say. `unnamed`: of
    the accepted ones, how many the far side says that it refused for good without saying which; they are counted as
    skipped. `words`: what it said about them.
    """

    rejected: Mapping[int, Reject] = field(default_factory=dict)
    retry: frozenset[int] = frozenset()
    retry_after: float | None = None
    unnamed: int = 0
    words: str = ""


_BY_STATUS: dict[int, Verdict] = {
    400: Verdict.DROP,
    401: Verdict.AUTH,
    403: Verdict.AUTH,
    404: Verdict.CONFIG,
    405: Verdict.CONFIG,
    406: Verdict.CONFIG,
    408: Verdict.RETRY,
    411: Verdict.CONFIG,
    413: Verdict.SPLIT,
    414: Verdict.CONFIG,
    415: Verdict.CONFIG,
    422: Verdict.DROP,
    425: Verdict.RETRY,
    429: Verdict.RETRY,
    431: Verdict.CONFIG,
}


def classify(status: int, special: Mapping[int, Verdict] | None = None) -> Verdict:
    """The class of a bare status. Anything nobody foresaw is RETRY: warned about, never dropped.

    `special`: what this vendor documents differently. A redirect is CONFIG: it is not success and nobody follows it.
    """
    if special and status in special:
        return special[status]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in (200, 201, 202, 204):
        return Verdict.OK
    if 300 <= status < 400:
        return Verdict.CONFIG
    return Verdict.RETRY


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds that `Retry-After` asks for, in either form (RFC 9110 section 10.2.3); None where there is none.

    Header names are lower case. Bounded to an hour; a date in the past is 0; unreadable is None. The date form is
    judged against the answer's own `Date` header, so a wrong clock here does not matter; `now` stands in for it.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        until = parsedate_to_datetime(text)
        base = parsedate_to_datetime(headers["date"]) if "date" in headers else now
    except (TypeError, ValueError):
        return None
    if base is None:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(0.0, (until - base).total_seconds()), MAX_RETRY_AFTER_SECONDS)


def raise_for(verdict: Verdict, status: int, text: str, *, retry_after: float | None = None, fix: str = "") -> None:
    """Raise what a whole-request verdict means; return for OK, OK_ASYNC and PARTIAL.

    `text`: the far side's words, already without secrets; cut to 500 characters here, and to 2000 for a dead letter.
    """
    message = f"answered {status}: {text[:500]}" if text else f"answered {status}"
    match verdict:
        case Verdict.RETRY:
            raise SinkUnavailable(message, retry_after=retry_after)
        case Verdict.SPLIT:
            raise BatchRejected(message, status=status, reason="too_large", words=text[:_WORDS])
        case Verdict.DROP:
            raise BatchRejected(message, status=status, reason="refused", words=text[:_WORDS])
        case Verdict.AUTH:
            raise SinkRefused(message, reason="auth", fix=fix or "check the key and its rights")
        case Verdict.CONFIG:
            raise SinkRefused(message, reason="config", fix=fix or "check the address and the product behind it")
        case Verdict.OK | Verdict.OK_ASYNC | Verdict.PARTIAL:
            return
