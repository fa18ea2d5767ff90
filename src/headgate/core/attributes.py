"""Every attribute that a record may carry, with its type: those of facts (`core.facts`) and those that are computed.

Mappings, templates and documentation read this one list. Invariant: a name has one type, whatever the kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headgate.core.facts import FIELDS, Field, FieldType
from headgate.core.record import KINDS, Kind

__all__ = ["ATTRIBUTES", "COMPUTED", "FAMILIES", "AttributeInfo", "AttributeType"]

# text, time (RFC 3339 in UTC), integer, number (may have a fraction), bool, list (of text).
AttributeType = Literal["text", "time", "integer", "number", "bool", "list"]


@dataclass(frozen=True, slots=True)
class AttributeInfo:
    """One attribute of a kind of record."""

    name: str
    type: AttributeType
    doc: str


_STATUS = AttributeInfo("headgate.status", "text", "Our status word.")
# What `core.render` and `alerting` add to the fields of facts.
COMPUTED: dict[Kind, tuple[AttributeInfo, ...]] = {
    "workflow": (
        AttributeInfo("cicd.pipeline.run.id", "text", "Id of the workflow run."),
        AttributeInfo("cicd.pipeline.run.url.full", "text", "Its page at CircleCI."),
        AttributeInfo("circleci.duration_ms", "integer", "Creation to end, milliseconds."),
        _STATUS,
    ),
    "job": (
        AttributeInfo("cicd.pipeline.task.run.id", "text", "Id of the job."),
        AttributeInfo("cicd.pipeline.task.run.url.full", "text", "Its page at CircleCI."),
        AttributeInfo("cicd.pipeline.run.url.full", "text", "The page of its workflow."),
        AttributeInfo("circleci.duration_ms", "integer", "Execution, milliseconds; absent for approvals."),
        AttributeInfo("circleci.queue_ms", "integer", "Waiting for a machine, milliseconds."),
        AttributeInfo("circleci.approval_wait_ms", "integer", "Waiting for a person, milliseconds; approvals only."),
        _STATUS,
    ),
    "step": (AttributeInfo("circleci.duration_ms", "integer", "Start to end, milliseconds."), _STATUS),
    "usage": (_STATUS,),
    "deployment": (AttributeInfo("circleci.duration_ms", "integer", "Begin to end, milliseconds."),),
    "amendment": (
        AttributeInfo("headgate.amends", "text", "Id of the record that it corrects."),
        AttributeInfo("headgate.revision", "integer", "1 for the first amendment of that record, counting up."),
    ),
    "alert": (
        AttributeInfo("headgate.alert.rule", "text", "Name of the rule."),
        AttributeInfo("headgate.alert.group", "text", "What the rule was evaluated for, as text."),
        AttributeInfo("headgate.alert.state", "text", "`firing` or `resolved`."),
        AttributeInfo("headgate.alert.reason", "text", "Why it changed."),
        AttributeInfo("headgate.alert.fingerprint", "text", "The same for one alert in all its transitions."),
        AttributeInfo("headgate.alert.transition", "integer", "Number of the transition."),
        AttributeInfo("headgate.alert.value", "number", "The value that the rule looked at."),
        AttributeInfo("headgate.alert.baseline", "number", "What it was held against."),
        AttributeInfo("headgate.alert.n", "integer", "Samples behind the value."),
        AttributeInfo("headgate.alert.first_bad", "text", "The first run that was bad."),
        AttributeInfo("headgate.alert.summary", "text", "One sentence for people."),
        AttributeInfo("headgate.alert.started_at", "time", "When it began."),
    ),
}
# Open families: the rest of the name is data. Attributes under these prefixes are not in ATTRIBUTES.
FAMILIES: dict[str, AttributeType] = {
    "circleci.insight.": "number",
    "headgate.alert.label.": "text",
    "tag.": "text",
}

_TYPES: dict[FieldType, AttributeType] = {
    "text": "text",
    "dim": "text",
    "uuid": "text",
    "int": "integer",
    "real": "number",
    "ms": "time",
    "bool": "bool",
    "json": "list",
}


# Kinds without facts have computed attributes alone.
_FIELDS: dict[str, tuple[Field, ...]] = {str(kind): fields for kind, fields in FIELDS.items()}


def _of_kind(kind: Kind) -> tuple[AttributeInfo, ...]:
    fields = _FIELDS.get(kind, ())
    own = (AttributeInfo(one.attribute, _TYPES[one.type], one.doc) for one in fields if one.attribute)
    return (*own, *COMPUTED.get(kind, ()))


# By kind; a record also carries attributes of what it belongs to (core.render), each with the type that it has there.
ATTRIBUTES: dict[Kind, tuple[AttributeInfo, ...]] = {kind: _of_kind(kind) for kind in KINDS}
