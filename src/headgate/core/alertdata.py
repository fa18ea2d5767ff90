"""What one alert remembers, the readings it is judged by, and the table of its moves (the machine: `core.alerts`).

Invariant: every value here is immutable, and an `Alert` survives as JSON without loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from headgate.core.times import DAY_MS

__all__ = [
    "MOVES",
    "Acknowledgement",
    "Alert",
    "AlertState",
    "Event",
    "Flag",
    "Level",
    "Outcome",
    "Reading",
    "Step",
    "Timing",
    "Told",
    "Transition",
    "Verdict",
    "decode_alert",
    "encode_alert",
    "fingerprint",
    "new_alert",
    "notification_key",
    "threads_of",
]


class AlertState(StrEnum):
    """Where an alert stands."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


class Event(StrEnum):
    """Why an alert moves."""

    BREACH = "breach"  # the condition holds
    CONFIRMED = "confirmed"  # it held for `for` and `for_runs`
    ESCALATED = "escalated"  # a higher level than before holds
    CLEAR = "clear"  # the recovery condition holds; from pending: the condition no longer does
    SETTLED = "settled"  # it held for `keep_firing_for` and `recover.runs`
    GONE = "gone"  # nothing ran for two windows: the project or branch is no more
    ACCEPTED = "accepted"  # somebody said that this is normal from now on
    EDITED = "edited"  # the rule was changed or deleted
    REENTERED = "reentered"  # the condition holds under the changed rule
    FORGOTTEN = "forgotten"  # resolved long enough


_S, _E = AlertState, Event
MOVES: Mapping[tuple[AlertState, Event], AlertState] = {
    (_S.INACTIVE, _E.BREACH): _S.PENDING,
    (_S.PENDING, _E.CONFIRMED): _S.FIRING,
    (_S.PENDING, _E.CLEAR): _S.INACTIVE,
    (_S.PENDING, _E.GONE): _S.INACTIVE,
    (_S.PENDING, _E.EDITED): _S.INACTIVE,
    (_S.FIRING, _E.ESCALATED): _S.FIRING,
    (_S.FIRING, _E.CLEAR): _S.RECOVERING,
    (_S.FIRING, _E.GONE): _S.RESOLVED,
    (_S.FIRING, _E.ACCEPTED): _S.RESOLVED,
    (_S.FIRING, _E.EDITED): _S.RESOLVED,
    (_S.RECOVERING, _E.BREACH): _S.FIRING,
    (_S.RECOVERING, _E.SETTLED): _S.RESOLVED,
    (_S.RECOVERING, _E.GONE): _S.RESOLVED,
    (_S.RECOVERING, _E.ACCEPTED): _S.RESOLVED,
    (_S.RECOVERING, _E.EDITED): _S.RESOLVED,
    (_S.RESOLVED, _E.BREACH): _S.PENDING,
    (_S.RESOLVED, _E.REENTERED): _S.FIRING,
    (_S.RESOLVED, _E.FORGOTTEN): _S.INACTIVE,
}

Flag = Literal["stale", "late", "silenced", "inhibited", "acknowledged", "flapping"]
Verdict = Literal["", "good", "noise", "new_normal"]
Level = Literal[0, 1, 2]  # 0: none, 1: the rule's own severity, 2: critical


