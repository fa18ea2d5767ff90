"""The Sumo Logic sink: lines, metrics, feeds, headers, and what an answer means."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import orjson
import pytest
from pydantic import ValidationError

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, HttpRequest, LogEntry
from headgate.core.record import decode_record
from headgate.core.times import DAY_MS
from headgate.core.verdicts import SendResult
from headgate.sinks._sumologic_lines import Document, fitting_line, log_document
from headgate.sinks.sumologic import PLUGINS, SignalName, SumologicConfig, SumologicSignal
from headgate.testing.sink_harness import NOW_MS, build_sink, deliver, ids_of, make_batch, make_entry, send
from headgate.testing.sinks import FakeVendor

CODE = "ZaVnC4dhaV0-code-of-the-source"
BOTH: tuple[SignalName, ...] = ("logs", "metrics")
URL = f"https://endpoint1.collection.sumologic.com/receiver/v1/http/{CODE}"


def config(**settings: object) -> SumologicConfig:
    """A configuration of a source that is not there."""
    return SumologicConfig.model_validate({"url": URL, **settings})


def signal(which: SignalName = "logs", /, **settings: object) -> SumologicSignal:
    """A signal that sends nowhere unless told."""
    return SumologicSignal(which, config(**settings), "headgate-test")


def request(batch: list[LogEntry], which: SignalName = "logs", /, **settings: object) -> HttpRequest:
    """The request for a batch that is not empty for the signal."""
    made = signal(which, **settings).encode(batch)
    assert made is not None
    return made


def document(render: Callable[[LogEntry], bytes], entry: LogEntry) -> Document:
    """One line, read back."""
    read: Document = orjson.loads(render(entry))
    return read


def logged(entry: LogEntry) -> Document:
    """The log line of one record."""
    return document(lambda one: request([one]).body, entry)


class TestLines:
    """Log lines."""

    def test_attributes_are_nested_and_the_time_is_first(self) -> None:
        """A path of the `json` operator is the attribute's name; Sumo takes the first time of a message."""
        entry = make_entry(1)
        body = request([entry]).body
        assert body.startswith(b'{"timestamp":"2026-11-20T10:02:10.000Z","id":"' + entry.record_id.encode())
        found = logged(entry)
        assert found["cicd"] == {
            "pipeline": {
                "name": "build",
                "run": {"id": "00000000-0000-4000-8000-000000000000"},
                "task": {"name": "unit", "run": {"id": "00000000-0000-4000-9000-000000000001"}},
            }
        }
        assert (found["service"], found["headgate"]) == ("gh/acme/web", {"status": "failure"})

    def test_tags_stand_at_the_top_unless_their_name_is_taken(self) -> None:
        """`team` is `team`; a tag called as a key of every line stays under `tag`; `service` replaces the project."""
        found = logged(make_entry(1, tag__team="web", tag__kind="nightly", tag__vcs="x", tag__service="shop"))
        assert (found["team"], found["kind"], found["service"]) == ("web", "job", "shop")
        assert found["tag"] == {"kind": "nightly", "vcs": "x"}

    def test_a_name_below_another_one_keeps_its_dots(self) -> None:
        """`a` and `a.b` cannot both be in one object, whichever comes first."""
        record = decode_record(make_entry(1).body)
        for attributes in ({"a.b": 1, "a.b.c": 2}, {"a.b.c": 2, "a.b": 1}):
            made = log_document(msgspec.structs.replace(record, attributes=attributes))
            both = {"a": {"b": 1}, "a.b.c": 2} if next(iter(attributes)) == "a.b" else {"a": {"b": {"c": 2}}, "a.b": 1}
            assert {key: made[key] for key in both} == both

    def test_a_long_line_is_cut_and_says_where(self) -> None:
        """Only the long texts are cut, as little as must be, and named; JSON stays whole."""
        entry = make_entry(1, circleci__test__message="é" * 70_000, circleci__job__artifacts=["a" * 3_000] * 40)
        body = request([entry]).body
        assert len(body) <= 60_001
        found = orjson.loads(body)
        assert found["headgate"]["truncated"] == ["circleci.job.artifacts", "circleci.test.message"]
        assert found["circleci"]["test"]["message"] == "é" * 16_384 + "…"
        assert found["circleci"]["job"]["artifacts"] == ["a" * 3_000] * 5 + ["…"]
        assert found["cicd"]["pipeline"]["name"] == "build"

    def test_what_was_cut_before_stays_named(self) -> None:
        """A record may come with cut texts; their names are kept beside the new ones."""
        entry = make_entry(1, circleci__test__message="x" * 70_000, headgate__truncated=["circleci.commit.subject"])
        found = orjson.loads(request([entry]).body)
        assert found["headgate"]["truncated"] == ["circleci.commit.subject", "circleci.test.message"]

    def test_a_line_that_fits_is_left_alone(self) -> None:
        """A line of exactly the limit is not cut."""
        record = decode_record(make_entry(1, circleci__test__message="x" * 9_000).body)
        whole = fitting_line(record, log_document, 100_000)
        assert fitting_line(record, log_document, len(whole) - 1) == whole
        assert b"truncated" in fitting_line(record, log_document, len(whole) - 2)

    def test_too_many_attributes_are_left_out_and_marked(self) -> None:
        """No cutting of texts helps a record of ten thousand names; its envelope is sent."""
        record = decode_record(make_entry(1).body)
        many = msgspec.structs.replace(record, attributes={f"platform.p{n}": "value" for n in range(10_000)})
        found = orjson.loads(fitting_line(many, log_document, 60_000))
        assert (found["id"], found["headgate"]) == (record.id, {"truncated": ["*"]})
        assert "platform" not in found


