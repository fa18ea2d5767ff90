"""Whether a signal still sends to where it sent before. Pure.

Invariant: a cursor is never applied to another destination under the same name, unless a human says so.
"""

from __future__ import annotations

from headgate.core.storeport import SignalSpec

__all__ = ["moved"]

# What follows the origin where a sink tells addresses of one host apart by a print of them.
_PRINT = "/… ("


def moved(before: str, spec: SignalSpec) -> str | None:
    """What to tell when the destination is not that of before; None when it is, or there was none.

    A sink that tells only the origin now, and an origin with a print before, goes on: its cursor was made when a secret
    address still counted.
    """
    if before in ("", spec.destination) or before.partition(_PRINT)[0] == spec.destination:
        return None
    reset = f"headgate sinks reset {spec.sink}"
    return (
        f"{spec.key} sent to {before} before and is now configured for {spec.destination}: give the sink a new name, or"
        f" run `{reset} --start retained` to send all that is kept again, or `{reset} --start now` to drop what waits"
    )
