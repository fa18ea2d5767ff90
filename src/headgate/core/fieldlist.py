"""Every attribute that a record can have, by kind: the one list behind the pages, mappings, dashboards and privacy.

Built from what renders records (core.facts, core.render) and the few attributes that other parts add; a test holds it
against rendered records of every kind. An attribute that ends in `.*` stands for all names that begin so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from headgate.core.facts import FIELDS, FactKind, Field
from headgate.core.record import KINDS, Kind
from headgate.core.render import FROM_JOB, FROM_WORKFLOW, SHARED_FIELDS

__all__ = [
    "ATTRIBUTES",
    "FREE_TEXT",
    "PERSONAL",
    "TIMES",
    "TRUNCATED",
    "AttributeInfo",
    "AttributeType",
    "find_attribute",
    "kinds_of",
]

AttributeType = Literal["text", "time", "list", "integer", "number", "bool"]

# Lists the attributes that a sink's `max_text` cut (core.shaping).
TRUNCATED = "headgate.truncated"


@dataclass(frozen=True, slots=True)
class AttributeInfo:
    """One attribute of one kind. `unit`: `ms`, `s`, `%`, `credits` or empty. `personal`: it tells of a person."""

    name: str
    type: AttributeType
    unit: str
    meaning: str
    personal: bool


# Attributes that hold what people or their programs wrote, so that a secret may stand there.
FREE_TEXT = frozenset(
    {
        "circleci.commit.subject",
        "circleci.deployment.url",
        "circleci.job.messages",
        "circleci.pipeline.errors",
        "circleci.step.output_tail",
        "circleci.test.message",
        "circleci.test.parameters",
        "headgate.alert.summary",
        "platform.subject",
    }
)
# An attribute is personal where a field of any kind that fills it is (family `author`, core.facts).
PERSONAL = frozenset(
    field.attribute
    for fields in FIELDS.values()
    for field in fields
    if field.attribute is not None and field.family == "author"
)

_TYPES: Mapping[str, AttributeType] = {
    "text": "text",
    "dim": "text",
    "uuid": "text",
    "int": "integer",
    "real": "number",
    "ms": "time",
    "bool": "bool",
    "json": "list",
}
_Row = tuple[str, AttributeType, str]
_STATUS: _Row = ("headgate.status", "text", "Our status word.")
_RUN_URL: _Row = ("cicd.pipeline.run.url.full", "text", "The page of its workflow.")

# What rendering computes (core.render, alerting.change).
_COMPUTED: Mapping[str, tuple[_Row, ...]] = {
    "workflow": (
        ("cicd.pipeline.run.id", "text", "Id of the workflow run."),
        ("cicd.pipeline.run.url.full", "text", "Its page at CircleCI."),
        ("circleci.duration_ms", "integer", "Creation to end, milliseconds."),
        _STATUS,
    ),
    "job": (
        ("cicd.pipeline.task.run.id", "text", "Id of the job."),
        ("cicd.pipeline.task.run.url.full", "text", "Its page at CircleCI."),
        _RUN_URL,
        ("circleci.duration_ms", "integer", "Execution, milliseconds; absent for approvals."),
        ("circleci.queue_ms", "integer", "Waiting for a machine, milliseconds."),
        ("circleci.approval_wait_ms", "integer", "Waiting for a person, milliseconds; approvals only."),
        _STATUS,
    ),
    "step": (("circleci.duration_ms", "integer", "Begin to end, milliseconds."), _STATUS),
    "usage": (_STATUS,),
    "deployment": (("circleci.duration_ms", "integer", "Begin to end, milliseconds."),),
    "insight": (("circleci.insight.*", "number", "One number of the aggregate, by CircleCI's name."),),
    "amendment": (
        ("headgate.amends", "text", "Id of the record that it adds to; the changed attributes stand beside it."),
        ("headgate.revision", "integer", "1 for the first amendment of a record, counting up."),
    ),
    "alert": (
        ("headgate.alert.rule", "text", "Name of the rule."),
        ("headgate.alert.group", "text", "Name of the rule's group."),
        ("headgate.alert.state", "text", "`firing` or `resolved`."),
        ("headgate.alert.reason", "text", "Why the state changed."),
        ("headgate.alert.fingerprint", "text", "Identity of the alert: rule and labels."),
        ("headgate.alert.transition", "integer", "Number of this change of the alert, from 1."),
        ("headgate.alert.value", "number", "What was measured."),
        ("headgate.alert.baseline", "number", "What it was compared with."),
        ("headgate.alert.n", "integer", "Runs that were judged."),
        ("headgate.alert.first_bad", "text", "The run that it seems to have begun with."),
        ("headgate.alert.summary", "text", "The rule's summary, filled in."),
        ("headgate.alert.started_at", "time", "When it began to fire."),
        ("headgate.alert.label.*", "text", "One label of the alert."),
    ),
}
# What any kind may have: a replay's mark, and what a sink's `records` section adds (core.shaping).
_ANY: tuple[_Row, ...] = (
    ("headgate.rerendered", "bool", "It was rendered anew for a replay, from what is known by now."),
    (TRUNCATED, "list", "Names of the attributes that this sink's `max_text` cut, sorted."),
    ("tag.*", "text", "One tag of this sink's `records` section."),
)


def _row(field: Field) -> _Row | None:
    return None if field.attribute is None else (field.attribute, _TYPES[field.type], field.doc)


def _own(kind: str) -> dict[str, _Row]:
    """What the fields of a fact become, and what is computed beside them."""
    rows = [row for name, fields in FIELDS.items() if name == kind for field in fields if (row := _row(field))]
    return {row[0]: row for row in (*rows, *_COMPUTED.get(kind, ()))}


def _of_workflow() -> dict[str, _Row]:
    """What a job's record takes from its workflow."""
    taken = {*SHARED_FIELDS, *FROM_WORKFLOW}
    return {row[0]: row for field in FIELDS["workflow"] if field.name in taken and (row := _row(field))}


