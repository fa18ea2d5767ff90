"""Which project a fact belongs to: ids are the keys, slugs are how people name it today.

Pure book-keeping in memory, used by every adapter; `changed` and `joined` say what an adapter has to write down.
A rename keeps the history; an input that knows only a slug finds the project that bears it.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.core.merge import ProjectRef

__all__ = ["Project", "Projects", "default_branches"]

# What counts as the default branch of a project that has not told its own.
_USUAL = frozenset({"main", "master", "trunk"})


def default_branches(known: str | None) -> frozenset[str]:
    """The branches that count as the default one."""
    return frozenset({known}) if known else _USUAL


@dataclass(slots=True)
class Project:
    """One project. `slug_ms`: when it was last seen under `slug`."""

    id: int
    host: str
    provider_id: str | None
    slug: str
    slug_ms: int
    org: str
    org_id: str | None
    default_branch: str | None

    @property
    def ref(self) -> ProjectRef:
        """As records and plugins know it."""
        return ProjectRef(self.host, self.slug, self.org, self.provider_id, self.org_id, self.default_branch)

    @property
    def key(self) -> str:
        """The provider's id, or the slug while it is unknown."""
        return self.provider_id or self.slug


class Projects:
    """All projects of a store.

    `changed`: ids whose row is new or changed; `aliases`: slugs that point at another project than before; `joined`:
    (from, to) where two turned out to be one; `reclassed`: project -> branches that became the default one or no longer
    are. The adapter empties them after writing.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, Project] = {}
        self.by_slug: dict[tuple[str, str], tuple[int, int]] = {}
        self.changed: set[int] = set()
        self.aliases: set[tuple[str, str]] = set()
        self.joined: list[tuple[int, int]] = []
        self.reclassed: dict[int, frozenset[str]] = {}
        self._by_provider: dict[tuple[str, str], int] = {}
        self._seen: dict[ProjectRef, int] = {}
        self._next = 1

    def load(self, projects: list[Project], slugs: list[tuple[str, str, int, int]]) -> None:
        """Start from what was written: projects, and (host, slug, project, at_ms)."""
        for project in projects:
            self.by_id[project.id] = project
            if project.provider_id:
                self._by_provider[project.host, project.provider_id] = project.id
            self._next = max(self._next, project.id + 1)
        for host, slug, project_id, at_ms in slugs:
            self.by_slug[host, slug] = (project_id, at_ms)

    def resolve(self, ref: ProjectRef, at_ms: int) -> Project:
        """The project that an input seen at `at_ms` speaks of; made if it is new."""
        known = self._seen.get(ref)
        if known is not None:
            project = self.by_id[known]
            if project.slug == ref.slug:
                project.slug_ms = max(project.slug_ms, at_ms)
                return project
        project = self._find(ref, at_ms)
        self._learn(project, ref, at_ms)
        if len(self._seen) > 10_000:
            self._seen.clear()
        self._seen[ref] = project.id
        return project

    def _find(self, ref: ProjectRef, at_ms: int) -> Project:
        alias = self.by_slug.get((ref.host, ref.slug))
        named = self.by_id[alias[0]] if alias else None
        if ref.project_id is None:
            return named or self._add(ref, at_ms)
        known = self._by_provider.get((ref.host, ref.project_id))
        nameless = named is not None and named.provider_id is None
        if known is None:
            return named if nameless and named else self._add(ref, at_ms)
        if nameless and named and named.id != known:
            self._join(named, self.by_id[known])
        return self.by_id[known]

    def _add(self, ref: ProjectRef, at_ms: int) -> Project:
        project = Project(self._next, ref.host, None, ref.slug, at_ms, ref.org, None, None)
        self._next += 1
        self.by_id[project.id] = project
        self.changed.add(project.id)
        return project

    def _join(self, old: Project, new: Project) -> None:
        self.joined.append((old.id, new.id))
        del self.by_id[old.id]
        self.changed.discard(old.id)
        self._seen = {ref: number for ref, number in self._seen.items() if number != old.id}
        for name, (number, at_ms) in self.by_slug.items():
            if number == old.id:
                self.by_slug[name] = (new.id, at_ms)
                self.aliases.add(name)

    def _learn(self, project: Project, ref: ProjectRef, at_ms: int) -> None:
        if ref.project_id is not None and project.provider_id is None:
            project.provider_id = ref.project_id
            self._by_provider[ref.host, ref.project_id] = project.id
            self.changed.add(project.id)
        if ref.org_id is not None and project.org_id != ref.org_id:
            project.org_id = ref.org_id
            self.changed.add(project.id)
        if ref.default_branch is not None and project.default_branch != ref.default_branch:
            old = default_branches(project.default_branch)
            project.default_branch = ref.default_branch
            self.reclassed[project.id] = old ^ default_branches(ref.default_branch)
            self.changed.add(project.id)
        if (at_ms, ref.slug) > (project.slug_ms, project.slug) and ref.slug != project.slug:
            project.slug, project.slug_ms, project.org = ref.slug, at_ms, ref.org
            self.changed.add(project.id)
        name = (ref.host, ref.slug)
        held = self.by_slug.get(name)
        if held is None or (held[0] != project.id and at_ms >= held[1]):
            self.by_slug[name] = (project.id, at_ms)
            self.aliases.add(name)