class TestFeeds:
    """What the vendor's app and extraction rules read."""

    # Keys that the vendor's extraction rules for builds and deployments take from the job feed.
    RULES = (
        "workflows.job_name custom_data.env custom_data.team custom_data.service workflows.job_id user.login build_url "
        "start_time branch outcome reponame vcs_revision job_name build_num messages"
    )

    def test_the_job_feed_has_each_key_of_the_extraction_rules(self) -> None:
        """A job of which everything is known fills each field of the vendor's rules."""
        entry = make_entry(
            1,
            cicd__pipeline__task__run__url__full="https://app.circleci.com/x",
            circleci__author__login="octocat",
            circleci__job__messages=["slow"],
            circleci__started_at="2026-11-20T10:00:00.000Z",
            tag__environment="prod",
            tag__service="shop",
            tag__team="web",
            vcs__ref__head__revision="1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
        )
        found = document(lambda one: request([one], "job_feed").body, entry)
        for key in self.RULES.split():
            value: object = found
            for part in key.split("."):
                assert isinstance(value, dict)
                value = value[part]
            assert value, key

    def test_an_approval_is_not_in_the_job_feed(self) -> None:
        """An approval has no number, and v1.1 does not know it; a batch of them is no request."""
        job = make_entry(1)
        record = decode_record(make_entry(2).body)
        kept = {name: value for name, value in record.attributes.items() if name != "circleci.job.number"}
        approval = msgspec.structs.replace(record, attributes=kept)
        entry = msgspec.structs.replace(make_entry(2), body=msgspec.json.encode(approval))
        assert request([entry, job, entry], "job_feed").body == request([job], "job_feed").body
        assert signal("job_feed").encode([entry]) is None

    def test_each_feed_has_its_own_category_and_kind(self) -> None:
        """The app looks for these two; `category` is for the others."""
        found = {name: signal(name, category="ci").encode([make_entry(1)]) for name in ("job_feed", "workflow_feed")}
        categories = [dict(one.headers)["x-sumo-category"] for one in found.values() if one]
        assert categories == ["circleci/job-collector", "circleci/workflow-collector"]
        assert signal("job_feed").kinds == {"job"}
        assert signal("workflow_feed").kinds == {"workflow"}

    def test_a_cut_feed_says_so(self) -> None:
        """A subject of 100,000 characters is cut like any text."""
        entry = make_entry(1, circleci__commit__subject="x" * 100_000)
        found = document(lambda one: request([one], "job_feed").body, entry)
        assert found["headgate"] == {"record_id": entry.record_id, "truncated": ["circleci.commit.subject"]}


