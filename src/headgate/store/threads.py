"""Which memories of notifiers are still needed: those about alerts that are open for them. Pure, for every adapter."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.core.alertdata import decode_alert, threads_of

__all__ = ["open_threads"]


def open_threads(alerts: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
    """Notifiers and threads, by fingerprints and states as stored. A state that cannot be read needs none."""
    found: set[tuple[str, str]] = set()
    for identity, state in alerts:
        try:
            found |= threads_of(identity, decode_alert(state))
        except msgspec.DecodeError:
            continue
    return found
