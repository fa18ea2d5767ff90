"""The table of answers that vendors are known to give.

`sink-cases.json` beside this file is the product's own collection of vendors' documented answers, each
with the class that a sink must read out of it (docs/fake-vendors.md names the classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Case:
    """One row: what is answered, and the class (`expect`) that the sink must choose.

    `body` is text, a JSON value, or None for an empty body.
    """

    sink: str
    name: str
    status: int
    expect: str
    headers: Mapping[str, str]
    body: Any
    note: str = ""


@cache
def all_cases() -> tuple[Case, ...]:
    """Return every row of the table, in its order."""
    text = resources.files(__package__).joinpath("sink-cases.json").read_bytes()
    return tuple(
        Case(
            sink=row["sink"],
            name=row["name"],
            status=row["status"],
            expect=row["expect"],
            headers=row.get("headers", {}),
            body=row.get("body"),
            note=row.get("note", ""),
        )
        for row in orjson.loads(text)["cases"]
    )


def find_case(name: str, vendor: str) -> Case:
    """Return the row called `name` of `vendor`, or `sink/name` of any; LookupError names the choices."""
    sink, _, short = name.rpartition("/")
    sink = sink or vendor
    for case in all_cases():
        if (case.sink, case.name) == (sink, short):
            return case
    known = ", ".join(case.name for case in all_cases() if case.sink == sink) or "none"
    raise LookupError(f"no case {short!r} of {sink!r}; known: {known}")
