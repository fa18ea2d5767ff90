"""What tests really said in each job, and which are flaky.

Invariant: told as of now, without the delay and the 90 days of Insights; nothing is stored.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import orjson

from headgate.testing.circleci import flaky, model, origin, results
from headgate.testing.circleci.flaky import Flake, TestKey
from headgate.testing.circleci.history import History
from headgate.testing.circleci.model import Job
from headgate.testing.circleci.results import Result
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.world import World


def lines(world: World, history: History) -> Iterator[bytes]:
    """Give one line per job that has ended and has results, in order of build number."""
    now = world.now()
    for build in history.builds[: history.builds_until(now)]:
        if 0 < build.stopped <= now and results.reports(world, build):
            yield orjson.dumps(_job(world, build), option=orjson.OPT_APPEND_NEWLINE)


def flaky_tests(world: World) -> list[dict[str, Any]]:
    """List the tests that are `planted` to be flaky and have failed, and any other that failed and passed in a commit.

    `failed_builds` counts builds it broke, `flakes` those of them whose commit it also passed in.
    """
    return [told for history in world.histories for told in _of_project(world, history)]


def _job(world: World, build: Job) -> dict[str, Any]:
    pipeline = build.workflow.pipeline
    return {
        "project": pipeline.project.slug,
        "job_id": world.id_of(build),
        "job_name": build.spec.name,
        "job_number": build.number,
        "workflow_id": world.id_of(build.workflow),
        "revision": origin.revision(world, pipeline),
        "branch": pipeline.branch,
        "stopped_at": rfc3339_ms(build.stopped),
        "results": [
            {
                **_identity(found),
                "result": found.result,
                "run_time": found.seconds,
                "message": found.message,
                "node_index": found.node,
            }
            for found in results.results(world, build)
        ],
    }


def _identity(found: Result) -> dict[str, str]:
    return {"name": found.name, "classname": found.classname, "file": found.file, "source": found.source}


def _of_project(world: World, history: History) -> Iterator[dict[str, Any]]:
    now = world.now()
    flakes: dict[TestKey, list[Flake]] = defaultdict(list)
    for flake in flaky.flakes(world, history, 0, now):
        flakes[flake.key].append(flake)
    failed: Counter[TestKey] = Counter()
    builds: dict[TestKey, Job] = {}
    for build in history.builds[: history.builds_until(now)]:
        if build.status == "failed" and 0 < build.stopped <= now and results.reports(world, build):
            key = build.spec.name, results.failing(world, build)
            failed[key] += 1
            builds[key] = build
    for key in sorted(failed):
        planted = key[1] < model.FLAKY_TESTS
        if planted or key in flakes:
            yield {
                "project": history.project.slug,
                "job_name": key[0],
                **_identity(flaky.result_of(world, builds[key], key[1])),
                "planted": planted,
                "failed_builds": failed[key],
                "flakes": len(flakes[key]),
                "last_flaked_at": rfc3339_ms(flakes[key][0].build.stopped) if flakes[key] else None,
            }
