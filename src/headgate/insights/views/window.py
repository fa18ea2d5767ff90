"""The time that a page is about: how it is written, what came before it, and the steps of its charts. Pure.

Invariant: a window is half open and not empty; the steps of a window cover it whole, in order, and meet at UTC hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS, format_ms, parse_ms
from headgate.insights.views.refusal import Refused
from headgate.plugins.config import parse_duration

__all__ = [
    "DEFAULT_WINDOW",
    "LONGEST_MS",
    "LONGEST_WINDOW",
    "STEP_NAMES",
    "StepName",
    "Window",
    "read_length",
    "read_step",
    "read_window",
    "slots",
]

DEFAULT_WINDOW = "7d"
StepName = Literal["1h", "1d", "7d"]
STEP_NAMES: tuple[StepName, ...] = get_args(StepName)
# 1970-01-01 was a Thursday; weeks begin on Mondays.
_STEPS: Mapping[StepName, tuple[int, int]] = {"1h": (HOUR_MS, 0), "1d": (DAY_MS, 0), "7d": (7 * DAY_MS, 4 * DAY_MS)}
_LONGEST_DAYS = 1100
LONGEST_MS = _LONGEST_DAYS * DAY_MS
LONGEST_WINDOW = f"{_LONGEST_DAYS}d"
MOST_SLOTS = 400
_FORMS = ("2h", "7d", "now", "2026-11-20", "2026-11-20T10:00:00Z")


@dataclass(frozen=True, slots=True)
class Window:
    """`since_ms` <= t < `until_ms`.

    `words`: how it was asked for, the same whenever that is asked again; empty where nobody wrote it.
    """

    since_ms: int
    until_ms: int
    words: tuple[str, ...] = field(default=(), compare=False)

    @property
    def asked(self) -> tuple[str, ...]:
        """What tells questions about windows apart: a week up to now is one question, whenever it is asked."""
        return self.words or (str(self.since_ms), str(self.until_ms))

    @property
    def span_ms(self) -> int:
        """Length, milliseconds."""
        return self.until_ms - self.since_ms

    @property
    def previous(self) -> Window:
        """The window before, exactly as long."""
        return Window(max(0, self.since_ms - self.span_ms), self.since_ms)

    @property
    def since(self) -> str:
        """Begin as text."""
        return format_ms(self.since_ms)

    @property
    def until(self) -> str:
        """End as text, exclusive."""
        return format_ms(self.until_ms)

    def bounds(self, projects: Iterable[str]) -> Bounds:
        """The window for each of these projects."""
        return dict.fromkeys(projects, (self.since_ms, self.until_ms))


def read_window(since: str | None, until: str | None, window: str | None, *, now_ms: int) -> Window:
    """A window as people write it; `window` is its length where `since` is not given, a week where neither is.

    An end that is not given is the end of this minute, and a begin that follows from a length is rounded down to the
    hour: so answers change only when something ended, and are read from whole hours. Raises Refused.
    """
    until_ms = _moment(until, "until", now_ms) if until else (now_ms // MINUTE_MS + 1) * MINUTE_MS
    if since and window:
        raise Refused("bad-parameter", "give since or window, not both", parameter="window", valid=("since", "window"))
    if since:
        since_ms = _moment(since, "since", now_ms)
    else:
        since_ms = max(0, (until_ms - read_length(window or DEFAULT_WINDOW)) // HOUR_MS * HOUR_MS)
    if until_ms == 0:
        raise Refused("reversed-range", f"nothing is before {format_ms(0)}", parameter="until", valid=("until=now",))
    if since_ms >= until_ms:
        raise Refused(
            "reversed-range",
            f"since ({format_ms(since_ms)}) must be before until ({format_ms(until_ms)})",
            parameter="since",
            valid=(f"since={format_ms(until_ms - 7 * DAY_MS)}" if until_ms > 7 * DAY_MS else "since=1970-01-01",),
        )
    # As much more as the begin was rounded.
    if until_ms - since_ms >= LONGEST_MS + HOUR_MS:
        raise Refused(
            "bad-time", "the range is longer than 1100 days", parameter="since", valid=("window=90d", "window=365d")
        )
    length = "" if since else str(read_length(window or DEFAULT_WINDOW))
    return Window(since_ms, until_ms, (_words(since), _words(until), length))


def read_length(text: str) -> int:
    """How long a window is, milliseconds. Raises Refused."""
    try:
        length = parse_duration(text)
    except (ValueError, OverflowError):
        length = 0
    if not 0 < length <= LONGEST_MS:
        raise Refused("bad-time", f"window: {text!r} is not a length", parameter="window", valid=("24h", "7d", "90d"))
    return length


def _words(moment: str | None) -> str:
    """A moment as it was written; one form for each that has several."""
    found = parse_ms(moment) if moment else None
    return (moment or "") if found is None else str(found)


def _moment(text: str, parameter: str, now_ms: int) -> int:
    """A time: `2h` (ago), `now`, a date, or RFC 3339."""
    if text == "now":
        return now_ms
    found = parse_ms(text)
    if found is None:
        try:
            found = now_ms - parse_duration(text)
        except (ValueError, OverflowError):
            found = -1
    if found < 0:
        raise Refused("bad-time", f"{parameter}: {text!r} is not a time", parameter=parameter, valid=_FORMS)
    return found


def read_step(step: str | None, window: Window) -> StepName:
    """The step of a chart; the one that gives 24 to 90 points where none is said. Raises Refused."""
    if step is None:
        return "1h" if window.span_ms <= 3 * DAY_MS else "1d" if window.span_ms <= 120 * DAY_MS else "7d"
    if step not in _STEPS:
        raise Refused("bad-step", f"{step!r} is not a step", parameter="step", valid=STEP_NAMES)
    fitting = [name for name in STEP_NAMES if window.span_ms // _STEPS[name][0] < MOST_SLOTS]
    if step not in fitting:
        raise Refused("bad-step", f"more than {MOST_SLOTS} points", parameter="step", valid=fitting)
    return step


def slots(window: Window, step: StepName) -> Sequence[Window]:
    """The steps of a window: whole hours, UTC days or weeks from Monday; the first and last may be cut."""
    length, offset = _STEPS[step]
    found = []
    at = window.since_ms
    while at < window.until_ms:
        following = ((at - offset) // length + 1) * length + offset
        found.append(Window(at, min(following, window.until_ms)))
        at = following
    return found
