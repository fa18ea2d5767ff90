"""Lists as feeds: pipelines, v1.1 builds, and the v2 walk with everything below each pipeline.

Each list is newest first and knows no time filter, so a span is found by walking; the position is the page where to
go on. A page that reaches beyond the span is the position of the older span next to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from headgate.core.errors import SourceRefused, SourceUnavailable
from headgate.core.feeds import Feed, FeedPage, Span
from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import Scope
from headgate.core.times import parse_ms
from headgate.sources.circleci import normalize as shapes
from headgate.sources.circleci.api import Api, Page
from headgate.sources.circleci.normalize_v1 import build
from headgate.sources.circleci.reading import Json

__all__ = ["BUILDS", "BuildsFeed", "PipelinesFeed", "WalkFeed", "spanned"]

_WALK = "walk:"
BUILDS = 100  # as many as v1.1 gives a page
_Owner = Callable[[Scope], ProjectRef]
_Context = Callable[[], shapes.Context]
_Below = Callable[[Sequence[Json], ProjectRef], Awaitable[list[Observation]]]


def spanned(at_ms: int | None, span: Span) -> bool:
    """Whether something of this time belongs to the span; something without a time always does."""
    return at_ms is None or span.since_ms <= at_ms < span.until_ms


async def _pipeline_pages(
    api: Api, scope: Scope, span: Span, position: str | None
) -> AsyncIterator[tuple[Page, FeedPage]]:
    """Pages of a project's pipelines with the frame of what the feed tells of each."""
    params = {"page-token": position} if position else {}
    async for page in api.pages("/api/v2/project/{slug}/pipeline", params=params, patient=True, slug=scope.slug):
        times = [at for item in page.items if (at := parse_ms(item.get("created_at"))) is not None]
        oldest = min(times, default=None)
        beyond = oldest is not None and oldest < span.since_ms
        last = beyond or not page.more
        # Where this span ends inside a page, the older span begins with the same page.
        where = (page.token if last else page.next) or ""
        yield page, FeedPage((), where, last, span.since_ms if last else oldest, calls=1)
        if last:
            return


class PipelinesFeed:
    """Commits, branches, triggers and configuration errors of pipelines: 20 for a call."""

    name = "pipelines"
    per: Literal["org", "project"] = "project"
    gives = "commits, branches, triggers and errors of pipelines"

    def __init__(self, api: Api, owner: _Owner, context: _Context) -> None:
        self._api, self._owner, self._context = api, owner, context

    async def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """Page by page, newest first."""
        owner = self._owner(scope)
        async for page, frame in _pipeline_pages(self._api, scope, span, position):
            found = [
                one
                for item in page.items
                if spanned(parse_ms(item.get("created_at")), span)
                and (one := shapes.pipeline(item, owner, self._context())) is not None
            ]
            yield FeedPage(found, frame.position, frame.last, frame.reached_ms, frame.calls)


class WalkFeed:
    """The v2 walk: each pipeline with its workflows and their jobs, two calls and more for a pipeline.

    `completes`: nothing else will tell more of them.
    """

    name = "walk"
    per: Literal["org", "project"] = "project"
    gives = "pipelines, workflows and jobs"

    def __init__(self, api: Api, owner: _Owner, below: _Below, *, completes: bool) -> None:
        self._api, self._owner, self._below, self._completes = api, owner, below, completes

    async def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """Page by page, newest first."""
        owner = self._owner(scope)
        async for page, frame in _pipeline_pages(self._api, scope, span, position):
            items = [item for item in page.items if spanned(parse_ms(item.get("created_at")), span)]
            before = self._api.calls
            found = await self._below(items, owner)
            told = [msgspec.structs.replace(one, enriches=self._completes) for one in found]
            yield FeedPage(told, frame.position, frame.last, frame.reached_ms, 1 + self._api.calls - before)


class BuildsFeed:
    """API v1.1: builds with queue times and milliseconds, 100 for a call.

    A project that v1.1 does not know is told by `instead`; without it nothing is.
    """

    name = "builds"
    per: Literal["org", "project"] = "project"
    gives = "jobs with queue times"

    def __init__(self, api: Api, owner: _Owner, context: _Context, instead: Feed | None) -> None:
        self._api, self._owner, self._context, self._instead = api, owner, context, instead

    async def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """Page by page, newest first.

        The position is an offset: builds that came since push older ones further away, so what follows may be told
        twice but is never passed over.
        """
        if position is not None and not position.isdigit():
            # It was left by the walk: v1.1 did not know this project.
            async for page in self._elsewhere(scope, span, position.removeprefix(_WALK) or None):
                yield page
            return
        owner, offset = self._owner(scope), int(position or 0)
        while True:
            try:
                rows = await self._page(scope, offset)
            except SourceRefused as error:
                if error.reason != "project_not_found" or offset:
                    raise
                async for page in self._elsewhere(scope, span, None):
                    yield page
                return
            began = [at for row in rows if (at := _began(row)) is not None]
            oldest = min(began, default=None)
            last = len(rows) < BUILDS or (oldest is not None and oldest < span.since_ms)
            context = self._context()
            found = [
                msgspec.structs.replace(one, enriches=True)
                for row in rows
                if spanned(_began(row), span)
                for one in build(row, owner, context)
            ]
            where = offset if last else offset + BUILDS
            yield FeedPage(found, str(where), last, span.since_ms if last else oldest, calls=1)
            if last:
                return
            offset += BUILDS

    async def _elsewhere(self, scope: Scope, span: Span, position: str | None) -> AsyncIterator[FeedPage]:
        if self._instead is None:
            yield FeedPage((), _WALK, last=True, reached_ms=span.since_ms, calls=1)
            return
        async for page in self._instead.read(scope, span, position=position):
            yield FeedPage(page.observations, _WALK + page.position, page.last, page.reached_ms, page.calls)

    async def _page(self, scope: Scope, offset: int) -> list[dict[str, Any]]:
        params = {"limit": str(BUILDS), "offset": str(offset), "filter": "completed", "shallow": "true"}
        rows = await self._api.get("/api/v1.1/project/{slug}", params=params, patient=True, slug=scope.slug)
        if not isinstance(rows, list):
            raise SourceUnavailable(f"GET /api/v1.1/project/{scope.slug}: the answer is no list of builds")
        return [row for row in rows if isinstance(row, dict)]


def _began(row: Json) -> int | None:
    """When a build began to wait, which is how the list is sorted."""
    return parse_ms(row.get("usage_queued_at")) or parse_ms(row.get("queued_at")) or parse_ms(row.get("start_time"))
