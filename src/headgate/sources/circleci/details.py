"""What CircleCI tells of a job once it has ended: test results, steps, artifacts, and whether it was a deployment.

Invariant: every call stands behind all other calls of the source's budget. Answers are given in parts of `PART`
observations, so that a hundred thousand results are never held at once. Signed addresses stay in here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from fnmatch import fnmatchcase

import structlog

from headgate.core.details import EndedJob
from headgate.core.errors import NotFound, SourceUnavailable, Unparsable
from headgate.core.ids import leaf_key
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import Metrics
from headgate.core.ports import BuildContext
from headgate.core.redact import Redactor, tail
from headgate.core.slug import short_slug
from headgate.plugins.config import reveal
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.discovery import Discovery
from headgate.sources.circleci.fetch import Fetcher, FetchOptions, FetchRefused
from headgate.sources.circleci.junit import junit_cases
from headgate.sources.circleci.normalize import Context, observe
from headgate.sources.circleci.normalize_steps import Step, output_text, steps
from headgate.sources.circleci.normalize_tests import Case, Tally, case_of_api
from headgate.sources.circleci.reading import Json, integer, known, text

__all__ = ["PART", "JobDetails", "make_details"]

PART = 200  # observations handed over at once
# CircleCI cuts outputs at 4 MB itself; as JSON they may be longer.
_OUTPUT_BYTES = 16_777_216
_OUTPUTS = 10  # failed steps of one job, such as one on each of many machines, whose outputs are fetched
_ARTIFACTS = 100  # addresses kept of one job
_JUNIT_FILES = 200  # read for one job
_FAILED = frozenset({"failure", "error", "timeout"})
_ENDINGS = {"success": "succeeded", "failure": "failed", "error": "failed", "timeout": "failed"}
_log = structlog.get_logger("headgate.sources.circleci")


class JobDetails:
    """The details of one source's jobs. `context`: gives the context of an observation made now."""

    def __init__(
        self,
        name: str,
        config: CircleCIConfig,
        api: Api,
        fetcher: Fetcher,
        discovery: Discovery,
        *,
        metrics: Metrics,
        redact: Redactor,
    ) -> None:
        self._name, self._config, self._wanted = name, config, config.details
        self._api, self._fetcher, self._discovery = api, fetcher, discovery
        self._metrics, self._redact = metrics, redact

    async def aclose(self) -> None:
        """Close connections."""
        await self._fetcher.aclose()

    # -- what to ask

    def follows_jobs(self) -> bool:
        """Whether anything is switched on."""
        wanted = self._wanted
        asks = self._config.token is not None and {wanted.tests, wanted.steps, wanted.artifacts} != {"off"}
        return asks or bool(self._config.deployments)

    def wants(self, job: EndedJob, now_ms: int) -> Sequence[str]:
        """`tests`, `steps`, `artifacts` as configured, for a job that ran on a machine and ended lately enough."""
        if self._config.token is None or not self._covers(job):
            return ()
        if job.number is None or job.started_ms is None or job.status == "skipped":
            return ()
        if self._wanted.within and (job.stopped_ms or now_ms) < now_ms - self._wanted.within:
            return ()
        wanted = (("tests", self._wanted.tests), ("steps", self._wanted.steps), ("artifacts", self._wanted.artifacts))
        failed = job.status in _FAILED
        return tuple(what for what, which in wanted if which == "all" or (which == "failed" and failed))

    def _covers(self, job: EndedJob) -> bool:
        """Whether the job's project is this source's: another one may have the same CircleCI with another token."""
        slug = short_slug(job.project_slug)
        if not self._discovery.wanted(slug):
            return False
        explicit = self._config.explicit_projects
        return slug in explicit or not (self._config.orgs or explicit) or _org(slug) in self._config.orgs

    def deployments(self, job: EndedJob, ctx: Context) -> list[Observation]:
        """One for each rule that means the job, unless it was canceled or never ran."""
        ending = _ENDINGS.get(job.status)
        if ending is None or not self._config.deployments or not self._covers(job):
            return []
        found: dict[str, Observation] = {}
        for rule in self._config.deployments:
            if not rule.matches(job.name, job.ref_name):
                continue
            name = rule.name or job.project_slug.rpartition("/")[2]
            fields = known(
                name=name,
                environment=rule.environment,
                status=ending,
                revision=job.revision,
                started_at=job.started_ms,
                stopped_at=job.stopped_ms,
                workflow_id=job.workflow_id,
                job_id=job.job_id,
                origin="rule",
                url=job.url,
            )
            key = leaf_key("deployment", "rule", job.job_id, name, rule.environment)
            found[key] = observe(ctx, "deployment", key, self._owner(job), fields, source="rule", terminal=True)
        return list(found.values())

    # -- asking

    async def details(self, job: EndedJob, want: str, ctx: Context) -> AsyncIterator[Sequence[Observation]]:
        """The parts of one answer."""
        if job.number is None:
            raise NotFound(f"job {job.job_id} has no number")
        if want == "tests":
            async for part in self._tests(job, ctx):
                yield part
        elif want == "steps":
            for part in _parts(await self._steps(job, ctx)):
                yield part
        else:
            yield [await self._artifacts(job, ctx)]

    async def _tests(self, job: EndedJob, ctx: Context) -> AsyncIterator[Sequence[Observation]]:
        owner = self._owner(job)
        tally, source = Tally(job, owner, self._redact), "v2"
        async for page in self._pages(job, "tests"):
            cases = [case for item in page if (case := case_of_api(item)) is not None]
            for part in _cases(cases):
                yield [tally.result(case, ctx, source) for case in part]
        if not tally.tests and self._wanted.junit:
            source = "artifact"
            async for cases in self._junit(job):
                yield [tally.result(case, ctx, source) for case in cases]
        yield [tally.counts(ctx, source)]

    async def _junit(self, job: EndedJob) -> AsyncIterator[list[Case]]:
        """The cases of each JUnit file; one that cannot be had or read is reported, and the others go on."""
        files = [item for item in await self._artifact_list(job) if self._is_junit(text(item.get("path")) or "")]
        for item in files[:_JUNIT_FILES]:
            path = text(item.get("path")) or ""
            try:
                body = await self._fetcher.get(
                    text(item.get("url")) or "", max_bytes=self._wanted.junit_max_bytes, artifact=True
                )
                batches = junit_cases(body, integer(item.get("node_index")))
                # In a thread, for a large file would hold the loop.
                while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                    for part in _cases(batch):
                        yield part
            except (FetchRefused, Unparsable) as error:
                self._missing(f"junit_{error.reason}")
                detail = error.detail if isinstance(error, Unparsable) else ""
                _log.warning(
                    "junit_refused",
                    source=self._name,
                    project=job.project_slug,
                    job=job.number,
                    path=path,
                    reason=error.reason,
                    detail=detail,
                )
        if len(files) > _JUNIT_FILES:
            self._missing("junit_too_many")

    def _is_junit(self, path: str) -> bool:
        return any(fnmatchcase(path, glob) for glob in self._wanted.junit)

    async def _steps(self, job: EndedJob, ctx: Context) -> list[Observation]:
        given = await self._api.get(
            "/api/v1.1/project/{slug}/{number}", patient=True, slug=job.project_slug, number=str(job.number)
        )
        if not isinstance(given, dict):
            raise SourceUnavailable(f"the build {job.number} of {job.project_slug} is no object")
        found = list(steps(given, job, self._owner(job), ctx))
        if self._wanted.output == "off":
            return [step.observation for step in found]
        failed = [step for step in found if step.failed][:_OUTPUTS]
        return [await self._with_output(step) if step in failed else step.observation for step in found]

    async def _with_output(self, step: Step) -> Observation:
        """The step with the end of its output; without it where it cannot be had, counted."""
        seen = step.observation
        if step.output_url is None:
            self._missing("output_none")
            return seen
        try:
            body = await self._fetcher.get(step.output_url, max_bytes=_OUTPUT_BYTES, artifact=False)
        except FetchRefused as error:
            self._missing(f"output_{error.reason}")
            return seen
        end = await asyncio.to_thread(self._end_of, body)  # which may be some MB
        fields = {**seen.fields, **known(output_tail=end)}
        return Observation(
            seen.kind, seen.key, seen.project, seen.source, seen.observed_ms, seen.terminal, fields, seen.enriches
        )

    def _end_of(self, body: bytes) -> str:
        return tail(output_text(body), self._redact, self._wanted.output_bytes)

    async def _artifacts(self, job: EndedJob, ctx: Context) -> Observation:
        urls = sorted({url for item in await self._artifact_list(job) if (url := text(item.get("url"))) is not None})
        # What stands behind the question mark of an address may be a signature.
        bare = sorted({url.partition("?")[0] for url in urls})
        fields = known(artifacts=list[object](bare[:_ARTIFACTS]), artifact_count=len(bare))
        return observe(ctx, "job", job.job_id, self._owner(job), fields, source="v2")

    async def _artifact_list(self, job: EndedJob) -> list[Json]:
        return [item async for page in self._pages(job, "artifacts") for item in page]

    async def _pages(self, job: EndedJob, what: str) -> AsyncIterator[list[Json]]:
        route = f"/api/v2/project/{{project}}/{{number}}/{what}"
        async for page in self._api.pages(route, patient=True, project=job.project_slug, number=str(job.number)):
            yield page.items

    def _owner(self, job: EndedJob) -> ProjectRef:
        return self._discovery.known(job.project_slug)

    def _missing(self, reason: str) -> None:
        self._metrics.count("headgate_source_missing_detail_total", source=self._name, reason=reason)


def _org(slug: str) -> str:
    return slug.rpartition("/")[0]


def _cases(cases: list[Case]) -> Iterator[list[Case]]:
    for start in range(0, len(cases), PART):
        yield cases[start : start + PART]


def _parts(found: list[Observation]) -> Iterator[list[Observation]]:
    for start in range(0, len(found), PART):
        yield found[start : start + PART]


def make_details(
    name: str, config: CircleCIConfig, api: Api, discovery: Discovery, context: BuildContext
) -> JobDetails:
    """The details of a configured source."""
    options = FetchOptions(
        base_url=config.base_url,
        token=reveal(config.token),
        user_agent=context.user_agent,
        hosts=config.details.hosts,
        timeout_seconds=config.timeout / 1000,
        ca_file=config.ca_file,
        proxy=reveal(config.proxy) or None,
    )
    redact = Redactor(_secrets(config))
    return JobDetails(name, config, api, Fetcher(options), discovery, metrics=context.metrics, redact=redact)


def _secrets(config: CircleCIConfig) -> list[str]:
    """What must never be kept of an output, wherever it stands."""
    given = (config.token, config.proxy, config.personal.hash_key, *config.webhook.secrets)
    return [reveal(secret) for secret in given if secret is not None]
