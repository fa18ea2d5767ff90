"""The CircleCI source: what the collect engine asks, answered through API v2 and v1.1.

Invariant: it keeps no facts. Lists are walked newest first and given page by page; a page is given whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog

from headgate.core.audits import Listing
from headgate.core.details import EndedJob
from headgate.core.discovery import Found
from headgate.core.errors import NotFound
from headgate.core.facts import Value
from headgate.core.feeds import Refresh, Span, Strategy
from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import (
    BuildContext,
    CheckResult,
    Delivery,
    Enrichment,
    JobRef,
    RunRef,
    Scope,
    SourceUsage,
    WalkPage,
    WebhookAdmin,
    WebhookPolicy,
)
from headgate.core.status import map_status
from headgate.core.times import DAY_MS, parse_ms
from headgate.plugins.config import reveal
from headgate.sources.circleci import normalize as shapes
from headgate.sources.circleci.checks import run_checks
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.config_details import details_cost
from headgate.sources.circleci.details import make_details
from headgate.sources.circleci.discovery import Discovery
from headgate.sources.circleci.enrich import Enricher
from headgate.sources.circleci.export_files import Downloads
from headgate.sources.circleci.export_jobs import ExportJobs, HourlyLimit
from headgate.sources.circleci.feed_export import ExportFeed, TodayFeed
from headgate.sources.circleci.feed_insights import InsightsFeed
from headgate.sources.circleci.feeds import BuildsFeed, PipelinesFeed, WalkFeed
from headgate.sources.circleci.gather import gather_bounded
from headgate.sources.circleci.hooks import webhook_admin
from headgate.sources.circleci.insights import Insights
from headgate.sources.circleci.listings import Listings
from headgate.sources.circleci.making import api_of, privacy_of
from headgate.sources.circleci.reading import Json, integer, uuid_text
from headgate.sources.circleci.regular import regular_calls
from headgate.sources.circleci.strategy import Exporting, Feeds, choose
from headgate.sources.circleci.usage_csv import Row
from headgate.sources.circleci.ways import Ways
from headgate.sources.circleci.webhook import CircleCIWebhookPolicy

__all__ = ["CircleCISource"]

_AT_ONCE = 8  # calls of one walk in flight; the budget bounds all walks together
_REFRESH_MS = 4 * DAY_MS  # so that three full days are in it whatever the time of day
# CircleCI's one word for an end that it cannot name: known, though ours for it is `unknown`.
_KNOWN_UNKNOWN = "terminated-unknown"
_log = structlog.get_logger("headgate.sources.circleci")


class CircleCISource:
    """One configured CircleCI. See core.ports.Source for what each method promises."""

    def __init__(self, name: str, config: CircleCIConfig, context: BuildContext) -> None:
        self.name = name
        self.host = config.tenant
        self.webhook: WebhookPolicy | None = CircleCIWebhookPolicy(
            [reveal(secret) for secret in config.webhook.secrets],
            allow_unsigned=config.allow_unsigned,
            max_body_bytes=config.webhook.max_body_bytes,
        )
        self._config = config
        self._clock = context.clock
        self._metrics = context.metrics
        self._privacy = privacy_of(config)
        self._api = api_of(name, config, context)
        self.webhook_admin: WebhookAdmin | None = webhook_admin(config, self._api)
        self._discovery = Discovery(name, config, self._api, clock=context.clock, metrics=context.metrics)
        self._enricher = Enricher(config, self._api, self._discovery, self._context, self.now_ms)
        self._details = make_details(name, config, self._api, self._discovery, context)
        self._export_jobs = ExportJobs(self._api, HourlyLimit(self.now_ms, asyncio.sleep))
        exports = "off" if config.is_server else config.usage_export.enabled  # a Server has none
        self._exporting = Exporting(self._export_jobs, exports, self.now_ms)
        self._feeds = self._make_feeds()
        every = config.usage_export.every if exports != "off" and config.token is not None else 0
        self.refresh = Refresh(every, _REFRESH_MS, ("export", "insights")) if every else None
        self._insights = Insights(name, config.insights, self._api, self._discovery, self._context)
        self.regular_calls = partial(regular_calls, config)

    # -- webhooks

    def normalize(self, delivery: Delivery) -> Sequence[Observation]:
        """What a webhook says; nothing for pings and for types nobody knows, which are counted."""
        payload = shapes.decode(delivery.body)
        found = shapes.webhook(payload, self._context(delivery.arrived_ms))
        if payload.get("type") not in shapes.WEBHOOK_TYPES:
            self._metrics.count("headgate_unknown_words_total", source=self.name, field="event_type")
        self._count_words(found)
        return found

    # -- walking

    async def scopes(self) -> Sequence[Scope]:
        """Every project to walk; none without a token."""
        if self._config.token is None:
            return ()
        return await self._discovery.scopes()

    def found(self) -> Found:
        """Projects found so far."""
        return self._discovery.found

    def recall(self, found: Found) -> None:
        """Projects found before this start."""
        self._discovery.recall(found)

    async def walk(self, scope: Scope, *, after: int | None, since_ms: int, below: bool) -> AsyncIterator[WalkPage]:
        """The project's pipelines newest first; `below`: with the workflows and jobs of each."""
        owner = self._discovery.known(scope.slug, scope.key)
        count = 0
        async for page in self._api.pages("/api/v2/project/{slug}/pipeline", slug=scope.slug):
            count += 1
            fresh = [item for item in page.items if _is_newer(item, after, since_ms)]
            last = len(fresh) < len(page.items) or not page.more
            capped = not last and count >= self._config.poll.max_pages
            observations = await self._page(fresh, owner, below=below)
            numbers = [number for item in fresh if (number := integer(item.get("number"))) is not None]
            yield WalkPage(observations, max(numbers, default=None), last, capped)
            if capped:
                self._walk_capped(scope, count)
            if last or capped:
                return

    async def revisit(self, run: RunRef) -> Sequence[Observation]:
        """All workflows of the run's pipeline with their jobs, so that reruns are found; else the one workflow."""
        owner = self._discovery.known(run.project_slug, run.project_key)
        if run.pipeline_id is not None:
            return self._counted(await self._workflows(run.pipeline_id, owner, {}))
        if run.workflow_id is None:
            raise NotFound(f"a run of {run.project_slug} has neither pipeline nor workflow id")
        given = await self._api.get("/api/v2/workflow/{id}", id=run.workflow_id)
        pipeline_id = uuid_text(given.get("pipeline_id")) if isinstance(given, dict) else None
        parent = None if pipeline_id is None else await self._pipeline(pipeline_id, owner)
        if parent is None:  # past retention, though the rerun is not
            return self._counted(await self._with_jobs(given, owner, {}))
        # With what it repeats, if it is a rerun.
        return self._counted([parent, *await self._workflows(parent.key, owner, parent.fields)])

    async def _page(
        self, items: Sequence[Json], owner: ProjectRef, *, below: bool = True, patient: bool = False
    ) -> list[Observation]:
        async def one(item: Json) -> list[Observation]:
            parent = shapes.pipeline(item, owner, self._context())
            if parent is None or not below:
                return [parent] if parent else []
            try:
                return [parent, *await self._workflows(parent.key, owner, parent.fields, patient=patient)]
            except NotFound:
                # Past retention, or so new that CircleCI does not find it yet: revisited while it is young.
                return [parent]

        return self._counted([found for each in await gather_bounded(one, items, _AT_ONCE) for found in each])

    async def _workflows(
        self, pipeline_id: str, owner: ProjectRef, facts: Mapping[str, Value], *, patient: bool = False
    ) -> list[Observation]:
        found: list[Observation] = []
        for given in await self._api.items("/api/v2/pipeline/{id}/workflow", patient=patient, id=pipeline_id):
            found += await self._with_jobs({"pipeline_id": pipeline_id, **given}, owner, facts, patient=patient)
        return found

    async def _with_jobs(
        self, given: Any, owner: ProjectRef, facts: Mapping[str, Value], *, patient: bool = False
    ) -> list[Observation]:
        run = shapes.workflow(given, owner, self._context(), facts) if isinstance(given, dict) else None
        if run is None:
            return []
        try:
            items = await self._api.items("/api/v2/workflow/{id}/job", patient=patient, id=run.key)
        except NotFound:
            self._metrics.count("headgate_source_missing_detail_total", source=self.name, reason="retention")
            return [run]
        context = self._context()
        jobs = [job for item in items if (job := shapes.job(item, run, owner, context)) is not None]
        if any("workflow_id" not in job.fields for job in jobs):  # taken over from the workflow that it repeats
            run = msgspec.structs.replace(run, fields={**run.fields, "partial_rerun": True})
        return [run, *jobs]

    async def _pipeline(self, pipeline_id: str, owner: ProjectRef) -> Observation | None:
        try:
            given = await self._api.get("/api/v2/pipeline/{id}", id=pipeline_id)
        except NotFound:
            return None
        return shapes.pipeline(given, owner, self._context()) if isinstance(given, dict) else None

    # -- history

    async def strategy(self) -> Strategy:
        """The cheapest feeds that this token may use."""
        if self._config.token is None:
            return Strategy("none", (), why=("there is no token: only webhooks are taken",))
        scopes, server = await self._discovery.scopes(), self._config.is_server
        return await choose(self._api, self._feeds, self._exporting, scopes, self._discovery.orgs(), server=server)

    def listings(self, scope: Scope, span: Span, *, late: Span | None) -> AsyncIterator[Listing]:
        """What CircleCI lists of a span, for the audit."""
        return self._listings.read(scope, span, late=late)

    def deep_every_ms(self, scope: Scope) -> int:
        """How often the audit asks Insights."""
        return self._listings.deep_every_ms(scope)

    def _make_feeds(self) -> Feeds:
        def owner(scope: Scope) -> ProjectRef:
            return self._discovery.known(scope.slug, scope.key)

        def owner_of_row(org: str, row: Row) -> ProjectRef | None:
            return self._discovery.owner_in(org, row.project_id, row.text("PROJECT_NAME"))

        below = partial(self._page, patient=True)
        usage = self._config.usage_export
        options = self._api.options
        ways = Ways(options.base_url, self._config.details.hosts, options.proxy)
        downloads = Downloads(self.name, options, ways, usage.max_bytes, self._metrics)
        walk = WalkFeed(self._api, owner, below, completes=True)
        builds = BuildsFeed(self._api, owner, self._context, walk)
        insights = InsightsFeed(self._api, owner, self._context, self._clock)
        self._listings = Listings(self._api, owner, self._context, insights)
        return Feeds(
            pipelines=PipelinesFeed(self._api, owner, self._context),
            insights=insights,
            builds=builds,
            walk=walk,
            walk_first=WalkFeed(self._api, owner, below, completes=False),
            queue_times=BuildsFeed(self._api, owner, self._context, None),
            export=ExportFeed(
                self._export_jobs,
                downloads,
                usage,
                owner=owner_of_row,
                context=self._context,
                now_ms=self.now_ms,
            ),
            today=TodayFeed(builds, self.now_ms),
        )

    # -- insights

    @property
    def insights_every_ms(self) -> int | None:
        """How often Insights is read; None: never."""
        return self._config.insights.every or None if self._config.token is not None else None

    def insight_orgs(self) -> Sequence[Scope]:
        """The configured organisations."""
        return [Scope(slug, slug) for slug in self._config.orgs]

    def insights(self, scope: Scope, *, since_ms: int | None) -> AsyncIterator[Sequence[Observation]]:
        """What Insights says of a project or an organisation, whose slug has two parts."""
        if scope.slug.count("/") == 1:
            return self._insights.of_org(scope.slug)
        return self._insights.of_project(scope, since_ms)

    # -- enrichment

    async def enrich_recent(self, scope: Scope, jobs: Sequence[JobRef]) -> Enrichment:
        """One page of v1.1 for the newest jobs of a project."""
        return self._counting(await self._enricher.recent(scope, jobs))

    async def enrich_job(self, job: JobRef) -> Enrichment:
        """The detail of one job."""
        return self._counting(await self._enricher.one(job))

    # -- details of ended jobs

    def follows_jobs(self) -> bool:
        """Whether details or deployments are configured."""
        return self._details.follows_jobs()

    def calls_per_job(self) -> Mapping[str, float]:
        """Calls for the details of each job."""
        return details_cost(self._config.details)

    def wants(self, job: EndedJob) -> Sequence[str]:
        """The details to ask for."""
        return self._details.wants(job, self.now_ms())

    def deployments(self, job: EndedJob) -> Sequence[Observation]:
        """Deployments by rule."""
        return self._details.deployments(job, self._context())

    def details(self, job: EndedJob, want: str) -> AsyncIterator[Sequence[Observation]]:
        """The parts of one answer."""
        return self._details.details(job, want, self._context())

    # -- figures

    async def check(self) -> Sequence[CheckResult]:
        """Token, organisations and projects by real calls."""
        return await run_checks(self.name, self._config, self._api)

    def now_ms(self) -> int:
        """CircleCI's clock as far as its Date headers tell."""
        return self._clock.now_ms() + self._api.skew_ms

    def usage(self) -> SourceUsage:
        """Figures since start."""
        left = None if self._config.token is None else self._api.budget_left()
        return SourceUsage(
            self._api.calls,
            left,
            self._api.refused,
            self._api.skew_ms / 1000,
            self._api.paused_seconds(),
            None if left is None else self._api.budget_rate(),
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._api.aclose()
        await self._details.aclose()

    def _context(self, observed_ms: int | None = None) -> shapes.Context:
        at = self._clock.now_ms() if observed_ms is None else observed_ms
        return shapes.Context(self.host, at, self._privacy, self._config.profile)

    def _counting(self, found: Enrichment) -> Enrichment:
        self._count_words(found.observations)
        return found

    def _counted(self, found: list[Observation]) -> list[Observation]:
        self._count_words(found)
        return found

    def _count_words(self, found: Sequence[Observation]) -> None:
        for observation in found:
            status = observation.fields.get("status")
            if isinstance(status, str) and map_status(status) == "unknown" and status != _KNOWN_UNKNOWN:
                self._metrics.count("headgate_unknown_words_total", source=self.name, field="status")

    def _walk_capped(self, scope: Scope, pages: int) -> None:
        self._metrics.count("headgate_walk_pages_capped_total", source=self.name)
        _log.warning(
            "walk_capped",
            source=self.name,
            project=scope.slug,
            pages=pages,
            fix="raise poll.max_pages or lower poll.initial; the project stays incomplete until a walk ends",
        )


def _is_newer(item: Json, after: int | None, since_ms: int) -> bool:
    """Whether a pipeline lies inside the walk: beyond the cursor and not too old."""
    number, created = integer(item.get("number")), parse_ms(item.get("created_at"))
    if after is not None and number is not None and number <= after:
        return False
    return created is None or created >= since_ms
