"""From facts to records: names, durations, links."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.facts import FIELDS, Value
from headgate.core.merge import Known, ProjectRef, Stamp
from headgate.core.record import encode_record, record_schema
from headgate.core.render import (
    changed_attributes,
    duration_ms,
    job_attributes,
    job_spans,
    make_amendment,
    make_record,
    queue_ms,
    workflow_attributes,
)
from headgate.core.status import map_status

PUBLISHED = jsonschema_rs.Draft202012Validator(record_schema())
PROJECT = ProjectRef("circleci.com", "gh/acme/web", "gh/acme")
WORKFLOW = "410c427b-40a8-4bb4-9d42-5561f5bce5ba"
JOB = "20e45d7e-e4a7-4aa3-8f92-fd6d9d01da75"


def known(**values: Value) -> Known:
    return Known(values, {name: Stamp(True, 1, "webhook") for name in values})


BUILD = known(name="build", pipeline_number=10, ref_name="main", ref_type="branch", created_at=0, status="success")
UNIT = known(
    name="unit", number=7, status="failed", queued_at=1000, started_at=3000, stopped_at=9000, workflow_id=WORKFLOW
)


def test_a_job_tells_of_its_workflow():
    """People group jobs by workflow, branch and pipeline."""
    attributes = job_attributes(JOB, UNIT, PROJECT, BUILD, None)
    assert attributes == {
        "cicd.pipeline.name": "build",
        "cicd.pipeline.run.id": WORKFLOW,
        "cicd.pipeline.run.url.full": f"https://app.circleci.com/pipelines/github/acme/web/10/workflows/{WORKFLOW}",
        "cicd.pipeline.task.name": "unit",
        "cicd.pipeline.task.run.id": JOB,
        "cicd.pipeline.task.run.url.full": (
            f"https://app.circleci.com/pipelines/github/acme/web/10/workflows/{WORKFLOW}/jobs/7"
        ),
        "circleci.duration_ms": 6000,
        "circleci.job.number": 7,
        "circleci.pipeline.number": 10,
        "circleci.queue_ms": 2000,
        "circleci.queued_at": "1970-01-01T00:00:01.000Z",
        "circleci.started_at": "1970-01-01T00:00:03.000Z",
        "circleci.status": "failed",
        "circleci.stopped_at": "1970-01-01T00:00:09.000Z",
        "headgate.status": "failure",
        "vcs.ref.head.name": "main",
        "vcs.ref.head.type": "branch",
    }
    assert list(attributes) == sorted(attributes)


def test_what_is_missing_is_absent():
    """No blank, zero or null stands in for a fact that nobody knows."""
    attributes = job_attributes(JOB, known(name="", requires=[], status="running"), PROJECT, None, None)
    assert attributes == {
        "cicd.pipeline.task.run.id": JOB,
        "circleci.status": "running",
        "headgate.status": "running",
    }


DURATIONS = [
    pytest.param({"started_at": 10, "stopped_at": 4}, 0, id="never-negative"),
    pytest.param({"status": "canceled", "stopped_at": 4}, 0, id="canceled-before-start"),
    pytest.param({"status": "not_run", "stopped_at": 4}, 0, id="skipped"),
    pytest.param({"status": "failed", "stopped_at": 4}, None, id="start-not-known"),
    pytest.param({"type": "approval", "started_at": 1, "stopped_at": 4}, None, id="approval-is-not-execution"),
]


@pytest.mark.parametrize(("values", "expected"), DURATIONS)
def test_durations(values, expected):
    """Execution, and nothing else, is a job's duration."""
    assert duration_ms("job", values) == expected


@pytest.mark.parametrize("kind", ["build", "approval", ""])
@pytest.mark.parametrize("theirs", ["success", "failed", "canceled", "not_run", "odd"])
def test_columns_tell_the_same_times_as_values(theirs, kind):
    """Whether a job was queued and started or not, in whatever order."""
    for queued, started in product((None, 1, 5, 12), (None, 3, 12)):
        values: dict[str, Value] = {"status": theirs, "type": kind, "stopped_at": 9}
        values |= {"queued_at": queued} if queued else {}
        values |= {"started_at": started} if started else {}
        expected = duration_ms("job", values), queue_ms(values)
        assert expected == job_spans(map_status(theirs), kind, queued, started, 9)


