"""Records as New Relic's events, logs, metrics and spans, held against the models of New Relic's own client."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import orjson
import pytest
from newrelic_telemetry_sdk import (
    CountMetric,
    Event,
    EventClient,
    GaugeMetric,
    Log,
    LogClient,
    MetricClient,
    Span,
    SpanClient,
    SummaryMetric,
)

from headgate.core.ports import HttpSignal
from headgate.core.record import KINDS, Record, decode_record
from headgate.sinks._newrelic_metrics import METRIC_KINDS, metrics
from headgate.sinks._newrelic_records import EVENT_TYPES, RESERVED, SPAN_KINDS, event, log, span
from headgate.sinks.newrelic import PLUGINS
from headgate.testing.sink_harness import NOW_MS, build_sink, make_batch, make_entry

MINUTE_MS = 60_000
RUN = "fda08377-fe7e-46b1-8992-3a7aaecac9c3"
JOB = "0f5b1a52-8a6d-4f4a-9f0f-6e2b8d5f3c11"


def record(kind: Any = "job", **attributes: Any) -> Record:
    """A record of this kind; attribute names have `__` for each dot."""
    return decode_record(make_entry(1, kind=kind, **attributes).body)


def bare(kind: Any, **attributes: Any) -> Record:
    """A record of this kind with these attributes alone."""
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    return msgspec.structs.replace(record(kind), attributes=named)


def attributes_of(item: dict[str, object]) -> dict[str, Any]:
    """The attributes of a log, span or metric."""
    found = item["attributes"]
    assert isinstance(found, dict)
    return found


class TestOracle:
    """What we build is what the client's models build from the same words."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_events_are_the_clients(self, kind: str) -> None:
        """An event is the client's `Event` of the same type, time and tags."""
        ours = event(record(kind), NOW_MS)
        tags = {name: value for name, value in ours.items() if name not in ("eventType", "timestamp")}
        assert Event(EVENT_TYPES[kind], tags, NOW_MS) == ours

    @pytest.mark.parametrize("kind", KINDS)
    def test_logs_are_the_clients(self, kind: str) -> None:
        """A log is the client's `Log` of the same message, time and attributes."""
        ours = log(record(kind), NOW_MS)
        assert Log(ours["message"], ours["timestamp"], **attributes_of(ours)) == ours

    @pytest.mark.parametrize("kind", sorted(SPAN_KINDS))
    def test_spans_are_the_clients(self, kind: str) -> None:
        """A span is the client's `Span` of the same ids, times and tags."""
        ours = span(record(kind), NOW_MS)
        found = attributes_of(ours)
        theirs = Span(
            found["name"],
            tags={name: value for name, value in found.items() if name not in ("name", "duration.ms", "parent.id")},
            guid=ours["id"],
            trace_id=ours["trace.id"],
            parent_id=found.get("parent.id"),
            start_time_ms=ours["timestamp"],
            duration_ms=found["duration.ms"],
        )
        assert theirs == ours

    def test_metrics_are_the_clients(self) -> None:
        """A summary, a count and a gauge are the client's, whose times are those of the interval's end."""
        insight = bare("insight", circleci__insight__success_rate=0.9, circleci__insight__window="last-7-days")
        found = {str(one["type"]): one for one in metrics([record("workflow"), insight], ids=False)}
        tags = {kind: attributes_of(one) for kind, one in found.items()}
        start = NOW_MS - NOW_MS % MINUTE_MS
        end = start + MINUTE_MS
        assert found["summary"] == SummaryMetric(
            "cicd.pipeline.run.duration", 1, 130.0, 130.0, 130.0, MINUTE_MS, tags["summary"], end
        )
        assert found["count"] == CountMetric("cicd.pipeline.run.errors", 1.0, MINUTE_MS, tags["count"], end)
        gauge = GaugeMetric("circleci.insight.success_rate", 0.9, tags["gauge"], NOW_MS)
        assert found["gauge"] == {**gauge, "type": "gauge"}

    @pytest.mark.parametrize(
        ("signal", "client", "key"),
        [
            ("events", EventClient, ""),
            ("logs", LogClient, "logs"),
            ("metrics", MetricClient, "metrics"),
            ("spans", SpanClient, "spans"),
        ],
    )
    def test_bodies_are_the_clients(self, signal: str, client: Any, key: str) -> None:
        """The client wraps the same items into the same body."""
        one = build_sink(PLUGINS[0], {"license_key": "k", "account_id": 1, "signals": [signal]}).signals()[0]
        assert isinstance(one, HttpSignal)
        request = one.encode(make_batch(3))
        assert request is not None
        ours = orjson.loads(request.body)
        items, common = (ours[0][key], ours[0]["common"]) if key else (ours, None)
        theirs = client("k")
        try:
            assert orjson.loads(gzip.decompress(theirs._create_payload(items, common))) == ours
        finally:
            theirs.close()


