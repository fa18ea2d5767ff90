"""Inhibition: while one alert fires, others that follow from it are not told. Pure.

Invariant: the state of the inhibited alert is not touched. No alert inhibits itself, and two that are both source and
target of one rule do not inhibit each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headgate.alerting.matching import read_match
from headgate.insights.match import Matcher, matches

__all__ = ["Firing", "InhibitSpec", "Inhibition", "Inhibitions", "compile_inhibition"]


class InhibitSpec(BaseModel):
    """One entry under `inhibit` of a rule file. Labels: those of alerts, with alert (its rule) and group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: dict[str, str] | list[str] = Field(description="The alert that must fire: labels, or a list of matchers.")
    target: dict[str, str] | list[str] = Field(description="The alerts that are then not told.")
    equal: tuple[str, ...] = Field(description="Labels on which both must agree; [] when none must.")

    @field_validator("source", "target")
    @classmethod
    def _readable(cls, value: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        if not read_match(value):
            raise ValueError("names no label; it would hold for every alert")
        return value


@dataclass(frozen=True, slots=True)
class Inhibition:
    """One rule, as it is used."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def place(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """What both must agree on; a missing label is empty."""
        return tuple(labels.get(name, "") for name in self.equal)


def compile_inhibition(spec: InhibitSpec) -> Inhibition:
    """A rule from its form."""
    return Inhibition(read_match(spec.source), read_match(spec.target), spec.equal)


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires, with its labels as matchers see them."""

    rule: str
    labels: Mapping[str, str]


class Inhibitions:
    """The rules over the alerts that fire now."""

    def __init__(self, rules: Sequence[Inhibition], firing: Sequence[Firing]) -> None:
        self._rules = rules
        # For each rule: place -> name of a source there, apart for those that are no target themselves.
        self._any: list[dict[tuple[str, ...], str]] = []
        self._pure: list[dict[tuple[str, ...], str]] = []
        for rule in rules:
            sources: dict[bool, dict[tuple[str, ...], str]] = defaultdict(dict)
            for one in firing:
                if matches(rule.source, one.labels):
                    sources[matches(rule.target, one.labels)].setdefault(rule.place(one.labels), one.rule)
            self._pure.append(sources[False])
            self._any.append(sources[True] | sources[False])

    def of(self, labels: Mapping[str, str]) -> str:
        """Rule of the alert that inhibits one with these labels, empty for none."""
        for rule, anyone, pure in zip(self._rules, self._any, self._pure, strict=True):
            if matches(rule.target, labels):
                found = (pure if matches(rule.source, labels) else anyone).get(rule.place(labels))
                if found:
                    return found
        return ""
