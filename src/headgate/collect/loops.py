"""What the loops of one source that can do more than every source work with.

Invariant: a loop keeps nothing that a restart would miss.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from headgate.collect.intake import Intake, Sleep
from headgate.collect.state import Polled
from headgate.core.storeport import Store

__all__ = ["SourceLoop"]

_S = TypeVar("_S")


@dataclass(eq=False)
class SourceLoop(Generic[_S]):
    """One loop of one source. `_source`: the source again, as what this loop asks of it."""

    _store: Store
    _intake: Intake
    _polled: Polled
    _source: _S
    sleep: Sleep = field(default=asyncio.sleep, kw_only=True)
