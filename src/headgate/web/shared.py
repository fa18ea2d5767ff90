"""What many look at and what takes a while to make: made once within a period, however many ask.

Invariant: nobody gets what is older than the period; what failed is not kept. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Shared"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Generic[K, V]):
    """`make`: makes one; its keys are few and known. `seconds`: the period."""

    def __init__(self, make: Callable[[K], Awaitable[V]], seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._made: dict[K, tuple[float, V]] = {}
        self._making: dict[K, asyncio.Lock] = {}

    async def get(self, key: K) -> V:
        """The one that is there, or a new one, for which all who ask meanwhile wait."""
        async with self._making.setdefault(key, asyncio.Lock()):
            known, now = self._made.get(key), asyncio.get_running_loop().time()
            if known is None or now - known[0] >= self._seconds:
                known = self._made[key] = (now, await self._make(key))
            return known[1]
