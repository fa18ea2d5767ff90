"""Single events of the default branch: `event: main_broke`, `event: main_recovered`.

`main_broke` fires with the first failed run after a green one and lasts until a run is green again. `main_recovered`
fires with the first green run after a failed one, and ends by itself. An event that is older than an hour when it is
first seen is never told, however it came to be late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, AlertState, Outcome
from headgate.core.times import HOUR_MS
from headgate.insights.metric import Labels, Point

__all__ = ["EVENTS", "Event", "EventName", "build_event"]

EventName = Literal["main_broke", "main_recovered"]
EVENTS: tuple[EventName, ...] = ("main_broke", "main_recovered")
_OPEN = (AlertState.PENDING, AlertState.FIRING, AlertState.RECOVERING)
# As far back as the last green run is looked for.
_RUNS = 100
# Older events are history.
_NEWS_MS = HOUR_MS


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event."""

    name: EventName

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`. Groups with news are those in which a run ended within the hour."""
        recent = await view.measure(view.bounds(_NEWS_MS))
        alive = await view.measure(view.bounds()) if alerts else {}
        found: dict[Labels, Found] = {}
        for labels in {*recent, *alerts}:
            alert = alerts.get(labels)
            is_open = alert is not None and alert.state in _OPEN
            if labels not in recent:
                if alert is not None and labels in alive:
                    found[labels] = _as_before(alert, self.name)
            elif self._can_matter(recent[labels].hits, recent[labels].n) or is_open:
                found[labels] = self._judged(await view.series(labels, _RUNS), view, labels, is_open=is_open)
            elif alert is not None:
                found[labels] = Found(Outcome.CLEAR, n=recent[labels].n, n_new=recent[labels].n)
        return {labels: one for labels, one in found.items() if one.outcome is Outcome.BREACH or labels in alerts}

    def _can_matter(self, green: int | None, n: int) -> bool:
        """Whether an hour with so many green runs can hold the event: a failure, or a green run."""
        return (green or 0) < n if self.name == "main_broke" else bool(green)

    def _judged(self, points: Sequence[Point], view: View, labels: Labels, *, is_open: bool) -> Found:
        if not points:
            return Found(Outcome.CLEAR)
        turn = _turn(points)
        broke = not points[-1].ok
        happened = turn is not None and broke == (self.name == "main_broke")
        news = turn is not None and view.end_ms(dict(labels)) - turn.at_ms <= _NEWS_MS
        n = len(points)
        if happened and turn is not None and (news or (is_open and self.name == "main_broke")):
            return Found(
                Outcome.BREACH, 1, float(points[-1].ok), None, n, 1, turn.id, turn.url, first_bad_ms=turn.at_ms
            )
        return Found(Outcome.CLEAR, 0, float(points[-1].ok), None, n, 1)


def _as_before(alert: Alert, name: EventName) -> Found:
    """Nothing ran within the hour: what is broken stays so, what was news no longer is."""
    if name == "main_broke" and alert.state in _OPEN and not alert.good:
        return Found(Outcome.BREACH, 1, alert.value, n=alert.n)
    return Found(Outcome.CLEAR, 0, alert.value, n=alert.n, n_new=1)


def _turn(points: Sequence[Point]) -> Point | None:
    """The first of the newest runs that ended alike, where one before them ended otherwise."""
    for index in range(len(points) - 1, 0, -1):
        if points[index - 1].ok != points[-1].ok:
            return points[index]
    return None


def build_event(name: EventName, on: Building) -> Judge | None:
    """The judge; None after noting what is wrong."""
    on.unused()
    if on.metric.id != "success_rate":
        on.note(("metric",), "events are told of metric success_rate")
    missing = [need for need in on.metric.series_needs if need not in on.by]
    if missing:
        on.note(("by",), f"an event is of one {on.metric.series_needs[-1]}: add {', '.join(missing)}")
    return Event(name)
