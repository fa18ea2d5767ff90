"""Records as ECS documents. Field names and values are held against Elastic's own list (tests/data/ecs-ci-fields.json).

That list was taken from the ECS 9.5 field reference, Apache-2.0, in May 2026.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from headgate.core.facts import FIELDS
from headgate.core.record import KINDS, Record, decode_record
from headgate.sinks._ecs import data_stream, ecs_document
from headgate.testing.sink_harness import make_entry

ECS = orjson.loads((Path(__file__).parents[2] / "data" / "ecs-ci-fields.json").read_bytes())
OWN = ("cicd.", "vcs.", "test.", "circleci.", "headgate.", "deployment.", "platform.")


def record(kind: Any = "job", **attributes: Any) -> Record:
    """A record of this kind; attribute names have `__` for each dot."""
    return decode_record(make_entry(1, kind=kind, **attributes).body)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_ecs_or_our_own(kind: str) -> None:
    """No name is invented in ECS's space, and each categorised value is one that ECS allows."""
    document = ecs_document(record(kind), stream=data_stream(kind, "default"), tags=["ci"], labels={"team": "web"})
    for name, value in document.items():
        if name.startswith(OWN):
            continue
        field = ECS["fields"][name]
        allowed = field.get("allowed_values")
        for one in value if isinstance(value, list) else [value]:
            assert allowed is None or one in allowed, name
        if "array" in field.get("normalize", []):
            assert isinstance(value, list), name


@pytest.mark.parametrize("kind", KINDS)
def test_category_and_type_fit_together(kind: str) -> None:
    """ECS names for each category the types that may go with it."""
    document = ecs_document(record(kind))
    assert ("event.category" in document) == ("event.type" in document)
    for category in document.get("event.category", []):
        assert set(document["event.type"]) <= set(ECS["event.category -> expected event.type"][category])


@pytest.mark.parametrize("kind", KINDS)
def test_stream_names_are_legal(kind: str) -> None:
    """Dataset and namespace are lower case, without dashes; insights are metrics, all else logs."""
    stream = data_stream(kind, "default")
    assert stream.dataset == stream.dataset.lower()
    assert "-" not in stream.dataset
    assert stream.name == f"{'metrics' if kind == 'insight' else 'logs'}-{stream.dataset}-default"


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [
        ("success", "success", None),
        ("failure", "failure", "failure"),
        ("error", "failure", "error"),
        ("timeout", "failure", "timeout"),
        ("canceled", "unknown", None),
        ("skipped", "unknown", None),
        ("unknown", "unknown", None),
    ],
)
def test_outcome_of_a_run(status: str, outcome: str, error: str | None) -> None:
    """Our status word becomes one of ECS's three outcomes; only failures have an error type."""
    document = ecs_document(record(headgate__status=status))
    assert (document["event.outcome"], document.get("error.type")) == (outcome, error)


def test_duration_is_in_nanoseconds() -> None:
    """130 s are 130,000,000,000 ns."""
    assert ecs_document(record())["event.duration"] == 130_000_000_000


def test_a_workflow_starts_when_it_is_created_and_a_job_when_it_runs() -> None:
    """Both have circleci.created_at; only the job's own start is its beginning."""
    times = {"circleci__created_at": "2026-11-20T10:00:00.000Z", "circleci__started_at": "2026-11-20T10:00:04.000Z"}
    assert ecs_document(record("workflow", **times))["event.start"] == "2026-11-20T10:00:00.000Z"
    assert ecs_document(record("job", **times))["event.start"] == "2026-11-20T10:00:04.000Z"


def test_credits_do_not_collide_with_their_kinds() -> None:
    """A field cannot be a number and an object: the sum of a run is `circleci.credits.used`."""
    document = ecs_document(record(circleci__credits=12))
    assert document["circleci.credits.used"] == 12
    assert "circleci.credits" not in document


def test_no_field_is_a_value_and_an_object() -> None:
    """With every attribute that facts can have, no dotted name is the beginning of another of the same kind."""
    for kind, fields in FIELDS.items():
        attributes = {field.attribute.replace(".", "__"): "x" for field in fields if field.attribute}
        names = set(ecs_document(record(kind, **attributes)))
        assert [name for name in names if any(other.startswith(f"{name}.") for other in names)] == []


def test_the_record_is_not_changed() -> None:
    """The mapping copies: encoding a record twice gives the same document."""
    one = record(circleci__credits=12)
    assert ecs_document(one) == ecs_document(one)
    assert one.attributes["circleci.credits"] == 12
