"""The routes of artifacts: the list of a job, and the files, on the twin's own host.

Invariant: a file can be had with a personal token that sees the project, as the list can.
"""

from collections.abc import Mapping

from headgate.testing.circleci import artifacts
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.http import Answer, Request, Route, refuse, reply
from headgate.testing.circleci.world import World

Parts = Mapping[str, str]


class ApiArtifacts:
    """Answers requests for artifacts out of a world."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world, self._faults = world, faults

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            Route("GET", "/api/v2/project/{project-slug}/{number}/artifacts", self._list, "v2"),
            Route("GET", "/output/job/{job-id}/artifacts/{number}/{path}", self._file, "v2"),
        ]

    def _list(self, request: Request, parts: Parts) -> Answer:
        history = self._world.history(parts["vcs"], parts["org"], parts["repo"])
        build = self._world.build(history, int(parts["number"])) if history else None
        if build is None:
            return refuse(404, "Job not found")
        done = 0 < build.stopped <= self._world.now()
        items = artifacts.listed(self._world, build, request.base_url) if done else []
        return reply({"next_page_token": None, "items": items})

    def _file(self, _request: Request, parts: Parts) -> Answer:
        build, node = self._world.job(parts["job_id"]), int(parts["number"])
        there = build and artifacts.stored(self._world, build) and 0 < build.stopped <= self._world.now()
        if build is None or not there or node >= build.spec.parallelism or parts["path"] != artifacts.JUNIT_PATH:
            return refuse(404, "Artifact not found")
        text = artifacts.junit(self._world, build, node)
        if self._faults.strike("junit_broken"):
            text = artifacts.broken(text)
        elif self._faults.strike("junit_bomb"):
            text = artifacts.bomb(text)
        return Answer(200, text.encode(), content_type="application/xml")
