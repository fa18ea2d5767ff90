"""How a source tells its history: feeds, each one way to learn about a span, and the strategy that picks them.

Invariant: a feed keeps nothing; how far it was read is the reader's to store, and telling a fact twice is harmless.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from headgate.core.merge import Observation
from headgate.core.ports import Scope

__all__ = [
    "Feed",
    "FeedPage",
    "FeedSource",
    "InsightSource",
    "OrderedFeed",
    "Refresh",
    "RegularSource",
    "Span",
    "Strategy",
]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, milliseconds since the epoch: `since_ms` <= t < `until_ms`."""

    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A part of what a feed tells of a span.

    `position`: opaque; reading goes on behind this page from it, also in another process. It holds no secrets. `last`:
    everything of the span has been told. `reached_ms`: what ended at or after it has been told; None: not known yet.
    `calls`: requests that the page took. `waits_for`: what the far side has to do before there is more, in words for
    people; empty where reading goes on. `problems`: what could not be read and is passed over, in words for people.
    """

    observations: Sequence[Observation]
    position: str
    last: bool
    reached_ms: int | None = None
    calls: int = 0
    problems: Sequence[str] = ()
    waits_for: str = ""


class Feed(Protocol):
    """One way to learn about a span of the past, such as a list, an export or aggregates.

    `per`: whether it is read for each organisation or for each project. `gives`: what it tells, in a few words for the
    log. It lets everything live go first in the source's budget, may wait long for the far side, raises as `Source`
    does, and keeps nothing: what was read before comes back as `position`, also that of the adjacent newer span.
    Telling a fact twice is harmless. Whichever feed completes a run or job says that it `enriches` it: what others tell
    before waits for that.
    """

    name: str
    per: Literal["org", "project"]
    gives: str

    def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """The span, newest first where the far side lets us choose; from behind `position` where one is given."""
        ...


@runtime_checkable
class OrderedFeed(Protocol):
    """A feed whose far side has to work before there is anything to read, and can do so for several spans at once."""

    async def order(self, scope: Scope, span: Span) -> FeedPage | None:
        """Have the far side begin with a span; reading goes on from the page's position. Raises as `Feed` does.

        None: there is nothing to order, or the far side takes no more orders now, so that it is left to reading.
        """
        ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """How history is collected with the rights that a token has.

    `feeds`: in the order of reading; together they tell all that can be known. `orgs`: scopes of feeds per
    organisation. `only`: name of a feed -> slugs of the organisations that it is read for; one that is not in it is
    read for all. `wait_ms`: how long a run waits at most for the feed that completes it. `why`: one line for each thing
    that could not be used, with the right or the reason.
    """

    name: str
    feeds: Sequence[Feed]
    orgs: Sequence[Scope] = ()
    why: Sequence[str] = ()
    only: Mapping[str, Collection[str]] = field(default_factory=dict)
    wait_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a source wants to be read again by itself: every `every_ms`, `feeds` for the last `reach_ms`."""

    every_ms: int
    reach_ms: int
    feeds: tuple[str, ...]


@runtime_checkable
class FeedSource(Protocol):
    """A source that can tell its history through feeds. `refresh`: None where nothing is to be read by itself."""

    refresh: Refresh | None

    async def strategy(self) -> Strategy:
        """Probe by real calls what the token may do, and choose. Raises as `Source` does."""
        ...


@runtime_checkable
class RegularSource(Protocol):
    """A source that asks for some things by the clock, whatever runs."""

    def regular_calls(self, *, projects: int, workflows: int) -> Mapping[str, float]:
        """Calls an hour by what they are for. `workflows`: names that ran in all projects together. Pure."""
        ...


@runtime_checkable
class InsightSource(Protocol):
    """A source whose provider computes aggregates of its own, which are kept as it gives them."""

    @property
    def insights_every_ms(self) -> int | None:
        """How often they are to be read, in milliseconds; None: never."""
        ...

    def insight_orgs(self) -> Sequence[Scope]:
        """Organisations with aggregates of their own, each once. Their keys differ from those of projects."""
        ...

    def insights(self, scope: Scope, *, since_ms: int | None) -> AsyncIterator[Sequence[Observation]]:
        """Everything about one organisation or project, call by call, behind everything live.

        `since_ms`: when it was last read to its end, None: never; what stands since then is not asked for again. What
        the far side lacks or refuses about one scope is left out; raises as `Source` does. Telling twice is harmless.
        """
        ...