class TestForm:
    """Nothing is sent that New Relic refuses or drops for its form."""

    def test_booleans_and_lists_become_text(self) -> None:
        """Events take text and numbers alone."""
        found = event(record(circleci__credits_estimated=True, circleci__job__contexts=["aws", "deploy"]), NOW_MS)
        assert found["circleci.credits_estimated"] == "true"
        assert found["circleci.job.contexts"] == "aws,deploy"

    def test_reserved_names_are_renamed(self) -> None:
        """An attribute whose name New Relic reserves goes under `circleci.`, and keeps its value."""
        odd = msgspec.structs.replace(record(), attributes={"timestamp": "x", "accountId": 7, "entity.guid": "g"})
        found = event(odd, NOW_MS)
        assert found["timestamp"] == NOW_MS
        assert (found["circleci.timestamp"], found["circleci.accountId"]) == ("x", 7)
        assert not {"accountId", "entity.guid"} & found.keys()

    def test_tags_are_attributes_of_their_own_name(self) -> None:
        """`tag.team` is `team`; a name that is taken or reserved keeps its prefix; a service names the entity."""
        tagged = record(tag__team="web", tag__value="v", tag__service="shop", tag__headgate__status="x")
        found = event(tagged, NOW_MS)
        assert (found["team"], found["tag.value"], found["service"]) == ("web", "v", "shop")
        assert (found["headgate.status"], found["tag.headgate.status"]) == ("failure", "x")
        assert found["service.name"] == "shop"
        assert event(record(), NOW_MS)["service.name"] == "gh/acme/web"

    def test_long_values_are_cut_and_marked(self) -> None:
        """An event's value has at most 4,096 bytes, whole characters, and says that it was cut; a log keeps more."""
        text = "€" * 2_000
        found = event(record(circleci__commit__subject=text), NOW_MS)["circleci.commit.subject"]
        assert isinstance(found, str)
        assert found.endswith("€…")
        assert 4_090 < len(found.encode()) <= 4_096
        assert attributes_of(log(record(circleci__commit__subject=text), NOW_MS))["circleci.commit.subject"] == text

    def test_too_many_attributes_are_counted(self) -> None:
        """What does not fit is left out from the end, and the number of those is told."""
        many = msgspec.structs.replace(record(), attributes={f"circleci.n{n:03}": n for n in range(300)})
        for found, most in ((event(many, NOW_MS), 254), (attributes_of(span(many, NOW_MS)), 200)):
            assert len(found) <= most
            left = found["headgate.dropped_attributes"]
            assert left == 300 - sum(name.startswith("circleci.n") for name in found)

    def test_long_names_are_cut(self) -> None:
        """A name has at most 255 characters."""
        odd = msgspec.structs.replace(record(), attributes={"n" * 300: 1})
        assert max(map(len, event(odd, NOW_MS))) == 255

    @pytest.mark.parametrize("kind", sorted(METRIC_KINDS))
    def test_no_metric_carries_an_id_a_branch_or_a_reserved_name(self, kind: str) -> None:
        """Labels are few and bounded unless ids are asked for, and none has the metric's own name."""
        tagged = record(kind, tag__value="v", tag__unit="u", tag__team="web")
        for one in metrics([tagged], ids=False):
            found = attributes_of(one)
            assert not (RESERVED - {"unit"}) & found.keys()
            assert not {"cicd.pipeline.run.id", "cicd.pipeline.task.run.id", "vcs.ref.head.name", "id"} & found.keys()
            assert (found["team"], found["tag.value"], found["tag.unit"]) == ("web", "v", "u")
            assert one["name"] not in found


