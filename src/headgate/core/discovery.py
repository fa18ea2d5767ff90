"""What a source found of the things to walk, as it is stored: so a restart neither looks for them nor asks about them.

Invariant: a thing is here once, under its id; what vanished stays, with since when it was missing.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from headgate.core.merge import ProjectRef
from headgate.core.ports import Scope
from headgate.core.storeport import Store

__all__ = ["MARK", "DiscoverySource", "Found", "FoundProject", "Unseen", "decode_found", "load_found"]

MARK = "discovery"


class FoundProject(msgspec.Struct, omit_defaults=True):
    """One project. `name`: as people call it, which need not be in the slug.

    `missing_ms`: since when it is not found, 0: it is there. `gone`: that was long enough ago.
    """

    host: str
    slug: str
    org: str
    project_id: str | None = None
    org_id: str | None = None
    default_branch: str | None = None
    name: str | None = None
    missing_ms: int = 0
    gone: bool = False

    @classmethod
    def of(cls, ref: ProjectRef, name: str | None) -> FoundProject:
        """A project that is there."""
        return cls(ref.host, ref.slug, ref.org, ref.project_id, ref.org_id, ref.default_branch, name)

    @property
    def key(self) -> str:
        """Its scope's key."""
        return self.project_id or self.slug

    @property
    def ref(self) -> ProjectRef:
        """As records and plugins know it."""
        return ProjectRef(self.host, self.slug, self.org, self.project_id, self.org_id, self.default_branch)


class Unseen(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rest of a look through an organisation's pipelines: from `page` (empty: the newest) back to `since_ms`."""

    org: str
    since_ms: int
    page: str = ""
    failures: int = 0


class Found(msgspec.Struct, omit_defaults=True):
    """Everything found.

    `projects`: by scope key. `orgs`: up to when each was looked through; `unseen`: what was left out before that.
    `asked_ms`: when every project, and the lists that are asked once a day, were last asked. `unreached`: organisations
    that did not answer the last look.
    """

    projects: dict[str, FoundProject] = msgspec.field(default_factory=dict)
    orgs: dict[str, int] = msgspec.field(default_factory=dict)
    unseen: list[Unseen] = msgspec.field(default_factory=list)
    asked_ms: int = 0
    unreached: list[str] = msgspec.field(default_factory=list)

    @property
    def unknown(self) -> list[str]:
        """Organisations that did not answer and were never looked through."""
        return [org for org in self.unreached if org not in self.orgs]

    def scopes(self) -> list[Scope]:
        """What of it is to be walked, by slug. Of two that bore one name it is the later one's."""
        by_slug = {one.slug: key for key, one in self.projects.items()}
        here = [Scope(key, slug) for slug, key in by_slug.items() if not self.projects[key].gone]
        return sorted(here, key=lambda scope: scope.slug)

    def encode(self) -> bytes:
        """The bytes that are stored."""
        return msgspec.json.encode(self)


def decode_found(value: bytes | None) -> Found:
    """What was stored; nothing found where there is nothing, or where another version wrote it."""
    try:
        return msgspec.json.decode(value, type=Found) if value else Found()
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Found()


async def load_found(store: Store, source: str) -> Found:
    """What a source found before."""
    return decode_found((await store.source_marks(source, MARK)).get(MARK))


@runtime_checkable
class DiscoverySource(Protocol):
    """A source that looks for what there is to walk, and can go on from what it found before."""

    def found(self) -> Found:
        """Everything found so far; `scopes` are those of it that are not gone."""
        ...

    def recall(self, found: Found) -> None:
        """What was found before this start. Called before the first `scopes`."""
        ...