class TestMetrics:
    """Metric lines."""

    def test_prometheus_text(self) -> None:
        """Name with its unit, labels with quotes escaped, value, milliseconds."""
        entry = make_entry(1, cicd__pipeline__name='a "b"\\\n')
        assert request([entry], "metrics").body.decode() == (
            'cicd_pipeline_task_run_duration_seconds{cicd_pipeline_name="a \\"b\\"\\\\\\n",'
            'cicd_pipeline_task_name="unit",cicd_pipeline_task_run_result="failure",circleci_project="gh/acme/web",'
            f'error_type="failure"}} 130 {NOW_MS}\n'
        )

    def test_carbon(self) -> None:
        """Two blanks before the value; no blank and no equality sign in a value."""
        body = request([make_entry(1, cicd__pipeline__name="a = b")], "metrics", metrics_format="carbon2").body.decode()
        assert body == (
            "metric=cicd.pipeline.task.run.duration unit=s cicd.pipeline.name=a_b cicd.pipeline.task.name=unit "
            "cicd.pipeline.task.run.result=failure circleci.project=gh/acme/web error.type=failure"
            f"  130 {NOW_MS}\n"
        )

    def test_what_is_counted_at_one_time_is_added_up(self) -> None:
        """Two usage rows of one series and millisecond are one line, for Sumo keeps one value of them."""
        batch = [make_entry(n, kind="usage", circleci__credits__compute=100 + n) for n in (1, 2)]
        lines = request(batch, "metrics").body.decode().splitlines()
        assert [line.split()[-2] for line in lines if line.startswith("circleci_credits_used{")] == ["203"]

    def test_a_batch_that_measures_nothing_is_no_request(self) -> None:
        """Nothing is posted for records without figures, and test results are no metrics here."""
        assert signal("metrics").encode([make_entry(1, kind="audit")]) is None
        assert "test_result" not in (signal("metrics").kinds or ())

    async def test_more_and_longer_labels_than_the_source_takes_are_cut(self) -> None:
        """Two hundred tags of a thousand characters become a metric that a strict source takes."""
        tags = {f"tag__t{n:03}": "v" * (1_000 if n < 10 else 3) for n in range(200)}
        fields = {f"f{n}": "v" for n in range(30)}
        for form in ("prometheus", "carbon2"):
            with FakeVendor("sumologic", clock_ms=lambda: NOW_MS) as vendor:
                settings = {"url": f"{vendor.url}/receiver/v1/http/code", "signals": ["metrics"], "tags": fields}
                sink = build_sink_of({**settings, "metrics_format": form})
                assert await send(sink, [make_entry(1, **tags)]) == SendResult()
                assert len(vendor.stored()) == 1

    async def test_names_of_tags_are_made_fit_and_stay_apart(self) -> None:
        """Tags whose names a format does not know, or uses itself, or folds into one, are all there."""
        tags = {"tag__2fa": "on", "tag__a__b": "1", "tag__a_b": "2", "tag__metric": "m", "tag__unit": "u"}
        wanted = {
            "prometheus": {"_2fa": "on", "a_b": "1", "tag_a_b": "2", "metric": "m", "unit": "u"},
            "carbon2": {"2fa": "on", "a.b": "1", "a_b": "2", "tag_metric": "m", "tag_unit": "u"},
        }
        for form, dimensions in wanted.items():
            with FakeVendor("sumologic", clock_ms=lambda: NOW_MS) as vendor:
                url = f"{vendor.url}/receiver/v1/http/code"
                sink = build_sink_of({"url": url, "signals": ["metrics"], "metrics_format": form})
                assert await send(sink, [make_entry(1, **tags)]) == SendResult()
                (row,) = vendor.stored()
            assert row["native"]["dimensions"].items() >= dimensions.items()

    def test_metrics_keep_within_a_day_and_logs_take_any_age(self) -> None:
        """The source drops metrics that are a day away."""
        limits = signal("metrics").limits
        assert limits.max_age_ms == limits.max_ahead_ms
        assert 0 < (limits.max_age_ms or 0) < DAY_MS
        assert signal("logs").limits.max_age_ms is None


def build_sink_of(settings: dict[str, object]) -> SumologicSignal:
    """The first signal of a sink, as the daemon builds it."""
    found = build_sink(PLUGINS[0], settings).signals()[0]
    assert isinstance(found, SumologicSignal)
    return found


