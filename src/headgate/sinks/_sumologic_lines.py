"""From a record to a line of a Sumo Logic source: one JSON object, nested as Sumo's `json` operator reads it. Pure.

Invariant: a line is a function of its record, is never longer than asked for, and begins with the time that Sumo should
give the message, because its automatic detection takes the first time that it finds. What was cut is named in
`headgate.truncated`. Source: Sumo Logic documentation, "Upload Logs to an HTTP Source", read November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from headgate.core.record import Attribute, Record
from headgate.sinks._measures import TAG_PREFIX

__all__ = ["TRUNCATED", "Document", "fitting_line", "log_document", "tags_of"]

Document = dict[str, object]
TRUNCATED = "headgate.truncated"
# How long a text of a line that does not fit may be at most, in characters; tried in turn.
_LONGEST = (16_384, 4_096, 1_024, 256, 64)
_CUT = "…"
_encode = msgspec.json.Encoder().encode


def log_document(record: Record) -> Document:
    """A record as nested JSON: `json "cicd.pipeline.name"` finds the attribute of that name.

    `service` is the tag of that name, else the project. Tags stand at the top under their own names; one whose name is
    taken stays under `tag`. An attribute that is below another one's name (`a` and `a.b`) keeps its dotted name.
    """
    document: Document = {"timestamp": record.occurred_at, "id": record.id, "kind": record.kind}
    tags = tags_of(record.attributes)
    service = tags.pop("service", None) or record.project
    named = (("service", service), ("project", record.project), ("org", record.org))
    document |= {name: value for name, value in named if value}
    document |= {
        "tenant": record.tenant,
        "observed_at": record.observed_at,
        "sources": record.sources,
        "schema": record.schema,
    }
    for name, value in record.attributes.items():
        if not name.startswith(TAG_PREFIX):
            _put(document, name, value)
    for name, tag in tags.items():
        _put(document, name if _path(name)[0] not in document else TAG_PREFIX + name, tag)
    return document


def tags_of(attributes: Mapping[str, Attribute]) -> dict[str, str]:
    """The tags among a record's attributes, by their own names."""
    return {name[len(TAG_PREFIX) :]: str(value) for name, value in attributes.items() if name.startswith(TAG_PREFIX)}


def fitting_line(record: Record, render: Callable[[Record], Document], max_bytes: int) -> bytes:
    """The line of a record in at most `max_bytes` and its end; nothing where `render` makes nothing of it.

    Texts are cut, the longest first, until it fits; a record that is long by its number of attributes loses them all.
    """
    document = render(record)
    if not document:
        return b""
    line = _encode(document)
    for longest in _LONGEST:
        if len(line) <= max_bytes:
            break
        line = _encode(render(_shortened(record, longest)))
    if len(line) > max_bytes:
        line = _encode(render(msgspec.structs.replace(record, attributes={TRUNCATED: ["*"]})))
    return line + b"\n"


def _shortened(record: Record, longest: int) -> Record:
    attributes: dict[str, Attribute] = {name: _cut(value, longest) for name, value in record.attributes.items()}
    attributes[TRUNCATED] = [name for name, value in record.attributes.items() if attributes[name] != value]
    return msgspec.structs.replace(record, attributes=attributes)


def _cut(value: Attribute, longest: int) -> Attribute:
    """A text of at most so many characters and a mark, or the first texts of a list with as many in all."""
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest] + _CUT
    if not isinstance(value, list) or sum(map(len, value)) <= longest:
        return value
    kept: list[str] = []
    for text in value:
        longest -= len(text)
        if longest < 0:
            break
        kept.append(text)
    return [*kept, _CUT]


@lru_cache(maxsize=4096)
def _path(name: str) -> tuple[str, ...]:
    return tuple(name.split("."))


def _put(document: Document, name: str, value: Attribute) -> None:
    path = _path(name)
    here = document
    for part in path[:-1]:
        below = here.setdefault(part, {})
        if not isinstance(below, dict):
            document[name] = value
            return
        here = below
    if path[-1] in here:
        document[name] = value
    else:
        here[path[-1]] = value
