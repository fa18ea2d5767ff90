"""From records to spans and log records."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from headgate.core.record import Attribute, Kind, Record, decode_record
from headgate.core.times import parse_ms
from headgate.sinks._otlp_model import INTERNAL, NS_PER_MS, SERVER, Span
from headgate.sinks._otlp_records import log_record, resource_of, series_resource, spans
from headgate.sinks._trace_ids import span_id, trace_id
from headgate.testing.sink_harness import NOW_MS, make_entry

SEMCONV = json.loads((Path(__file__).parents[2] / "data" / "otel-cicd-semconv.json").read_text())
RUN, JOB = "fda08377-fe7e-46b1-8992-3a7aaecac9c3", "b0c1d2e3-0000-4000-9000-000000000001"
QUEUED, STARTED, STOPPED = (f"2026-11-20T10:{at}.000Z" for at in ("00:00", "00:04", "02:10"))


def of(kind: Kind, project: str = "gh/acme/web", **attributes: Attribute) -> Record:
    """A record of the run and job above; attribute names have `__` for each dot."""
    told: dict[str, Attribute] = {
        "cicd__pipeline__run__id": RUN,
        "cicd__pipeline__task__run__id": JOB,
        "circleci__created_at": "2026-11-20T09:59:56.000Z",
        "circleci__queued_at": QUEUED,
        "circleci__started_at": STARTED,
        "circleci__stopped_at": STOPPED,
        **attributes,
    }
    return decode_record(make_entry(1, kind=kind, project=project, **told).body)


def without(record: Record, *names: str) -> Record:
    """The record without some attributes."""
    kept = {name: value for name, value in record.attributes.items() if name not in names}
    return msgspec.structs.replace(record, attributes=kept)


def ns(text: str) -> int:
    """A time as nanoseconds."""
    at = parse_ms(text)
    assert at is not None
    return at * NS_PER_MS


def only(found: list[Span]) -> Span:
    """The one span."""
    (span,) = found
    return span


class TestSpans:
    """Workflow, job and step."""

    def test_a_workflow_is_the_root_of_its_trace(self) -> None:
        """Kind SERVER, named by action and pipeline, from creation to end, its trace id that of the workflow."""
        root = only(spans(of("workflow")))
        assert (root.trace_id.hex(), root.span_id, root.parent_id) == (
            RUN.replace("-", ""),
            span_id("workflow", RUN),
            b"",
        )
        assert (root.name, root.kind) == ("RUN build", SERVER)
        assert (root.start_ns, root.end_ns) == (ns("2026-11-20T09:59:56.000Z"), ns(STOPPED))

    def test_a_job_has_its_wait_and_its_steps_side_by_side(self) -> None:
        """A job begins when it was queued; queue and steps are its children, and none begins before it."""
        job, queue = spans(of("job"))
        step = only(spans(of("step", circleci__step__name="make test", circleci__step__index=3)))
        assert (job.name, job.kind, job.parent_id) == ("unit", INTERNAL, span_id("workflow", RUN))
        assert (job.start_ns, job.end_ns) == (ns(QUEUED), ns(STOPPED))
        assert (queue.name, queue.start_ns, queue.end_ns) == ("queue", ns(QUEUED), ns(STARTED))
        assert (step.name, step.start_ns, step.end_ns) == ("make test", ns(STARTED), ns(STOPPED))
        assert {queue.parent_id, step.parent_id} == {job.span_id}
        assert {span.trace_id for span in (job, queue, step)} == {trace_id(RUN)}
        assert queue.attributes["cicd.pipeline.task.run.queue.duration"] == 4.0

    def test_parents_are_named_alike_by_every_record(self) -> None:
        """Workflow, job and step each name the same ids, though none has seen another."""
        root, job, step = (spans(of(kind))[0] for kind in ("workflow", "job", "step"))
        assert (job.parent_id, step.parent_id) == (root.span_id, job.span_id)

    def test_steps_of_parallel_machines_are_apart(self) -> None:
        """Each machine runs the same steps."""
        found = {only(spans(of("step", circleci__step__index=3, circleci__step__node=node))).span_id for node in (0, 1)}
        assert len(found) == 2

    def test_a_job_without_a_workflow_is_a_trace_of_its_own(self) -> None:
        """Its steps find it all the same."""
        job = spans(without(of("job"), "cicd.pipeline.run.id"))[0]
        step = only(spans(without(of("step"), "cicd.pipeline.run.id")))
        assert (job.parent_id, job.trace_id, step.trace_id) == (b"", trace_id(JOB), trace_id(JOB))

    def test_a_job_that_did_not_wait_has_no_queue_span(self) -> None:
        """Without a time of queueing a job is its execution."""
        job = only(spans(without(of("job"), "circleci.queued_at")))
        assert job.start_ns == ns(STARTED)

    def test_a_job_that_never_ran_is_a_moment(self) -> None:
        """Without a start it begins and ends at its end."""
        never = without(of("job"), "circleci.queued_at", "circleci.started_at", "circleci.stopped_at")
        job = only(spans(never))
        assert (job.start_ns, job.end_ns) == (NOW_MS * NS_PER_MS, NOW_MS * NS_PER_MS)

    def test_a_span_never_ends_before_it_begins(self) -> None:
        """Clocks of the provider may disagree."""
        job = spans(of("job", circleci__queued_at="2026-11-20T11:00:00.000Z"))[0]
        assert job.start_ns == job.end_ns == ns(STOPPED)

    def test_a_rerun_links_to_what_it_repeats(self) -> None:
        """The link leads to the root of the other trace."""
        again = "11111111-2222-4333-8444-555555555555"
        assert only(spans(of("workflow", circleci__rerun_of=again))).link == (
            trace_id(again),
            span_id("workflow", again),
        )

    @pytest.mark.parametrize(
        ("ours", "theirs", "result", "error"),
        [
            ("success", "success", "success", None),
            ("failure", "failed", "failure", "failure"),
            ("error", "infrastructure_fail", "error", "error"),
            ("timeout", "timedout", "timeout", "timeout"),
            ("canceled", "canceled", "cancellation", None),
            ("skipped", "not_run", "skip", None),
            ("unknown", "strange", None, None),
        ],
    )
    def test_results_are_those_of_the_conventions(self, ours: str, theirs: str, result: str, error: str) -> None:
        """Result and error type; only what failed is an error, with CircleCI's word as its message."""
        for kind, name in (("workflow", "cicd.pipeline.result"), ("job", "cicd.pipeline.task.run.result")):
            span = spans(of(kind, headgate__status=ours, circleci__status=theirs))[0]  # type: ignore[arg-type]  # kinds
            assert (span.attributes.get(name), span.attributes.get("error.type")) == (result, error)
            assert span.error == (theirs if error else None)
            assert result is None or result in SEMCONV["attributes"][name]["values"]