def test_queue_and_approval_are_numbers_of_their_own():
    """Waiting for a machine is not waiting for a person."""
    assert queue_ms({"queued_at": 5, "started_at": 3}) == 0
    held = job_attributes(JOB, known(type="approval", started_at=1, stopped_at=4), PROJECT, None, None)
    assert held["circleci.approval_wait_ms"] == 3
    assert "circleci.queue_ms" not in held
    assert "circleci.duration_ms" not in held


def test_a_job_that_never_ran_ends_with_its_workflow():
    """Skipped jobs have no times; a record of last month's must not be dated today."""
    skipped = known(name="deploy", status="not_run", workflow_id=WORKFLOW)
    ended = known(status="failed", stopped_at=7_000)
    record = make_record("job", JOB, skipped, PROJECT, {}, observed_ms=90_000, workflow=ended)
    assert record.occurred_at == "1970-01-01T00:00:07.000Z"
    assert make_record("job", JOB, skipped, PROJECT, {}, observed_ms=90_000).occurred_at == "1970-01-01T00:01:30.000Z"


def test_records_and_amendments_match_the_published_schema():
    """What `headgate schema record` prints describes what is sent."""
    released = workflow_attributes(WORKFLOW, BUILD, PROJECT)
    record = make_record("workflow", WORKFLOW, BUILD, PROJECT, released, observed_ms=12_000)
    later = Known({**BUILD.values, "stopped_at": 5000}, {**BUILD.stamps, "stopped_at": Stamp(True, 2, "v2")})
    changed = changed_attributes(released, workflow_attributes(WORKFLOW, later, PROJECT))
    amendment = make_amendment(record.id, 1, changed, PROJECT, sources=["v2"], observed_ms=13_000)
    assert changed == {"circleci.duration_ms": 5000, "circleci.stopped_at": "1970-01-01T00:00:05.000Z"}
    for item in (record, amendment):
        PUBLISHED.validate(msgspec.json.decode(encode_record(item)))
    assert amendment.attributes["headgate.amends"] == record.id
    assert amendment.attributes["headgate.revision"] == 1


def test_what_belongs_to_an_organisation_has_no_project():
    """Neither its record nor an amendment of it; the organisation is named."""
    owner = replace(PROJECT, slug=PROJECT.org, project_id=None)
    made = make_record("insight", "k", known(subject="org"), owner, {}, observed_ms=12_000)
    amendment = make_amendment(made.id, 1, {}, owner, sources=["insights"], observed_ms=12_000)
    assert [(PROJECT.org, None)] * 2 == [(one.org, one.project) for one in (made, amendment)]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"circleci.insight.delay_ms": 2}, {}),
        ({"circleci.insight.delay_ms": 2, "n": 3}, {"circleci.insight.delay_ms": 2, "n": 3}),
        ({"n": 3}, {"n": 3}),
        ({}, {}),
    ],
)
def test_the_moment_of_asking_is_no_change_by_itself(changed, told):
    """A figure that is older because somebody asked again is no news."""
    old = {"circleci.insight.delay_ms": 1, "n": 2}
    assert told == changed_attributes(old, old | changed)


# Whatever a provider may say of a field: blank words, lists of anything, numbers without end.
_SAID = {
    "text": st.text(),
    "dim": st.text(),
    "uuid": st.text(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False),
    "ms": st.integers(0, 253_402_300_799_999),
    "bool": st.booleans(),
    "json": st.lists(st.text() | st.dictionaries(st.text(), st.text()) | st.integers()),
}


def _facts(kind):
    fields = {field.name: _SAID[field.type] for field in FIELDS[kind]}
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: known(**values))


@given(_facts("workflow"), _facts("job"), _facts("pipeline"))
def test_any_fact_makes_a_record_as_published(workflow, job, pipeline):
    """What does not fit a record, such as a blank word or an empty list, is left out of it; the rest is kept."""
    for kind, key, fact, attributes in (
        ("workflow", WORKFLOW, workflow, workflow_attributes(WORKFLOW, workflow, PROJECT, pipeline)),
        ("job", JOB, job, job_attributes(JOB, job, PROJECT, workflow, pipeline)),
    ):
        record = make_record(kind, key, fact, PROJECT, attributes, observed_ms=12_000)
        PUBLISHED.validate(msgspec.json.decode(encode_record(record)))
