"""Requests for long work on a span of the past as they are stored: what was asked for, how far it is, what came out.

Invariant: a request is stored before anybody is told that it will be done; of those that are done, the last are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Generic, Literal, TypeVar

import msgspec

from headgate.collect.audit_state import Tally
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store

__all__ = ["AUDITS", "BACKFILLS", "AuditRequest", "BackfillRequest", "Request", "Requests", "Spot", "load_spots",
           "spot_key"]  # fmt: skip

_KEPT = 20
_NAMED = 10  # projects that there are, for whoever asked for one that there is not


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all requests say. `orgs`, `projects` (globs): only these; empty: all. Times in milliseconds.

    `unmatched`: word that was asked with and that no collected project is of -> that in words; `waits_for`: what has to
    happen before it goes on.
    """

    id: str
    since_ms: int
    until_ms: int
    created_ms: int
    orgs: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    state: Literal["waiting", "running", "done"] = "waiting"
    unmatched: dict[str, str] = msgspec.field(default_factory=dict)
    waits_for: str = ""

    def covers(self, slug: str) -> bool:
        """Whether a project was asked for."""
        return self._of_orgs(slug) and (not self.projects or any(fnmatchcase(slug, glob) for glob in self.projects))

    def _of_orgs(self, slug: str) -> bool:
        return not self.orgs or slug.rpartition("/")[0] in self.orgs

    def nowhere(self, slugs: Collection[str]) -> dict[str, str]:
        """`unmatched`, where these are all projects that are collected."""
        mine = [slug for slug in slugs if self._of_orgs(slug)]
        words = [org for org in self.orgs if not any(slug.rpartition("/")[0] == org for slug in slugs)]
        globs = self.projects or (() if self.orgs else ("*",))
        words += [glob for glob in globs if not any(fnmatchcase(slug, glob) for slug in mine)]
        known = ", ".join(sorted(slugs)[:_NAMED]) or "none"
        more = f" and {len(slugs) - _NAMED} more" if len(slugs) > _NAMED else ""
        return dict.fromkeys(words, f"no collected project matches; there is: {known}{more}")

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return msgspec.json.encode(self)


class AuditRequest(Request, frozen=True, omit_defaults=True):
    """An audit. `results`: project slug -> figures; `problems`: project slug -> why there are none."""

    results: dict[str, Tally] = msgspec.field(default_factory=dict)
    problems: dict[str, str] = msgspec.field(default_factory=dict)

    def wants(self, slug: str) -> bool:
        """Whether a project is to be audited and was not yet."""
        return self.covers(slug) and slug not in self.results and slug not in self.problems


class BackfillRequest(Request, frozen=True, omit_defaults=True):
    """History. `feeds`: only these; empty: all.

    `reached_ms`: from here on every feed has told all, None before the first stretch is done. `share`: 0 to 1; `calls`,
    `observations`: so far; `why`: what the strategy could not use; `problems`: scopes that a feed refused, the first of
    them, and `problems_more`: how many others; `trouble`: why it does not go on just now.
    """

    feeds: tuple[str, ...] = ()
    strategy: str = ""
    why: tuple[str, ...] = ()
    share: float = 0.0
    calls: int = 0
    observations: int = 0
    began_ms: int | None = None
    ended_ms: int | None = None
    problems: tuple[str, ...] = ()
    problems_more: int = 0
    trouble: str = ""
    reached_ms: int | None = None

    def seconds_left(self, now_ms: int) -> int | None:
        """How long it will take at the pace so far; None while that cannot be told."""
        if self.began_ms is None or self.waits_for or not 0.0 < self.share < 1.0:
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


_R = TypeVar("_R", bound=Request)


@dataclass(frozen=True, slots=True)
class Requests(Generic[_R]):
    """All requests for one kind of work. `prefix`: of the keys of their marks; `kind`: what one is."""

    prefix: str
    kind: type[_R]

    def key(self, request_id: str) -> str:
        """The key of a request's mark; what belongs to the request lies below it."""
        return f"{self.prefix}{request_id}"

    async def load(self, store: Store, source: str) -> list[_R]:
        """Requests of a source that are remembered, oldest first."""
        marks = await store.source_marks(source, self.prefix)
        found = [
            msgspec.json.decode(value, type=self.kind)
            for key, value in marks.items()
            if "/" not in key.removeprefix(self.prefix)
        ]
        return sorted(found, key=lambda one: (one.created_ms, one.id))

    async def unfinished(self, store: Store, source: str) -> list[_R]:
        """Requests of a source that are not done, oldest first."""
        return [one for one in await self.load(store, source) if one.state != "done"]

    async def save(
        self, store: Store, source: str, request: _R, *, now_ms: int, marks: Mapping[str, bytes] | None = None
    ) -> None:
        """Remember a request, together with `marks`; whoever does such work will find it."""
        marks = {**(marks or {}), **self.marks(request)}
        await store.merge_and_release(MergeWork(source, (), ReleasePolicy(), now_ms, now_ms, marks=marks))

    def marks(self, request: _R) -> dict[str, bytes]:
        """What keeps a request as it is now."""
        return {self.key(request.id): request.encode()}

    async def finish(self, store: Store, source: str, request: _R) -> dict[str, bytes | None]:
        """What keeps a request as done, and forgets the oldest of those that were done before."""
        done = [one for one in await self.load(store, source) if one.state == "done"]
        forgotten = dict.fromkeys(self.key(one.id) for one in done[: max(0, len(done) + 1 - _KEPT)])
        return {**forgotten, **self.marks(msgspec.structs.replace(request, state="done"))}


AUDITS = Requests("audit-request/", AuditRequest)
BACKFILLS = Requests("backfill/", BackfillRequest)


def spot_key(request_id: str, window: int, feed: str, scope: str) -> str:
    """The key of a spot's mark."""
    return f"{BACKFILLS.key(request_id)}/{window}/{feed}/{scope}"


async def load_spots(store: Store, source: str, request_id: str) -> dict[str, Spot]:
    """Where each feed of a request was left, by key."""
    marks = await store.source_marks(source, BACKFILLS.key(request_id) + "/")
    return {key: msgspec.json.decode(value, type=Spot) for key, value in marks.items()}
