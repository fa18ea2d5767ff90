"""Insights runs as a feed: every ended run of every workflow with status, times and credits, many for a call.

CircleCI computes them up to a day late, for 90 days, never for running or tag-triggered workflows, and its credits are
no bill: they are kept as estimates.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from headgate.core.clock import Clock
from headgate.core.errors import NotFound, SourceRefused
from headgate.core.feeds import FeedPage, Span
from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import Scope
from headgate.core.status import is_terminal
from headgate.core.times import DAY_MS, format_ms, parse_ms
from headgate.sources.circleci import normalize as shapes
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.reading import Json, integer, known, text, uuid_text

__all__ = ["InsightsFeed", "insights_run", "workflow_names"]

_KEPT_MS = 90 * DAY_MS
_ALL = {"all-branches": "true"}


class _Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where to go on: in the runs of this workflow, at this page; workflows are read in the order of their names."""

    workflow: str = ""
    token: str | None = None


def insights_run(given: Json, name: str, owner: ProjectRef, ctx: shapes.Context) -> Observation | None:
    """One run of `/insights/{slug}/workflows/{name}`; None without an id."""
    key = uuid_text(given.get("id"))
    if key is None:
        return None
    status, stopped_at = text(given.get("status")), parse_ms(given.get("stopped_at"))
    terminal = is_terminal(status, stopped=stopped_at is not None)
    branch, used = text(given.get("branch")), integer(given.get("credits_used"))
    fields = known(
        name=name,
        status=status,
        created_at=parse_ms(given.get("created_at")),
        stopped_at=stopped_at if terminal else None,
        ref_name=branch,
        ref_type="branch" if branch else None,
        credits=used,
        credits_estimated=None if used is None else True,
    )
    return shapes.observe(ctx, "workflow", key, owner, fields, source="insights", terminal=terminal)


async def workflow_names(api: Api, slug: str) -> tuple[list[str], int]:
    """Names of the workflows that ran in the last 90 days on any branch, sorted, and the calls that it took."""
    params = {**_ALL, "reporting-window": "last-90-days"}
    names: set[str] = set()
    calls = 0
    async for page in api.pages("/api/v2/insights/{slug}/workflows", params=params, patient=True, slug=slug):
        calls += 1
        names |= {name for item in page.items if (name := text(item.get("name")))}
    return sorted(names), calls


class InsightsFeed:
    """Runs of workflows on all branches."""

    name = "insights"
    per: Literal["org", "project"] = "project"
    gives = "status, times and estimated credits of workflows"

    def __init__(
        self, api: Api, owner: Callable[[Scope], ProjectRef], context: Callable[[], shapes.Context], clock: Clock
    ) -> None:
        self._api, self._owner, self._context, self._clock = api, owner, context, clock

    async def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """Workflow by workflow, each newest first. Insights may lack what ended in the last 24 hours."""
        place = msgspec.json.decode(position, type=_Place) if position else _Place()
        since_ms = max(span.since_ms, self._clock.now_ms() - _KEPT_MS)
        if since_ms >= span.until_ms:
            yield FeedPage((), "", last=True, reached_ms=span.since_ms)
            return
        try:
            names, calls = await workflow_names(self._api, scope.slug)
        except (NotFound, SourceRefused) as error:
            if isinstance(error, SourceRefused) and error.reason != "project_not_found":
                raise
            names, calls = [], 1  # nothing ran in 90 days, or the project has no Insights: other feeds tell of it
        left = [name for name in names if name >= place.workflow]
        if not left:
            yield FeedPage((), "", last=True, reached_ms=span.since_ms, calls=calls)
        for number, name in enumerate(left):
            token = place.token if name == place.workflow else None
            following = left[number + 1] if number + 1 < len(left) else None
            async for page in self._runs(scope, Span(since_ms, span.until_ms), name, token, following):
                yield FeedPage(page.observations, page.position, page.last, page.reached_ms, page.calls + calls)
                calls = 0

    async def _runs(
        self, scope: Scope, span: Span, name: str, token: str | None, following: str | None
    ) -> AsyncIterator[FeedPage]:
        params = {**_ALL, "start-date": format_ms(span.since_ms), "end-date": format_ms(span.until_ms)}
        if token:
            params["page-token"] = token
        owner = self._owner(scope)
        route = "/api/v2/insights/{slug}/workflows/{name}"
        async for page in self._api.pages(route, params=params, patient=True, slug=scope.slug, name=name):
            context = self._context()
            found = [one for item in page.items if (one := insights_run(item, name, owner, context)) is not None]
            last = following is None and not page.more
            where = _Place(name, page.next) if page.more else _Place(following or name)
            # The older span next to this one begins with the first workflow again.
            at = "" if last else msgspec.json.encode(where).decode()
            yield FeedPage(found, at, last, span.since_ms if last else None, calls=1)
