"""Records as ECS documents. Field names and values are held against Elastic's own list (tests/data/ecs-ci-fields.json).

That list was taken from the ECS 9.5 field reference, Apache-2.0, in May 2026.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from headgate.core.facts import FIELDS
from headgate.core.fieldlist import ATTRIBUTES
from headgate.core.record import KINDS, decode_record, encode_record
from headgate.sinks._ecs import ECS_TYPES, EcsMapper, data_stream
from headgate.testing.sink_harness import make_entry

ECS = orjson.loads((Path(__file__).parents[2] / "data" / "ecs-ci-fields.json").read_bytes())
OWN = ("cicd.", "vcs.", "test.", "circleci.", "headgate.", "deployment.", "platform.")


def record(kind: Any = "job", **attributes: Any) -> bytes:
    """The bytes of a record of this kind; attribute names have `__` for each dot."""
    return make_entry(1, kind=kind, **attributes).body


def document_of(body: bytes, **options: Any) -> dict[str, Any]:
    """The document of a record, read back; a name that stands in it twice is an error."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    found: dict[str, Any] = json.loads(EcsMapper(**options).document(body), object_pairs_hook=once)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_ecs_or_our_own(kind: str) -> None:
    """No name is invented in ECS's space, and each categorised value is one that ECS allows."""
    document = document_of(record(kind), namespace="default", tags=["ci"], labels={"team": "web"})
    for name, value in document.items():
        if name.startswith(OWN):
            continue
        assert name in ECS_TYPES
        field = ECS["fields"][name]
        allowed = field.get("allowed_values")
        for one in value if isinstance(value, list) else [value]:
            assert allowed is None or one in allowed, name
        if "array" in field.get("normalize", []):
            assert isinstance(value, list), name


@pytest.mark.parametrize("kind", KINDS)
def test_category_and_type_fit_together(kind: str) -> None:
    """ECS names for each category the types that may go with it."""
    document = document_of(record(kind))
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
    document = document_of(record(headgate__status=status))
    assert (document["event.outcome"], document.get("error.type")) == (outcome, error)


@pytest.mark.parametrize(
    ("kind", "more", "message", "grave"),
    [
        ("job", {}, "job unit failed (gh/acme/web, main)", "error"),
        ("workflow", {"circleci__status": "canceled", "headgate__status": "canceled"},
         "workflow build canceled (gh/acme/web, main)", "warn"),
        ("step", {"circleci__step__name": "make", "circleci__status": "success", "headgate__status": "success"},
         "step make success (gh/acme/web, main)", "info"),
    ],
    ids=["job", "workflow", "step"],
)  # fmt: skip
def test_a_document_has_a_line_for_people(kind: str, more: dict[str, Any], message: str, grave: str) -> None:
    """Kibana's Discover and log views show `message` and colour it by `log.level`."""
    document = document_of(record(kind, **more))
    assert (document["message"], document["log.level"]) == (message, grave)


def test_an_alerts_line_says_its_state() -> None:
    """An alert has no status of a run."""
    told = {"headgate.alert.rule": "slow builds", "headgate.alert.state": "firing"}
    body = encode_record(msgspec.structs.replace(decode_record(record("alert")), attributes=told))
    document = document_of(body)
    assert (document["message"], document["log.level"]) == ("alert slow builds firing (gh/acme/web)", "error")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_line(kind: str) -> None:
    """Also what has no name of its own, and in words, not in JSON."""
    document = document_of(record(kind))
    assert document["message"].startswith(kind.replace("_", " "))
    assert document["log.level"] == "error"


def test_duration_is_in_nanoseconds() -> None:
    """130 s are 130,000,000,000 ns."""
    assert document_of(record())["event.duration"] == 130_000_000_000


def test_a_workflow_starts_when_it_is_created_and_a_job_when_it_runs() -> None:
    """Both have circleci.created_at; only the job's own start is its beginning."""
    times = {"circleci__created_at": "2026-11-20T10:00:00.000Z", "circleci__started_at": "2026-11-20T10:00:04.000Z"}
    assert document_of(record("workflow", **times))["event.start"] == "2026-11-20T10:00:00.000Z"
    assert document_of(record("job", **times))["event.start"] == "2026-11-20T10:00:04.000Z"


def test_credits_do_not_collide_with_their_kinds() -> None:
    """A field cannot be a number and an object: the sum of a run is `circleci.credits.used`."""
    document = document_of(record(circleci__credits=12))
    assert document["circleci.credits.used"] == 12
    assert "circleci.credits" not in document


def test_no_field_is_a_value_and_an_object() -> None:
    """With every attribute that facts can have, no dotted name is the beginning of another of the same kind."""
    for kind, fields in FIELDS.items():
        attributes = {field.attribute.replace(".", "__"): "x" for field in fields if field.attribute}
        names = set(document_of(record(kind, **attributes)))
        assert [name for name in names if any(other.startswith(f"{name}.") for other in names)] == []


def test_credits_inside_a_text_stay_as_they_are() -> None:
    """The name of a field is changed, never what somebody wrote."""
    said = 'say "circleci.credits": 1 and "tag.team": 2'
    document = document_of(record(circleci__commit__subject=said, circleci__credits=12))
    assert (document["circleci.commit.subject"], document["circleci.credits.used"]) == (said, 12)


def test_a_record_without_attributes_has_a_document() -> None:
    """The envelope alone is enough."""
    entry = make_entry(1)
    bare = encode_record(msgspec.structs.replace(decode_record(entry.body), attributes={}))
    assert document_of(bare)["event.id"] == entry.record_id


def test_tags_of_a_record_are_labels_and_its_service() -> None:
    """`tag.team` is `labels.team` beside the operator's labels; `tag.service` names the service."""
    labels = {"site": "eu", "team": "all"}
    document = document_of(record(tag__team="web", tag__service="shop", circleci__credits=3), labels=labels)
    assert document["circleci.credits.used"] == 3
    assert document["labels"] == {"site": "eu", "team": "web", "service": "shop"}
    assert document["service.name"] == "shop"
    assert [name for name in document if name.startswith("tag.")] == []
    assert document_of(record(), labels=labels)["labels"] == labels


def test_an_attribute_wins_over_a_field_of_its_name() -> None:
    """A metric with any name cannot make a document with a name twice."""
    assert document_of(record("custom_metric", event__kind="state"))["event.kind"] == "state"


def test_no_attribute_of_ours_has_the_name_of_a_field() -> None:
    """What is copied as it stands never meets a field of the same name."""
    names = {name for listed in ATTRIBUTES.values() for name in listed}
    assert names & ECS_TYPES.keys() == set()


def test_a_kind_that_is_not_known_yet_has_a_document() -> None:
    """A record that a newer version left in the log is not in the way."""
    body = record().replace(b'"kind":"job"', b'"kind":"rocket"')
    document = document_of(body, namespace="default")
    assert (document["event.dataset"], document["event.action"]) == ("circleci.rocket", "record-received")
