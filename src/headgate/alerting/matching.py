"""How routes, silences, inhibitions and digests see an alert: its labels, and matchers over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.insights.match import Matcher, parse_matcher

__all__ = ["read_match", "seen_labels"]


def read_match(match: Mapping[str, str] | Sequence[str]) -> tuple[Matcher, ...]:
    """Matchers of a mapping of equal labels or of a list. Raises ValueError."""
    if isinstance(match, Mapping):
        return tuple(Matcher(label, "=", value) for label, value in match.items())
    return tuple(parse_matcher(text) for text in match)


def seen_labels(rule: str, group: str, labels: Mapping[str, str]) -> dict[str, str]:
    """An alert's labels with the names of its rule and of the rule's group."""
    return {"alertname": rule, "alert": rule, "group": group, **labels}
