"""Merging is a join: any order and any repetition of what was observed ends in the same state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.facts import Value
from headgate.core.merge import (
    EMPTY,
    Known,
    Observation,
    ProjectRef,
    decode_stamps,
    encode_stamps,
    merge,
)

PROJECT = ProjectRef("circleci.com", "gh/acme/web", "gh/acme")
KEY = "410c427b-40a8-4bb4-9d42-5561f5bce5ba"
SOURCES = ("webhook", "v2", "v1.1", "detail", "export", "insights", "a-plugin")


def seen(source: str, *, at: int = 1, terminal: bool = True, **fields: Value) -> Observation:
    return Observation("job", KEY, PROJECT, source, at, terminal, fields)


def fold(observations: list[Observation]) -> Known:
    known = EMPTY
    for observation in observations:
        known = merge(known, observation)
    return known


field_values = {
    "status": st.sampled_from(["success", "failed", "timedout", "running", "queued", "no such word"]),
    "started_at": st.integers(0, 5),
    "stopped_at": st.integers(0, 5),
    "number": st.integers(1, 3),
    "requires": st.lists(st.sampled_from(["a", "b"]), max_size=2),
    "credits": st.integers(0, 3),
}
observations = st.builds(
    lambda source, at, terminal, fields: seen(source, at=at, terminal=terminal, **fields),
    st.sampled_from(SOURCES),
    st.integers(0, 3),
    st.booleans(),
    st.fixed_dictionaries({}, optional=field_values),
)


@given(st.lists(observations, max_size=8).flatmap(lambda xs: st.tuples(st.just(xs), st.permutations(xs))))
def test_order_does_not_matter(case):
    """Commutative and associative: a permutation of the inputs ends in the same values and provenance."""
    given_order, other_order = case
    assert fold(given_order) == fold(other_order)


@given(st.lists(observations, max_size=6))
def test_repetition_does_not_matter(inputs):
    """Idempotent: a doubled delivery changes nothing and is told apart by identity."""
    known = fold(inputs)
    for observation in inputs:
        assert merge(known, observation) is known


@given(st.lists(observations, max_size=6))
def test_provenance_survives_packing(inputs):
    """What is stored about where values came from reads back equal."""
    known = fold(inputs)
    assert decode_stamps("job", encode_stamps("job", known.stamps)) == dict(known.stamps)


def test_nothing_is_forgotten():
    """An input that lacks a field never takes away what another one said."""
    known = fold([seen("v1.1", queued_at=3, number=7), seen("webhook", at=9, status="success", started_at=4)])
    assert known.values == {"queued_at": 3, "number": 7, "status": "success", "started_at": 4}


RANKED = [
    pytest.param("started_at", "v2", "v1.1", id="times-v1.1-over-v2"),
    pytest.param("started_at", "v1.1", "webhook", id="times-webhook-over-v1.1"),
    pytest.param("stopped_at", "v2", "insights", id="milliseconds-of-insights-over-whole-seconds-of-v2"),
    pytest.param("status", "v2", "webhook", id="status-webhook-over-v2"),
    pytest.param("status", "v1.1", "v2", id="status-v2-over-v1.1"),
    pytest.param("credits", "insights", "export", id="credits-export-over-insights"),
    pytest.param("name", "a-plugin", "insights", id="unranked-source-is-last"),
]


@pytest.mark.parametrize(("field", "weaker", "stronger"), RANKED)
def test_the_better_source_wins_however_late_the_other_speaks(field, weaker, stronger):
    """Rank decides before time of observation does."""
    value = {"status": ("failed", "success"), "name": ("a", "b")}.get(field, (1, 2))
    known = fold([seen(stronger, at=1, **{field: value[0]}), seen(weaker, at=99, **{field: value[1]})])
    assert known.values[field] == value[0]
    assert known.stamps[field].source == stronger


def test_an_end_is_never_taken_back():
    """A running status that is seen after the end, by a better source, does not reopen a job."""
    known = fold([seen("v2", at=1, status="success"), seen("webhook", at=99, terminal=False, status="running")])
    assert known.values["status"] == "success"
    assert known.terminal


def test_a_kind_of_failure_is_not_overridden_by_plain_failed():
    """Webhooks say `failed` for what the API knows to be an infrastructure failure or a time-out."""
    for word in ("infrastructure_fail", "timedout"):
        known = fold([seen("v1.1", at=1, status=word), seen("webhook", at=9, status="failed")])
        assert known.values["status"] == word


def test_a_later_look_by_the_same_source_wins():
    """Same source, both final: what was observed later holds."""
    known = fold([seen("v2", at=1, status="failed"), seen("v2", at=2, status="success")])
    assert known.values["status"] == "success"


def test_fields_appended_later_read_as_absent():
    """Provenance that an older version packed has fewer positions than there are fields now."""
    packed = encode_stamps("job", fold([seen("v2", number=1)]).stamps)
    import msgspec

    rows, pointers = msgspec.msgpack.decode(packed)
    shorter = msgspec.msgpack.encode((rows, pointers[:3]))
    assert set(decode_stamps("job", shorter)) == {"number"}