class Outcome(StrEnum):
    """What one evaluation found for one group."""

    BREACH = "breach"
    BETWEEN = "between"  # neither breaching nor recovered
    CLEAR = "clear"
    TOO_FEW = "too_few_runs"
    NO_DATA = "no_data"  # nothing ran in the window


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one receiver knows of an alert that is open for it: the level, when it last heard, reminders so far.

    `group`: in which it was told; None where that was not written down.
    """

    level: int
    at_ms: int
    repeats: int = 0
    group: str | None = None


class Acknowledgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody has seen a firing alert. `verdict`: what it was worth, for those who tune the rules."""

    by: str
    at_ms: int
    comment: str
    verdict: Verdict = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one alert remembers. Times in milliseconds since the epoch.

    `born_ms`: when this memory began. `number`: transitions so far. `since_ms`: when `state` was entered. `at_ms`: the
    data time of the last reading; `seen_ms`: of the last one with runs. `good`, `streak_ms`, `streak_runs`: whether the
    present run of like readings is of clear ones, when it began, and how many of them had new runs. `fired_ms`,
    `ended_ms`: of the last firing. `level`: highest of this firing. `told`: level that may be told, 0 for none.
    `version`: of the rule. `change_ms`: when the newest lasting change that was told began, `changed`: to which value.
    `normal_ms`: data time from which on what happened was accepted as normal. `form`, `unit`: of value and baseline, as
    the catalogue writes them; empty where they are counts of things. `first_bad_ms`, `first_bad_url`: end and link of
    the run that `first_bad` names; 0 and empty where that is not known. `window_ms`: over which `value` was judged,
    `end_ms`: up to when, which is before `at_ms` where data comes late by nature; 0 where that is not known.

    What `alerting.telling` remembers: `receivers`: by notifier, those for whom it is open; `held`: notifier -> why not
    now; `flips`: when it fired and was resolved lately; `flapping_ms`: since when that is too often; `acknowledged`:
    by whom, until it is resolved.
    """

    born_ms: int
    state: AlertState = AlertState.INACTIVE
    number: int = 0
    since_ms: int = 0
    at_ms: int = 0
    seen_ms: int = 0
    good: bool = False
    streak_ms: int | None = None
    streak_runs: int = 0
    fired_ms: int | None = None
    ended_ms: int | None = None
    level: int = 0
    told: int = 0
    flags: tuple[Flag, ...] = ()
    version: str = ""
    value: float | None = None
    baseline: float | None = None
    n: int = 0
    first_bad: str = ""
    change_ms: int = 0
    changed: float | None = None
    normal_ms: int = 0
    form: str = ""
    unit: str = ""
    first_bad_ms: int = 0
    first_bad_url: str = ""
    window_ms: int = 0
    end_ms: int = 0
    receivers: dict[str, Told] = {}
    held: dict[str, str] = {}
    flips: tuple[int, ...] = ()
    flapping_ms: int | None = None
    acknowledged: Acknowledgement | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one evaluation says about one group.

    `at_ms`: end of the window, on the data's clock. `level`: 1 or 2 with BREACH, else 0. `n`: runs judged, `n_new`:
    those since the reading before. `late`: older than an hour or the first after so long a gap; people are told only
    once a reading that is not late agrees. `why`: kept with transitions where it differs from the outcome. `change_ms`:
    when the lasting change that breaches began. `hold`: the alert is not forgotten yet, its change is still in sight.
    """

    at_ms: int
    outcome: Outcome
    level: Level = 0
    value: float | None = None
    baseline: float | None = None
    n: int = 0
    n_new: int = 0
    late: bool = False
    first_bad: str = ""
    why: str = ""
    change_ms: int = 0
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """The part of a rule that the machine needs. Durations in milliseconds.

    `for_runs`, `recover_runs`: readings with new runs that must agree. `gone_after_ms`: two windows.
    `no_data`: ok recovers without new runs, alert breaches, keep changes nothing. `version`: of the rule.
    `silent_end`: it is good news that happened, an event whose end is not told.
    """

    for_ms: int = 0
    for_runs: int = 1
    keep_firing_ms: int = 0
    recover_runs: int = 0
    no_data: Literal["ok", "alert", "keep"] = "ok"
    gone_after_ms: int = 2 * DAY_MS
    version: str = ""
    silent_end: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """One move. `number` counts per alert from 1."""

    number: int
    at_ms: int
    before: AlertState
    after: AlertState
    event: Event
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What a reading did. `notify`: what people must be told now; `reason`: why, or why nothing happened."""

    alert: Alert
    transitions: tuple[Transition, ...]
    notify: Literal["firing", "resolved"] | None
    reason: str


def fingerprint(rule: str, labels: Mapping[str, str]) -> str:
    """Identity of an alert: sha256 over the rule's name and the sorted labels of the group it is about."""
    return hashlib.sha256(msgspec.json.encode([rule, sorted(labels.items())])).hexdigest()


def notification_key(identity: str, alert: Alert) -> str:
    """Idempotency key of what is told now: fingerprint and transition number.

    The birth keeps it unique when an alert that was forgotten comes back and counts from 1 again.
    """
    return f"{identity}:{alert.born_ms}:{alert.number}"


def threads_of(identity: str, alert: Alert) -> set[tuple[str, str]]:
    """Each notifier for which the alert is open, with what its memory is about: the group, or the alert alone."""
    return {(name, told.group or identity) for name, told in alert.receivers.items()}


def new_alert(now_ms: int, version: str = "") -> Alert:
    """An alert that has seen nothing."""
    return Alert(born_ms=now_ms, since_ms=now_ms, version=version)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Alert)


def encode_alert(alert: Alert) -> bytes:
    """JSON for the store."""
    return _encoder.encode(alert)


def decode_alert(body: bytes) -> Alert:
    """Read stored JSON back. Raises msgspec.DecodeError on anything `encode_alert` did not write."""
    return _decoder.decode(body)
