"""How records look to Datadog, held against the models of the vendor's own client."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import orjson
import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v1.model.distribution_points_payload import DistributionPointsPayload
from datadog_api_client.v1.model.event_create_request import EventCreateRequest
from datadog_api_client.v2.model.ci_app_create_pipeline_event_request import CIAppCreatePipelineEventRequest
from datadog_api_client.v2.model.dora_deployment_request import DORADeploymentRequest
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from datadog_api_client.v2.model.metric_payload import MetricPayload

from headgate.core.ports import HttpSignal, LogEntry
from headgate.core.record import KINDS, decode_record, encode_record
from headgate.plugins.datadog import cut, tag
from headgate.sinks._datadog_ci import ci_event
from headgate.sinks._datadog_events import dora_deployment, event
from headgate.sinks.datadog import PLUGINS
from headgate.testing.sink_harness import NOW_MS, build_sink, make_entry

SIGNALS = ["logs", "metrics", "distributions", "events", "ci", "dora"]
ALL = {"api_key": "k" * 32, "signals": SIGNALS, "compat_metrics": True}
SHA = "1dc6aa69429bff4806ad6afe58d3d8f57e25973e"
GIT = {
    "circleci__author__email": "octocat@example.org",
    "circleci__author__name": "The Octocat",
    "circleci__commit__subject": "Mend it",
    "vcs__ref__head__revision": SHA,
    "vcs__ref__head__type": "branch",
    "vcs__repository__url__full": "https://github.com/acme/web",
}
RUN = "00000000-0000-4000-8000-000000000000"


def bodies(name: str, batch: list[LogEntry], **settings: Any) -> list[Any]:
    """What one signal sends of a batch, read back, one value for each request."""
    signal = next(one for one in build_sink(PLUGINS[0], {**ALL, **settings}).signals() if one.name == name)
    assert isinstance(signal, HttpSignal)
    wanted = [entry for entry in batch if signal.kinds is None or entry.kind in signal.kinds]
    size = signal.limits.max_records
    requests = [signal.encode(wanted[n : n + size]) for n in range(0, len(wanted), size)]
    packed = name == "distributions"
    return [orjson.loads(zlib.decompress(one.body) if packed else one.body) for one in requests if one is not None]


def model_of(value: Any, model: type) -> Any:
    """The value as the vendor's model, which refuses what does not fit; nothing in it may be left unparsed."""
    read = ApiClient(Configuration()).deserialize(orjson.dumps(value).decode(), (model,), True)
    assert isinstance(read, model)
    assert not read._unparsed
    return read


def figure(seq: int, value: float) -> LogEntry:
    """A figure of Insights about all branches, which is a gauge."""
    attributes = {"circleci__insight__window": "last-7-days", "circleci__insight__success_rate": value}
    entry = make_entry(seq, kind="insight", **attributes)
    record = decode_record(entry.body)
    named = {name: one for name, one in record.attributes.items() if name != "vcs.ref.head.name"}
    return msgspec.structs.replace(entry, body=encode_record(msgspec.structs.replace(record, attributes=named)))


def everything() -> list[LogEntry]:
    """A record of each kind, and those whose form differs most."""
    return [
        *(make_entry(n, kind=kind) for n, kind in enumerate(KINDS, start=1)),
        make_entry(50, **GIT, circleci__queue_ms=4200, circleci__job__requires=["a", "b"], circleci__credits=120),
        make_entry(51, kind="workflow", **GIT, circleci__rerun_of=RUN, circleci__partial_rerun=True),
        make_entry(52, kind="usage", circleci__credits__compute=120, circleci__job__cpu__median_pct=12.5),
        figure(53, 0.9),
        make_entry(54, kind="deployment", deployment__status="succeeded", **GIT, circleci__deployment__version="1.2"),
        make_entry(55, kind="alert", headgate__alert__rule="Slow", headgate__alert__summary="x" * 5000),
        make_entry(56, tag__team="web", tag__service="shop"),
    ]


ORACLES = [
    ("metrics", MetricPayload),
    ("distributions", DistributionPointsPayload),
    ("events", EventCreateRequest),
    ("dora", DORADeploymentRequest),
]


