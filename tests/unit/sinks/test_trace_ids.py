"""Ids of traces and spans: stable, of the right length, never zero."""

from __future__ import annotations

from typing import get_args

import pytest

from headgate.sinks import _trace_ids
from headgate.sinks._trace_ids import SpanOf, span_id, trace_id

WORKFLOW = "fda08377-fe7e-46b1-8992-3a7aaecac9c3"
NIL = "00000000-0000-0000-0000-000000000000"


def test_a_trace_has_the_workflows_own_id() -> None:
    """Who knows the workflow finds the trace, and the other way round."""
    assert trace_id(WORKFLOW).hex() == WORKFLOW.replace("-", "")


@pytest.mark.parametrize("odd", ["", "abcd", "not-a-uuid", NIL, WORKFLOW + "00"])
def test_any_other_id_is_hashed(odd: str) -> None:
    """Whatever the id looks like, the trace's has 16 bytes and is not zero."""
    assert len(trace_id(odd)) == 16
    assert any(trace_id(odd))


def test_a_span_id_tells_its_parts_apart() -> None:
    """Parts are not simply joined, and the same parts give the same id for ever."""
    assert span_id("workflow", WORKFLOW).hex() == "ae43bb16a2fd283c"
    assert len({span_id("job", *parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), ("c", "ab"))}) == 4


def test_a_job_with_the_id_of_its_workflow_has_a_span_of_its_own() -> None:
    """A span that is its own parent would be refused."""
    assert len({span_id(kind, "0") for kind in get_args(SpanOf)}) == 5


def test_no_id_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash that begins with zeros, which nobody has seen yet, still gives a legal id."""

    class Zeros:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def digest(self) -> bytes:
            return bytes(32)

    monkeypatch.setattr(_trace_ids, "sha256", Zeros)
    assert span_id("job", "a") == b"\0\0\0\0\0\0\0\1"
