"""Questions in Sumo Logic's query language, over the log lines of a `sumologic` sink. Pure.

A line is nested, so the path of an attribute is its name; `json` gives it one that needs no quotes. Source: Sumo Logic
documentation, "Parse JSON Formatted Logs", "dedup", "pct", "timeslice", "transpose", "in", "if", read November 2026.
"""

from __future__ import annotations

from headgate.dashboards.questions import EVIDENCE, FAILURES, Question

__all__ = ["CATEGORY_VARIABLE", "field", "sumo", "value_of"]

CATEGORY_VARIABLE = "{{category}}"
_VALUES = {"count": "runs", "failures": "failures", "success_rate": "success_percent", "sum": "total"}
_OUTCOMES = {"failures": FAILURES, "success_rate": EVIDENCE}
_STATUS = "headgate.status"


def sumo(question: Question, *, category: str = CATEGORY_VARIABLE, over: str = "", runs: bool = False) -> str:
    """The query. `over`: how to slice time (`100 buckets`), or blank for one value a group. `runs`: their number too.

    A line that lacks an attribute that is asked for is left out, as `json` without `nodrop` does.
    """
    groups = [field(name) for name in question.by]
    by = ", ".join(["_timeslice", *groups] if over else groups)
    stages = [f"_sourceCategory={category}", _parsed(question), f"where {_condition(question)}"]
    # Lines are sent again after a lost answer, with the same id.
    stages.append("dedup by id")
    if over:
        stages.append(f"timeslice {over}")
    *before, value = _measured(question)
    if runs:
        value += ", count as runs"
    stages += [*before, f"{value} by {by}" if by else value]
    if over:
        stages.append(f"transpose row _timeslice column {', '.join(groups)}")
    return "\n| ".join(stages)


def field(attribute: str) -> str:
    """The name that an attribute is taken out as."""
    return attribute.replace(".", "_")


def _parsed(question: Question) -> str:
    """The attributes that the question is about, each under a name that needs no quotes."""
    wanted = {*question.by, *(name for name, _ in question.where)}
    wanted |= {question.field} - {""} | ({_STATUS} if question.what in _OUTCOMES else set())
    names = ["id", "kind", *sorted(wanted)]
    return f"json field=_raw {', '.join(map(_quoted, names))} as {', '.join(map(field, names))}"


def _condition(question: Question) -> str:
    parts = [f"{field(name)} = {_quoted(value)}" for name, value in (("kind", question.of), *question.where)]
    if outcomes := _OUTCOMES.get(question.what):
        parts.append(f"{field(_STATUS)} in ({', '.join(map(_quoted, outcomes))})")
    return " and ".join(parts)


def _measured(question: Question) -> list[str]:
    """The stages that make the value; groups follow the last one."""
    value = value_of(question)
    if question.what in ("count", "failures"):
        return [f"count as {value}"]
    if question.what == "success_rate":
        return [f'if({field(_STATUS)} = "success", 100, 0) as good', f"avg(good) as {value}"]
    if question.what == "sum":
        return [f"sum({field(question.field)}) as {value}"]
    return [f"pct({field(question.field)}, {question.what[1:]}) as {value}"]


def value_of(question: Question) -> str:
    """The field that holds the answer; a success rate is a percentage."""
    return _VALUES.get(question.what, question.what)


def _quoted(text: str) -> str:
    return f'"{text}"'
