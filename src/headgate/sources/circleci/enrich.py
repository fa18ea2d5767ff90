"""What CircleCI tells of ended jobs beside webhooks: a page of v1.1 for the newest (`batch`), or one detail (`each`).

Invariant: `gone` jobs can never be told of by the same call again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.ports import Enrichment, JobRef, Scope
from headgate.core.times import parse_ms
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.discovery import Discovery
from headgate.sources.circleci.normalize import Context, job_detail
from headgate.sources.circleci.normalize_v1 import build
from headgate.sources.circleci.reading import integer

__all__ = ["Enricher"]

_BUILDS = 100  # as many as v1.1 gives a page
_RECENT = {"limit": str(_BUILDS), "filter": "completed", "shallow": "true"}


class Enricher:
    """Answers both profiles of one source; remembers how far the newest page of each project reached."""

    def __init__(
        self,
        config: CircleCIConfig,
        api: Api,
        discovery: Discovery,
        context: Callable[[], Context],
        now_ms: Callable[[], int],
    ) -> None:
        self._initial_ms = config.poll.initial
        self._api = api
        self._discovery = discovery
        self._context = context
        self._now_ms = now_ms
        # Scope key -> lowest and highest build number of the newest page of v1.1 last seen.
        self._oldest: dict[str, int] = {}
        self._newest: dict[str, int] = {}

    async def recent(self, scope: Scope, jobs: Sequence[JobRef]) -> Enrichment:
        """The newest page of v1.1 builds: queue times and authors of those asked for and everything newer.

        Jobs older than the page are gone: this profile will never see them. Rows older than every job asked for and
        than a first walk's reach are left out. What is new since the last page is told unasked: so a rerun of an old
        pipeline is found of which no webhook came.
        """
        owner = self._discovery.known(scope.slug, scope.key)
        oldest = self._oldest.get(scope.key, 0)
        if jobs and all(job.number < oldest for job in jobs):
            # The newest page only moves up, so what was beyond it once is beyond it for good.
            return Enrichment((), tuple(job.job_id for job in jobs), "beyond_page")
        try:
            rows = await self._api.get("/api/v1.1/project/{slug}", params=_RECENT, slug=scope.slug)
        except SourceRefused as error:
            if error.reason != "project_not_found":
                raise
            return Enrichment((), tuple(job.job_id for job in jobs), "not_in_v1.1")
        if not isinstance(rows, list):
            raise SourceUnavailable(f"GET /api/v1.1/project/{scope.slug}: the answer is no list of builds")
        numbered = [
            (number, row) for row in rows if isinstance(row, dict) and (number := integer(row.get("build_num")))
        ]
        newest = max((number for number, _ in numbered), default=0)
        floor = min([job.number for job in jobs] + [self._newest.get(scope.key, newest) + 1])
        self._newest[scope.key] = newest
        context = self._context()
        # What a first walk may reach may be told as well: builds of reruns older than the walk's own cursor.
        since = self._now_ms() - self._initial_ms
        found = [
            one
            for number, row in numbered
            if number >= floor or (parse_ms(row.get("usage_queued_at")) or 0) >= since
            for one in build(row, owner, context)
        ]
        oldest = self._oldest[scope.key] = min((number for number, _ in numbered), default=oldest)
        gone = tuple(job.job_id for job in jobs if job.number < oldest)
        return Enrichment(found, gone, "beyond_page" if gone else "")

    async def one(self, job: JobRef) -> Enrichment:
        """GET the job's detail: queue time, machine, contexts, messages."""
        owner = self._discovery.known(job.project_slug, job.project_key)
        try:
            given = await self._api.get(
                "/api/v2/project/{project}/job/{number}", project=job.project_slug, number=str(job.number)
            )
        except NotFound:
            return Enrichment((), (job.job_id,), "retention")
        if not isinstance(given, dict):
            raise SourceUnavailable(f"the detail of job {job.number} of {job.project_slug} is no object")
        return Enrichment([job_detail(given, job.job_id, owner, self._context())])
