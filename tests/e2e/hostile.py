"""A history whose every text was made by somebody who means harm, beside one that is well.

Invariant: whatever somebody outside can name is here, each field in words of its own (`evil`), but for those names that
are in addresses: they are `EVIL`.
"""

from __future__ import annotations

from typing import Any

from tests.unit.insights import world

from headgate.core.merge import Observation, ProjectRef

EVIL = "<img src=x onerror=\"alert(1)\"><script>alert('x')</script>"
RIGHT_TO_LEFT = "ענף/תיקון"
LONG_BRANCH = "feature/" + "very-long-" * 29 + "x"
RUN = world.key(7, 1)
TAGGED_RUN = world.key(7, 4)
TEST = world.key(4, 9)
PROJECT = "gh/acme/web"
_REF = ProjectRef("circleci.com", PROJECT, "gh/acme", world.key(9, world.PROJECTS.index(PROJECT)))


def evil(field: str) -> str:
    """What somebody puts into that field: it closes what it may be in, and would run and add elements."""
    return f"{field}'\"--></title></script>{EVIL}\u202e"


def seen(kind: Any, key: str, fields: dict[str, Any]) -> Observation:
    """An observation about the project."""
    return Observation(kind, key, _REF, "v2", 3, terminal=True, fields=fields)


def hostile() -> list[Observation]:
    """A run whose every name is hostile, two with odd branches, one of a tag; its jobs, bills, tests, deployments."""
    return [*_runs(), *_jobs(), *_results(), *_bills(), *_deployments()]


def _runs() -> list[Observation]:
    created, minute = world.NOW - world.HOUR, 60_000
    found: list[Observation] = []
    names = [(EVIL, EVIL), ("build", LONG_BRANCH), ("build", RIGHT_TO_LEFT), ("build", evil("tag"))]
    for number, (name, branch) in enumerate(names, 1):
        words = {"author_login": evil("login"), "author_name": evil("author"), "commit_subject": evil("subject")}
        ref = {"ref_name": branch, "ref_type": "tag" if number == 4 else "branch", "revision": evil("revision")}
        place = {"number": 900 + number, "created_at": created, "trigger_type": evil("trigger")}
        times = {"created_at": created, "stopped_at": created + 10 * minute}
        pipeline = {"pipeline_id": world.key(8, number), "name": name, "status": "failed"}
        found.append(seen("pipeline", world.key(8, number), place | words | ref))
        found.append(seen("workflow", world.key(7, number), times | pipeline))
    return found


def _jobs() -> list[Observation]:
    created, minute = world.NOW - world.HOUR, 60_000
    machine = {"resource_class": evil("class"), "executor": evil("executor")}
    of = {"workflow_id": RUN, "created_at": created, "type": "build", **machine}
    first = {"queued_at": created, "started_at": created + minute, "stopped_at": created + 4 * minute}
    held = {"started_at": created + 4 * minute, "stopped_at": created + 6 * minute, "type": "approval"}
    last = {"queued_at": created + 6 * minute, "started_at": created + 7 * minute, "stopped_at": created + 10 * minute}
    jobs = [
        (EVIL, {**first, "status": "success", "number": 1, "requires": []}),
        ("hold", {**held, "status": "success", "requires": [world.key(6, 1)]}),
        ("deploy", {**last, "status": "failed", "number": 2, "requires": [world.key(6, 2)]}),
        ("check", {**last, "status": "failed", "number": 3, "requires": [world.key(6, 2)], "credits": 5}),
    ]
    found = [seen("job", world.key(6, at), {**of, "name": name, **more}) for at, (name, more) in enumerate(jobs, 1)]
    step = {"job_id": world.key(6, 3), "index": 0, "name": evil("step"), "type": evil("step type"), "exit_code": 2}
    times = {"started_at": last["started_at"], "stopped_at": last["stopped_at"]}
    found.append(seen("step", world.key(5, 1), {**step, **times, "status": "failed", "output_tail": evil("output")}))
    return found


def _results() -> list[Observation]:
    """Of one test: it fails, passes, fails, passes and is left out on one commit."""
    ended = world.NOW - world.HOUR + 10 * 60_000
    names = {"suite": evil("suite"), "class_name": evil("test class"), "file": evil("file"), "name": evil("test")}
    of = {"job_id": world.key(6, 4), "test_id": TEST, "parameters": evil("parameters"), "source": evil("reporter")}
    return [
        seen(
            "test_result",
            world.key(4, number),
            {**of, **names, "result": word, "run_ms": 10 * at, "stopped_at": ended}
            | {"message": f"{evil('message')} {number}"},
        )
        for at, (number, word) in enumerate([(1, "fail"), (50, "pass"), (51, "fail"), (52, "pass"), (53, "skip")])
    ]


def _bills() -> list[Observation]:
    found = []
    for number in range(25):
        busy = {"ram_max_pct": 20.0, "cpu_median_pct": 10.0, "cpu_max_pct": 30.0, "run_seconds": 60}
        bill = {"compute_credits": 20, "dlc_credits": 3, "user_credits": 2, "total_credits": 26}
        place = {"workflow_name": "build", "job_name": EVIL if number % 2 else "test", "resource_class": "large"}
        where = {"executor": "docker", "operating_system": "linux", "stopped_at": world.NOW - number * 1_000}
        found += [seen("usage", world.key(11, 2 * number + one), {**busy, **bill, **place, **where}) for one in (0, 1)]
    return found


def _deployments() -> list[Observation]:
    words = {"name": evil("deployed"), "environment": evil("environment"), "version": evil("version")}
    more = {"revision": evil("deployed revision"), "url": "javascript:alert(1)", "origin": "call"}
    return [
        seen(
            "deployment",
            world.key(12, number),
            {**words, **more, "status": status, "workflow_id": RUN, "stopped_at": world.NOW - number * world.HOUR},
        )
        for number, status in enumerate(("succeeded", "failed"), 1)
    ]
