"""What requests that people make have in common: how many are remembered once they are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["outdated"]

_KEPT = 20
_Order = TypeVar("_Order")


def outdated(done: Sequence[_Order]) -> Sequence[_Order]:
    """Of finished requests, oldest first, those that are forgotten when one more is done."""
    return done[: max(0, len(done) + 1 - _KEPT)]
