"""Questions in LogQL, over the lines of a `loki` sink. Pure.

A line is the record. Attributes are taken out of it by name, so a query names just what it needs.
"""

from __future__ import annotations

import re

from headgate.dashboards.questions import EVIDENCE, FAILURES, Question

__all__ = ["evidence", "label", "logql"]

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_QUANTILES = {"p50": "0.5", "p95": "0.95"}


def label(attribute: str) -> str:
    """The label that an attribute is taken out as."""
    return _NOT_IN_A_NAME.sub("_", attribute)


def logql(question: Question, window: str, *, project: str = "") -> str | None:
    """The query over `window` (`$__range`, `6h`). `project`: a regular expression; blank: all."""
    by = _groups(question)
    if question.what in ("p50", "p95", "sum"):
        lines = _lines(question, project, (question.field,)) + f" | unwrap {label(question.field)} | __error__=``"
        if question.what == "sum":
            return _sum(by, f"sum_over_time({lines} [{window}])")
        quantile = f"quantile_over_time({_QUANTILES[question.what]}, {lines} [{window}])"
        return f"{quantile} by ({by})"
    if question.what == "count":
        return _counted(question, project, window, by, ())
    failures = _counted(question, project, window, by, FAILURES)
    if question.what == "failures":
        return failures
    ran = _counted(question, project, window, by, EVIDENCE)
    good = _counted(question, project, window, by, ("success",))
    return f"({good} or 0 * {ran}) / {ran}"


def evidence(question: Question, window: str) -> str:
    """How many runs a success rate or a percentile rests on, in the same groups."""
    if question.field:
        lines = f'{_lines(question, "", (question.field,))} | {label(question.field)}!=""'
        return _sum(_groups(question), f"count_over_time({lines} [{window}])")
    return _counted(question, "", window, _groups(question), EVIDENCE)


def _groups(question: Question) -> str:
    return ", ".join(label(attribute) for attribute in question.by)


def _counted(question: Question, project: str, window: str, by: str, outcomes: tuple[str, ...]) -> str:
    lines = _lines(question, project, ("headgate.status",) if outcomes else ())
    if outcomes:
        lines += f" | headgate_status=~`{'|'.join(outcomes)}`"
    return _sum(by, f"count_over_time({lines} [{window}])")


def _sum(by: str, vector: str) -> str:
    return f"sum by ({by}) ({vector})" if by else f"sum ({vector})"


def _lines(question: Question, project: str, more: tuple[str, ...]) -> str:
    """The lines of a kind, with the attributes that the question is about taken out, and its conditions."""
    wanted = sorted({*question.by, *(name for name, _ in question.where), *more, *(("project",) if project else ())})
    taken = [f"{label(name)}={_path(name)}" for name in wanted]
    lines = f'{{service_name="circleci", record="{question.of}"}}'
    if taken:
        lines += f" | json {', '.join(taken)}"
    if project:
        lines += f" | project=~`{project}`"
    for name, value in question.where:
        lines += f" | {label(name)}=`{value}`"
    return lines


def _path(attribute: str) -> str:
    """Where it stands in the line, as LogQL's json parser wants it."""
    if attribute == "project":
        return '"project"'
    return f'"attributes[\\"{attribute}\\"]"'
