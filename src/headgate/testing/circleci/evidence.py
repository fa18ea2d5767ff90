"""What a build leaves behind: steps and test results.

Invariant: made when asked for, from the seed and the build, so it costs no memory and never changes.
"""

from typing import Any

from headgate.testing.circleci import results
from headgate.testing.circleci.model import Job
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.world import World

_COMMANDS = ("Restore cache", "Install packages", "Run {job}", "Save results")
_PLATFORM = ("Spin up environment", "Preparing environment variables", "Checkout code")
_SHARES = (0.08, 0.01, 0.03, 0.08, 0.2, 0.55, 0.05)  # of the whole duration, by step


def steps(world: World, build: Job, now: int) -> list[dict[str, Any]]:
    """Give the steps started by now; the last one of a failed build has exit code 1."""
    if not build.started or build.started > now:
        return []
    commands = [text.format(job=build.spec.name) for text in _COMMANDS] if world.options.knobs.steps else []
    names = [*_PLATFORM, *commands]
    end = build.stopped
    if build.status != "success":
        names = names[: max(2, len(names) - 1)]
    scale = (end - build.started) / sum(_SHARES[: len(names)])
    given, at = [], float(build.started)
    for index, name in enumerate(names):
        last = index == len(names) - 1
        until = float(end) if last else at + _SHARES[index] * scale
        if at <= now:
            step = _step(build, name, index, (int(at), int(until)), now, last=last)
            step["actions"] += _elsewhere(world, build, step["actions"][0], (int(at), int(until)), now)
            given.append(step)
        at = until
    return given


def _step(build: Job, name: str, index: int, span: tuple[int, int], now: int, *, last: bool) -> dict[str, Any]:
    done = span[1] <= now
    bad = last and build.status not in {"success", "canceled"}
    word = (build.status if bad or (last and build.status == "canceled") else "success") if done else "running"
    exit_code = None if index < len(_PLATFORM) or not done else int(bad)
    action: dict[str, Any] = {
        "truncated": False,
        "index": 0,
        "parallel": True,
        "failed": True if bad and done else None,
        "infrastructure_fail": True if done and bad and build.status == "infrastructure_fail" else None,
        "name": name,
        "bash_command": None if index < len(_PLATFORM) else f"#!/bin/bash -eo pipefail\nmake {build.spec.name}",
        "status": word,
        "timedout": True if done and bad and build.status == "timedout" else None,
        "continue": None,
        "start_time": rfc3339_ms(span[0]),
        "end_time": rfc3339_ms(span[1]) if done else None,
        "type": "test",
        "allocation_id": f"{build.number:024x}-0-build/4A6B4A04",
        "output_url": None,
        "background": False,
        "exit_code": exit_code,
        "insignificant": False,
        "canceled": True if done and last and build.status == "canceled" else None,
        "step": index if index < 1 else 98 + index,
        "run_time_millis": span[1] - span[0] if done else None,
        "has_output": done,
    }
    return {"name": name, "actions": [action]}


def _elsewhere(
    world: World, build: Job, first: dict[str, Any], span: tuple[int, int], now: int
) -> list[dict[str, Any]]:
    """Give a step on the job's other machines: all of them end sooner, each by a share of its own that does not change.

    What fails, fails on the first machine.
    """
    if not world.options.knobs.split_steps:
        return []
    given, project = [], build.workflow.pipeline.project.id
    for node in range(1, build.spec.parallelism):
        share = (50 + world.ids.number("split", project, build.spec.name, node) % 46) / 100
        begin, end = (build.started + int((at - build.started) * share) for at in span)
        done = end <= now
        if begin <= now:
            given.append(
                first
                | {
                    "index": node,
                    "failed": None,
                    "infrastructure_fail": None,
                    "timedout": None,
                    "canceled": None,
                    "status": "success" if done else "running",
                    "exit_code": 0 if first["exit_code"] is not None else None,
                    "start_time": rfc3339_ms(begin),
                    "end_time": rfc3339_ms(end) if done else None,
                    "run_time_millis": end - begin if done else None,
                    "allocation_id": f"{build.number:024x}-{node}-build/4A6B4A04",
                    "has_output": done,
                }
            )
    return given


def tests(world: World, build: Job) -> list[dict[str, Any]]:
    """Give the results of a finished build as v2 lists them."""
    return [
        {
            "message": found.message,
            "source": found.source,
            "run_time": str(found.seconds) if found.as_text else found.seconds,
            "file": found.file,
            "result": found.result,
            "name": found.name,
            "classname": found.classname,
        }
        for found in results.results(world, build)
    ]
