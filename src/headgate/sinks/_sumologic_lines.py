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
# Keys of every line; `service` is not among them, for the tag of that name replaces it.
_ENVELOPE = ("timestamp", "id", "kind", "project", "org", "tenant", "observed_at", "sources", "schema")
_Place = tuple[int, str]
_encode = msgspec.json.Encoder().encode


def log_document(record: Record) -> Document:
    """A record as nested JSON: `json "cicd.pipeline.name"` finds the attribute of that name.

    `service` is the tag of that name, else the project. Tags stand at the top under their own names; one whose name is
    taken stays under `tag`. An attribute that is below another one's name (`a` and `a.b`) keeps its dotted name.
    """
    named = (("service", record.project), ("project", record.project), ("org", record.org))
    document: Document = {
        "timestamp": record.occurred_at,
        "id": record.id,
        "kind": record.kind,
        **{name: value for name, value in named if value},
        "tenant": record.tenant,
        "observed_at": record.observed_at,
        "sources": record.sources,
        "schema": record.schema,
    }
    objects, places = _plan(tuple(record.attributes))
    made = [document]
    for parent, key in objects:
        below: Document = {}
        made[parent][key] = below
        made.append(below)
    for (parent, key), attribute in zip(places, record.attributes.values(), strict=True):
        made[parent][key] = attribute
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
    """The record with its long texts cut, beside what was cut of it before."""
    attributes: dict[str, Attribute] = {}
    before = record.attributes.get(TRUNCATED)
    names = set(before) if isinstance(before, list) else set()
    for name, value in record.attributes.items():
        attributes[name] = _cut(value, longest)
        if attributes[name] != value:
            names.add(name)
    attributes[TRUNCATED] = sorted(names - {TRUNCATED})
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


@lru_cache(maxsize=1024)
def _plan(names: tuple[str, ...]) -> tuple[list[_Place], list[_Place]]:
    """Where attributes of these names stand in a line, because the same names come again and again.

    A place is the number of an object and a key in it; 0 is the line. First the objects to make, numbered from 1, then
    a place for each name.
    """
    taken: dict[tuple[str, ...], int | None] = {(name,): None for name in _ENVELOPE}
    objects: list[_Place] = []
    places: dict[str, _Place] = {}
    for name in sorted(names, key=lambda one: one.startswith(TAG_PREFIX)):
        path = tuple(name.split("."))
        if name.startswith(TAG_PREFIX) and path[1:2] not in taken:
            path = path[1:]
        places[name] = _place(path, taken, objects) or (0, name)
    return objects, [places[name] for name in names]


def _place(path: tuple[str, ...], taken: dict[tuple[str, ...], int | None], objects: list[_Place]) -> _Place | None:
    """The place of a path, whose objects are made as needed; None where another value is in the way."""
    here = 0
    for depth in range(1, len(path)):
        above = path[:depth]
        if above not in taken:
            objects.append((here, above[-1]))
            taken[above] = len(objects)
        found = taken[above]
        if found is None:
            return None
        here = found
    if path in taken:
        return None
    taken[path] = None
    return here, path[-1]
