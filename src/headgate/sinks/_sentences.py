"""The line that people read of a record, and how grave it is, for products that show lines. Pure.

`job unit failed (gh/acme/web, main)`: kind, what it is called, how it went in CircleCI's words, where. Invariant: a
line is never JSON, which some products would take apart.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FAILED", "NAMES", "OUR_STATUS", "THEIR_STATUS", "level", "sentence"]

# Attributes that say how it went: in our words, and in CircleCI's before ours.
OUR_STATUS = ("headgate.status", "test.case.result.status", "deployment.status", "headgate.alert.state")
THEIR_STATUS = ("circleci.status", *OUR_STATUS, "circleci.pipeline.state")
FAILED = frozenset({"failure", "error", "timeout"})
_LEVELS = {
    **dict.fromkeys(FAILED, "error"),
    **dict.fromkeys(("fail", "failed", "firing"), "error"),
    "canceled": "warn",
}
# What a thing of a kind is called; the first that there is.
NAMES: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("circleci.pipeline.number",),
    "workflow": ("cicd.pipeline.name",),
    "job": ("cicd.pipeline.task.name",),
    "step": ("circleci.step.name",),
    "test_result": ("test.case.name",),
    "flaky_test": ("test.case.name",),
    "usage": ("cicd.pipeline.task.name",),
    "insight": ("cicd.pipeline.task.name", "cicd.pipeline.name", "circleci.insight.subject"),
    "deployment": ("deployment.name",),
    "platform_event": ("platform.action",),
    "amendment": ("headgate.amends",),
    "alert": ("headgate.alert.rule",),
}


def sentence(kind: str, name: str, status: str, place: str, branch: str) -> str:
    """The line. Each part but `kind` and `place` may be empty."""
    line = kind.replace("_", " ")
    if name:
        line = f"{line} {name}"
    if status:
        line = f"{line} {status}"
    return f"{line} ({place}, {branch})" if branch else f"{line} ({place})"


def level(status: str) -> str:
    """`error`, `warn` or `info`, by one of our words."""
    return _LEVELS.get(status, "info")