@pytest.mark.parametrize(("name", "model"), ORACLES, ids=[name for name, _ in ORACLES])
def test_each_body_is_the_vendors_own_model(name: str, model: type) -> None:
    """What is sent parses strictly as the client's model, enumerations and lengths included."""
    found = bodies(name, everything())
    assert found
    for one in found:
        model_of(one, model)


def test_each_ci_event_is_the_vendors_own_model() -> None:
    """Each element of the list is one of the forms that the client knows; it cannot send the list itself."""
    (found,) = bodies("ci", everything())
    assert len(found["data"]) == 5
    for one in found["data"]:
        read = model_of({"data": one}, CIAppCreatePipelineEventRequest)
        level = one["attributes"]["resource"]["level"]
        chosen = read.data.attributes.resource
        while hasattr(chosen, "get_oneof_instance"):
            chosen = chosen.get_oneof_instance()
        assert f"Finished{level.capitalize()}" in type(chosen).__name__


def test_each_log_is_the_vendors_own_model() -> None:
    """The five fields of its own are what the client's model wants; everything else is a free attribute."""
    (found,) = bodies("logs", everything())
    assert len(found) == len(everything())
    for one in found:
        model_of({name: value for name, value in one.items() if "." not in name and name != "timestamp"}, HTTPLogItem)


def test_a_model_that_is_wrong_is_found() -> None:
    """The oracle says no to a status that is CircleCI's word."""
    (found,) = bodies("ci", [make_entry(1)])
    found["data"][0]["attributes"]["resource"]["status"] = "failed"
    with pytest.raises(AssertionError):
        model_of({"data": found["data"][0]}, CIAppCreatePipelineEventRequest)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("team", "Web Shop", "team:web_shop"),
        ("team", "a,b  c", "team:a_b_c"),
        ("9lives", "x", "lives:x"),
        ("team", "x_", "team:x"),
        ("branch", "feature/ABC-1", "branch:feature/abc-1"),
        ("team", "Zoë", "team:zoë"),
        ("t", "x" * 300, "t:" + "x" * 198),
    ],
)
def test_tags_are_what_datadog_makes_of_them(name: str, value: str, wanted: str) -> None:
    """Lower case, underscores for what is not allowed, from the first letter on, 200 characters."""
    assert tag(name, value) == wanted


def test_a_cut_text_says_so() -> None:
    """It has exactly the length allowed, mark included; one that fits is left alone."""
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"


def resource(**attributes: Any) -> dict[str, Any]:
    """The CI resource of one record."""
    kind = attributes.pop("kind", "job")
    found = ci_event(decode_record(make_entry(1, kind=kind, **attributes).body), "ci", ())
    assert found is not None
    return found["attributes"]["resource"]


@pytest.mark.parametrize(
    "missing", ["circleci__author__email", "vcs__ref__head__revision", "vcs__repository__url__full"]
)
def test_a_git_block_is_whole_or_absent(missing: str) -> None:
    """Where one of its facts is not known there is none, and the branch is a tag."""
    whole = resource(**GIT)
    assert whole["git"] == {
        "repository_url": "https://github.com/acme/web",
        "sha": SHA,
        "author_email": "octocat@example.org",
        "branch": "main",
        "author_name": "The Octocat",
        "message": "Mend it",
    }
    assert "git.branch:main" not in whole["tags"]
    half = resource(**{name: value for name, value in GIT.items() if name != missing})
    assert "git" not in half
    assert "git.branch:main" in half["tags"]


def test_a_short_commit_makes_no_git_block() -> None:
    """Anything but 40 hexadecimal digits would be refused."""
    assert "git" not in resource(**{**GIT, "vcs__ref__head__revision": "1dc6aa6"})


def test_a_tag_is_no_branch() -> None:
    """The block has exactly one of the two."""
    found = resource(**{**GIT, "vcs__ref__head__type": "tag", "vcs__ref__head__name": "v1"})["git"]
    assert (found["tag"], "branch" in found) == ("v1", False)


