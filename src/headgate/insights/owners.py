"""Who owns a project, workflow or job: the dimension `team`. Pure.

Invariant: the first entry that matches decides, so an order of entries always has one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from headgate.core.slug import org_slug
from headgate.insights.match import Matcher, matches, parse_matcher

__all__ = ["OWNED_BY", "Owner", "Owners", "parse_owner"]

# What an entry can match on.
OWNED_BY = ("org", "project", "workflow", "job")


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry: what all of `match` accept belongs to `team`."""

    match: tuple[Matcher, ...]
    team: str


class Owners:
    """The setting `owners`. Safe to share: answers are remembered, nothing else changes."""

    def __init__(self, entries: Sequence[Owner] = ()) -> None:
        self._entries = tuple(entries)
        self.team = lru_cache(maxsize=65_536)(self._team)

    @property
    def needs(self) -> frozenset[str]:
        """What must be known of a thing to tell its team."""
        used = {matcher.label for entry in self._entries for matcher in entry.match}
        return frozenset(used - {"org"} | {"project"})

    @property
    def teams(self) -> frozenset[str]:
        """Every team that owns something."""
        return frozenset(entry.team for entry in self._entries)

    def _team(self, project: str, workflow: str = "", job: str = "") -> str:
        """The team of the first entry that matches; empty where none does."""
        labels = {"org": org_slug(project), "project": project, "workflow": workflow, "job": job}
        return next((entry.team for entry in self._entries if matches(entry.match, labels)), "")


def parse_owner(match: Mapping[str, str] | Sequence[str], team: str) -> Owner:
    """An entry as written: a mapping of equal values, or matchers. Raises ValueError that says what is wrong."""
    if isinstance(match, Mapping):
        matchers = [Matcher(label, "=", value) for label, value in match.items()]
    else:
        matchers = [parse_matcher(text) for text in match]
    for matcher in matchers:
        if matcher.label not in OWNED_BY:
            raise ValueError(f"owners match on {', '.join(OWNED_BY)}, not on {matcher.label!r}")
    return Owner(tuple(matchers), team)
