"""How completeness is proven: what the far side lists is held against what is kept.

Invariant: a listing tells what has ended or been made, never how; whatever is missing is asked for by its run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

from headgate.core.feeds import Span
from headgate.core.merge import Observation
from headgate.core.ports import RunRef, Scope

__all__ = ["PROVEN_WINDOWS", "AuditSource", "Kept", "Listed", "ListedKind", "Listing", "ProvenWindow"]

ListedKind = Literal["pipeline", "workflow", "job"]
# What is proven is told by the hour of the first, by the day of the others.
ProvenWindow = Literal["24h", "7d", "30d"]
PROVEN_WINDOWS: tuple[ProvenWindow, ...] = get_args(ProvenWindow)


@dataclass(frozen=True, slots=True)
class Listed:
    """One thing that the far side lists.

    `ended`: it must be kept with its end; else it must only be known. `at_ms`: when it ended, or was made. `run`: what
    to ask when it is missing. `observations`: what the list itself tells of it. `webhook`: one is sent when it ends.
    """

    kind: ListedKind
    key: str
    at_ms: int
    run: RunRef
    ended: bool = True
    observations: Sequence[Observation] = ()
    webhook: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of one list."""

    items: Sequence[Listed]
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store knows of a listed thing.

    `ended`: with its end; for a pipeline: with a workflow or an error. `announced`: a webhook told of its end.
    `rerun`: its pipeline is more than a day older than it. `stopped_ms`: when it ended.
    """

    ended: bool
    announced: bool
    rerun: bool
    stopped_ms: int | None = None


@runtime_checkable
class AuditSource(Protocol):
    """A source whose completeness can be proven."""

    def listings(self, scope: Scope, span: Span, *, late: Span | None) -> AsyncIterator[Listing]:
        """Everything of the span in every list that costs little; of the span `late` in those that are late or dear."""
        ...

    def deep_every_ms(self, scope: Scope) -> int:
        """How often to ask the late lists: seldom, unless the others cannot tell of reruns of old pipelines."""
        ...
