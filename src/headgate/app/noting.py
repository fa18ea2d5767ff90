"""The trail of commands that open the store themselves, because no daemon runs.

Invariant: what a command changes, or reads about a person, is in the trail as if the daemon had done it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, cast

from headgate.core.clock import Clock
from headgate.core.storeport import Store
from headgate.core.trail import TrailEntry
from headgate.web.operations import Operations, WantedExport

__all__ = ["noting"]

AnyOperations = TypeVar("AnyOperations", bound=Operations)

_CHANGES = frozenset(
    {
        "acknowledge",
        "audit",
        "backfill",
        "backup",
        "deployment",
        "expire_silence",
        "purge_dead",
        "purge_deliveries",
        "replay",
        "replay_dead",
        "replay_deliveries",
        "reset_sink",
        "silence",
    }
)
_PERSONAL = frozenset({"dead_letters", "explain", "tail"})
_EXPORTS = frozenset({"export", "report", "saved_report"})
_ALONE = "without a daemon"


class _Noting:
    """Operations whose changes, exports and reads of persons leave an entry."""

    def __init__(self, inner: Operations, store: Store, clock: Clock, user: str) -> None:
        self._inner = inner
        self._store = store
        self._clock = clock
        self._user = user

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._inner, name)
        if name not in _CHANGES | _PERSONAL | _EXPORTS:
            return method

        async def noted(*words: Any, **more: Any) -> Any:
            done = await method(*words, **more)
            await self._keep(name)
            return done

        return noted

    async def export(self, wanted: WantedExport) -> AsyncIterator[bytes]:
        """As the inner one; whoever has the first bytes has taken something out."""
        noted = False
        async for piece in self._inner.export(wanted):
            if not noted:
                await self._keep("export")
                noted = True
            yield piece

    async def _keep(self, name: str) -> None:
        action = "read" if name in _PERSONAL else "export" if name in _EXPORTS else name
        about = _ALONE if action == name else f"{name}, {_ALONE}"
        entry = TrailEntry(self._clock.now_ms(), self._user, "command", "", action, about, 200)
        await self._store.append_trail([entry])


def noting(inner: AnyOperations, store: Store, clock: Clock, user: str) -> AnyOperations:
    """The same operations; `user`: whose command it is."""
    return cast("AnyOperations", _Noting(inner, store, clock, user))
