"""`alerts list`: stored alerts as people and scripts see them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headgate.core.alertdata import Acknowledgement, AlertState, decode_alert
from headgate.core.storeport import AlertRow, OutboxRow
from headgate.core.times import format_ms

__all__ = ["list_alerts"]

# Labels are free words: one that nobody knows stands before what is told for information alone.
_SEVERITIES = {word: place for place, word in enumerate(("critical", "error", "warning", "", "info"))}
_ORDER = {state: place for place, state in enumerate(("firing", "recovering", "pending", "resolved", "inactive"))}


def list_alerts(
    rows: Iterable[AlertRow], waiting: Iterable[OutboxRow] = (), *, states: frozenset[str] | None = None
) -> list[dict[str, Any]]:
    """Alerts as plain data, firing first, then the most severe, then the newest.

    `states`: which; None: all but inactive.

    `waiting`: what the outbox holds; a notifier to which something about an alert waits has not heard all of it.
    """
    late = _late(waiting)
    wanted = states if states is not None else frozenset(set(_ORDER) - {str(AlertState.INACTIVE)})
    chosen = [(row, decode_alert(row.state_json)) for row in rows if row.state in wanted]
    chosen.sort(key=lambda pair: (_ORDER[pair[0].state], _severity(pair[0]), -pair[1].since_ms, pair[0].fingerprint))
    return [
        {
            "fingerprint": row.fingerprint,
            "rule": row.rule,
            "labels": dict(row.labels),
            "state": row.state,
            "since": format_ms(alert.since_ms),
            "started_at": format_ms(alert.fired_ms) if alert.fired_ms is not None else None,
            "evaluated_at": format_ms(alert.at_ms) if alert.at_ms else None,
            "value": alert.value,
            "baseline": alert.baseline,
            "format": alert.form or None,
            "unit": alert.unit or None,
            "n": alert.n,
            "first_bad": alert.first_bad or None,
            "first_bad_at": format_ms(alert.first_bad_ms) if alert.first_bad_ms else None,
            "first_bad_url": alert.first_bad_url or None,
            "flags": list(alert.flags),
            "told": bool(alert.receivers),
            "receivers": sorted(alert.receivers),
            "held": dict(sorted(alert.held.items())),
            "waiting": late.get(row.fingerprint, {}),
            "acknowledged": _seen(alert.acknowledged),
        }
        for row, alert in chosen
    ]


def _severity(row: AlertRow) -> int:
    return _SEVERITIES.get(row.labels.get("severity", ""), _SEVERITIES[""])


def _late(waiting: Iterable[OutboxRow]) -> dict[str, dict[str, str]]:
    """Fingerprint -> notifiers to which a message about it waits -> what its last attempt said; empty before one."""
    found: dict[str, dict[str, str]] = {}
    for row in waiting:
        found.setdefault(row.key.partition(":")[0], {})[row.notifier] = row.last_error
    return found


def _seen(said: Acknowledgement | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {"by": said.by, "at": format_ms(said.at_ms), "comment": said.comment, "verdict": said.verdict or None}
