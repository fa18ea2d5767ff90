"""The routes of API v1.1: builds, newest first, by offset.

Rows shift under offset paging when new builds arrive, as in the real service. Invariant: handlers are pure
in the world, the faults and the request.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

from headgate.testing.circleci import views_v11
from headgate.testing.circleci.api_output import addressed
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.history import History
from headgate.testing.circleci.http import Answer, Request, Route, refuse, reply
from headgate.testing.circleci.model import FAILED, Job
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.world import World

LIMIT_DEFAULT, LIMIT_MAX = 30, 100
_RECENT = 5  # builds a branch shows in the list of projects
_LOOK_BACK = 300  # builds looked at to fill that list

Parts = Mapping[str, str]


class ApiV11:
    """Answers v1.1 requests out of a world."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world, self._faults = world, faults

    def routes(self) -> list[Route]:
        """Give the routes."""
        table: tuple[tuple[str, Callable[[Request, Parts], Answer]], ...] = (
            ("/me", self._me),
            ("/projects", self._projects),
            ("/project/{project-slug}", self._builds),
            ("/project/{project-slug}/tree/{branch}", self._builds),
            ("/project/{project-slug}/{number}", self._build),
        )
        return [Route("GET", f"/api/v1.1{path}", handler, "v1.1") for path, handler in table]

    def _me(self, request: Request, _parts: Parts) -> Answer:
        person = self._world.people[0]
        return reply(
            {
                "login": person.login,
                "name": person.name,
                "selected_email": person.email,
                "avatar_url": person.avatar_url,
                "admin": False,
                "in_beta_program": False,
                "projects": {history.project.vcs_url: {"emails": "default"} for history in self._seen(request)},
            }
        )

    def _projects(self, request: Request, _parts: Parts) -> Answer:
        if "noaccess-" in request.headers.get("circle-token", request.headers.get("authorization", "")):
            return reply([])
        return reply([self._followed(history) for history in self._seen(request)])

    def _seen(self, request: Request) -> list[History]:
        """Give the projects of the organizations the token belongs to."""
        return [history for history in self._world.histories if request.sees(history.project.org.id)]

    def _followed(self, history: History) -> dict[str, Any]:
        project = history.project
        _, username, reponame = project.slug.split("/")
        return {
            "branches": self._branches(history),
            "oss": False,
            "reponame": reponame,
            "parallel": 1,
            "username": username,
            "has_usable_key": True,
            "vcs_type": project.org.vcs_type,
            "language": None,
            "vcs_url": project.vcs_url,
            "following": True,
            "default_branch": project.default_branch,
        }

    def _branches(self, history: History) -> dict[str, Any]:
        now, given = self._world.now(), dict[str, dict[str, Any]]()
        for build in islice(self._newest(history, now), _LOOK_BACK):
            name = quote(build.workflow.pipeline.branch or "", safe="")
            if not name:
                continue
            fresh: dict[str, Any] = {
                "pusher_logins": [self._world.people[build.workflow.pipeline.actor].login],
                "running_builds": [],
                "recent_builds": [],
                "is_using_workflows": True,
            }
            branch = given.setdefault(name, fresh)
            ended = 0 < build.stopped <= now
            kept = branch["recent_builds" if ended else "running_builds"]
            if len(kept) < _RECENT:
                kept.append(self._brief(history, build, now))
        return given

    def _brief(self, history: History, build: Job, now: int) -> dict[str, Any]:
        row = views_v11.row(self._world, history, build, now)
        return {
            "outcome": row["outcome"],
            "status": row["status"],
            "build_num": build.number,
            "vcs_revision": row["vcs_revision"],
            "pushed_at": rfc3339_ms(build.workflow.pipeline.created // 1000 * 1000),
            "is_workflow_job": True,
            "is_2_0_job": True,
            "added_at": row["usage_queued_at"],
        }

    def _builds(self, request: Request, parts: Parts) -> Answer:
        history = self._world.history(parts["vcs"], parts["org"], parts["repo"])
        if history is None:
            return refuse(404, "Project not found")
        try:
            limit = min(int(request.one("limit") or LIMIT_DEFAULT), LIMIT_MAX)
            offset = int(request.one("offset") or 0)
        except ValueError:
            return refuse(400, "limit and offset must be numbers")
        now, branch = self._world.now(), parts.get("branch")
        wanted = _FILTERS.get(request.one("filter") or "", _any)
        found = (
            build
            for build in self._newest(history, now)
            if (branch is None or build.workflow.pipeline.branch == branch) and wanted(build.status_at(now))
        )
        shallow = request.one("shallow") == "true"
        page = islice(found, max(offset, 0), max(offset, 0) + max(limit, 0))
        return reply([views_v11.row(self._world, history, build, now, shallow=shallow) for build in page])

    def _newest(self, history: History, now: int) -> Iterator[Job]:
        """Walk the builds that exist and are kept, newest first, without those of runs a fault hides."""
        hiding = self._faults.hiding("v1.1")
        oldest = history.builds_until(self._world.kept_since(now) - 1)
        for index in range(history.builds_until(now) - 1, oldest - 1, -1):
            build = history.builds[index]
            if not hiding or not self._faults.hides("v1.1", self._world.id_of(build.workflow)):
                yield build

    def _build(self, request: Request, parts: Parts) -> Answer:
        history = self._world.history(parts["vcs"], parts["org"], parts["repo"])
        build = self._world.build(history, int(parts["number"])) if history else None
        if history is None or build is None:
            return refuse(404, "Build not found")
        single = views_v11.single(self._world, history, build, self._world.now())
        return reply(addressed(single, history.project.slug, request.base_url))


def _any(_status: str) -> bool:
    return True


_FILTERS: Mapping[str, Callable[[str], bool]] = {
    "completed": lambda status: status not in {"queued", "running"},
    "successful": lambda status: status == "success",
    "failed": lambda status: status in FAILED,
    "running": lambda status: status == "running",
}
