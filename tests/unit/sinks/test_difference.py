"""What counts as different between what a server shows and what it should have."""

from __future__ import annotations

import pytest

from headgate.sinks._difference import differences


@pytest.mark.parametrize(
    ("found", "wanted", "lines"),
    [
        ({"a": 1, "more": 2}, {"a": 1}, ()),
        ({"a": "1", "b": "true"}, {"a": 1, "b": True}, ()),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ("- a.b: 1", "+ a.b: 2")),
        ({}, {"a": {"b": {"c": "x"}}, "d": []}, ('+ a.b.c: "x"', "+ d: []")),
        ({"a": [{"b": 1, "id": 7}]}, {"a": [{"b": 1}]}, ()),
        ({"a": [1, 2]}, {"a": [1]}, ("- a: [1,2]", "+ a: [1]")),
        ({"a": {"b": 1}}, {"a": 1}, ('- a: {"b":1}', "+ a: 1")),
        ({"a": None}, {"a": {}}, ("- a: null", "+ a: {}")),
        ({}, {"a": {}}, ("+ a: {}",)),
    ],
)
def test_differences(found: object, wanted: object, lines: tuple[str, ...]) -> None:
    """Additions of the server and numbers as texts are none; everything else is a line with its path."""
    assert differences(found, wanted) == lines
