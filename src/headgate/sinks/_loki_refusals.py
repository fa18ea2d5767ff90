"""Which lines a Loki's 400 is about. Pure.

Loki drops the bad lines of a push, stores the good ones and still answers 400 with text. The text names a time bound or
a length, not positions, and equal refusals may be folded into `N errors like: ...`. Invariant: an index is only given
when the text accounts for every refusal in it and the lines found are exactly as many; otherwise None, and the caller
bisects. Source: grafana/loki `pkg/validation`, `pkg/distributor`, `pkg/ingester`, read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from headgate.core.ports import LogEntry
from headgate.core.times import parse_ms
from headgate.core.verdicts import Reject

__all__ = ["reason_of", "refused_lines"]

_COUNT = r"(?:(?P<count>\d+) errors like: )?"
# A stream's labels may hold anything, but never run on into the next clause.
_STREAM = r"stream '(?:(?! has timestamp | bytes exceeded ).)*?'"
_OLD = re.compile(
    _COUNT + rf"entry for {_STREAM} has timestamp too old: [^\s;]+, oldest acceptable timestamp is: (?P<bound>[^\s;]+)"
)
_NEW = re.compile(_COUNT + rf"entry for {_STREAM} has timestamp too new: (?P<bound>[^\s;]+)")
_LONG = re.compile(
    _COUNT
    + rf"max entry size '(?P<bound>\d+)' bytes exceeded for {_STREAM} while adding an entry with length '\d+' bytes"
)
# What a 400 about single lines says, and our word for it. Ingesters name only the last stream, so these are bisected.
_REASONS = (
    ("entry too far behind", "too_far_behind"),
    ("has timestamp too old", "too_old"),
    ("has timestamp too new", "too_new"),
    ("max entry size", "too_long"),
    ("total ignored:", "ignored"),
)
_Judge = Callable[[LogEntry], bool]


def reason_of(text: str) -> str | None:
    """The fixed word for a 400 that is about single lines; None for any other 400."""
    return next((reason for words, reason in _REASONS if words in text), None)


def refused_lines(text: str, batch: Sequence[LogEntry]) -> dict[int, Reject] | None:
    """Positions of the refused entries, or None when the text does not identify them exactly."""
    rest = text
    claimed = 0
    judges: list[tuple[str, _Judge]] = []
    for pattern, reason, make in ((_OLD, "too_old", _older), (_NEW, "too_new", _newer), (_LONG, "too_long", _longer)):
        found = list(pattern.finditer(rest))
        if not found:
            continue
        rest = pattern.sub("", rest)
        claimed += sum(int(match["count"] or 1) for match in found)
        judge = make([match["bound"] for match in found])
        if judge is None:
            return None
        judges.append((reason, judge))
    if rest.strip("; \n") or not judges:
        return None
    refused = {
        index: Reject(reason, 400, text[:2000])
        for index, entry in enumerate(batch)
        for reason, judge in reversed(judges)
        if judge(entry)
    }
    return refused if len(refused) == claimed else None


def _times(bounds: list[str]) -> list[int] | None:
    times = [time for time in map(parse_ms, bounds) if time is not None]
    return times if len(times) == len(bounds) else None


def _older(bounds: list[str]) -> _Judge | None:
    times = _times(bounds)
    return None if times is None else lambda entry: entry.occurred_ms < max(times)


def _newer(bounds: list[str]) -> _Judge | None:
    times = _times(bounds)
    return None if times is None else lambda entry: entry.occurred_ms >= min(times)


def _longer(bounds: list[str]) -> _Judge | None:
    limit = min(map(int, bounds))
    return lambda entry: len(entry.body) > limit
