"""Finds the projects to walk: those named in the configuration, and those seen in the organisations' pipelines.

Invariant: a project is listed once, under its id, with the slug it was last seen with. There is no endpoint that lists
an organisation's projects; its newest pipelines are looked through instead (docs/circleci.md).
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import structlog

from headgate.core.clock import Clock
from headgate.core.errors import NotFound, SourceRefused, Unparsable
from headgate.core.merge import ProjectRef
from headgate.core.metrics import Metrics
from headgate.core.ports import Scope
from headgate.core.slug import org_slug, short_slug
from headgate.core.times import MINUTE_MS, parse_ms
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.gather import gather_bounded
from headgate.sources.circleci.normalize import project
from headgate.sources.circleci.reading import text, uuid_text

__all__ = ["Discovery"]

_AT_ONCE = 4
# Pipelines are created out of order by a little; a later look overlaps the one before by this much.
_OVERLAP_MS = 5 * MINUTE_MS
_log = structlog.get_logger("headgate.sources.circleci")


class Discovery:
    """Projects of one source. Keeps what it found; asks again every `discover.every`."""

    def __init__(self, name: str, config: CircleCIConfig, api: Api, *, clock: Clock, metrics: Metrics) -> None:
        self._name = name
        self._config = config
        self._api = api
        self._clock = clock
        self._metrics = metrics
        self._projects: dict[str, ProjectRef] = {}
        self._by_slug: dict[str, str] = {}
        self._org_seen_ms: dict[str, int] = {}
        self._next_at: float | None = None

    def known(self, slug: str, key: str | None = None) -> ProjectRef:
        """What is known of a project by key or slug, else what the slug and key alone tell."""
        found = self._projects.get(key or "") or self._projects.get(self._by_slug.get(short_slug(slug), ""))
        if found is not None:
            return found
        return ProjectRef(self._config.tenant, short_slug(slug), org_slug(slug), uuid_text(key))

    async def scopes(self) -> list[Scope]:
        """Every project to walk, each once, sorted by slug."""
        now = self._clock.monotonic()
        if self._next_at is None or now >= self._next_at:
            await self._look()
            self._next_at = now + self._config.discover.every / 1000
        return sorted((Scope(key, owner.slug) for key, owner in self._projects.items()), key=lambda scope: scope.slug)

    def orgs(self) -> list[Scope]:
        """The organisations of the projects found so far, by their ids, sorted by slug."""
        found = {owner.org_id: owner.org for owner in self._projects.values() if owner.org_id}
        return sorted((Scope(key, slug) for key, slug in found.items()), key=lambda scope: scope.slug)

    def owner_in(self, org: str, project_id: str, name: str | None) -> ProjectRef | None:
        """A project by id, also one that was not seen lately; None for one that the configuration leaves out."""
        found = self._projects.get(project_id)
        if found is not None:
            return found
        slug = f"{org}/{project_id if org.startswith('circleci/') or name is None else name}"
        return ProjectRef(self._config.tenant, slug, org, project_id) if self.wanted(slug) else None

    def wanted(self, slug: str) -> bool:
        """Whether the configuration includes a project of this slug."""
        projects = self._config.projects
        return any(fnmatchcase(slug, glob) for glob in projects.include) and not any(
            fnmatchcase(slug, glob) for glob in projects.exclude
        )

    async def _look(self) -> None:
        """Resolve every wanted slug that is new. One project or organisation that fails does not hide the others."""
        slugs = {slug for slug in self._config.explicit_projects if self.wanted(slug)}
        refusal: SourceRefused | None = None
        for org in self._config.orgs:
            try:
                slugs |= await self._seen_in(org)
            except SourceRefused as error:
                if error.reason not in ("no_access", "project_not_found"):
                    raise
                refusal = error
                _log.warning("organisation_refused", source=self._name, org=org, reason=error.reason, error=str(error))
        await gather_bounded(self._resolve, sorted(slugs - self._by_slug.keys()), _AT_ONCE)
        if refusal is not None and not self._projects:
            raise refusal

    async def _seen_in(self, org: str) -> set[str]:
        """Wanted slugs in the organisation's newest pipelines, back to the last look or the first look-back."""
        started = self._clock.now_ms() + self._api.skew_ms
        since = self._org_seen_ms.get(org, started - self._config.poll.initial)
        slugs: set[str] = set()
        count = 0
        try:
            async for page in self._api.pages("/api/v2/pipeline", params={"org-slug": org}):
                count += 1
                slugs |= {short_slug(slug) for item in page.items if (slug := text(item.get("project_slug")))}
                oldest = min((parse_ms(item.get("created_at")) or started for item in page.items), default=started)
                if oldest < since:
                    break
                if count >= self._config.discover.max_pages and page.more:
                    self._capped(org, count)
                    break
        except NotFound as error:
            fix = f"check that {org} exists and that the token's user is a member"
            raise SourceRefused(str(error), reason="no_access", fix=fix) from error
        self._org_seen_ms[org] = started - _OVERLAP_MS
        return {slug for slug in slugs if self.wanted(slug)}

    def _capped(self, org: str, pages: int) -> None:
        self._metrics.count("headgate_walk_pages_capped_total", source=self._name)
        _log.warning(
            "discovery_capped",
            source=self._name,
            org=org,
            pages=pages,
            fix="raise discover.max_pages, lower poll.initial, or name quiet projects in projects.include",
        )

    async def _resolve(self, slug: str) -> None:
        """Learn a project's id. A project that is gone or forbidden is warned about and asked for again next time."""
        try:
            owner = project(await self._api.get("/api/v2/project/{slug}", slug=slug), self._config.tenant)
        except (SourceRefused, Unparsable) as error:
            if isinstance(error, SourceRefused) and error.reason not in ("no_access", "project_not_found"):
                raise
            _log.warning("project_refused", source=self._name, project=slug, reason=error.reason, error=str(error))
            return
        # A renamed project answers under its old slug too; the id keeps it one scope.
        key = owner.project_id or owner.slug
        self._projects[key] = owner
        self._by_slug[slug] = self._by_slug[owner.slug] = key
