"""The routes of API v2.

Pages hold 20 items whatever `limit` says; a page token names the last item given, so new pipelines neither
repeat nor skip one. Invariant: handlers are pure in the world, the faults and the request.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from itertools import islice

from headgate.testing.circleci import evidence, views_v2
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.history import History
from headgate.testing.circleci.http import Answer, Request, Route, refuse, reply
from headgate.testing.circleci.model import Job, Pipeline
from headgate.testing.circleci.world import World

PAGE_SIZE = 20

Parts = Mapping[str, str]


class ApiV2:
    """Answers v2 requests out of a world."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world, self._faults = world, faults

    def routes(self) -> list[Route]:
        """Give the routes, the more special before the more general."""
        table: tuple[tuple[str, Callable[[Request, Parts], Answer]], ...] = (
            ("/me", self._me),
            ("/me/collaborations", self._collaborations),
            ("/pipeline", self._org_pipelines),
            ("/pipeline/{pipeline-id}", self._pipeline),
            ("/pipeline/{pipeline-id}/workflow", self._pipeline_workflows),
            ("/workflow/{id}", self._workflow),
            ("/workflow/{id}/job", self._workflow_jobs),
            ("/project/{project-slug}", self._project),
            ("/project/{project-slug}/pipeline", self._project_pipelines),
            ("/project/{project-slug}/pipeline/{number}", self._pipeline_by_number),
            ("/project/{project-slug}/job/{number}", self._job),
            ("/project/{project-slug}/{number}/tests", self._tests),
        )
        return [Route("GET", f"/api/v2{path}", handler, "v2") for path, handler in table]

    def _me(self, _request: Request, _parts: Parts) -> Answer:
        return reply(views_v2.me(self._world.people[0]))

    def _collaborations(self, request: Request, _parts: Parts) -> Answer:
        return reply([views_v2.collaboration(org) for org in self._world.orgs() if request.sees(org.id)])

    def _project(self, _request: Request, parts: Parts) -> Answer:
        history = self._history(parts)
        return reply(views_v2.project(history.project)) if history else refuse(404, "Project not found")

    def _project_pipelines(self, request: Request, parts: Parts) -> Answer:
        history = self._history(parts)
        if history is None:
            return refuse(404, "Project not found")
        return self._pipelines(request, [history])

    def _org_pipelines(self, request: Request, _parts: Parts) -> Answer:
        slug = request.one("org-slug")
        if not slug:
            return refuse(400, "org-slug is required")
        histories = self._world.of_org(slug)
        return self._pipelines(request, histories) if histories else refuse(404, "Organization not found")

    def _pipelines(self, request: Request, histories: list[History]) -> Answer:
        """Give a page of the pipelines of some projects, newest first."""
        token, branch = request.one("page-token"), request.one("branch")
        try:
            before = _read_token(token) if token else (self._world.now() + 1, 0, 0)
        except ValueError:
            return refuse(400, "Invalid page token")
        newest = merge(*(self._newest(history, before) for history in histories), key=_order, reverse=True)
        wanted = (found for found in newest if branch is None or found.branch == branch)
        page = list(islice(wanted, PAGE_SIZE + 1))
        more = len(page) > PAGE_SIZE
        items = [views_v2.pipeline(self._world, found) for found in page[:PAGE_SIZE]]
        return reply({"next_page_token": _write_token(page[PAGE_SIZE - 1]) if more else None, "items": items})

    def _newest(self, history: History, before: tuple[int, int, int]) -> Iterator[Pipeline]:
        """Walk the pipelines older than a place, newest first, to where retention ends, without those a fault hides."""
        hiding, oldest = self._faults.hiding("v2"), self._oldest(history)
        for index in range(history.pipelines_until(before[0]) - 1, oldest - 1, -1):
            found = history.pipelines[index]
            if _order(found) < before and not (hiding and self._faults.hides("v2", self._world.id_of(found))):
                yield found

    def _oldest(self, history: History) -> int:
        """Give the position of the oldest pipeline that is kept."""
        return history.pipelines_until(self._world.kept_since(self._world.now()) - 1)

    def _pipeline(self, _request: Request, parts: Parts) -> Answer:
        found = self._world.pipeline(parts["pipeline_id"])
        return reply(views_v2.pipeline(self._world, found)) if found else refuse(404, "Pipeline not found")

    def _pipeline_by_number(self, _request: Request, parts: Parts) -> Answer:
        history = self._history(parts)
        number = int(parts["number"])
        if history is None or not self._oldest(history) < number <= history.pipelines_until(self._world.now()):
            return refuse(404, "Pipeline not found")
        return reply(views_v2.pipeline(self._world, history.pipelines[number - 1]))

    def _pipeline_workflows(self, _request: Request, parts: Parts) -> Answer:
        found, now = self._world.pipeline(parts["pipeline_id"]), self._world.now()
        if found is None:
            return refuse(404, "Pipeline not found")
        newest = sorted(found.workflows, key=lambda run: run.created, reverse=True)
        items = [views_v2.workflow(self._world, run, now) for run in newest if run.created <= now]
        return reply({"next_page_token": None, "items": items})

    def _workflow(self, _request: Request, parts: Parts) -> Answer:
        run = self._world.workflow(parts["id"])
        if run is None:
            return refuse(404, "Workflow not found")
        return reply(views_v2.workflow(self._world, run, self._world.now()))

    def _workflow_jobs(self, _request: Request, parts: Parts) -> Answer:
        run, now = self._world.workflow(parts["id"]), self._world.now()
        if run is None:
            return refuse(404, "Workflow not found")
        items = [views_v2.job(self._world, run, job, now) for job in run.jobs]
        return reply({"next_page_token": None, "items": items})

    def _job(self, _request: Request, parts: Parts) -> Answer:
        build, now = self._build(parts), self._world.now()
        return reply(views_v2.job_detail(self._world, build, now)) if build else refuse(404, "Job not found")

    def _tests(self, _request: Request, parts: Parts) -> Answer:
        build = self._build(parts)
        if build is None:
            return refuse(404, "Job not found")
        done = 0 < build.stopped <= self._world.now()
        listed = done and self._world.options.knobs.test_lists
        items = evidence.tests(self._world, build) if listed else []
        return reply({"next_page_token": None, "items": items})

    def _history(self, parts: Parts) -> History | None:
        return self._world.history(parts["vcs"], parts["org"], parts["repo"])

    def _build(self, parts: Parts) -> Job | None:
        history = self._history(parts)
        return self._world.build(history, int(parts["number"])) if history else None


def _order(found: Pipeline) -> tuple[int, int, int]:
    """Order pipelines of several projects: by creation, then project and number."""
    return found.created, found.project.index, found.index


def _write_token(found: Pipeline) -> str:
    return urlsafe_b64encode(":".join(map(str, _order(found))).encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, int, int]:
    """Read a page token. Raises ValueError if no page has it."""
    text = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
    created, project, index = (int(part) for part in text.split(":"))
    return created, project, index
