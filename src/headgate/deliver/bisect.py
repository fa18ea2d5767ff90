"""Finds the record that spoils a batch by halving. Pure.

Invariant: the halves hold exactly the batch, in order; a batch of n needs at most 2n - 1 requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from headgate.core.verdicts import Reject

__all__ = ["ANSWER_BYTES", "bounded", "halve"]

T = TypeVar("T")

# What a dead letter keeps of the far side's words.
ANSWER_BYTES = 2048


def halve(entries: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Both halves of at least two entries. Raises ValueError for fewer."""
    if len(entries) < 2:
        raise ValueError("a single record cannot be halved")
    middle = (len(entries) + 1) // 2
    return entries[:middle], entries[middle:]


def bounded(reject: Reject) -> Reject:
    """The same reject with at most 2 kB of answer."""
    raw = reject.answer.encode("utf-8", "replace")
    if len(raw) <= ANSWER_BYTES:
        return reject
    return Reject(reject.reason, reject.status, raw[:ANSWER_BYTES].decode("utf-8", "ignore"))