def test_a_rerun_names_what_it_repeats() -> None:
    """The previous attempt has its id and page; partial_retry is what is known."""
    url = "https://app.circleci.com/pipelines/github/acme/web/25/workflows/"
    found = resource(
        kind="workflow",
        cicd__pipeline__run__id="new",
        cicd__pipeline__run__url__full=f"{url}new",
        circleci__rerun_of="old",
        circleci__partial_rerun=True,
        circleci__trigger__type="api",
    )
    assert found["previous_attempt"] == {"id": "old", "url": f"{url}old"}
    assert (found["partial_retry"], found["is_manual"], found["unique_id"]) == (True, True, "new")
    plain = resource(kind="workflow", circleci__trigger__type="webhook")
    assert (plain["partial_retry"], plain["is_manual"], "previous_attempt" in plain) == (False, False, False)


def test_a_job_belongs_to_its_pipeline() -> None:
    """It repeats the pipeline's name to the letter, and has queue, dependencies and machine."""
    found = resource(
        cicd__pipeline__name="Build & Test",
        circleci__queue_ms=4200,
        circleci__job__requires=["a"],
        circleci__resource_class="medium",
        circleci__executor="docker",
    )
    assert (found["pipeline_name"], found["queue_time"], found["dependencies"]) == ("Build & Test", 4200, ["a"])
    assert found["node"] == {"labels": ["resource_class:medium", "executor:docker"]}


@pytest.mark.parametrize(
    ("theirs", "ours", "status", "domain"),
    [
        ("failed", "failure", "error", "user"),
        ("unauthorized", "error", "error", "user"),
        ("infrastructure_fail", "error", "error", "provider"),
        ("error", "error", "error", "provider"),
        ("timedout", "timeout", "error", "unknown"),
        ("canceled", "canceled", "canceled", None),
        ("not_run", "skipped", "skipped", None),
        ("success", "success", "success", None),
    ],
)
def test_an_error_says_whose_it_is(theirs: str, ours: str, status: str, domain: str | None) -> None:
    """CircleCI's own word decides the domain; what did not fail has no error."""
    found = resource(circleci__status=theirs, headgate__status=ours)
    assert found["status"] == status
    assert found.get("error", {}).get("domain") == domain


@pytest.mark.parametrize(
    "attributes",
    [
        {"circleci__job__type": "approval"},
        {"headgate__status": "on_hold"},
        {"headgate__status": "running"},
        {"cicd__pipeline__name": ["a", "b"]},
    ],
)
def test_what_ci_visibility_has_no_place_for_is_not_sent(attributes: dict[str, Any]) -> None:
    """Approvals, unfinished jobs and jobs of a pipeline without a name; a batch of them makes no request."""
    entry = make_entry(1, **attributes)
    assert ci_event(decode_record(entry.body), "ci", ()) is None
    assert bodies("ci", [entry]) == []


def test_a_job_that_never_began_has_no_length() -> None:
    """Its start is its end, never later."""
    found = resource(headgate__status="canceled", circleci__duration_ms=0)
    assert found["start"] == found["end"] == "2026-11-20T10:02:10.000Z"


def test_tags_of_rules_are_tags_everywhere() -> None:
    """`tag.team` is `team:web`, and `tag.service` is the service."""
    entry = make_entry(1, tag__team="Web", tag__service="shop", circleci__credits__compute=1)
    (logs,) = bodies("logs", [entry], tags={"Region": "EU"})
    assert {"team:web", "service:shop", "region:eu", "env:ci"} <= set(logs[0]["ddtags"].split(","))
    assert logs[0]["service"] == "shop"
    (ci,) = bodies("ci", [entry])
    assert ci["data"][0]["attributes"]["service"] == "shop"
    assert "team:web" in ci["data"][0]["attributes"]["resource"]["tags"]
    (points,) = bodies("distributions", [entry])
    assert {"team:web", "service:shop"} <= set(points["series"][0]["tags"])


def test_a_log_says_what_the_record_says() -> None:
    """Every attribute is there as it was, with a level, a line and a time for people."""
    entry = make_entry(1, circleci__job__contexts=["aws"])
    ((log,),) = bodies("logs", [entry])
    assert {name: log[name] for name in decode_record(entry.body).attributes} == decode_record(entry.body).attributes
    assert (log["message"], log["status"]) == ("job unit failure in gh/acme/web on main", "error")
    assert (log["timestamp"], log["record_id"]) == (NOW_MS, entry.record_id)


