"""Running many calls at once, but not too many, with plain errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

__all__ = ["gather_bounded"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


async def gather_bounded(ask: Callable[[_In], Awaitable[_Out]], things: Iterable[_In], limit: int) -> list[_Out]:
    """Ask about each thing, at most `limit` at once; answers in the order of the things.

    The first error cancels the others and is raised as itself, not in a group.
    """
    gate = asyncio.Semaphore(limit)

    async def one(thing: _In) -> _Out:
        async with gate:
            return await ask(thing)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(thing)) for thing in things]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
