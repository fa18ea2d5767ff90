"""Tests that failed and passed in the same commit.

Each pipeline builds a commit of its own, so the runs of one pipeline are the ones to compare. Invariant: only builds
that had ended by the moment asked for count; what is said follows from the results, nothing is stored.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from headgate.testing.circleci import results
from headgate.testing.circleci.history import History
from headgate.testing.circleci.model import Job, Pipeline
from headgate.testing.circleci.results import Result
from headgate.testing.circleci.times import DAY
from headgate.testing.circleci.world import World

REMEMBERED_MS = 14 * DAY  # "no longer considered flaky after 2 weeks have passed without a flake" (API v2 document)

TestKey = tuple[str, int]  # name of the job and position of the test


@dataclass(frozen=True, slots=True)
class Flake:
    """One failure of a test that succeeded in another build of the same commit."""

    build: Job
    result: Result

    @property
    def key(self) -> TestKey:
        """Say which test it was."""
        return self.build.spec.name, self.result.index


def flakes(world: World, history: History, since: int, until: int) -> list[Flake]:
    """Give the flakes of runs created since a moment and ended by another, newest first."""
    found = [
        flake
        for pipeline in history.pipelines[: history.pipelines_until(until)]
        if len(pipeline.workflows) > 1
        for flake in _of_commit(world, pipeline, since, until)
    ]
    return sorted(found, key=lambda flake: flake.build.stopped, reverse=True)


def current(world: World, history: History, since: int, until: int) -> list[Flake]:
    """Give the flakes of the tests that flaked within the last two weeks, newest first."""
    all_flakes = flakes(world, history, since, until)
    fresh = {flake.key for flake in all_flakes if flake.build.stopped > until - REMEMBERED_MS}
    return [flake for flake in all_flakes if flake.key in fresh]


def _of_commit(world: World, pipeline: Pipeline, since: int, until: int) -> Iterator[Flake]:
    by_job: dict[str, list[Job]] = defaultdict(list)
    for run in pipeline.workflows:
        for job in run.jobs:
            ended = job.workflow is run and run.created >= since and 0 < job.stopped <= until
            if ended and results.reports(world, job):
                by_job[job.spec.name].append(job)
    for builds in by_job.values():
        blamed = {build: results.failing(world, build) for build in builds}
        for build, index in blamed.items():
            others = [other for other in builds if other is not build and index not in {-1, blamed[other]}]
            if any(result_of(world, other, index).result == "success" for other in others):
                yield Flake(build, result_of(world, build, index))


def result_of(world: World, build: Job, index: int) -> Result:
    """Give one result of a build that reports."""
    return next(found for found in results.results(world, build) if found.index == index)