class TestConventions:
    """The lists of otel-cicd-semconv.json."""

    @pytest.mark.parametrize(
        ("kind", "span"), [("workflow", "span.cicd.pipeline.run.server"), ("job", "span.cicd.pipeline.task.internal")]
    )
    def test_a_span_has_every_attribute_of_its_kind(self, kind: Kind, span: str) -> None:
        """A failed run has all that the conventions list for its span."""
        wanted = SEMCONV["spans"][span]
        found = spans(of(kind, cicd__pipeline__task__run__url__full="https://app.circleci.com/x/jobs/1"))[0]
        assert set(wanted["attributes"]) <= found.attributes.keys()
        assert {"server": SERVER, "internal": INTERNAL}[wanted["span_kind"]] == found.kind

    def test_no_attribute_borrows_a_name_of_the_conventions(self) -> None:
        """Whatever is under `cicd.` and `vcs.` is in the conventions, but the queue, which they do not have yet."""
        ours = {"cicd.pipeline.task.run.queue.duration"}
        full = of("job", vcs__repository__url__full="https://github.com/acme/web", vcs__ref__head__type="branch")
        names = {name for span in spans(full) for name in span.attributes} | {name for name, _ in resource_of(full)}
        theirs = {name for name in names if name.startswith(("cicd.", "vcs."))}
        assert theirs - SEMCONV["attributes"].keys() <= ours

    def test_enumerations_keep_to_their_values(self) -> None:
        """Action and provider are words of the conventions."""
        action = spans(of("workflow"))[0].attributes["cicd.pipeline.action.name"]
        assert action in SEMCONV["attributes"]["cicd.pipeline.action.name"]["values"]
        for project in ("gh/acme/web", "bb/acme/web"):
            provider = dict(resource_of(of("job", project)))["vcs.provider.name"]
            assert provider in SEMCONV["attributes"]["vcs.provider.name"]["values"]