class TestRequest:
    """Headers, secrets, configuration."""

    def test_headers_are_of_the_signal_alone(self) -> None:
        """Source name, host, category and fields go with each request, whatever its records are."""
        settings: dict[str, object] = {
            "name": "n",
            "host": "h",
            "category": "c",
            "tags": {"team": "web", "env": "x y"},
        }
        mixed = [make_entry(1), make_entry(2, kind="workflow", project="gh/acme/api", tag__team="api")]
        logs, metrics = (dict(request(mixed, which, **settings).headers) for which in BOTH)
        common = {"x-sumo-name": "n", "x-sumo-host": "h", "x-sumo-category": "c", "x-sumo-client": "headgate"}
        assert logs.items() >= (common | {"x-sumo-fields": "team=web,env=x y"}).items()
        assert metrics.items() >= (common | {"x-sumo-dimensions": "team=web,env=x y"}).items()
        assert "x-sumo-fields" not in metrics
        assert metrics["content-type"] == "application/vnd.sumologic.prometheus"
        assert "x-sumo-token" not in logs
        assert dict(request(mixed, token="t0ken").headers)["x-sumo-token"] == "t0ken"

    def test_the_destination_is_the_host(self) -> None:
        """An address that was made anew, for its path is the key, is the same destination; neither is shown."""
        here, there = signal().destination, signal(url=f"{URL}2").destination
        assert here == there == "https://endpoint1.collection.sumologic.com"

    def test_the_code_is_taken_out_of_the_far_sides_words(self) -> None:
        """A server that repeats the path, or only the code, shows neither."""
        for said in (URL, f"/receiver/v1/http/{CODE} is gone", CODE):
            with pytest.raises(SinkRefused) as caught:
                signal().interpret(HttpReply(401, {}, said.encode()), make_batch(1))
            assert CODE not in f"{caught.value} {caught.value.fix}"

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"tags": {f"f{n}": "v" for n in range(31)}}, "at most 30 tags"),
            ({"tags": {"a b": "v"}}, "not the name of a field"),
            ({"tags": {"team": "a,b"}}, "the value of tag team"),
            ({"tags": {"team": "x=y"}}, "the value of tag team"),
            ({"tags": {"team": "é"}}, "the value of tag team"),
            ({"tags": {"team": "v" * 201}}, "the value of tag team"),
            ({"category": "a\nb"}, "category"),
            ({"token": "é"}, "token is not printable ASCII"),
            ({"signals": []}, "signals"),
            ({"signals": ["traces"]}, "signals"),
            ({"max_line_bytes": 65_537}, "max_line_bytes"),
            ({"url": "ftp://host/x"}, "write an address"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_at_the_start(self, settings: dict[str, object], words: str) -> None:
        """A bad header or limit is an error of the configuration, which shows no secret."""
        with pytest.raises(ValidationError, match=words) as caught:
            config(**settings)
        assert CODE not in str(caught.value)


class TestAnswers:
    """What the source's answers mean beside the common table."""

    async def test_a_source_that_runs_out_of_time_gets_halves_and_then_the_same_again(self) -> None:
        """408 is halved; a single record is no dead letter for it."""
        with FakeVendor("sumologic", clock_ms=lambda: NOW_MS) as vendor:
            sender = build_sink_of({"url": f"{vendor.url}/receiver/v1/http/code", "signals": ["logs"]})
            batch = make_batch(4)
            vendor.answer(status=408, count=4, store=False)
            done = await deliver(sender, batch)
        assert (done.accepted, done.rejected) == (ids_of(batch), {})
        with pytest.raises(BatchRejected):
            signal().interpret(HttpReply(408, {}, b""), batch)
        with pytest.raises(SinkUnavailable):
            signal().interpret(HttpReply(408, {}, b""), batch[:1])

    def test_a_quota_waits_at_least_five_seconds(self) -> None:
        """429 names no time; when it does, that one counts."""
        for headers, wanted in (({}, 5.0), ({"retry-after": "60"}, 60.0)):
            with pytest.raises(SinkUnavailable) as caught:
                signal().interpret(HttpReply(429, headers, b"quota"), make_batch(1))
            assert caught.value.retry_after == wanted

    def test_a_web_page_is_no_source(self) -> None:
        """A 200 of a login page loses nothing."""
        with pytest.raises(SinkRefused, match="web page"):
            signal().interpret(HttpReply(200, {"content-type": "text/html"}, b"<html>"), make_batch(1))

    async def test_check_knows_that_a_source_says_nothing(self) -> None:
        """Somebody else who takes everything has something to say of it, which is shown."""
        with FakeVendor("sumologic") as other:
            other.answer(status=200, body={"greeting": "Hello"}, store=False)
            (result,) = await build_sink(PLUGINS[0], {"url": f"{other.url}/receiver/v1/http/c0de"}).check()
            assert (result.ok, result.reason, "Hello" in result.fix) == (False, "wrong_product", True)

    async def test_check_posts_nothing_at_all(self) -> None:
        """The probe has address and token and no body, so there is nothing to store."""
        with FakeVendor("sumologic", token="t0ken", clock_ms=lambda: NOW_MS) as vendor:
            for token, reason in (("t0ken", "ok"), ("other", "auth")):
                settings = {"url": f"{vendor.url}/receiver/v1/http", "token": token}
                (result,) = await build_sink(PLUGINS[0], settings).check()
                assert result.reason == reason
            assert [(row["method"], row["body_bytes"]) for row in vendor.requests()] == [("POST", 0)] * 2
            assert vendor.stored() == []


def test_an_approval_has_no_webhook() -> None:
    """CircleCI sends none, so there is no line; without any line there is no request."""
    (sender,) = build_sink(PLUGINS[0], {"url": URL, "signals": ["webhooks"], "category": "ci"}).signals()
    assert isinstance(sender, SumologicSignal)
    assert sender.encode([make_entry(1, circleci__job__type="approval")]) is None
    request = sender.encode([make_entry(2), make_entry(3, kind="workflow")])
    assert request is not None
    assert dict(request.headers)["x-sumo-category"] == "ci"
    assert [orjson.loads(line)["type"] for line in request.body.splitlines()] == ["job-completed", "workflow-completed"]
