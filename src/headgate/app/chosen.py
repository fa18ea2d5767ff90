"""Dead letters, and webhooks that were set aside, that somebody chose: by number or by what they have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from headgate.core.storeport import Store
from headgate.web.operations import ChosenDeliveries, ChosenLetters

__all__ = ["deliveries_of", "in_pieces", "letters_of"]

_EVERY = 1 << 40  # numbers alone, a few megabytes for a hundred thousand
_LETTERS = 1000  # read at once: each has its record
_PIECE = 200  # of one transaction


async def letters_of(store: Store, chosen: ChosenLetters) -> Sequence[int]:
    """Numbers of dead letters, all that there are of a signal and reason."""
    if chosen.ids:
        return chosen.ids
    found: list[int] = []
    before = None
    while page := await store.dead_letters(signal=chosen.signal, before=before, limit=_LETTERS):
        found += [letter.id for letter in page if chosen.reason in (None, letter.reason)]
        before = page[-1].id
    return found


async def deliveries_of(store: Store, chosen: ChosenDeliveries) -> Sequence[int]:
    """Numbers of webhooks, all that there are of a source and reason."""
    return chosen.ids or await store.inbox_dead_ids(source=chosen.source, reason=chosen.reason, limit=_EVERY)


async def in_pieces(ids: Sequence[int], do: Callable[[Sequence[int]], Awaitable[int]]) -> int:
    """The sum of what `do` answers, which gets few at a time: one transaction is not to hold up what comes in."""
    return sum([await do(ids[start : start + _PIECE]) for start in range(0, len(ids), _PIECE)])
