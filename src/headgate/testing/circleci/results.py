"""The test results of a build, and which of its tests is to blame.

A test is the same in every build of its job: class, file and name follow from the job's name and the test's position.
The parallel machine it runs on is no part of what it is. Invariant: made when asked for, from the seed and the build,
so it costs no memory and never changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from headgate.testing.circleci.model import FLAKY_TESTS, Job
from headgate.testing.circleci.world import World

_COINS = 1_000_000
# What failing tests say, as tools write it; `line` is of the test, `n` and `ms` differ from build to build.
_MESSAGES = (
    "AssertionError: expected 200, got 500",
    "Error: Timed out after {ms}ms waiting for selector #result-{n}",
    "assert {ms} == {n} in /home/circleci/project/tests/test_{job}.py:{line}",
    "java.net.ConnectException: Connection refused (10.0.3.{n}:5432)",
    "KeyError: 'order_{n}'",
)
_PARAMETERS = ("chromium-3", "fr_FR-UTC", "size=10-True")


@dataclass(frozen=True, slots=True)
class Result:
    """One result; `node` is the parallel machine, `as_text` says that CircleCI writes `seconds` as text."""

    index: int
    name: str
    classname: str
    file: str
    source: str
    result: str
    seconds: float
    message: str
    node: int
    as_text: bool


def reports(world: World, build: Job) -> bool:
    """Say whether a build, once finished, has test results."""
    return world.options.knobs.tests and build.spec.tests > 0 and build.status in {"success", "failed"}


def failing(world: World, build: Job) -> int:
    """Give the position of the test that failed a build that reports, or -1."""
    return _failing(_random(world, build), build)


def results(world: World, build: Job) -> Iterator[Result]:
    """Give the results of a finished build; a failed one has one failure, of five tests if it is flaky."""
    if not reports(world, build):
        return
    spec, rng = build.spec, _random(world, build)
    bad = _failing(rng, build)
    budget = (build.stopped - build.started) / 1000 * 0.5
    for index in range(spec.tests):
        seconds = round(budget / spec.tests * (0.2 + 1.6 * rng.random()), 3)
        word = "failure" if index == bad else ("skipped" if rng.random() < 0.01 else "success")
        odd = _oddity(world, build, index)
        yield Result(
            index=index,
            name=name_of(world, build, index),
            classname=f"tests.test_{spec.name}_{index % 7}",
            file="" if odd == 1 else f"tests/test_{spec.name}_{index % 7}.py",
            source="pytest",
            result=word,
            seconds=seconds,
            message=_message(world, build, index) if index == bad else "",
            node=index % spec.parallelism,
            as_text=odd == 2,
        )


def _message(world: World, build: Job, index: int) -> str:
    """Say why a test failed: all the same, or each its own with numbers, paths and times that differ."""
    said = _MESSAGES[index % len(_MESSAGES) if world.options.knobs.test_messages else 0]
    return said.format(n=build.number % 400, ms=1_000 + build.number % 9_000, job=build.spec.name, line=10 + index)


def name_of(world: World, build: Job, index: int) -> str:
    """Give the name of a test, the same in every build of the job."""
    name = f"test_{'sometimes' if index < FLAKY_TESTS else 'case'}_{index}"
    if _oddity(world, build, index) == 0:
        return f"{name}[{_PARAMETERS[index % len(_PARAMETERS)]}]"
    return name


def _random(world: World, build: Job) -> Random:
    project = build.workflow.pipeline.project.index
    return Random(f"{world.options.seed}/{project}/{build.number}/tests")


def _failing(rng: Random, build: Job) -> int:
    if build.status != "failed":
        return -1
    if build.blamed >= 0:
        return build.blamed
    return rng.randrange(FLAKY_TESTS) if build.flaky else rng.randrange(FLAKY_TESTS, build.spec.tests)


def _oddity(world: World, build: Job, index: int) -> int:
    """Say what is odd about a test: 0 parameters, 1 no file, 2 time as text, -1 nothing."""
    rate = world.options.knobs.odd_tests
    if not rate:
        return -1
    number = world.ids.number("odd-test", build.workflow.pipeline.project.id, build.spec.name, index)
    return number // _COINS % 3 if number % _COINS < rate * _COINS else -1
