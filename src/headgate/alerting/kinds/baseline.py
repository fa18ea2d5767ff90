"""What is usual for a group: the window of a comparison's past, without the window that is judged.

Proportions, durations and scores are pooled: one number over the whole baseline. Counts and credits are compared with
the median of windows as long as the one that is judged, because a sum over 28 days says nothing about one day.

Baselines end at whole hours, so that they are read once an hour. Invariant: an alert that fires keeps the baseline with
which it fired, so an incident never becomes what is usual; after `acknowledged as the new normal` only what came later
counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, InstanceOf, WithJsonSchema

from headgate.alerting.units import Duration
from headgate.alerting.view import Bounds, View
from headgate.core.alertdata import Alert
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.metric import Labels, Measured

__all__ = ["Base", "Baseline", "BaselineField", "Span"]

_WEEK_MS = 7 * DAY_MS
_WEEKLY = re.compile(r"^same_weekday\s+(\d+)w$")
_POOLED = ("percentage", "duration", "score")
# Fewer windows with data say nothing about what is usual.
_FEWEST_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class Span:
    """A baseline as written: `28d`, or the same weekday of so many weeks."""

    ms: int
    weekly: bool

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read `28d` or `same_weekday 8w`. Raises ValueError."""
        if isinstance(value, cls):
            return value
        form = _WEEKLY.match(value.strip()) if isinstance(value, str) else None
        if form is not None:
            return cls(int(form.group(1)) * _WEEK_MS, weekly=True)
        try:
            return cls(Duration.parse(value).ms, weekly=False)
        except ValueError as error:
            raise ValueError(f"{value!r} is not a baseline; write a length such as 28d, or same_weekday 8w") from error


BaselineField = Annotated[
    InstanceOf[Span],
    BeforeValidator(Span.parse),
    WithJsonSchema({"type": "string", "pattern": r"^((\d+(ms|[smhdw]))+|same_weekday\s+\d+w)$", "examples": ["28d"]}),
]


@dataclass(frozen=True, slots=True)
class Base:
    """What is usual for one group. `values`: of the windows it was made of, empty where it was pooled."""

    value: float
    n: int
    hits: int | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a comparison finds what is usual."""

    span: Span
    pooled: bool
    counted: bool

    @classmethod
    def of(cls, span: Span, form: str) -> Self:
        """The baseline of a metric in that format; of counts a window without anything is 0, of others nothing."""
        counted = form not in _POOLED
        return cls(span, pooled=not (counted or span.weekly), counted=counted)

    async def read(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Base]:
        """What is usual in every group that has a past."""
        window_ms = view.rule.window_ms
        offsets = self._offsets(view)
        if self.pooled:
            pooled = await view.kept(0, view.bounds(self.span.ms, back_ms=window_ms, align_ms=HOUR_MS))
            bases = {labels: Base(m.value, m.n, m.hits) for labels, m in pooled.items() if m.value is not None}
        else:
            bounds = [view.bounds(window_ms, back_ms=back_ms, align_ms=HOUR_MS) for back_ms in offsets]
            bases = _medians([await view.kept(slot, span) for slot, span in enumerate(bounds)], counted=self.counted)
        for labels, alert in alerts.items():
            if alert.normal_ms:
                bases.pop(labels, None)
                base = await self._since(view, labels, alert.normal_ms)
                if base is not None:
                    bases[labels] = base
        return bases

    def _offsets(self, view: View) -> Sequence[int]:
        """How far before the end of the window each compared window ends; days without judgement are left out."""
        every_ms = _WEEK_MS if self.span.weekly else view.rule.window_ms
        first = every_ms if self.span.weekly else view.rule.window_ms
        offsets = range(first, first + self.span.ms // every_ms * every_ms, every_ms)
        calendar = view.rule.calendar
        return [back for back in offsets if calendar is None or not calendar.skips(view.reach.end_ms - back - 1)]

    async def _since(self, view: View, labels: Labels, normal_ms: int) -> Base | None:
        """What is usual in a group since its new normal began; None while that is too short."""
        named = dict(labels)
        end_ms = (view.end_ms(named) - view.rule.window_ms) // HOUR_MS * HOUR_MS
        if end_ms - normal_ms < view.rule.window_ms:
            return None
        projects = [named["project"]] if "project" in named else list(view.reach.ends)
        bounds: Bounds = {project: (normal_ms, end_ms) for project in projects if project in view.reach.ends}
        if not bounds:
            return None
        found = (await view.measure(bounds)).get(labels)
        if found is None or found.value is None:
            return None
        scale = 1.0 if self.pooled else view.rule.window_ms / (end_ms - normal_ms)
        return Base(found.value * scale, found.n, found.hits)


def _medians(windows: Sequence[Mapping[Labels, Measured]], *, counted: bool) -> dict[Labels, Base]:
    """The median of the windows since a group has any; of counts those without it are 0."""
    values: dict[Labels, list[float]] = {}
    for age, measured in enumerate(windows):
        for labels, one in measured.items():
            if one.value is not None:
                known = values.setdefault(labels, [])
                known += [0.0] * (age - len(known)) if counted else []
                known.append(one.value)
    return {
        labels: Base(median(known), len(known), values=tuple(known))
        for labels, known in values.items()
        if len(known) >= _FEWEST_WINDOWS
    }
