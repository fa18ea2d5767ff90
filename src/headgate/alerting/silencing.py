"""Silences and acknowledgements: what people decide about alerts, each with who, when and why. Pure.

Invariant: none of them changes the state of an alert, only who is told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from headgate.core.alertdata import (
    Acknowledgement,
    Alert,
    AlertState,
    decode_alert,
    encode_alert,
    notification_key,
)
from headgate.core.messages import ACKNOWLEDGED, Notification, payload_of
from headgate.core.silences import Silence
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry
from headgate.core.times import format_ms
from headgate.insights.match import Matcher, matches, parse_matcher

__all__ = [
    "Silences",
    "acknowledge",
    "check_silence",
    "expire",
    "find_alert",
    "list_silences",
    "silence_line",
    "silence_state",
]


@dataclass(frozen=True, slots=True)
class Silences:
    """The silences that hold now."""

    active: tuple[tuple[int, tuple[Matcher, ...]], ...] = ()

    @classmethod
    def at(cls, silences: Sequence[Silence], now_ms: int) -> Silences:
        """Those of `silences` that have begun and not ended."""
        holding = [one for one in silences if silence_state(one, now_ms) == "active"]
        return cls(tuple((one.id, tuple(parse_matcher(text) for text in one.matchers)) for one in holding))

    def of(self, labels: Mapping[str, str]) -> int | None:
        """Number of the first silence over an alert with these labels."""
        return next((number for number, matchers in self.active if matches(matchers, labels)), None)


def silence_state(silence: Silence, now_ms: int) -> Literal["pending", "active", "expired"]:
    """Whether it holds."""
    if now_ms >= silence.ends_ms:
        return "expired"
    return "active" if now_ms >= silence.starts_ms else "pending"


def check_silence(silence: Silence, now_ms: int) -> str | None:
    """What is wrong with a new silence, None when nothing is."""
    if not silence.matchers:
        return "say what is silenced: at least one matcher such as team=web"
    for text in silence.matchers:
        try:
            if parse_matcher(text).accepts("") and len(silence.matchers) == 1:
                return f"{text} silences everything that lacks the label; add a matcher that does not"
        except ValueError as exc:
            return str(exc)
    if silence.ends_ms <= max(silence.starts_ms, now_ms):
        return "it would end before it begins; give an end in the future"
    if not silence.author.strip() or not silence.comment.strip():
        return "say who silences (author) and why (comment)"
    return None


def expire(silence: Silence, now_ms: int) -> Silence:
    """The silence as it ends now; one that has not begun never holds."""
    return replace(silence, starts_ms=min(silence.starts_ms, now_ms), ends_ms=now_ms)


def silence_line(silence: Silence, who: str, what: Literal["silenced", "expired"], why: str) -> bytes:
    """The line of history about a change of a silence."""
    return msgspec.json.encode(
        {
            "who": who,
            "to": what,
            "why": why,
            "matchers": silence.matchers,
            "starts_at": format_ms(silence.starts_ms),
            "ends_at": format_ms(silence.ends_ms),
        }
    )


def list_silences(silences: Sequence[Silence], now_ms: int) -> list[dict[str, Any]]:
    """Silences as plain data: those that hold first, then those to come, then the newest that ended."""
    order = {"active": 0, "pending": 1, "expired": 2}
    found = [
        {
            "id": one.id,
            "state": silence_state(one, now_ms),
            "matchers": list(one.matchers),
            "starts_at": format_ms(one.starts_ms),
            "ends_at": format_ms(one.ends_ms),
            "author": one.author,
            "comment": one.comment,
        }
        for one in silences
    ]
    return sorted(found, key=lambda one: (order[one["state"]], -one["id"]))


def find_alert(rows: Sequence[AlertRow], start: str) -> AlertRow:
    """The one alert whose fingerprint begins so. Raises ValueError."""
    found = [row for row in rows if start and row.fingerprint.startswith(start)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} alerts have a fingerprint that begins with {start!r}")
    return found[0]


def acknowledge(
    row: AlertRow,
    said: Acknowledgement,
    passing: Collection[str] = (),
    clocks: Mapping[tuple[str, str], int] | None = None,
) -> AlertChange:
    """The alert as somebody has seen it. Raises ValueError for one that does not fire.

    `passing`: notifiers that tell their far side of it; `clocks`: notifier and group -> when the newest message of the
    group is sent, which comes before. The verdict `new_normal` is for the alert's rule, which takes what came before as
    no reason to fire.
    """
    alert: Alert = decode_alert(row.state_json)
    if alert.state not in (AlertState.FIRING, AlertState.RECOVERING):
        raise ValueError(f"the alert is {alert.state}; only one that fires can be acknowledged")
    flags = tuple(sorted({*alert.flags, "acknowledged"}))
    seen = msgspec.structs.replace(alert, acknowledged=said, flags=flags)
    told = [name for name in sorted(alert.receivers) if name in passing]
    line = {
        "who": said.by,
        "rule": row.rule,
        "labels": dict(row.labels),
        "number": alert.number,
        "from": row.state,
        "to": row.state,
        "why": ACKNOWLEDGED,
        "comment": said.comment,
        "verdict": said.verdict or None,
        "told": told or None,
    }
    return AlertChange(
        rows=[replace(row, state_json=encode_alert(seen), updated_ms=said.at_ms)],
        history=[(row.fingerprint, said.at_ms, msgspec.json.encode({k: v for k, v in line.items() if v is not None}))],
        outbox=[_passed_on(row, alert, said, name, clocks or {}) for name in told],
    )


def _passed_on(
    row: AlertRow, alert: Alert, said: Acknowledgement, name: str, clocks: Mapping[tuple[str, str], int]
) -> OutboxEntry:
    """What one notifier is given, in the group in which it was told that the alert fires."""
    notification = Notification(
        key=f"{notification_key(row.fingerprint, alert)}:ack{said.at_ms}",
        fingerprint=row.fingerprint,
        rule=row.rule,
        state="firing",
        reason=ACKNOWLEDGED,
        labels=row.labels,
        annotations={"summary": f"acknowledged by {said.by}: {said.comment}"},
        starts_ms=alert.fired_ms or alert.since_ms,
        ends_ms=None,
        at_ms=said.at_ms,
    )
    group = alert.receivers[name].group or ""
    due_ms = max(said.at_ms, clocks.get((name, group), 0))
    return OutboxEntry(name, notification.key, payload_of(notification), due_ms, group)
