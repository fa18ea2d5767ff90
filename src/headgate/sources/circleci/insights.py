"""Asks CircleCI's Insights about organisations and projects, everything live going first.

Invariant: it keeps no facts, only what it has said already: a right that is missing is said once, and what needs it is
left out. How many calls a reading takes is `insights_cost`; a test compares the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from math import ceil
from typing import Any

import structlog

from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import Scope
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.sources.circleci import normalize_insights as shapes
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import InsightsConfig
from headgate.sources.circleci.discovery import Discovery
from headgate.sources.circleci.normalize import Context
from headgate.sources.circleci.reading import Json, text, texts

__all__ = ["Insights", "insights_cost"]

Told = AsyncIterator[Sequence[Observation]]

# Names in one call: a query has to stay well below the 8 kB that servers in between take.
_NAMES_AT_ONCE = 50
_BRANCHES = 50
# Insights is up to a day late, so the newest buckets of a series are asked for again until they stand.
_SETTLED_MS = 3 * DAY_MS
# Granularity -> our name of the bucket, its length, how far back to ask: whole buckets within CircleCI's 90 days and
# 48 hours.
_SERIES = {"daily": ("day", DAY_MS, 89 * DAY_MS), "hourly": ("hour", HOUR_MS, 47 * HOUR_MS)}
_ALL = {"all-branches": "true"}
_OF_WORKFLOWS = frozenset({"project", "workflows", "jobs", "series", "tests"})
# Parts that only projects with a version control system known to CircleCI have: that they are missing is no news.
_TESTED = frozenset({"tests", "flaky"})
_WORKFLOW = "/api/v2/insights/{slug}/workflows/{name}"
_log = structlog.get_logger("headgate.sources.circleci")


def insights_cost(config: InsightsConfig, projects: int, workflows: int, *, orgs: int = 1) -> int:
    """Calls of one reading of everything, made every `insights.every`. `workflows`: those of all projects together.

    Lists of more than a page, and projects with more than 50 workflows, take more.
    """
    parts, windows = frozenset(config.parts), len(config.windows)
    calls = 0
    if "org" in parts and orgs:
        calls += orgs * (1 + windows * max(1, ceil(projects / orgs / _NAMES_AT_ONCE)))
    per_project = windows * bool(parts & _OF_WORKFLOWS) + windows * ("project" in parts)
    per_project += ("branches" in parts) + ("flaky" in parts)
    per_workflow = ("workflows" in parts) + windows * ("jobs" in parts) + 2 * ("series" in parts) + ("tests" in parts)
    return calls + projects * per_project + workflows * per_workflow


class Insights:
    """The routes under `/api/v2/insights`, told as observations, one call's worth at a time."""

    def __init__(
        self, name: str, config: InsightsConfig, api: Api, discovery: Discovery, context: Callable[[], Context]
    ) -> None:
        self._name = name
        self._windows = config.windows
        self._parts = frozenset(config.parts)
        self._api = api
        self._discovery = discovery
        self._context = context
        self._said: set[tuple[str, str]] = set()

    async def of_org(self, slug: str) -> Told:
        """The organisation and its projects, by window. Names of projects come first: without them there are none."""
        if "org" not in self._parts:
            return
        org = self._discovery.org(slug)
        try:
            given = await self._org(slug, self._windows[0], ())
            names = texts(given.get("all_projects"))
            projects = {name: owner for name in names if (owner := self._discovery.named(slug, name)) is not None}
            for window in self._windows:
                for chunk in _chunks(sorted(projects)):
                    given = await self._org(slug, window, chunk)
                    yield shapes.org_summary(given, org, projects, window, self._context())
        except (SourceRefused, NotFound) as error:
            self._leave_out("org", slug, error)

    async def of_project(self, scope: Scope, since_ms: int | None) -> Told:
        """Everything about one project. `since_ms`: when it was read last, None: never; series go on from there."""
        owner = self._discovery.known(scope.slug, scope.key)
        names: set[str] = set()
        places = [owner.default_branch] if owner.default_branch else []
        try:
            if "branches" in self._parts:
                given = await self._get("/api/v2/insights/{slug}/branches", {}, slug=owner.slug)
                yield shapes.branches(given, owner, self._context())
                places = shapes.listed(given)[:_BRANCHES]
            for window in self._windows if self._parts & _OF_WORKFLOWS else ():
                items = await self._items("/api/v2/insights/{slug}/workflows", {"reporting-window": window}, owner)
                names |= {name for item in items if (name := text(item.get("name"))) is not None}
                if "workflows" in self._parts:
                    yield shapes.workflows(items, owner, window, self._context())
            for window in self._windows if "project" in self._parts else ():
                for chunk in _chunks(sorted(names)):
                    yield await self._page(owner, window, chunk, places)
        except (SourceRefused, NotFound) as error:
            self._leave_out("project", owner.slug, error)
            return
        for name in sorted(names):
            async for found in self._of_workflow(owner, name, since_ms):
                yield found
        if "flaky" in self._parts:
            yield await self._part("flaky", owner, self._flaky(owner))

    async def _of_workflow(self, owner: ProjectRef, name: str, since_ms: int | None) -> Told:
        if "workflows" in self._parts:
            yield await self._part("workflows", owner, self._summary(owner, name))
        for window in self._windows if "jobs" in self._parts else ():
            yield await self._part("jobs", owner, self._jobs(owner, name, window))
        for granularity in _SERIES if "series" in self._parts else ():
            yield await self._part("series", owner, self._series(owner, name, granularity, since_ms))
        if "tests" in self._parts:
            yield await self._part("tests", owner, self._tests(owner, name))

    # -- one question each

    async def _org(self, slug: str, window: str, names: Sequence[str]) -> Json:
        params: dict[str, Any] = {"reporting-window": window} | ({"project-names": tuple(names)} if names else {})
        return await self._get("/api/v2/insights/{slug}/summary", params, slug=slug)

    async def _page(
        self, owner: ProjectRef, window: str, names: Sequence[str], places: Sequence[str]
    ) -> list[Observation]:
        params: dict[str, Any] = {"reporting-window": window}
        if names:
            params |= {"workflow-names": tuple(names), "branches": tuple(places)}
        given = await self._get("/api/v2/insights/pages/{slug}/summary", params, slug=owner.slug)
        return shapes.project_summary(given, owner, window, self._context())

    async def _summary(self, owner: ProjectRef, name: str) -> list[Observation]:
        given = await self._get(f"{_WORKFLOW}/summary", _ALL, slug=owner.slug, name=name)
        return shapes.workflow_summary(given, owner, name, self._context())

    async def _jobs(self, owner: ProjectRef, name: str, window: str) -> list[Observation]:
        items = await self._items(f"{_WORKFLOW}/jobs", {"reporting-window": window}, owner, name=name)
        return shapes.jobs(items, owner, name, window, self._context())

    async def _series(self, owner: ProjectRef, name: str, granularity: str, since_ms: int | None) -> list[Observation]:
        """The series knows one branch at a time: the default one, which CircleCI takes where we know none."""
        now_ms = self._context().observed_ms
        bucket, every_ms, kept_ms = _SERIES[granularity]
        since = now_ms - kept_ms if since_ms is None else max(now_ms - kept_ms, since_ms - _SETTLED_MS)
        # A bucket that is only partly asked for would be told with too small numbers.
        params = {"granularity": granularity, "start-date": format_ms(since // every_ms * every_ms)}
        if owner.default_branch:
            params["branch"] = owner.default_branch
        route = "/api/v2/insights/time-series/{slug}/workflows/{name}/jobs"
        items = await self._api.items(route, params=params, patient=True, slug=owner.slug, name=name)
        return shapes.intervals(items, owner, name, bucket, self._context())

    async def _tests(self, owner: ProjectRef, name: str) -> list[Observation]:
        given = await self._get(f"{_WORKFLOW}/test-metrics", _ALL, slug=owner.slug, name=name)
        return shapes.test_metrics(given, owner, name, self._context())

    async def _flaky(self, owner: ProjectRef) -> list[Observation]:
        given = await self._get("/api/v2/insights/{slug}/flaky-tests", {}, slug=owner.slug)
        return shapes.flaky_tests(given, owner, self._context())

    async def _items(self, route: str, params: Mapping[str, str], owner: ProjectRef, **parts: str) -> list[Json]:
        return await self._api.items(route, params={**_ALL, **params}, patient=True, slug=owner.slug, **parts)

    async def _get(self, route: str, params: Mapping[str, Any], **parts: str) -> Json:
        given = await self._api.get(route, params=params, patient=True, apart=False, attempts=None, **parts)
        if not isinstance(given, dict):
            raise SourceUnavailable(f"GET {route}: the answer is no object")
        return given

    # -- what cannot be had

    async def _part(self, part: str, owner: ProjectRef, asking: Awaitable[list[Observation]]) -> list[Observation]:
        """What one question told; nothing where the project has no such thing or the token no right to it."""
        try:
            return await asking
        except (SourceRefused, NotFound) as error:
            self._leave_out(part, owner.slug, error)
            return []

    def _leave_out(self, part: str, slug: str, error: SourceRefused | NotFound) -> None:
        """Say once what is missing. Raises the error where the token is worth nothing at all."""
        if self._api.refused:
            raise error
        reason = error.reason if isinstance(error, SourceRefused) else "not_found"
        expected = reason == "not_found" or (part in _TESTED and reason == "project_not_found")
        said, seen = (part, reason) in self._said, (part, reason)
        self._said.add(seen)
        say = _log.debug if expected or said else _log.warning
        fix = error.fix if isinstance(error, SourceRefused) else ""
        say("insights_left_out", source=self._name, part=part, project=slug, reason=reason, error=str(error), fix=fix)


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    """The names in groups of one call each; one empty group where there are none."""
    return [names[at : at + _NAMES_AT_ONCE] for at in range(0, max(1, len(names)), _NAMES_AT_ONCE)]
