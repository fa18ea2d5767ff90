"""The state machine of one alert: what a reading changes, which transition that is, and what people must be told.

Pure. The states and every legal move stand in one table (`core.alertdata.MOVES`); an illegal move raises and changes
nothing.

    inactive -breach-> pending -confirmed-> firing -clear-> recovering -settled-> resolved -forgotten-> inactive

Beside its state an alert carries flags (stale, late, silenced, inhibited, acknowledged, flapping) that never change the
state. What may be told (`told`) is kept apart from the state, and who was told apart from that (`alerting.telling`): a
message goes out only when they disagree, so a state that comes and goes while nobody may be told is never told at all.
All of it is one value that survives as JSON, and time is the reading's own (`at_ms`), so a restart between any two
readings changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.core.alertdata import MOVES, Alert, AlertState, Event, Flag, Outcome, Reading, Step, Timing, Transition
from headgate.core.times import DAY_MS

__all__ = ["RESOLVED_SHOWN_MS", "IllegalMove", "accept", "close", "freeze", "move", "step"]

# A resolved alert is listed as such for a day, so that the morning shows what the night did.
RESOLVED_SHOWN_MS = DAY_MS


class IllegalMove(ValueError):
    """The table has no such move; nothing was changed."""


def move(alert: Alert, event: Event, at_ms: int, reason: str = "") -> tuple[Alert, Transition]:
    """Make one move. Raises IllegalMove where the table has none."""
    after = MOVES.get((alert.state, event))
    if after is None:
        raise IllegalMove(f"{event} does not happen to an alert that is {alert.state}")
    number = alert.number + 1
    since_ms = alert.since_ms if after is alert.state else at_ms
    moved = msgspec.structs.replace(alert, state=after, number=number, since_ms=since_ms)
    if after is AlertState.FIRING and event in (Event.CONFIRMED, Event.REENTERED):
        # People who still know it as firing keep the time they were told.
        started = alert.fired_ms if alert.told and alert.fired_ms is not None else at_ms
        moved = msgspec.structs.replace(moved, fired_ms=started, ended_ms=None)
    if after is AlertState.RESOLVED:
        moved = msgspec.structs.replace(moved, ended_ms=at_ms)
    return moved, Transition(number, at_ms, alert.state, after, event, reason or str(event))


def freeze(alert: Alert) -> Alert:
    """Mark an alert as stale: its data could not be collected. State, counters and timers stay as they are."""
    return _flagged(alert, add=("stale",))


def step(alert: Alert, reading: Reading, timing: Timing) -> Step:
    """Judge one reading. One that is not newer than the last changes nothing: data time never goes back."""
    if reading.at_ms <= alert.at_ms:
        return Step(alert, (), None, "not_newer")
    moves: list[Transition] = []
    edited = bool(alert.version) and alert.version != timing.version
    if edited:
        alert = _edit(alert, reading, timing, moves)
    outcome = _effective(reading, timing)
    gone = (
        reading.outcome is Outcome.NO_DATA and reading.at_ms - (alert.seen_ms or reading.at_ms) >= timing.gone_after_ms
    )
    alert = _count(alert, reading, outcome, timing)
    why = reading.why or str(reading.outcome)
    while (event := _decide(alert, reading, outcome, timing, gone=gone)) is not None:
        alert, made = move(alert, event, reading.at_ms, _reason(event, why))
        alert = _entered(alert, reading, outcome)
        moves.append(made)
    told = _tell(alert, outcome, moves, why)
    if timing.silent_end and told.notify == "resolved":
        return Step(told.alert, told.transitions, None, told.reason)
    return told


def accept(alert: Alert, at_ms: int) -> Step:
    """Take what an open alert is about as normal from now on. Raises IllegalMove for one that does not fire.

    What happened up to its last reading is no reason to fire again; comparisons count what came later alone.
    """
    alert, made = move(alert, Event.ACCEPTED, at_ms, _reason(Event.ACCEPTED, ""))
    alert = msgspec.structs.replace(alert, normal_ms=alert.at_ms, streak_ms=None, streak_runs=0)
    return _tell(_flagged(alert, drop=("stale", "late")), Outcome.CLEAR, [made], made.reason)


def close(alert: Alert, event: Event, at_ms: int) -> Step:
    """End an alert for a reason outside its readings: its rule was deleted."""
    moves: list[Transition] = []
    if (alert.state, event) in MOVES:
        alert, made = move(alert, event, at_ms, _reason(event, ""))
        moves.append(made)
    return _tell(_flagged(alert, drop=("stale", "late")), Outcome.CLEAR, moves, _reason(event, ""))


def _reason(event: Event, why: str) -> str:
    match event:
        case Event.EDITED | Event.REENTERED:
            return "rule_changed"
        case Event.ACCEPTED:
            return "new_normal"
        case Event.GONE | Event.ESCALATED | Event.FORGOTTEN:
            return str(event)
        case _:
            return why


def _edit(alert: Alert, reading: Reading, timing: Timing, moves: list[Transition]) -> Alert:
    """Close what stood under the old rule; what holds under the new one re-enters without `for`."""
    was_open = alert.state in (AlertState.FIRING, AlertState.RECOVERING)
    events = [Event.EDITED] if (alert.state, Event.EDITED) in MOVES else []
    if was_open and _effective(reading, timing) is Outcome.BREACH:
        events.append(Event.REENTERED)
    for event in events:
        alert, made = move(alert, event, reading.at_ms, "rule_changed")
        moves.append(made)
    level = max(1, reading.level) if alert.state is AlertState.FIRING else 0
    return msgspec.structs.replace(alert, streak_ms=None, streak_runs=0, level=level)


def _effective(reading: Reading, timing: Timing) -> Outcome:
    if reading.outcome is not Outcome.NO_DATA:
        return reading.outcome
    return {"ok": Outcome.CLEAR, "alert": Outcome.BREACH, "keep": Outcome.NO_DATA}[timing.no_data]


def _count(alert: Alert, reading: Reading, outcome: Outcome, timing: Timing) -> Alert:
    """Take in the reading's numbers; lengthen the streak, begin a new one, or break it."""
    good = outcome is Outcome.CLEAR
    counts = int(reading.n_new > 0 or reading.outcome is Outcome.NO_DATA)
    if outcome in (Outcome.BREACH, Outcome.CLEAR):
        same = alert.streak_ms is not None and alert.good == good
        streak_ms = alert.streak_ms if same else reading.at_ms
        streak_runs = (alert.streak_runs if same else 0) + counts
    elif outcome is Outcome.NO_DATA:
        streak_ms, streak_runs, good = alert.streak_ms, alert.streak_runs, alert.good
    else:
        streak_ms, streak_runs = None, 0
    flagged = _flagged(alert, add=("late",) if reading.late else (), drop=("stale", "late"))
    return msgspec.structs.replace(
        flagged,
        at_ms=reading.at_ms,
        seen_ms=reading.at_ms if reading.n or not alert.seen_ms else alert.seen_ms,
        good=good,
        streak_ms=streak_ms,
        streak_runs=streak_runs,
        version=timing.version,
        value=reading.value,
        baseline=reading.baseline,
        n=reading.n,
    )


