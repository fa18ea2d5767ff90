"""The list of attributes: one type a name, and nothing that records carry is missing."""

from __future__ import annotations

from headgate.core.attributes import ATTRIBUTES, FAMILIES
from headgate.core.facts import FIELDS


def test_a_name_has_one_type() -> None:
    """A mapping that is shared by all kinds can hold each attribute."""
    types: dict[str, set[str]] = {}
    for kind in ATTRIBUTES:
        for one in ATTRIBUTES[kind]:
            types.setdefault(one.name, set()).add(one.type)
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


def test_every_attribute_of_a_fact_is_listed() -> None:
    """What `core.facts` declares is in the list of its kind; families hold none of it."""
    for kind, fields in FIELDS.items():
        listed = {one.name for one in ATTRIBUTES[kind]}
        assert {field.attribute for field in fields if field.attribute} <= listed
        assert [name for name in listed if name.startswith(tuple(FAMILIES)) and kind == "job"] == []