class TestResource:
    """Who it is about."""

    def test_the_project_is_the_service(self) -> None:
        """Service, its organisation, its repository and who tells."""
        found = dict(resource_of(of("job", vcs__repository__url__full="https://github.com/acme/site")))
        assert found.pop("telemetry.sdk.version")
        assert found == {
            "service.name": "gh/acme/web",
            "service.namespace": "gh/acme",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "headgate",
            "vcs.owner.name": "acme",
            "vcs.provider.name": "github",
            "vcs.repository.name": "site",
            "vcs.repository.url.full": "https://github.com/acme/site",
        }

    def test_a_tag_names_the_service_and_others_are_attributes(self) -> None:
        """`tag.service` wins over the project; other tags go by their own names and never replace an attribute."""
        record = of("job", tag__service="shop", tag__team="web", **{"tag__cicd.pipeline.name": "forged"})
        assert dict(resource_of(record))["service.name"] == dict(series_resource(record))["service.name"] == "shop"
        attributes = spans(record)[0].attributes
        assert (attributes["team"], attributes["cicd.pipeline.name"]) == ("web", "build")

    def test_slugs_of_ids_tell_of_no_repository(self) -> None:
        """A GitHub App project is named by ids, which are no owner's name."""
        found = dict(resource_of(of("job", "circleci/8e4z1Akd74woxagxnvLT5q/9YmzT8PQ")))
        assert not [name for name in found if name.startswith("vcs.")]

    def test_the_resource_of_series_is_steady(self) -> None:
        """What only some records of a project know would make two series of one."""
        knowing = of("job", vcs__repository__url__full="https://github.com/acme/web")
        assert series_resource(knowing) == series_resource(of("job"))


class TestLogs:
    """Every kind of record."""

    def test_a_log_record_belongs_to_its_span(self) -> None:
        """Event time, trace and span, a line for people, everything else as attributes."""
        told = log_record(of("job"))
        assert (told.time_ns, told.observed_ns) == (NOW_MS * NS_PER_MS, (NOW_MS + 900) * NS_PER_MS)
        assert (told.trace_id, told.span_id) == (trace_id(RUN), span_id("job", JOB))
        assert (told.body, told.severity_text, told.event_name) == ("job unit: failure", "ERROR", "circleci.job")
        assert told.attributes["headgate.kind"] == "job"
        assert told.attributes["circleci.project"] == "gh/acme/web"

    @pytest.mark.parametrize(
        ("name", "word", "severity"),
        [
            ("headgate.status", "success", 9),
            ("headgate.status", "canceled", 13),
            ("headgate.status", "timeout", 17),
            ("test.case.result.status", "fail", 17),
            ("test.case.result.status", "pass", 9),
            ("deployment.status", "failed", 17),
            ("headgate.alert.state", "firing", 17),
            ("headgate.alert.state", "resolved", 9),
        ],
    )
    def test_severity_follows_the_outcome(self, name: str, word: str, severity: int) -> None:
        """INFO, WARN for what was stopped, ERROR for what failed."""
        bare = without(of("audit"), "headgate.status")
        record = msgspec.structs.replace(bare, attributes={**bare.attributes, name: word})
        assert log_record(record).severity == severity

    def test_what_belongs_to_no_run_has_no_trace(self) -> None:
        """An alert is about a project, not a run."""
        bare = without(of("alert"), "cicd.pipeline.run.id", "cicd.pipeline.task.run.id")
        assert (log_record(bare).trace_id, log_record(bare).span_id) == (b"", b"")
