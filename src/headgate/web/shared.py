"""What many look at and what takes a while to make: made once within a period, however many ask.

Invariant: nobody gets what is older than the period; what failed is not kept. For one event loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Shared"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Made(Generic[V]):
    """One. `at`: when it was begun; `asking`: how many wait for it."""

    at: float = -math.inf
    what: V | None = None
    asking: int = 0
    making: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shared(Generic[K, V]):
    """`make`: makes one; `seconds`: the period; `most`: how many are kept, the newest."""

    def __init__(self, make: Callable[[K], Awaitable[V]], seconds: float, most: int = 64) -> None:
        self._make, self._seconds, self._most = make, seconds, most
        self._made: dict[K, _Made[V]] = {}

    async def get(self, key: K) -> V:
        """The one that is there, or a new one, for which all who ask meanwhile wait."""
        one = self._made.setdefault(key, _Made())
        one.asking += 1
        try:
            async with one.making:
                now = self._now()
                if one.what is None or now - one.at >= self._seconds:
                    one.at, one.what = now, await self._make(key)
                return one.what
        finally:
            one.asking -= 1
            self._forget()

    def _forget(self) -> None:
        """What nobody waits for and is too old, or one too many."""
        idle = [(key, one.at) for key, one in self._made.items() if not one.asking]
        idle.sort(key=lambda pair: pair[1], reverse=True)
        for place, (key, at) in enumerate(idle):
            if place >= self._most or self._now() - at >= self._seconds:
                del self._made[key]

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