def _decide(alert: Alert, reading: Reading, outcome: Outcome, timing: Timing, *, gone: bool) -> Event | None:
    """The one event that follows now, None when the alert rests."""
    if gone:
        if (alert.state, Event.GONE) in MOVES:
            return Event.GONE
    elif (event := _DECIDERS[alert.state](alert, reading, outcome, timing)) is not None:
        return event
    if reading.hold and (alert.change_ms or alert.normal_ms):
        return None
    old = alert.state is AlertState.RESOLVED and reading.at_ms - alert.since_ms >= RESOLVED_SHOWN_MS
    return Event.FORGOTTEN if old else None


def _at_rest(_alert: Alert, _reading: Reading, outcome: Outcome, _timing: Timing) -> Event | None:
    return Event.BREACH if outcome is Outcome.BREACH else None


def _pending(alert: Alert, reading: Reading, outcome: Outcome, timing: Timing) -> Event | None:
    if outcome is Outcome.BREACH:
        held = _streak_ms(alert, reading) >= timing.for_ms and alert.streak_runs >= timing.for_runs
        return Event.CONFIRMED if held else None
    return None if outcome is Outcome.NO_DATA else Event.CLEAR


def _firing(alert: Alert, reading: Reading, outcome: Outcome, _timing: Timing) -> Event | None:
    if outcome is Outcome.BREACH:
        return Event.ESCALATED if reading.level > alert.level else None
    return Event.CLEAR if outcome is Outcome.CLEAR else None


def _recovering(alert: Alert, reading: Reading, outcome: Outcome, timing: Timing) -> Event | None:
    if outcome is Outcome.BREACH:
        return Event.BREACH
    if outcome is not Outcome.CLEAR or _streak_ms(alert, reading) < timing.keep_firing_ms:
        return None
    enough = alert.streak_runs >= timing.recover_runs or reading.outcome is Outcome.NO_DATA
    return Event.SETTLED if enough else None


_DECIDERS = {
    AlertState.INACTIVE: _at_rest,
    AlertState.PENDING: _pending,
    AlertState.FIRING: _firing,
    AlertState.RECOVERING: _recovering,
    AlertState.RESOLVED: _at_rest,
}


def _streak_ms(alert: Alert, reading: Reading) -> int:
    return reading.at_ms - (reading.at_ms if alert.streak_ms is None else alert.streak_ms)


def _entered(alert: Alert, reading: Reading, outcome: Outcome) -> Alert:
    """Set what belongs to the state that was just entered: the level, and where it began."""
    if alert.state is AlertState.FIRING and outcome is Outcome.BREACH:
        level = max(reading.level, 1, alert.level)
        return msgspec.structs.replace(alert, level=level, first_bad=alert.first_bad or reading.first_bad)
    if alert.state is AlertState.PENDING and reading.change_ms:
        first = reading.first_bad
        return msgspec.structs.replace(
            alert, level=0, first_bad=first, change_ms=reading.change_ms, changed=reading.value
        )
    if alert.state in (AlertState.PENDING, AlertState.INACTIVE):
        return msgspec.structs.replace(alert, level=0, first_bad="")
    return alert


def _tell(alert: Alert, outcome: Outcome, moves: list[Transition], why: str) -> Step:
    """Compare what is so with what people know. A firing is told only while the condition still holds."""
    reason = moves[-1].reason if moves else why
    if "late" in alert.flags:
        return Step(alert, tuple(moves), None, reason)
    if alert.state is AlertState.FIRING and outcome is Outcome.BREACH and alert.level > alert.told:
        told = msgspec.structs.replace(alert, told=alert.level)
        return Step(told, tuple(moves), "firing", "escalated" if alert.told else reason)
    if alert.state in (AlertState.RESOLVED, AlertState.INACTIVE) and alert.told:
        return Step(msgspec.structs.replace(alert, told=0), tuple(moves), "resolved", reason)
    return Step(alert, tuple(moves), None, reason)


def _flagged(alert: Alert, *, add: Iterable[Flag] = (), drop: Iterable[Flag] = ()) -> Alert:
    flags: set[Flag] = (set(alert.flags) - set(drop)) | set(add)
    wanted = tuple(sorted(flags))
    return alert if wanted == alert.flags else msgspec.structs.replace(alert, flags=wanted)
