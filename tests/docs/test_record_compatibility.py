"""Records of one schema version stay readable: nothing that readers rely on goes away or changes its type.

`docs/spec/record-<version>.json` is what was published. `make docs` adds what is new to it and refuses what breaks it;
a change that must break comes with a new SCHEMA_VERSION and a file of its own.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs import generated

from headgate.core.record import SCHEMA_VERSION

PUBLISHED = Path(__file__).parents[2] / "docs" / "spec" / f"record-{SCHEMA_VERSION}.json"
_PROSE = ("title", "description")


def breaks(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Each way in which a reader of `old` could not read `new`."""
    before, after = old["envelope"], new["envelope"]
    for name, schema in before["properties"].items():
        now = after["properties"].get(name)
        if now is None:
            yield f"{name} is gone"
        elif name == "kind":
            yield from (f"kind {word} is gone" for word in schema["enum"] if word not in now["enum"])
        elif _bare(now) != _bare(schema):
            yield f"{name} changed"
    yield from (f"{name} may be missing now" for name in before["required"] if name not in after["required"])
    for kind, attributes in old["attributes"].items():
        for name, type_ in attributes.items():
            now = new["attributes"].get(kind, {}).get(name)
            if now != type_:
                yield f"{name} of {kind} was {type_} and is {now or 'gone'}"


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in _PROSE}


def test_records_keep_what_was_published() -> None:
    """Nothing that was published is gone or has another type, and what is new is published too."""
    now = generated.published_record()
    if not PUBLISHED.exists() and os.environ.get("UPDATE_DOCS"):
        PUBLISHED.write_text(generated.record_page())
    published = json.loads(PUBLISHED.read_text())
    assert list(breaks(published, now)) == []
    if os.environ.get("UPDATE_DOCS"):
        PUBLISHED.write_text(generated.record_page())
    assert PUBLISHED.read_text() == generated.record_page(), f"{PUBLISHED.name} is out of date: run `make docs`"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("envelope", "properties", "project"), None, "project is gone"),
        (("envelope", "properties", "tenant"), {"type": "integer"}, "tenant changed"),
        (("envelope", "properties", "kind", "enum"), ["job"], "kind workflow is gone"),
        (("envelope", "required"), ["id"], "tenant may be missing now"),
        (("attributes", "job", "circleci.queue_ms"), None, "circleci.queue_ms of job was integer and is gone"),
        (("attributes", "job", "circleci.queue_ms"), "text", "circleci.queue_ms of job was integer and is text"),
    ],
    ids=["field", "type", "kind", "required", "attribute", "attribute-type"],
)
def test_what_breaks_readers_is_found(path: tuple[str, ...], value: Any, said: str) -> None:
    """Each kind of incompatible change is told by name."""
    old = generated.published_record()
    new = copy.deepcopy(old)
    inner = new
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    assert said in list(breaks(old, new))


def test_additions_break_nobody() -> None:
    """A new field, kind or attribute is no break."""
    old = generated.published_record()
    new = copy.deepcopy(old)
    new["envelope"]["properties"]["extra"] = {"type": "string"}
    new["envelope"]["properties"]["kind"]["enum"].append("extra")
    new["attributes"]["job"]["circleci.extra"] = "text"
    assert list(breaks(old, new)) == []
