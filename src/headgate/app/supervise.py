"""Keeps long-lived parts running: an unforeseen error is logged and the part starts again after a pause.

Invariant: after start nothing but a failed store ends the process; cancellation always gets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.clock import Clock
from headgate.core.errors import StoreFailed

__all__ = ["keep_running", "store_failure"]

_log = structlog.get_logger(__name__)
# A part that ran this long had recovered; its next failure is a first one again.
_SETTLED_SECONDS = 60.0
_PAUSE = BackOff(base=1.0, cap=30.0)


async def keep_running(name: str, part: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Await `part()` until it returns; on an unforeseen error wait (up to 1 s, growing to 30 s) and start it again.

    Raises StoreFailed: only a new process may trust the store.
    """
    failures = 0
    while True:
        began = clock.monotonic()
        try:
            await part()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            lost = store_failure(exc)
            if lost is not None:
                raise lost from exc
            failures = 0 if clock.monotonic() - began > _SETTLED_SECONDS else failures
            _log.exception("part failed; it starts again", part=name)
            failures += 1
            await asyncio.sleep(wait_seconds(_PAUSE, failures, clock.jitter()))
        else:
            return


def store_failure(error: BaseException) -> StoreFailed | None:
    """The StoreFailed inside an error or a group of errors, None where there is none."""
    if isinstance(error, StoreFailed):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((found for one in inner if (found := store_failure(one)) is not None), None)
