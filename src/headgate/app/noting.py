"""The trail of commands that open the store themselves, because no daemon runs.

Invariant: what a command changes, or reads about a person, is in the trail as if the daemon had done it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from headgate.core.clock import Clock
from headgate.core.storeport import Store
from headgate.core.trail import TrailEntry
from headgate.web.operations import Operations

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


class _Noting:
    """Operations whose changes and reads of persons leave an entry."""

    def __init__(self, inner: Operations, store: Store, clock: Clock, user: str) -> None:
        self._inner = inner
        self._store = store
        self._clock = clock
        self._user = user

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._inner, name)
        if name not in _CHANGES | _PERSONAL:
            return method

        async def noted(*words: Any, **more: Any) -> Any:
            done = await method(*words, **more)
            action = "read" if name in _PERSONAL else name
            about = f"{name}, without a daemon" if name in _PERSONAL else "without a daemon"
            entry = TrailEntry(self._clock.now_ms(), self._user, "command", "", action, about, 200)
            await self._store.append_trail([entry])
            return done

        return noted


def noting(inner: AnyOperations, store: Store, clock: Clock, user: str) -> AnyOperations:
    """The same operations; `user`: whose command it is."""
    return cast("AnyOperations", _Noting(inner, store, clock, user))
