"""The outputs of failed steps, under signed addresses as object stores give them.

Invariant: an address is good alone: a request that carries a token is refused, as by the real store, so that a client
which sends its token to a foreign host is found out.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from headgate.testing.circleci.access import token_of
from headgate.testing.circleci.http import Answer, Request, Route, refuse
from headgate.testing.circleci.model import Job
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.world import World

SIGNATURE = "f94deade6dbd0dfe586037073730b76b0dfd7fd14b516bc0dbcf5eafc52df9eb"
# What programs print by mistake; nobody may find it in a record.
LEAKED = "ghp_a1B2c3D4e5F6a7B8c9D0e1F2a3B4c5D6e7F8"
_LINES = 300
# What went wrong, in the words of the tool that a job of this name runs.
_ERRORS = {
    "lint": "src/cart.py:42:5: error: 'total' may be undefined",
    "build": "error: cannot find module './config'",
    "scan": "error: 1 vulnerability of high severity in requests 2.19.0",
    "links": "error: docs/setup.md: link to ./install.md is dead",
    "deploy": "error: deployment refused: health check of the new version failed",
}
_BAD = ("failed", "timedout", "infrastructure_fail")


def addressed(build: dict[str, Any], slug: str, base_url: str) -> dict[str, Any]:
    """Give the single build of v1.1 with the addresses of the outputs of its failed steps."""
    for step in build["steps"]:
        for action in step["actions"]:
            if action["status"] in _BAD:
                place = f"{slug}/{build['build_num']}/{action['step']}/{action['index']}"
                action["output_url"] = f"{base_url}/action-output/{place}?X-Amz-Signature={SIGNATURE}"
    return build


def output(job: Job) -> str:
    """Give what the failed step of a build printed; its last lines say what failed, and give a secret away."""
    lines = [f"{number:04d} make {job.spec.name}: still at it\n" for number in range(_LINES)]
    lines.append(_error(job) + "\n")
    return "".join([*lines, f"export GITHUB_TOKEN={LEAKED}\n", f"make: *** [{job.spec.name}] Error 1\n"])


def _error(job: Job) -> str:
    """Give the line that says why; a machine that broke says so whatever ran on it."""
    if job.status == "infrastructure_fail":
        return "error: lost contact with the machine: it did not answer any more"
    return _ERRORS.get(job.spec.name, f"{job.spec.name}: error: command failed")


class ApiOutput:
    """Answers requests for outputs out of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Give the route."""
        return [Route("GET", "/action-output/{project-slug}/{number}/{step}/{index}", self._output, "download")]

    def _output(self, request: Request, parts: Mapping[str, str]) -> Answer:
        if token_of(request) is not None:
            return refuse(400, "Only one auth mechanism allowed")
        history, number = self._world.history(parts["vcs"], parts["org"], parts["repo"]), int(parts["number"])
        signed = request.one("X-Amz-Signature") == SIGNATURE
        if history is None or not signed or not 0 < number <= history.builds_until(self._world.now()):
            return refuse(403, "Access denied")
        job = history.builds[number - 1]
        said = [{"type": "out", "time": rfc3339_ms(job.stopped), "truncated": False, "message": output(job)}]
        return Answer(200, orjson.dumps(said))
