"""What a request to Insights asks for, read and checked.

Invariant: pure in the request and the moment; whatever cannot be answered is `Refused` with the answer to give.
"""

from headgate.testing.circleci.history import History
from headgate.testing.circleci.http import Request, refuse
from headgate.testing.circleci.insight_runs import KEPT_MS
from headgate.testing.circleci.times import DAY, parse

_WINDOWS = {
    "last-24-hours": DAY,
    "last-7-days": 7 * DAY,
    "last-30-days": 30 * DAY,
    "last-60-days": 60 * DAY,
    "last-90-days": KEPT_MS,
}


class Refused(Exception):
    """What is asked for cannot be given; `answer` says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = refuse(status, message)


def window(request: Request) -> int:
    """Give the length of the reporting window in milliseconds; 90 days unless it is named. Raises Refused."""
    name = request.one("reporting-window") or "last-90-days"
    if name not in _WINDOWS:
        raise Refused(400, f"reporting-window must be one of {', '.join(_WINDOWS)}")
    return _WINDOWS[name]


def branch(request: Request, history: History) -> str | None:
    """Give the branch asked for: the default one unless it is named, None for all of them."""
    if request.one("all-branches") == "true":
        return None
    return request.one("branch") or history.project.default_branch


def dates(request: Request, now: int, kept: int) -> tuple[int, int]:
    """Read `start-date` (included) and `end-date` (not), at most 90 days apart, no older than what is kept.

    Raises Refused.
    """
    start, end = _time(request, "start-date"), _time(request, "end-date")
    if end is not None and start is None:
        raise Refused(400, "start-date must be specified if end-date is provided")
    until = now + 1 if end is None else end
    if start is not None and until - 1 - start > KEPT_MS:
        raise Refused(400, "end-date can be at most 90 days after start-date")
    return max(start or 0, now - kept), until


def _time(request: Request, name: str) -> int | None:
    text = request.one(name)
    try:
        return parse(text) if text else None
    except ValueError as exc:
        raise Refused(400, f"{name} must be a date and time") from exc
