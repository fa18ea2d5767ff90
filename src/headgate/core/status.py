"""CircleCI's status words and ours. One table, total over strings: an unknown word is `unknown`, never an error.

Source: CircleCI API v2 reference and the notes in docs/names.md; values seen in captured payloads are included.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["FAILED", "OUR_STATUSES", "Status", "is_terminal", "map_status", "words_of"]

Status = Literal[
    "success",
    "failure",
    "error",
    "timeout",
    "canceled",
    "skipped",
    "blocked",
    "running",
    "queued",
    "on_hold",
    "unknown",
]
OUR_STATUSES: tuple[Status, ...] = get_args(Status)
# What counts as having failed; `error` is a failure of the infrastructure.
FAILED: tuple[Status, ...] = ("failure", "error", "timeout")

# Their word -> (ours, may it still change?). `retried` is an attempt that failed and was repeated by CircleCI itself.
_TABLE: dict[str, tuple[Status, bool]] = {
    "success": ("success", True),
    "fixed": ("success", True),
    "failed": ("failure", True),
    "retried": ("failure", True),
    "error": ("error", True),
    "errored": ("error", True),
    "infrastructure_fail": ("error", True),
    "unauthorized": ("error", True),
    "timedout": ("timeout", True),
    "canceled": ("canceled", True),
    "cancelled": ("canceled", True),
    "not_run": ("skipped", True),
    "skipped": ("skipped", True),
    "no_tests": ("skipped", True),
    "terminated-unknown": ("unknown", True),
    "blocked": ("blocked", False),
    "running": ("running", False),
    "failing": ("running", False),
    "queued": ("queued", False),
    "not_running": ("queued", False),
    "scheduled": ("queued", False),
    "on_hold": ("on_hold", False),
}


def map_status(theirs: str) -> Status:
    """Our word for CircleCI's."""
    known = _TABLE.get(theirs)
    return known[0] if known else "unknown"


def words_of(ours: str) -> tuple[str, ...]:
    """CircleCI's words that mean ours. `unknown` is more than these: every word that is nowhere here."""
    return tuple(theirs for theirs, (word, _) in _TABLE.items() if word == ours)


def is_terminal(theirs: str | None, *, stopped: bool) -> bool:
    """Whether an entity with this status can still change. An unknown word counts as final once there is an end."""
    if not theirs:
        return False
    known = _TABLE.get(theirs)
    return known[1] if known else stopped