def test_a_log_survives_an_attribute_of_another_type() -> None:
    """A list where text belongs is passed on, and is not in the line."""
    ((log,),) = bodies("logs", [make_entry(1, vcs__ref__head__name=["a", "b"])])
    assert (log["message"], log["vcs.ref.head.name"]) == ("job unit failure in gh/acme/web", ["a", "b"])


def test_no_metric_has_an_id() -> None:
    """No tag of a series holds the id of a pipeline, workflow, job or record: each would be a metric of its own."""
    batch = everything()
    ids = {entry.record_id for entry in batch}
    ids |= {
        str(value) for e in batch for name, value in decode_record(e.body).attributes.items() if name.endswith(".id")
    }
    for name in ("metrics", "distributions"):
        text = orjson.dumps(bodies(name, batch)).decode()
        assert not [one for one in ids if one in text]


def test_the_old_tiles_names_are_there_on_request() -> None:
    """Counts of jobs and their time; canceled jobs ended and did not run."""
    batch = [make_entry(1), make_entry(2, headgate__status="canceled"), make_entry(3, circleci__job__type="approval")]
    (found,) = bodies("metrics", batch)
    sums: dict[str, float] = {}
    for one in found["series"]:
        sums[one["metric"]] = sums.get(one["metric"], 0) + sum(point["value"] for point in one["points"])
    assert sums == {
        "circleci.finished_builds.count": 2,
        "circleci.completed_builds.count": 1,
        "circleci.completed_build_time.sum": 130_000,
    }
    (points,) = bodies("distributions", batch)
    assert "circleci.completed_build_time.avg" in {one["metric"] for one in points["series"]}
    assert bodies("metrics", batch, compat_metrics=False) == []


def test_an_event_is_cut_and_says_so() -> None:
    """Title, text and key keep the limits; a resolved alert is good news."""
    record = decode_record(
        make_entry(
            1,
            kind="alert",
            headgate__alert__rule="r" * 600,
            headgate__alert__summary="s" * 5000,
            headgate__alert__fingerprint="f" * 200,
            headgate__alert__state="resolved",
        ).body
    )
    found = event(record, "ci", ())
    assert [len(str(found[name])) for name in ("title", "text", "aggregation_key")] == [500, 4000, 100]
    assert all(str(found[name]).endswith("…") for name in ("title", "text", "aggregation_key"))
    assert found["alert_type"] == "success"


def test_a_severity_is_the_type_of_the_event() -> None:
    """A critical alert is an error, one without a severity a warning."""
    for label, wanted in (({"headgate__alert__label__severity": "critical"}, "error"), ({}, "warning")):
        record = decode_record(make_entry(1, kind="alert", headgate__alert__state="firing", **label).body)
        assert event(record, "ci", ())["alert_type"] == wanted


def test_a_deployment_that_failed_is_an_event_and_no_deployment() -> None:
    """DORA counts what reached its users."""
    record = decode_record(make_entry(1, kind="deployment", deployment__status="failed").body)
    assert event(record, "ci", ())["alert_type"] == "error"
    assert dora_deployment(record, "ci", ()) is None


def test_a_deployment_has_the_ids_of_its_record() -> None:
    """Its id is the record's, its git block is whole, its environment its own."""
    record = decode_record(
        make_entry(
            1,
            kind="deployment",
            deployment__name="shop",
            deployment__environment__name="prod",
            deployment__status="succeeded",
            circleci__started_at="2026-11-20T10:00:00.000Z",
            circleci__stopped_at="2026-11-20T10:02:10.000Z",
            tag__team="web",
            **GIT,
        ).body
    )
    found = dora_deployment(record, "ci", ())["data"]["attributes"]
    assert (found["id"], found["service"], found["env"], found["team"]) == (record.id, "shop", "prod", "web")
    assert (found["started_at"], found["finished_at"]) == (NOW_MS - 130_000, NOW_MS)
    assert found["git"] == {"commit_sha": SHA, "repository_url": "https://github.com/acme/web"}