class TestLogs:
    """Logs as the public CircleCI quickstart reads them."""

    def test_a_job_has_the_webhooks_names(self) -> None:
        """Each name that the quickstart's queries use is there, with CircleCI's own words."""
        times = {"circleci__started_at": "2026-11-20T10:00:00.000Z", "circleci__stopped_at": "2026-11-20T10:02:10.000Z"}
        found = log(record(**times, cicd__pipeline__run__url__full="https://app/run"), NOW_MS)
        wanted = {
            "type": "job-completed",
            "job.id": "00000000-0000-4000-9000-000000000001",
            "job.name": "unit",
            "job.number": 1,
            "job.status": "failed",
            "job.started_at": "2026-11-20T10:00:00.000Z",
            "job.stopped_at": "2026-11-20T10:02:10.000Z",
            "workflow.id": "00000000-0000-4000-8000-000000000000",
            "workflow.name": "build",
            "workflow.url": "https://app/run",
            "project.name": "web",
            "organization.name": "acme",
            "level": "error",
        }
        assert wanted.items() <= attributes_of(found).items()
        assert "workflow.status" not in attributes_of(found)
        assert found["message"] == "job unit failed (gh/acme/web, main)"

    def test_a_workflow_has_the_webhooks_names(self) -> None:
        """A finished workflow is told apart by its type, and has a status."""
        found = attributes_of(log(record("workflow", circleci__status="success", headgate__status="success"), NOW_MS))
        assert (found["type"], found["workflow.status"], found["level"]) == ("workflow-completed", "success", "info")
        assert "job.id" not in found

    @pytest.mark.parametrize("kind", sorted(set(KINDS) - {"job", "workflow"}))
    def test_nothing_else_is_counted_as_a_job(self, kind: str) -> None:
        """The quickstart counts lines that have a job's id, so what tells of a job has none."""
        found = attributes_of(log(record(kind), NOW_MS))
        assert not {"job.id", "workflow.id", "type"} & found.keys()
        assert found["project.name"] == "web"

    @pytest.mark.parametrize(
        ("slug", "url", "names"),
        [
            ("gh/acme/web", "https://github.com/other/name", ("acme", "web")),
            ("circleci/Dda/6Ek", "https://gitlab.com/circleci/hello-world", ("circleci", "hello-world")),
            ("circleci/Dda/6Ek", None, ("Dda", "6Ek")),
        ],
        ids=["slug", "repository", "ids"],
    )
    def test_projects_have_the_name_that_people_know(self, slug: str, url: str | None, names: tuple[str, str]) -> None:
        """GitLab's and the GitHub App's slugs are ids; there the repository tells the names."""
        one = bare("job", **({"vcs__repository__url__full": url} if url else {}))
        found = attributes_of(log(msgspec.structs.replace(one, project=slug, org=slug.rpartition("/")[0]), NOW_MS))
        assert (found["organization.name"], found["project.name"], found["project.slug"]) == (*names, slug)

    def test_an_organisation_alone_has_a_name(self) -> None:
        """What belongs to no project tells of no project."""
        found = attributes_of(log(msgspec.structs.replace(bare("insight"), project=None), NOW_MS))
        assert found["organization.name"] == "acme"
        assert not {"project", "project.name", "project.slug"} & found.keys()

    def test_a_message_is_never_json(self) -> None:
        """New Relic takes JSON apart; ours begins with the kind, whatever the job is called."""
        message = log(bare("job", cicd__pipeline__task__name='{"a": 1}'), NOW_MS)["message"]
        assert message == 'job {"a": 1} (gh/acme/web)'


