"""What metrics can be grouped and filtered by, and the value of each dimension for each kind of row.

Invariant: a dimension has one name and one reading everywhere; a value that is not known is empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.core.slug import org_slug
from headgate.core.tally import class_name

__all__ = ["DEFAULT_BRANCH_CLASS", "DIMENSIONS", "ROW_VALUES", "test_name"]

DEFAULT_BRANCH_CLASS = 1  # what the store notes on a run of the default branch

DIMENSIONS: Mapping[str, str] = {
    "org": "Organisation slug.",
    "project": "Project slug.",
    "workflow": "Name of the workflow.",
    "job": "Name of the job.",
    "branch": "Branch or tag.",
    "branch_class": "`@default` for the project's default branch, `@other` for every other ref.",
    "trigger": "What started the pipeline, CircleCI's word.",
    "resource_class": "Machine size that the job asked for.",
    "team": "Who owns it, by the setting `owners`; empty where no entry matches.",
    "step": "Name of the step.",
    "test": "Class and name of the test.",
    "environment": "Where a deployment went.",
}


_OF_PROJECT: Mapping[str, Callable[[Any], str]] = {
    "org": lambda row: org_slug(row.project),
    "project": lambda row: row.project,
}
# Kind of row -> dimension -> its value; `team` follows from these (insights.owners).
ROW_VALUES: Mapping[str, Mapping[str, Callable[[Any], str]]] = {
    "runs": {
        **_OF_PROJECT,
        "workflow": lambda run: run.workflow,
        "branch": lambda run: run.ref,
        "branch_class": lambda run: class_name(run.branch_class),
        "trigger": lambda run: run.trigger,
    },
    "tests": {**_OF_PROJECT, "test": lambda row: test_name(row.class_name, row.name)},
    "flakes": _OF_PROJECT,
    "steps": {
        **_OF_PROJECT,
        "workflow": lambda row: row.workflow,
        "job": lambda row: row.job,
        "step": lambda row: row.step,
    },
}


def test_name(class_name: str, name: str) -> str:
    """A test as people call it."""
    return f"{class_name}.{name}" if class_name else name
