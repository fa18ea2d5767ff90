"""The field list holds what records hold, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.golden.test_sinks import batch

from headgate.alerting.change import Subject, Telling, build_change
from headgate.alerting.routes import build_routes
from headgate.core.alertdata import Alert, AlertState, Step
from headgate.core.facts import FIELDS, LEAF_KINDS, FactKind, Field
from headgate.core.fieldlist import ATTRIBUTES, FREE_TEXT, PERSONAL, TIMES, find_attribute, kinds_of
from headgate.core.merge import Known, ProjectRef
from headgate.core.record import KINDS, Attribute, Kind, decode_record
from headgate.core.render import (
    LeafParents,
    job_attributes,
    leaf_attributes,
    make_amendment,
    workflow_attributes,
)

EXPECTED = Path(__file__).parents[2] / "e2e" / "expected"
PROJECT = ProjectRef("circleci.com", "gh/acme/web", "gh/acme")
ID = "00000000-0000-4000-8000-000000000001"
# Entries that no rendered record has, and why.
NOT_RENDERED = {
    "headgate.rerendered": "set by a replay that renders anew (store.explain)",
    "headgate.truncated": "set for one sink (core.shaping)",
    "tag.*": "set for one sink (core.shaping)",
}
_SAMPLES: dict[str, Any] = {
    "text": "text",
    "dim": "word",
    "uuid": ID,
    "int": 3,
    "real": 1.5,
    "ms": 1_800_000_000_000,
    "bool": True,
    "json": ["one"],
}
_PYTHON = {"text": str, "time": str, "list": list, "integer": int, "number": (int, float), "bool": bool}


def _filled(fields: tuple[Field, ...], **values: Any) -> Known:
    """Everything that can be known of a thing."""
    known = {field.name: _SAMPLES[field.type] for field in fields}
    known |= {"numbers": {"mttr": 5.0}} if "numbers" in known else {}
    return Known({**known, **values}, {})


WORKFLOW, PIPELINE = _filled(FIELDS["workflow"], pipeline_number=7), _filled(FIELDS["pipeline"])


def _leaf(kind: FactKind) -> dict[str, Attribute]:
    known = _filled(FIELDS[kind])
    job = _filled(FIELDS["job"], type="build") if "job_id" in known.values else None
    workflow = WORKFLOW if job or "workflow_id" in known.values else None
    return leaf_attributes(kind, known, PROJECT, LeafParents(job, workflow, PIPELINE if workflow else None))


def _alert() -> dict[str, Attribute]:
    alert = Alert(born_ms=1, state=AlertState.FIRING, number=2, fired_ms=5, value=1.5, baseline=1.0, n=9, first_bad=ID)
    step = Step(alert, (), "firing", "breach")
    texts = {"summary": "{rule} is bad"}
    subject = Subject(
        "f", "Slow", "ci", {"project": "gh/acme/web"}, {}, "critical", texts, Alert(born_ms=1), step, stored=True
    )
    (record,) = build_change([subject], Telling(build_routes((), ()), 10)).records
    return record.attributes


def rendered() -> Iterator[tuple[Kind, dict[str, Attribute]]]:
    """A record of each kind as rendering makes it of a thing of which everything is known."""
    yield "workflow", workflow_attributes(ID, WORKFLOW, PROJECT, PIPELINE)
    for type_ in ("build", "approval"):
        yield "job", job_attributes(ID, _filled(FIELDS["job"], type=type_), PROJECT, WORKFLOW, PIPELINE)
    for kind in LEAF_KINDS:
        yield kind, _leaf(kind)
    yield "amendment", make_amendment(ID, 1, {"circleci.credits": 5}, PROJECT, sources=[], observed_ms=1).attributes
    yield "alert", _alert()


@pytest.mark.parametrize(
    ("kind", "attributes"), list(rendered()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_everything_rendered_is_listed(kind: Kind, attributes: dict[str, Attribute]) -> None:
    """Each attribute of a record is in the list of its kind, with its type."""
    for name, value in attributes.items():
        info = find_attribute(kind, name)
        assert info is not None, name
        assert isinstance(value, _PYTHON[info.type]), name
        assert isinstance(value, bool) is (info.type == "bool"), name


def test_everything_listed_is_rendered() -> None:
    """No entry is there for nothing: some record of its kind has it, or there is a reason."""
    seen: dict[str, set[str]] = {}
    for kind, attributes in rendered():
        known = {name for name in ATTRIBUTES[kind] if name in attributes}
        known |= {
            one for one in ATTRIBUTES[kind] if any(name.startswith(one[:-1]) for name in attributes) and "*" in one
        }
        seen.setdefault(kind, set()).update(known)
    # A pipeline leaves in its workflows' and jobs' records, and nothing makes custom metrics yet.
    assert set(KINDS) - set(seen) == {"pipeline", "custom_metric"}
    missing = {(kind, name) for kind, names in seen.items() for name in set(ATTRIBUTES[kind]) - names}
    assert {name for _, name in missing} == set(NOT_RENDERED)


def test_a_name_has_one_type() -> None:
    """A mapping that is shared by all kinds can hold each attribute."""
    types: dict[str, set[str]] = {}
    for listed in ATTRIBUTES.values():
        for name, info in listed.items():
            types.setdefault(name, set()).add(info.type)
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


def test_golden_records_are_listed() -> None:
    """The records that the sinks' golden files are made of, and those expected of real webhooks, hold nothing else."""
    for entry in batch():
        for name in decode_record(entry.body).attributes:
            assert kinds_of(name), name
    files = sorted(EXPECTED.glob("*.json"))
    assert files
    for file in files:
        record = json.loads(file.read_text())
        for name in record["attributes"]:
            assert find_attribute(record["kind"], name) is not None, (file.name, name)


def test_an_amendment_may_hold_what_others_hold() -> None:
    """Its own names are known, and those of any fact; nothing else."""
    assert find_attribute("amendment", "circleci.credits.total") is not None
    assert find_attribute("amendment", "circleci.insight.mttr") is not None
    assert find_attribute("amendment", "no.such.name") is None


def test_marks_name_what_there_is() -> None:
    """Free text, times and persons are found in the list; units follow the names."""
    listed = {name: info for attributes in ATTRIBUTES.values() for name, info in attributes.items()}
    assert set(listed) >= FREE_TEXT
    assert {name for name, info in listed.items() if info.personal} == PERSONAL
    assert {"circleci.author.email", "circleci.started_by", "circleci.commit.subject", "platform.user"} <= PERSONAL
    assert {"circleci.stopped_at", "headgate.audit.hour"} <= TIMES
    units = {"circleci.duration_ms": "ms", "circleci.usage.run_seconds": "s", "circleci.job.cpu.max_pct": "%"}
    units |= {"circleci.credits": "credits", "circleci.credits.total": "credits", "circleci.credits_estimated": ""}
    assert units == {name: listed[name].unit for name in units}
