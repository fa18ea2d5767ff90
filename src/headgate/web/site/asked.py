"""What an address asks for: window and filters, read from its query; and addresses that ask for it. Pure.

Invariant: the same query means the same to a page and to the API, so their numbers are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from headgate.core.tally import DEFAULT_BRANCH
from headgate.insights.views.lens import Filters
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import DEFAULT_WINDOW, StepName, Window, read_step, read_window

__all__ = ["PRESETS", "Asked", "read_asked"]

# Windows that are offered, and what people call them.
PRESETS: Mapping[str, str] = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
_WINDOW = ("window", "since", "until")
_FILTERS = ("branch", "branch_class", "trigger", "org", "team")
# A name of CircleCI is far shorter; what is longer is a mistake, and would be carried along by every link.
_MOST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything in an address but its path and what it is about.

    `name`: of the window where it is one of those offered, else empty; `kept`: its part of the query, which links to
    other pages carry on; `step`: of charts.
    """

    window: Window
    step: StepName
    filters: Mapping[str, str]
    kept: Mapping[str, str]
    name: str

    @property
    def words(self) -> str:
        """The window as people say it."""
        if "until" not in self.kept:  # else it does not end now
            if self.name:
                return f"last {PRESETS[self.name]}"
            if "window" in self.kept:
                return f"last {self.kept['window']}"
        since, until = (text[:16].replace("T", " ") for text in (self.window.since, self.window.until))
        return f"{since} to {until}"

    @property
    def chosen(self) -> Filters:
        """The filters as views take them; the branch `@default` is a class, as in the API."""
        if self.filters.get("branch") != DEFAULT_BRANCH:
            return Filters(**self.filters)
        return Filters(**{"branch_class": DEFAULT_BRANCH, **self.filters, "branch": ""})

    def url(self, path: str, **query: object) -> str:
        """A path with this window and a query; empty values are left out."""
        pairs = {**query, **self.kept}
        text = urlencode([(key, str(value)) for key, value in pairs.items() if value not in ("", None)])
        return f"{path}?{text}" if text else path

    def plain(self, path: str, **query: object) -> str:
        """A path with a query and without the window."""
        return replace(self, kept={}).url(path, **query)

    def at(self, path: str, window: str, **query: object) -> str:
        """A path with another window, by its name."""
        return replace(self, kept={} if window == DEFAULT_WINDOW else {"window": window}).url(path, **query)


def read_asked(query: Mapping[str, str], now_ms: int) -> Asked:
    """Read a query. Raises Refused."""
    for name, value in query.items():
        if len(value) > _MOST_TEXT:
            raise Refused("bad-parameter", f"{name} is longer than {_MOST_TEXT} characters", parameter=name)
    kept = {name: query[name] for name in _WINDOW if query.get(name)}
    filters = {name: query[name] for name in _FILTERS if query.get(name)}
    window = read_window(kept.get("since"), kept.get("until"), kept.get("window"), now_ms=now_ms)
    named = {"until", "since"}.isdisjoint(kept) and kept.get("window", DEFAULT_WINDOW) in PRESETS
    name = kept.get("window", DEFAULT_WINDOW) if named else ""
    if name == DEFAULT_WINDOW:
        kept = {}
    Filters(**filters).matchers()
    return Asked(window, read_step(None, window), filters, kept, name)