def _rows(kind: str) -> dict[str, _Row]:
    own = _own(kind)
    if kind == "workflow":
        return own
    if kind == "job":
        return {**_of_workflow(), **own}
    fields = {field.name for name, fields in FIELDS.items() if name == kind for field in fields}
    if "job_id" in fields:
        above = _rows("job")
    elif "workflow_id" in fields:
        above = _rows("workflow")
    else:
        return own
    return {**{name: above[name] for name in FROM_JOB if name in above}, **own}


def _unit(name: str) -> str:
    if name.endswith("_ms"):
        return "ms"
    if name.endswith("_seconds"):
        return "s"
    if name.endswith("_pct"):
        return "%"
    return "credits" if name.startswith("circleci.credits") else ""


def _info(row: _Row) -> AttributeInfo:
    name, type_, meaning = row
    unit = _unit(name) if type_ in ("integer", "number") else ""
    return AttributeInfo(name, type_, unit, meaning, name in PERSONAL)


def _listed(kind: Kind) -> Mapping[str, AttributeInfo]:
    rows = {**_rows(kind), **{row[0]: row for row in _ANY}}
    return MappingProxyType({name: _info(rows[name]) for name in sorted(rows)})


# Kind -> name -> attribute, names sorted. An amendment holds any attribute of the kind that it amends beside its own.
ATTRIBUTES: Mapping[Kind, Mapping[str, AttributeInfo]] = MappingProxyType({kind: _listed(kind) for kind in KINDS})
# Attributes that are points in time, in any kind.
TIMES = frozenset(name for listed in ATTRIBUTES.values() for name, info in listed.items() if info.type == "time")


def kinds_of(name: str) -> tuple[Kind, ...]:
    """Kinds whose records can have an attribute; empty for an unknown one."""
    return tuple(kind for kind in KINDS if find_attribute(kind, name) is not None)


def find_attribute(kind: Kind, name: str) -> AttributeInfo | None:
    """The entry for an attribute of a kind, also through one that ends in `.*`; None where the list knows none.

    For an amendment the first kind that has it answers.
    """
    listed = ATTRIBUTES[kind]
    found = listed.get(name)
    if found is None:
        found = next((info for key, info in listed.items() if key.endswith(".*") and name.startswith(key[:-1])), None)
    if found is None and kind == "amendment":
        others: tuple[FactKind, ...] = tuple(FIELDS)
        return next((info for other in others if (info := find_attribute(other, name)) is not None), None)
    return found
