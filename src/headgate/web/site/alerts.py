"""View model of alerts: what fires, and what every alert did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.core.readport import ReadStore

__all__ = ["Change", "history"]

_SHOWN = 100


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an alert's history, as the engine wrote it. `was`, `became`: states, equal where only told.

    `value`, `baseline`: of the reading; `n`: its sample; `told`: notifiers that were given a message.
    """

    rule: str = ""
    labels: Mapping[str, str] = {}
    was: str = msgspec.field(default="", name="from")
    became: str = msgspec.field(default="", name="to")
    why: str = ""
    who: str = ""
    value: float | None = None
    baseline: float | None = None
    n: int | None = None
    first_bad: Any = None
    flags: tuple[str, ...] | None = None
    told: tuple[str, ...] | None = None
    occurred_ms: int = 0
    fingerprint: str = ""


async def history(store: ReadStore, rule: str = "") -> list[Change]:
    """What alerts did, the newest first, of all rules or one. A line that cannot be read is shown as its text."""
    lines = await store.alert_history(None, _SHOWN)
    found = [_change(fingerprint, at_ms, body) for fingerprint, at_ms, body in lines]
    chosen = [one for one in found if rule in ("", one.rule)]
    return sorted(chosen, key=lambda one: -one.occurred_ms)


def _change(fingerprint: str, at_ms: int, body: bytes) -> Change:
    try:
        known = msgspec.json.decode(body, type=Change)
    except (msgspec.DecodeError, msgspec.ValidationError):
        known = Change(why=body.decode("utf-8", "replace"))
    return msgspec.structs.replace(known, occurred_ms=at_ms, fingerprint=fingerprint)
