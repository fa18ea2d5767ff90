"""Finds the projects to walk: those named in the configuration, and those of the organisations.

Invariant: a project is listed once, under its id, with the slug it was last seen with. There is no endpoint that lists
an organisation's projects; three lists that each know some of them stand in for it (docs/circleci.md). A project that
is not found, or may not be seen, for `discover.gone_after` is gone: it is asked for once a day and not walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import structlog

from headgate.core.clock import Clock
from headgate.core.discovery import Found, FoundProject, Unseen
from headgate.core.errors import NotFound, SourceError, SourceRefused, SourceUnavailable, Unparsable, told
from headgate.core.merge import ProjectRef
from headgate.core.metrics import Metrics
from headgate.core.ports import Scope
from headgate.core.slug import org_slug, short_slug
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS, parse_ms
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.gather import gather_bounded
from headgate.sources.circleci.lists import followed, in_insights
from headgate.sources.circleci.normalize import project
from headgate.sources.circleci.reading import text, uuid_text

__all__ = ["Discovery"]

_AT_ONCE = 4
_ATTEMPTS = 5  # to go on where a look was cut; a page that cannot be had then is given up
# Pipelines are created out of order by a little; a later look overlaps the one before by this much.
_OVERLAP_MS = 5 * MINUTE_MS
# What to do about a project that is gone, by how it is refused.
_DELETED = "nothing, if it was deleted: its history is kept, and it is asked for once a day"
_FORBIDDEN = "let the token's user see it, or exclude it: its history is kept, and it is asked for once a day"
_MISSING = {"project_not_found": _DELETED, "no_access": _FORBIDDEN}
_log = structlog.get_logger("headgate.sources.circleci")


class Discovery:
    """Projects of one source. Keeps what it found; asks again every `discover.every`."""

    def __init__(self, name: str, config: CircleCIConfig, api: Api, *, clock: Clock, metrics: Metrics) -> None:
        self.found = Found()
        self._name = name
        self._config = config
        self._api = api
        self._clock = clock
        self._metrics = metrics
        # Slugs that were asked for -> the project that answered; an old name may be given to another project.
        self._by_slug: dict[str, str] = {}
        self._next_at: float | None = None

    def recall(self, found: Found) -> None:
        """Go on from what was found before; what the configuration no longer wants is left out."""
        self.found = found
        found.projects = {key: one for key, one in found.projects.items() if self._listed(one)}
        self._by_slug = {one.slug: key for key, one in found.projects.items()}

    def known(self, slug: str, key: str | None = None) -> ProjectRef:
        """What is known of a project by key or slug, else what the slug and key alone tell."""
        projects = self.found.projects
        found = projects.get(key or "") or projects.get(self._by_slug.get(short_slug(slug), ""))
        if found is not None:
            return found.ref
        return ProjectRef(self._config.tenant, short_slug(slug), org_slug(slug), uuid_text(key))

    def org(self, slug: str) -> ProjectRef:
        """An organisation as the owner of what belongs to no project: its slug stands in for the project's."""
        ids = (one.org_id for one in self.found.projects.values() if one.org == slug and one.org_id is not None)
        return ProjectRef(self._config.tenant, slug, slug, None, next(ids, None))

    def named(self, org: str, name: str) -> ProjectRef | None:
        """The project of an organisation that bears this name; None where it is not known or not wanted."""
        found = (one for one in self.found.projects.values() if (one.org, one.name, one.gone) == (org, name, False))
        return next((one.ref for one in found), None)

    async def scopes(self) -> list[Scope]:
        """Every project to walk, each once, sorted by slug."""
        now = self._clock.monotonic()
        if self._next_at is None or now >= self._next_at:
            await self._look()
            self._next_at = now + self._config.discover.every / 1000
        elif self.found.unreached:
            slugs, _ = await self._of_orgs(self.found.unreached, self._clock.now_ms() + self._api.skew_ms)
            await self._resolve_new(slugs)
        here = [(key, one.slug) for key, one in self.found.projects.items() if not one.gone]
        # Of two that bore one name it is the later one's; the other's new name is not known yet.
        listed = [Scope(key, slug) for key, slug in here if self._by_slug.get(slug) == key]
        return sorted(listed, key=lambda scope: scope.slug)

    def orgs(self) -> list[Scope]:
        """The organisations of the projects found so far, by their ids, sorted by slug."""
        found = {one.org_id: one.org for one in self.found.projects.values() if one.org_id and not one.gone}
        return sorted((Scope(key, slug) for key, slug in found.items()), key=lambda scope: scope.slug)

    def owner_in(self, org: str, project_id: str, name: str | None) -> ProjectRef | None:
        """A project by id, also one that was not seen lately; None for one that the configuration leaves out."""
        found = self.found.projects.get(project_id)
        if found is not None:
            return found.ref
        slug = f"{org}/{project_id if org.startswith('circleci/') or name is None else name}"
        return ProjectRef(self._config.tenant, slug, org, project_id) if self.wanted(slug) else None

    def wanted(self, slug: str) -> bool:
        """Whether the configuration includes a project of this slug."""
        projects = self._config.projects
        return any(fnmatchcase(slug, glob) for glob in projects.include) and not any(
            fnmatchcase(slug, glob) for glob in projects.exclude
        )

    def _listed(self, one: FoundProject) -> bool:
        ours = org_slug(one.slug) in self._config.orgs or one.slug in self._config.explicit_projects
        return self.wanted(one.slug) and ours

    async def _look(self) -> None:
        """Resolve every wanted slug that is new. One project or organisation that fails does not hide the others."""
        now_ms = self._clock.now_ms() + self._api.skew_ms
        daily = now_ms - self.found.asked_ms >= DAY_MS
        if daily:
            await gather_bounded(lambda key: self._ask_again(key, now_ms), list(self.found.projects), _AT_ONCE)
            self._by_slug = {one.slug: key for key, one in self.found.projects.items()}
        slugs = set(self._config.explicit_projects) | await self._of_unseen()
        more, trouble = await self._of_orgs(self._config.orgs, now_ms, daily=daily)
        slugs |= more
        if daily and self._config.orgs:
            slugs |= {slug for slug in await followed(self._api) if org_slug(slug) in self._config.orgs}
        await self._resolve_new(slugs)
        if daily:
            self.found.asked_ms = now_ms - (DAY_MS - HOUR_MS if self.found.unreached else 0)
        if trouble is not None and not self.found.projects:
            raise trouble

    async def _resolve_new(self, slugs: set[str]) -> None:
        new = {slug for slug in slugs if self.wanted(slug)} - self._by_slug.keys()
        await gather_bounded(self._resolve, sorted(new), _AT_ONCE)

    async def _of_orgs(
        self, orgs: Sequence[str], now_ms: int, *, daily: bool = False
    ) -> tuple[set[str], SourceError | None]:
        """Slugs of organisations, and the last trouble. Those that do not answer are asked again with the next turn."""
        slugs: set[str] = set()
        trouble: SourceError | None = None
        unreached: list[str] = []
        for org in orgs:
            try:
                slugs |= await self._of_org(org, now_ms, daily=daily or org not in self.found.orgs)
            except SourceRefused as error:
                if error.reason not in ("no_access", "project_not_found"):
                    raise
                trouble = error
                _log.warning("organisation_refused", source=self._name, org=org, **told(error))
            except SourceUnavailable as error:
                trouble = error
                unreached.append(org)
                if orgs is not self.found.unreached:
                    _log.warning("discovery_unavailable", source=self._name, org=org, **told(error))
        self.found.unreached = unreached
        return slugs, trouble

    async def _of_org(self, org: str, now_ms: int, *, daily: bool) -> set[str]:
        """Slugs of an organisation: those in Insights, which go back 90 days, and in its newest pipelines.

        Where Insights tell nothing, the first look through the pipelines goes back `discover.look_back`.
        """
        slugs = await in_insights(self._api, org) if daily else set[str]()
        initial, look_back = self._config.poll.initial, self._config.discover.look_back
        first = now_ms - (initial if slugs else max(initial, look_back))
        slugs |= await self._seen_in(Unseen(org, self.found.orgs.get(org, first)))
        self.found.orgs[org] = now_ms - _OVERLAP_MS
        return slugs

    async def _of_unseen(self) -> set[str]:
        """Slugs in pipelines that a look before this one did not come to, `discover.max_pages` of them."""
        waiting, slugs = self.found.unseen[:], set[str]()
        for one in waiting:
            self.found.unseen.remove(one)
            if one.org not in self._config.orgs:
                continue
            try:
                slugs |= await self._seen_in(one)
            except SourceUnavailable as error:
                _log.warning("discovery_unavailable", source=self._name, org=one.org, **told(error))
                if one.failures + 1 < _ATTEMPTS:
                    self.found.unseen.append(Unseen(one.org, one.since_ms, one.page, one.failures + 1))
        return slugs

    async def _seen_in(self, look: Unseen) -> set[str]:
        """Slugs in the organisation's pipelines, newest first; where it is cut, the next look goes on."""
        org, since_ms = look.org, look.since_ms
        slugs: set[str] = set()
        count = 0
        params = {"org-slug": org} | ({"page-token": look.page} if look.page else {})
        try:
            async for page in self._api.pages("/api/v2/pipeline", params=params):
                count += 1
                slugs |= {short_slug(slug) for item in page.items if (slug := text(item.get("project_slug")))}
                created = (parse_ms(item.get("created_at")) for item in page.items)
                if any(at is not None and at < since_ms for at in created):
                    break
                if count >= self._config.discover.max_pages and page.next:
                    self.found.unseen.append(Unseen(org, since_ms, page.next))
                    self._capped(org, count)
                    break
        except NotFound as error:
            fix = f"check that {org} exists and that the token's user is a member"
            raise SourceRefused(str(error), reason="no_access", fix=fix) from error
        return slugs

    def _capped(self, org: str, pages: int) -> None:
        self._metrics.count("headgate_walk_pages_capped_total", source=self._name)
        _log.warning(
            "discovery_capped",
            source=self._name,
            org=org,
            pages=pages,
            fix="nothing: the next look goes on from here; discover.max_pages is how many pages one look reads",
        )

    async def _resolve(self, slug: str) -> None:
        """Learn a project's id. A project that is gone or forbidden is warned about and asked for again next time."""
        try:
            self._take(slug, await self._ask(slug))
        except (SourceRefused, Unparsable) as error:
            if isinstance(error, SourceRefused) and error.reason not in ("no_access", "project_not_found"):
                raise
            _log.warning("project_refused", source=self._name, project=slug, **told(error))

    async def _ask(self, slug: str) -> FoundProject:
        given = await self._api.get("/api/v2/project/{slug}", slug=slug)
        return FoundProject.of(project(given, self._config.tenant), text(given.get("name")))

    def _take(self, slug: str, owner: FoundProject) -> None:
        """A project answered under a slug; where that is an old or a new name of it, the id keeps it one scope."""
        key = owner.key
        old = self.found.projects.get(key)
        if old is not None and old.slug != owner.slug:
            _log.info("project_renamed", source=self._name, project=owner.slug, was=old.slug)
        if old is not None and old.gone:
            _log.info("project_back", source=self._name, project=owner.slug)
        self.found.projects[key] = owner
        self._by_slug[slug] = self._by_slug[owner.slug] = key

    async def _ask_again(self, key: str, now_ms: int) -> None:
        """Learn whether a project is still there, and its name of today."""
        one = self.found.projects[key]
        try:
            owner = await self._ask(one.slug)
        except SourceRefused as error:
            if error.reason not in _MISSING:
                raise
            self._miss(one, now_ms, _MISSING[error.reason])
        except Unparsable as error:
            _log.warning("project_refused", source=self._name, project=one.slug, **told(error))
        else:
            self._take(one.slug, owner)
            if key != owner.key:  # its name was given to another project
                self._miss(one, now_ms)

    def _miss(self, one: FoundProject, now_ms: int, fix: str = _DELETED) -> None:
        one.missing_ms = one.missing_ms or now_ms
        if not one.gone and now_ms - one.missing_ms >= self._config.discover.gone_after:
            one.gone = True
            _log.warning("project_gone", source=self._name, project=one.slug, fix=fix)
