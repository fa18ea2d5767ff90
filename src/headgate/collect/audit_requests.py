"""Audits that somebody asked for, as they are stored: which span of which projects, and what came out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from headgate.collect.audit_state import Tally
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store

__all__ = ["AuditRequest", "load_audits", "request_key", "store_audit"]

_PREFIX = "audit-request/"


class AuditRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request. `projects`: globs, empty for all. `results`: project slug -> figures; `problems`: slug -> why not.

    Times in milliseconds.
    """

    id: str
    since_ms: int
    until_ms: int
    created_ms: int
    projects: tuple[str, ...] = ()
    state: Literal["waiting", "running", "done"] = "waiting"
    results: dict[str, Tally] = msgspec.field(default_factory=dict)
    problems: dict[str, str] = msgspec.field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return msgspec.json.encode(self)

    def wants(self, slug: str) -> bool:
        """Whether a project is to be audited and was not yet."""
        asked = not self.projects or any(fnmatchcase(slug, glob) for glob in self.projects)
        return asked and slug not in self.results and slug not in self.problems


def request_key(request_id: str) -> str:
    """The key of a request's mark."""
    return _PREFIX + request_id


async def load_audits(store: Store, source: str) -> list[AuditRequest]:
    """Requests of a source that are remembered, oldest first."""
    marks = await store.source_marks(source, _PREFIX)
    found = [msgspec.json.decode(value, type=AuditRequest) for value in marks.values()]
    return sorted(found, key=lambda one: (one.created_ms, one.id))


async def store_audit(store: Store, source: str, request: AuditRequest, *, now_ms: int) -> None:
    """Remember a request; the source's auditor will find it."""
    marks: dict[str, bytes | None] = {request_key(request.id): request.encode()}
    await store.merge_and_release(MergeWork(source, (), ReleasePolicy(), now_ms, now_ms, marks=marks))
