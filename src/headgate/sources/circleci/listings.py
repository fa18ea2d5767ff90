"""What CircleCI lists of a span, for the audit: pipelines, v1.1 builds, and Insights runs.

Three lists that are made apart: what one of them hides, another shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from headgate.core.audits import Listed, Listing
from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.feeds import Span
from headgate.core.merge import ProjectRef
from headgate.core.ports import RunRef, Scope
from headgate.core.status import is_terminal
from headgate.core.times import DAY_MS, MINUTE_MS, parse_ms
from headgate.sources.circleci import normalize as shapes
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.feed_insights import InsightsFeed
from headgate.sources.circleci.feeds import BUILDS
from headgate.sources.circleci.normalize_v1 import build
from headgate.sources.circleci.reading import Json, sub, text, uuid_text

__all__ = ["Listings"]

# Insights are a day late: with this and a round of the audit, what ended is found within 26 hours.
_WITHOUT_BUILDS_MS = 100 * MINUTE_MS


class Listings:
    """The lists of one source. Calls are patient: the audit never holds up what is live."""

    def __init__(
        self,
        api: Api,
        owner: Callable[[Scope], ProjectRef],
        context: Callable[[], shapes.Context],
        insights: InsightsFeed,
    ) -> None:
        self._api, self._owner, self._context, self._insights = api, owner, context, insights
        self._unknown: set[str] = set()  # scopes that v1.1 does not know

    def deep_every_ms(self, scope: Scope) -> int:
        """Once a day; without v1.1 Insights alone tell of a rerun of an old pipeline, a day after its end."""
        return _WITHOUT_BUILDS_MS if scope.key in self._unknown else DAY_MS

    async def read(self, scope: Scope, span: Span, *, late: Span | None) -> AsyncIterator[Listing]:
        """Pipelines, then builds, then, where `late` is given, Insights runs of that span."""
        async for page in self._pipelines(scope, span):
            yield page
        async for page in self._builds(scope, span):
            yield page
        if late is not None:
            async for page in self._runs(scope, late):
                yield page

    async def _pipelines(self, scope: Scope, span: Span) -> AsyncIterator[Listing]:
        owner = self._owner(scope)
        async for page in self._api.pages("/api/v2/project/{slug}/pipeline", patient=True, slug=scope.slug):
            found, last = [], False
            for item in page.items:
                key, made = uuid_text(item.get("id")), parse_ms(item.get("created_at"))
                if key is None or made is None:
                    continue
                last = last or made < span.since_ms
                if span.since_ms <= made < span.until_ms:
                    run = RunRef(scope.slug, scope.key, key, None, made)
                    seen = shapes.pipeline(item, owner, self._context())
                    told = [seen] if seen else []
                    found.append(Listed("pipeline", key, made, run, observations=told, webhook=False))
            yield Listing(found)
            if last:
                return

    async def _builds(self, scope: Scope, span: Span) -> AsyncIterator[Listing]:
        offset = 0
        while True:
            params = {"limit": str(BUILDS), "offset": str(offset), "filter": "completed", "shallow": "true"}
            try:
                rows = await self._api.get("/api/v1.1/project/{slug}", params=params, patient=True, slug=scope.slug)
            except SourceRefused as error:
                if error.reason not in ("project_not_found", "no_access") or self._api.refused:
                    raise
                self._unknown.add(scope.key)
                return  # a project of a GitHub App or GitLab: pipelines alone tell of it
            if not isinstance(rows, list):
                raise SourceUnavailable(f"GET /api/v1.1/project/{scope.slug}: the answer is no list of builds")
            self._unknown.discard(scope.key)
            given = [row for row in rows if isinstance(row, dict)]
            yield Listing([one for row in given for one in self._of_build(row, scope, span)])
            began = [at for row in given if (at := parse_ms(row.get("usage_queued_at"))) is not None]
            if len(rows) < BUILDS or (began and min(began) < span.since_ms):
                return
            offset += BUILDS

    def _of_build(self, row: dict[str, Any], scope: Scope, span: Span) -> list[Listed]:
        """The job and the workflow of a row; nothing of a build that no workflow ran, which polling keeps by number."""
        link, stopped = sub(row, "workflows"), parse_ms(row.get("stop_time"))
        key, workflow = uuid_text(link.get("job_id")), uuid_text(link.get("workflow_id"))
        queued = parse_ms(row.get("usage_queued_at")) or stopped
        if key is None or workflow is None or queued is None or not span.since_ms <= queued < span.until_ms:
            return []
        at = stopped or queued
        run = RunRef(scope.slug, scope.key, None, workflow, at)
        ended = is_terminal(text(row.get("status")), stopped=stopped is not None)
        told = build(row, self._owner(scope), self._context())
        ran = parse_ms(row.get("start_time")) is not None  # of a job that was canceled in the queue no webhook tells
        return [
            Listed("workflow", workflow, at, run, ended=False),
            *([Listed("job", key, at, run, observations=told, webhook=ran)] if ended else []),
        ]

    async def _runs(self, scope: Scope, span: Span) -> AsyncIterator[Listing]:
        try:
            async for page in self._insights.read(scope, span):
                yield Listing([one for seen in page.observations if (one := _of_run(seen.key, seen.fields, scope))])
        except (SourceRefused, NotFound):
            if self._api.refused:
                raise
            return  # no Insights for this token: the other lists have to do


def _of_run(key: str, fields: Json, scope: Scope) -> Listed | None:
    stopped, created = fields.get("stopped_at"), fields.get("created_at")
    if not isinstance(stopped, int):
        return None
    made = created if isinstance(created, int) else stopped
    return Listed("workflow", key, stopped, RunRef(scope.slug, scope.key, None, key, made))
