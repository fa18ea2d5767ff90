"""Tells systemd how we are: READY=1, RELOADING=1, STOPPING=1, WATCHDOG=1 (sd_notify(3), read 2026-11-20).

One datagram a message to the socket in NOTIFY_SOCKET; without it nothing is sent. Never raises: a supervisor that has
gone must not stop us.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

from headgate.core.clock import Clock

__all__ = ["Notify"]


class Notify:
    """The supervisor's socket. `watchdog_seconds`: how often it wants to hear of us at least; None: never."""

    def __init__(self, clock: Clock, environ: Mapping[str, str] | None = None) -> None:
        env = os.environ if environ is None else environ
        self._clock = clock
        self._address = env.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = _watchdog(env)

    def ready(self, status: str) -> None:
        """Start or reload has finished."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock.monotonic() * 1_000_000)}")

    def stopping(self) -> None:
        """We are going."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """The writer has just answered."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(message.encode(), address)


def _watchdog(env: Mapping[str, str]) -> float | None:
    """Seconds of WATCHDOG_USEC, when it is meant for this process."""
    micros = env.get("WATCHDOG_USEC", "")
    if not micros.isdigit() or int(micros) == 0:
        return None
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(micros) / 1_000_000
