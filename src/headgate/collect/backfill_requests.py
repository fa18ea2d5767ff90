"""Requests for history as they are stored: what was asked for, how far it is, and where each feed was left.

Invariant: a request is stored before anybody is told that it will be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store

__all__ = ["Request", "Spot", "load_requests", "load_spots", "request_key", "spot_key", "store_request"]

_PREFIX = "backfill/"


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request. `orgs`, `projects` (globs), `feeds`: only these; empty: all. Times in milliseconds.

    `share`: 0 to 1; `calls`, `observations`: so far; `why`: what the strategy could not use; `problems`: scopes that a
    feed refused; `trouble`: why it does not go on just now.
    """

    id: str
    since_ms: int
    until_ms: int
    created_ms: int
    orgs: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    state: Literal["waiting", "running", "done"] = "waiting"
    strategy: str = ""
    why: tuple[str, ...] = ()
    share: float = 0.0
    calls: int = 0
    observations: int = 0
    began_ms: int | None = None
    ended_ms: int | None = None
    problems: tuple[str, ...] = ()
    trouble: str = ""

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return msgspec.json.encode(self)

    def seconds_left(self, now_ms: int) -> int | None:
        """How long it will take at the pace so far; None while that cannot be told."""
        if self.began_ms is None or not 0.0 < self.share < 1.0:
            return None
        return round((now_ms - self.began_ms) / 1000 * (1 - self.share) / self.share)


class Spot(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one feed of one scope was read in one window."""

    position: str | None = None
    last: bool = False
    reached_ms: int | None = None
    problem: str = ""

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return msgspec.json.encode(self)


def request_key(request_id: str) -> str:
    """The key of a request's mark."""
    return f"{_PREFIX}{request_id}"


def spot_key(request_id: str, window: int, feed: str, scope: str) -> str:
    """The key of a spot's mark."""
    return f"{_PREFIX}{request_id}/{window}/{feed}/{scope}"


async def load_requests(store: Store, source: str) -> list[Request]:
    """All requests of a source that are remembered, oldest first."""
    marks = await store.source_marks(source, _PREFIX)
    found = [msgspec.json.decode(value, type=Request) for key, value in marks.items() if key.count("/") == 1]
    return sorted(found, key=lambda one: (one.created_ms, one.id))


async def load_spots(store: Store, source: str, request_id: str) -> dict[str, Spot]:
    """Where each feed of a request was left, by key."""
    marks = await store.source_marks(source, request_key(request_id) + "/")
    return {key: msgspec.json.decode(value, type=Spot) for key, value in marks.items()}


async def store_request(
    store: Store, source: str, request: Request, *, now_ms: int, marks: Mapping[str, bytes] | None = None
) -> None:
    """Remember a request, together with `marks`; the source's backfiller will find it."""
    marks = {**(marks or {}), request_key(request.id): request.encode()}
    await store.merge_and_release(MergeWork(source, (), ReleasePolicy(), now_ms, now_ms, marks=marks))
