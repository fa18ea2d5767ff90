"""The trail of commands that open the store themselves, because no daemon runs.

Invariant: what a command changes, exports, or reads about a person, is in the trail as if the daemon had done it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from headgate.app.rulepages import RuleOperations
from headgate.core.clock import Clock
from headgate.core.storeport import Store
from headgate.core.trail import TrailEntry
from headgate.web.operations import WantedExport

__all__ = ["noting"]

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
_PERSONAL = frozenset({"dead_deliveries", "dead_letters", "explain", "tail", "trail"})
_TAKEN = frozenset({"report", "saved_report"})


class _Noting:
    """Operations whose changes, exports and reads of persons leave an entry."""

    def __init__(self, inner: RuleOperations, store: Store, clock: Clock, user: str) -> None:
        self._inner = inner
        self._store = store
        self._clock = clock
        self._user = user

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._inner, name)
        if name == "export":
            return self._export
        if name not in _CHANGES | _PERSONAL | _TAKEN:
            return method

        async def noted(*words: Any, **more: Any) -> Any:
            done = await method(*words, **more)
            if name in _PERSONAL:
                await self._note("read", f"{name}, without a daemon")
            elif name in _TAKEN:
                await self._note("export", f"{name}, without a daemon")
            else:
                await self._note(name, "without a daemon")
            return done

        return noted

    async def _export(self, wanted: WantedExport) -> AsyncIterator[bytes]:
        """The file; noted once its question was answered, before the first byte leaves."""
        noted = False
        async for piece in self._inner.export(wanted):
            if not noted:
                await self._note("export", f"{wanted.table}, without a daemon")
                noted = True
            yield piece

    async def _note(self, action: str, about: str) -> None:
        entry = TrailEntry(self._clock.now_ms(), self._user, "command", "", action, about, 200)
        await self._store.append_trail([entry])


def noting(inner: RuleOperations, store: Store, clock: Clock, user: str) -> RuleOperations:
    """The same operations; `user`: whose command it is."""
    return cast("RuleOperations", _Noting(inner, store, clock, user))
