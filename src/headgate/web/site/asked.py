"""What an address asks for: the window of time and the filters, read from its query. Pure.

Invariant: the same query at the same time asks for the same; what cannot be read raises `Unusable`, which says what is
valid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from headgate.core.tally import DEFAULT_BRANCH, OTHER_BRANCH
from headgate.core.times import DAY_MS, HOUR_MS, format_ms, parse_ms
from headgate.insights.match import Matcher

__all__ = ["PRESETS", "Asked", "Unusable", "Window", "read_asked"]

# Name -> how long, milliseconds, and what people call it.
PRESETS: Mapping[str, tuple[int, str]] = {
    "24h": (DAY_MS, "24 hours"),
    "7d": (7 * DAY_MS, "7 days"),
    "30d": (30 * DAY_MS, "30 days"),
    "90d": (90 * DAY_MS, "90 days"),
}
_USUAL = "7d"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONGEST_MS = 400 * DAY_MS
# Up to so long a window, so long is one step of a chart.
_STEPS = ((2 * DAY_MS, HOUR_MS), (8 * DAY_MS, 6 * HOUR_MS), (120 * DAY_MS, DAY_MS), (_LONGEST_MS, 7 * DAY_MS))
_CLASSES = {"default": DEFAULT_BRANCH, "other": OTHER_BRANCH}
# A name of CircleCI is far shorter; what is longer is a mistake, and would be carried along by every link.
_MOST_TEXT = 1000


class Unusable(Exception):
    """An address that asks for something that does not exist or cannot be read.

    `status`: 400 or 404. `title`: in a few words; `hint`: what is valid.
    """

    def __init__(self, status: int, title: str, hint: str) -> None:
        super().__init__(f"{title}: {hint}")
        self.status = status
        self.title = title
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Window:
    """A half open span of time, milliseconds since the epoch. `name`: that of a preset, empty for chosen dates."""

    since_ms: int
    until_ms: int
    name: str = ""

    @property
    def words(self) -> str:
        """As people say it."""
        if self.name:
            return f"last {PRESETS[self.name][1]}"
        return f"{format_ms(self.since_ms)[:10]} to {format_ms(self.until_ms - 1)[:10]}"

    @property
    def previous(self) -> Window:
        """The window of the same length that ends where this one begins."""
        return Window(2 * self.since_ms - self.until_ms, self.since_ms)

    @property
    def step_ms(self) -> int:
        """Length of one step of a chart."""
        length = self.until_ms - self.since_ms
        return next((step for most, step in _STEPS if length <= most), _STEPS[-1][1])

    def steps(self) -> Sequence[tuple[int, int]]:
        """The window cut where steps begin in UTC; the first and the last may be shorter. Oldest first."""
        first = self.since_ms - self.since_ms % self.step_ms
        cuts = [self.since_ms, *range(first + self.step_ms, self.until_ms, self.step_ms), self.until_ms]
        return list(zip(cuts, cuts[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything in an address but its path.

    `filters`: branch, class, trigger, where given; `window_query`: what links to other pages carry on.
    """

    window: Window
    filters: Mapping[str, str] = field(default_factory=dict)
    window_query: Mapping[str, str] = field(default_factory=dict)

    def url(self, path: str, **query: object) -> str:
        """A path with this window and a query; empty values are left out."""
        pairs = {**query, **self.window_query}
        text = urlencode([(key, str(value)) for key, value in pairs.items() if value not in ("", None)])
        return f"{path}?{text}" if text else path

    def plain(self, path: str, **query: str) -> str:
        """A path with a query and without the window."""
        return replace(self, window_query={}).url(path, **query)

    def at(self, path: str, window: str, **query: object) -> str:
        """A path with another window, by its name."""
        return replace(self, window_query={} if window == _USUAL else {"window": window}).url(path, **query)

    @property
    def where(self) -> tuple[Matcher, ...]:
        """The filters as metrics take them."""
        known = {"branch": "branch", "class": "branch_class", "trigger": "trigger"}
        values = {**self.filters, "class": _CLASSES.get(self.filters.get("class", ""), "")}
        return tuple(Matcher(known[name], "=", values[name]) for name in known if values.get(name))


def read_asked(query: Mapping[str, str], now_ms: int) -> Asked:
    """Read a query. Raises Unusable."""
    for name, value in query.items():
        if len(value) > _MOST_TEXT:
            raise Unusable(400, f"{name} is too long", f"At most {_MOST_TEXT} characters are read.")
    filters = {name: query[name] for name in ("branch", "class", "trigger") if query.get(name)}
    if filters.get("class", "default") not in _CLASSES:
        raise Unusable(400, f"No branch class is called {filters['class']}", "Classes are: default, other.")
    window, kept = _window(query, now_ms)
    return Asked(window, filters, kept)


def _window(query: Mapping[str, str], now_ms: int) -> tuple[Window, Mapping[str, str]]:
    since, until = query.get("since", ""), query.get("until", "")
    if since or until:
        return _chosen(since, until, now_ms), {name: query[name] for name in ("since", "until") if query.get(name)}
    name = query.get("window") or _USUAL
    if name not in PRESETS:
        hint = f"Windows are {', '.join(PRESETS)}; or give dates: since=2026-11-01&until=2026-11-20."
        raise Unusable(400, f"No window is called {name}", hint)
    kept = {} if name == _USUAL else {"window": name}
    return Window(now_ms - PRESETS[name][0], now_ms, name), kept


def _chosen(since: str, until: str, now_ms: int) -> Window:
    """A window by dates, both of which belong to it; without `since` a week, without `until` up to now."""
    until_ms = min(_time(until, "until", end=True), now_ms) if until else now_ms
    since_ms = _time(since, "since", end=False) if since else until_ms - PRESETS[_USUAL][0]
    if since_ms >= until_ms:
        when = f"since is {format_ms(since_ms)[:16]}, until is {format_ms(until_ms)[:16]}"
        raise Unusable(400, "The dates leave no time between them", f"{when}: since must come first, and not be ahead.")
    if until_ms - since_ms > _LONGEST_MS:
        raise Unusable(400, "The dates are too far apart", f"At most {_LONGEST_MS // DAY_MS} days are shown at once.")
    return Window(max(since_ms, 0), until_ms)


def _time(text: str, name: str, *, end: bool) -> int:
    is_date = _DATE.fullmatch(text) is not None
    found = parse_ms(f"{text}T00:00:00Z" if is_date else text)
    if found is None:
        hint = f"Write {name} as a date, 2026-11-20, or as a time, 2026-11-20T10:00:00Z. Both are UTC."
        raise Unusable(400, f"{name} is not a date: {text[:100]}", hint)
    return found + DAY_MS if is_date and end else found
