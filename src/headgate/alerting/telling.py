"""What each receiver is told of one alert now: what is so against what it knows. Pure.

An alert is open for a receiver from the message that says firing until the one that says resolved. Invariant: a
receiver never hears resolved of what is not open for it, nor firing twice without one, save that it became critical, a
reminder, or that it is flapping; each has a key of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from headgate.core.alertdata import Alert, AlertState, Event, Flag, Step, Told, Transition
from headgate.core.times import DAY_MS, HOUR_MS

__all__ = ["Line", "Outlook", "Result", "is_over", "tell"]

# More than so many firings and resolutions in a day is flapping, until nothing has happened for so long.
FLIPS = 4
FLIPS_WITHIN_MS = DAY_MS
STABLE_MS = 6 * HOUR_MS
_FLIPPING = frozenset({Event.CONFIRMED, Event.REENTERED, Event.SETTLED, Event.GONE})


@dataclass(frozen=True, slots=True)
class Outlook:
    """Who should hear of an alert, as things stand.

    `repeat_ms`: notifiers its labels lead to -> after how long they are reminded, 0 for never. `muted`, `blocked`:
    notifiers -> why they are not told of it now; those muted do not hear of its end either. `silenced`: number of a
    silence; `inhibited`: rule of another alert; both keep everybody from hearing that it fires. `names`: all. `groups`:
    notifiers -> the group that the routes put the alert in.
    """

    now_ms: int
    names: frozenset[str]
    repeat_ms: Mapping[str, int]
    muted: Mapping[str, str] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    silenced: int | None = None
    inhibited: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    def hold(self, name: str) -> str:
        """Why a notifier is not told that the alert fires; empty when it is."""
        if self.silenced is not None:
            return f"silenced by {self.silenced}"
        if self.inhibited:
            return f"inhibited by {self.inhibited}"
        return self.muted.get(name) or self.blocked.get(name, "")


@dataclass(frozen=True, slots=True)
class Line:
    """One message to one notifier. `suffix`: what its key has beyond the alert's own. `group`: it goes with."""

    notifier: str
    state: Literal["firing", "resolved"]
    reason: str
    suffix: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The alert with what is known now, what goes out, and who newly does not hear, with why."""

    alert: Alert
    lines: tuple[Line, ...]
    held: Mapping[str, str]


def tell(before: Alert, step: Step, outlook: Outlook) -> Result:
    """Hold what receivers know against what is so, and say what makes them agree. `before`: the alert before the step.

    An alert that ended without anything to tell was about something that happened, not about a state: it is forgotten.
    """
    alert, began = _flapping(step.alert, step.transitions, outlook.now_ms)
    silent = before.told > 0 and not alert.told and step.notify is None
    known = {name: told for name, told in alert.receivers.items() if name in outlook.names and not silent}
    lines: list[Line] = []
    held: dict[str, str] = {}
    for name in [*outlook.repeat_ms, *(name for name in known if name not in outlook.repeat_ms)]:
        line, why = _one(name, alert, known.get(name), outlook, step.reason, began=began)
        if why:
            held[name] = why
        if line is not None:
            line = replace(line, group=_group(name, known.get(name), outlook))
            lines.append(line)
            told = _known(line, alert, known.get(name), outlook.now_ms)
            known = {key: one for key, one in known.items() if key != name} | ({name: told} if told else {})
    newly = {name: why for name, why in held.items() if step.alert.held.get(name) != why}
    open_ = alert.state in (AlertState.FIRING, AlertState.RECOVERING)
    after = msgspec.structs.replace(
        alert,
        receivers=known,
        held=held,
        acknowledged=alert.acknowledged if open_ else None,
        flags=_flags(alert, outlook, acknowledged=open_ and alert.acknowledged is not None),
    )
    return Result(after, tuple(lines), newly)


_Said = tuple[Line | None, str]


def _one(name: str, alert: Alert, known: Told | None, outlook: Outlook, reason: str, *, began: bool) -> _Said:
    """What one receiver hears, and what keeps it from hearing."""
    if began:
        return _unless(outlook.hold(name), Line(name, "firing", "flapping", ":flapping"))
    if alert.flapping_ms is not None:
        return None, "flapping" if bool(alert.told) != (known is not None) else ""
    if alert.told:
        return _open(name, alert, known, outlook, reason) if name in outlook.repeat_ms else (None, "")
    return (None, "") if known is None else _unless(outlook.muted.get(name, ""), Line(name, "resolved", reason))


def _open(name: str, alert: Alert, known: Told | None, outlook: Outlook, reason: str) -> _Said:
    """That it fires is told while it does: not while it recovers, nor while nobody can know."""
    if alert.state is not AlertState.FIRING or "stale" in alert.flags:
        return None, alert.held.get(name, "")
    if known is None or alert.told > known.level:
        return _unless(outlook.hold(name), Line(name, "firing", "escalated" if known else reason))
    repeat_ms = outlook.repeat_ms[name]
    due = repeat_ms > 0 and outlook.now_ms - known.at_ms >= repeat_ms
    if not due or outlook.hold(name) or alert.acknowledged is not None:
        return None, ""
    return Line(name, "firing", "repeat", f":r{known.repeats + 1}"), ""


def _unless(why: str, line: Line) -> _Said:
    return (None, why) if why else (line, "")


def _group(name: str, known: Told | None, outlook: Outlook) -> str:
    """The group of a message: while an alert is open for a receiver, the one in which it was told.

    Elsewhere its end could come before its beginning, and a text that is kept up to date would fire for ever.
    """
    return outlook.groups.get(name, "") if known is None or known.group is None else known.group


def _known(line: Line, alert: Alert, known: Told | None, now_ms: int) -> Told | None:
    """What the receiver knows after the line; None when it is over for it."""
    if line.state == "resolved":
        return None
    level = max(alert.told, known.level if known else 1)
    repeats = known.repeats if known else 0
    return Told(level, now_ms, repeats + (line.reason == "repeat"), line.group)


def _flapping(alert: Alert, moves: Iterable[Transition], now_ms: int) -> tuple[Alert, bool]:
    """Take in what happened; whether flapping begins with it."""
    flips = [*alert.flips, *(now_ms for made in moves if _is_flip(made))]
    flips = [at_ms for at_ms in flips if now_ms - at_ms < FLIPS_WITHIN_MS]
    since_ms, began = alert.flapping_ms, False
    if since_ms is None and len(flips) > FLIPS:
        since_ms, began = now_ms, True
    elif since_ms is not None and now_ms - max(flips, default=since_ms) >= STABLE_MS:
        since_ms, flips = None, []
    return msgspec.structs.replace(alert, flips=tuple(flips), flapping_ms=since_ms), began


def _is_flip(made: Transition) -> bool:
    ends = made.after is AlertState.FIRING or made.after is AlertState.RESOLVED
    return ends and made.event in _FLIPPING and made.reason != "rule_changed"


def _flags(alert: Alert, outlook: Outlook, *, acknowledged: bool) -> tuple[Flag, ...]:
    wanted: dict[Flag, bool] = {
        "silenced": outlook.silenced is not None,
        "inhibited": bool(outlook.inhibited),
        "acknowledged": acknowledged,
        "flapping": alert.flapping_ms is not None,
    }
    kept = {flag for flag in alert.flags if flag not in wanted}
    return tuple(sorted(kept | {flag for flag, holds in wanted.items() if holds}))


def is_over(alert: Alert) -> bool:
    """Whether nothing about it must be remembered."""
    rests = alert.state is AlertState.INACTIVE and not alert.told
    return rests and not alert.receivers and not alert.flips
