"""How long somebody waits for an answer: said by whoever asks, kept by whoever reads, so that none holds others up.

Invariant: it goes with the task that asks, and what that starts; whoever said nothing waits as long as it takes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["patience", "until"]

_UNTIL: ContextVar[float] = ContextVar("until", default=math.inf)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """What is asked inside is given up after that time: raises TookTooLong."""
    before = _UNTIL.set(min(_UNTIL.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _UNTIL.reset(before)


def until() -> float:
    """Up to when, by `time.monotonic`; infinite for whoever has time."""
    return _UNTIL.get()
