"""The artifacts of builds: what is stored, and the JUnit file that holds the build's test results.

Invariant: pure in the world and the build. The files of all parallel runs together have each result that
`/project/{slug}/{number}/tests` gives, once.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from headgate.testing.circleci import evidence
from headgate.testing.circleci.model import Job
from headgate.testing.circleci.world import World

JUNIT_PATH = "test-results/junit.xml"

_BOMB_LEVELS = 9  # ten to the power of so many times three letters


def stored(world: World, build: Job) -> bool:
    """Say whether a build stores artifacts once it has ended: those that report tests do."""
    return world.options.knobs.artifacts and build.spec.tests > 0 and build.ran


def listed(world: World, build: Job, base_url: str) -> list[dict[str, Any]]:
    """Give the artifacts of a build, one JUnit file per parallel run; `base_url` is where the twin answers."""
    if not stored(world, build):
        return []
    base = f"{base_url}/output/job/{world.id_of(build)}/artifacts"
    return [
        {"path": JUNIT_PATH, "node_index": node, "url": f"{base}/{node}/{JUNIT_PATH}"}
        for node in range(build.spec.parallelism)
    ]


def junit(world: World, build: Job, node: int) -> str:
    """Give the JUnit file of one parallel run."""
    results = evidence.tests(world, build)[node :: build.spec.parallelism]
    bad, left_out = (sum(one["result"] == word for one in results) for word in ("failure", "skipped"))
    seconds = sum(float(one["run_time"]) for one in results)
    counts = f'tests="{len(results)}" failures="{bad}" errors="0" skipped="{left_out}" time="{seconds:.3f}"'
    name = escape(build.spec.name)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<testsuites><testsuite name="{name}" {counts}>',
        *(_case(one) for one in results),
        "</testsuite></testsuites>\n",
    ]
    return "\n".join(lines)


def _case(found: Mapping[str, Any]) -> str:
    keys = (("classname", "classname"), ("name", "name"), ("file", "file"), ("time", "run_time"))
    opening = " ".join(
        ["<testcase", *(f'{key}="{escape(str(found[own]))}"' for key, own in keys if found[own] not in {None, ""})]
    )
    message = escape(found["message"] or "")
    inner = {
        "failure": f'<failure message="{message}">{message}</failure>',
        "skipped": "<skipped/>",
    }.get(found["result"], "")
    return f"{opening}>{inner}</testcase>"


def broken(text: str) -> str:
    """Cut a file in the middle of a tag."""
    return text[: text.rindex("<") + 2]


def bomb(text: str) -> str:
    """Put entities before a file that grow tenfold with each level, and a case that asks for the last."""
    head, rest = text.split("\n", 1)
    levels: Sequence[str] = [
        f'<!ENTITY lol{level} "{f"&lol{level - 1};" * 10}">' for level in range(1, _BOMB_LEVELS + 1)
    ]
    kind = "\n".join(["<!DOCTYPE testsuites [", '<!ENTITY lol0 "lol">', *levels, "]>"])
    case = f'<testcase classname="bomb" name="bomb"><failure>&lol{_BOMB_LEVELS};</failure></testcase>'
    return f"{head}\n{kind}\n{rest.replace('</testsuite>', f'{case}</testsuite>')}"