class TestSpans:
    """A workflow is a trace; its jobs and their steps hang below it."""

    def test_parents_are_found_without_asking(self) -> None:
        """Workflow, job and step name each other by ids that follow from CircleCI's alone."""
        ids = {"cicd__pipeline__run__id": RUN, "cicd__pipeline__task__run__id": JOB}
        run = span(bare("workflow", cicd__pipeline__run__id=RUN), NOW_MS)
        job = span(bare("job", **ids), NOW_MS)
        step = span(bare("step", **ids, circleci__step__node=0, circleci__step__index=3), NOW_MS)
        other = span(bare("step", **ids, circleci__step__node=1, circleci__step__index=3), NOW_MS)
        assert {one["trace.id"] for one in (run, job, step, other)} == {RUN.replace("-", "")}
        assert "parent.id" not in attributes_of(run)
        assert attributes_of(job)["parent.id"] == run["id"]
        assert attributes_of(step)["parent.id"] == attributes_of(other)["parent.id"] == job["id"]
        assert len({one["id"] for one in (run, job, step, other)}) == 4

    def test_a_build_without_a_workflow_is_a_trace_of_its_own(self) -> None:
        """Old builds belong to no workflow: no parent, but a trace."""
        alone = span(bare("job", cicd__pipeline__task__run__id=JOB), NOW_MS)
        assert alone["trace.id"] == JOB.replace("-", "")
        assert "parent.id" not in attributes_of(alone)

    @pytest.mark.parametrize(
        ("kind", "attributes", "length"),
        [
            ("workflow", {"circleci__created_at": "2026-11-20T10:00:00.000Z"}, 130_000),
            ("job", {"circleci__started_at": "2026-11-20T10:02:00.000Z"}, 10_000),
            ("job", {"circleci__duration_ms": 1_500}, 1_500),
            ("job", {}, 0),
            ("job", {"circleci__started_at": "2026-11-20T11:00:00.000Z"}, 0),
        ],
        ids=["created", "started", "duration", "nothing", "impossible"],
    )
    def test_times(self, kind: str, attributes: dict[str, Any], length: int) -> None:
        """A span runs from begin to end, and is never negative."""
        found = span(bare(kind, **attributes), NOW_MS)
        assert (found["timestamp"], attributes_of(found)["duration.ms"]) == (NOW_MS - length, length)

    def test_only_failures_are_errors(self) -> None:
        """New Relic marks a span by `error.message`; a canceled job is none."""
        assert attributes_of(span(record(), NOW_MS))["error.message"] == "failed"
        canceled = span(record(headgate__status="canceled", circleci__status="canceled"), NOW_MS)
        assert "error.message" not in attributes_of(canceled)


class TestMetrics:
    """Sums by minute."""

    def test_one_minute_is_one_point(self) -> None:
        """Equal labels within a minute come together; another minute, project or result stays apart."""
        start = NOW_MS - NOW_MS % MINUTE_MS
        entries = [
            make_entry(1, occurred_ms=start, circleci__duration_ms=1_000),
            make_entry(2, occurred_ms=start + MINUTE_MS - 1, circleci__duration_ms=3_000),
            make_entry(3, occurred_ms=start + MINUTE_MS, circleci__duration_ms=5_000),
            make_entry(4, occurred_ms=start, project="gh/acme/api", circleci__duration_ms=7_000),
        ]
        found = metrics((decode_record(entry.body) for entry in entries), ids=False)
        assert [(one["timestamp"], one["value"]) for one in found] == [
            (start, {"count": 2, "sum": 4.0, "min": 1.0, "max": 3.0}),
            (start + MINUTE_MS, {"count": 1, "sum": 5.0, "min": 5.0, "max": 5.0}),
            (start, {"count": 1, "sum": 7.0, "min": 7.0, "max": 7.0}),
        ]

    def test_counts_add_up_and_of_a_gauge_the_last_stands(self) -> None:
        """Two failures of a minute are 2; two figures of one moment are the later one."""
        figures = [
            bare("insight", circleci__insight__success_rate=value, circleci__insight__window="last-7-days")
            for value in (0.5, 0.7)
        ]
        found = {one["name"]: one["value"] for one in metrics([record("workflow")] * 2 + figures, ids=False)}
        assert found["cicd.pipeline.run.errors"] == 2
        assert found["circleci.insight.success_rate"] == 0.7

    def test_ids_keep_records_apart(self) -> None:
        """With ids each record has its own points."""
        entries = make_batch(3)
        found = metrics((decode_record(entry.body) for entry in entries), ids=True)
        assert [attributes_of(one)["id"] for one in found] == [entry.record_id for entry in entries]
