"""A question that cannot be answered: which word of it is wrong, and what would be right. Pure.

The words become an RFC 9457 problem in the API, a page for people, and an error of a command.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

__all__ = ["TITLES", "RefusalKind", "Refused", "unknown"]

RefusalKind = Literal[
    "unknown-org",
    "unknown-team",
    "unknown-project",
    "unknown-workflow",
    "unknown-job",
    "unknown-run",
    "unknown-test",
    "unknown-metric",
    "unknown-alert",
    "unknown-table",
    "unknown-trigger",
    "bad-dimension",
    "bad-filter",
    "bad-time",
    "reversed-range",
    "bad-step",
    "bad-cursor",
    "bad-parameter",
    "too-large",
    "too-long",
]
TITLES: dict[RefusalKind, str] = {
    "unknown-org": "No such organisation",
    "unknown-team": "No such team",
    "unknown-project": "No such project",
    "unknown-workflow": "No such workflow",
    "unknown-job": "No such job",
    "unknown-run": "No such run",
    "unknown-test": "No such test",
    "unknown-metric": "No such metric",
    "unknown-alert": "No such alert",
    "unknown-table": "No such table",
    "unknown-trigger": "Nothing was started so",
    "bad-dimension": "The metric does not have this dimension",
    "bad-filter": "A filter cannot be read",
    "bad-time": "A time or span cannot be read",
    "reversed-range": "The range is empty or reversed",
    "bad-step": "The range cannot be plotted in such steps",
    "bad-cursor": "The cursor is not one of this list",
    "bad-parameter": "A parameter cannot be read",
    "too-large": "The answer is too large for its format",
    "too-long": "The answer takes too long to work out",
}
_LISTED = 20
# Why something may be not known that somebody saw: what is there is told by what ended.
_ENDED = "nothing of that name has ended yet, or what did is past retention"
_WHY: dict[RefusalKind, str] = {
    "unknown-workflow": _ENDED,
    "unknown-job": _ENDED,
    "unknown-trigger": "nothing that ended in this window or the one before was started so",
    "bad-dimension": "it is none of the words that can stand here",
    "bad-parameter": "it is none of the words that can stand here",
    "unknown-team": "`owners` of the configuration names those that there are",
}


class Refused(ValueError):
    """Why a question is refused. `parameter`: which one; `valid`: what may be written instead, examples or names."""

    def __init__(self, kind: RefusalKind, detail: str, *, parameter: str, valid: Iterable[str] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.parameter = parameter
        self.valid = tuple(valid)

    @property
    def missing(self) -> bool:
        """Whether something was named that is not there; else the question itself is wrong."""
        return self.kind.startswith("unknown-")


def unknown(kind: RefusalKind, parameter: str, name: str, known: Iterable[str]) -> Refused:
    """Something of that name is not known: the nearest names first, then others, a few in all."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    listed = list(dict.fromkeys([*near, *names]))[:_LISTED]
    hint = f"did you mean {near[0]}?" if near else _WHY.get(kind, "it has no data, or its data is past retention")
    return Refused(kind, f"{name!r} is not known; {hint}", parameter=parameter, valid=listed)
