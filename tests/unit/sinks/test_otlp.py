"""The OTLP sink: addresses, both encodings against the package opentelemetry-proto, and what answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, HttpRequest, LogEntry
from headgate.core.record import KINDS, Attribute
from headgate.core.times import HOUR_MS
from headgate.core.verdicts import SendResult
from headgate.sinks.otlp import PLUGINS, OtlpConfig, OtlpSignal
from headgate.testing.sink_harness import NOW_MS, build_sink, ids_of, make_batch, make_entry, open_sink, send
from headgate.testing.sinks import FakeVendor
from headgate.testing.sinks.vendors._otlp_read import message_of, read_json, read_protobuf

URL = "http://127.0.0.1:4318"
SIGNALS = ("traces", "metrics", "logs")
ODD: dict[str, Attribute] = {
    "circleci__commit__subject": 'Say "hello" to Zoë 🚀\n\x00',
    "circleci__job__contexts": ["aws", "deploy"],
    "circleci__partial_rerun": True,
    "circleci__credits": -(2**62),
    "circleci__job__cpu__median_pct": 37.5,
    "circleci__queue_ms": 4_000,
    "circleci__queued_at": "2026-11-20T10:00:00.000Z",
    "circleci__started_at": "2026-11-20T10:00:04.000Z",
    "circleci__rerun_of": "11111111-2222-4333-8444-555555555555",
    "circleci__test__duration_ms": 5,
    "tag__team": "web",
}


def signal(name: str, **more: object) -> OtlpSignal:
    """One signal alone."""
    (found,) = build_sink(PLUGINS[0], {"url": URL, "signals": [name], **more}).signals()
    assert isinstance(found, OtlpSignal)
    return found


def everything(of: OtlpSignal) -> list[LogEntry]:
    """One record of each kind that the signal takes, with values of every type."""
    return [make_entry(n, kind=kind, **ODD) for n, kind in enumerate(KINDS) if of.kinds is None or kind in of.kinds]


def encoded(of: OtlpSignal, batch: Sequence[LogEntry]) -> HttpRequest:
    """The request, which must be one."""
    request = of.encode(batch)
    assert request is not None
    return request


def reply(status: int, body: bytes = b"", kind: str = "application/x-protobuf", **headers: str) -> HttpReply:
    """An answer."""
    return HttpReply(status, {"content-type": kind, **headers}, body)


def refusing(name: str, count: int, words: str = "") -> bytes:
    """A partial success in protobuf, made by the package."""
    answer = message_of(name, "Response")()
    field = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}[name]
    setattr(answer.partial_success, field, count)
    answer.partial_success.error_message = words
    made: bytes = answer.SerializeToString()
    return made


class TestAddresses:
    """Where each signal goes."""

    def test_a_base_address_gets_the_usual_paths(self) -> None:
        """One address serves all three."""
        sink = build_sink(PLUGINS[0], {"url": f"{URL}/otlp/"})
        assert [one.destination for one in sink.signals()] == [f"{URL}/otlp/v1/{name}" for name in SIGNALS]

    def test_an_own_address_is_taken_as_it_is(self) -> None:
        """A signal may go elsewhere."""
        sink = build_sink(PLUGINS[0], {"url": URL, "endpoints": {"logs": "https://logs.example/ingest"}})
        assert [one.destination for one in sink.signals()][2] == "https://logs.example/ingest"

    def test_a_signal_without_an_address_is_refused(self) -> None:
        """The error says what to set."""
        with pytest.raises(ValidationError, match=r"set url, or endpoints\.logs"):
            OtlpConfig.model_validate({"endpoints": {"traces": URL}, "signals": ["traces", "logs"]})

    def test_totals_go_one_after_the_other_and_never_far_back(self) -> None:
        """Cumulative metrics carry the time of sending."""
        assert (signal("metrics").limits.concurrency, signal("metrics").limits.max_age_ms) == (16, None)
        totals = signal("metrics", temporality="cumulative")
        assert (totals.limits.concurrency, totals.limits.max_age_ms) == (1, HOUR_MS)
        assert signal("metrics", temporality="cumulative", max_age="2d").limits.max_age_ms == 48 * HOUR_MS


class TestEncodings:
    """What the package reads in our bodies."""

    @pytest.mark.parametrize("temporality", ["delta", "cumulative"])
    @pytest.mark.parametrize("name", SIGNALS)
    def test_both_encodings_say_the_same(self, name: str, temporality: str) -> None:
        """Protobuf and JSON are read strictly into equal messages, for every kind of record."""
        binary, text = (signal(name, encoding=form, temporality=temporality) for form in ("protobuf", "json"))
        batch = everything(binary)
        message = read_protobuf(name, encoded(binary, batch).body)
        assert message == read_json(name, encoded(text, batch).body)
        assert message.ByteSize() > 500

    @pytest.mark.parametrize("name", SIGNALS)
    def test_our_protobuf_is_what_the_package_writes(self, name: str) -> None:
        """Byte for byte the package's own serialization of the same message."""
        of = signal(name)
        body = encoded(of, everything(of)).body
        assert read_protobuf(name, body).SerializeToString() == body

    def test_a_batch_that_measures_nothing_is_not_sent(self) -> None:
        """An approval has no figures for a machine; an empty request would be no record's delivery."""
        bare = make_entry(1, kind="usage")
        assert signal("metrics").encode([bare]) is None


class TestAnswers:
    """OTLP/HTTP Response."""

    @pytest.mark.parametrize("name", SIGNALS)
    def test_refused_without_a_name_is_counted_and_never_retried(self, name: str) -> None:
        """Two of many: nobody knows which, in both encodings."""
        of = signal(name)
        batch = [make_entry(n, project=f"gh/acme/p{n}") for n in range(4)]
        text = f'{{"partialSuccess":{{"{_REJECTED[name]}":"2","errorMessage":"too old"}}}}'.encode()
        for answer in (reply(200, refusing(name, 2, "too old")), reply(200, text, "application/json")):
            assert of.interpret(answer, batch) == SendResult(unnamed=2, words="too old")

    @pytest.mark.parametrize("name", SIGNALS)
    def test_where_nothing_was_taken_each_record_is_rejected(self, name: str) -> None:
        """As many refused as were sent leaves no doubt: dead letters with the far side's words."""
        batch = [make_entry(n, project=f"gh/acme/p{n}") for n in range(3)]
        result = signal(name).interpret(reply(200, refusing(name, 3, "no")), batch)
        assert {index: (why.reason, why.answer) for index, why in result.rejected.items()} == dict.fromkeys(
            range(3), ("partial_success", "no")
        )

    def test_a_record_alone_is_rejected_by_name(self) -> None:
        """One record with two spans of which one was refused is not delivered."""
        batch = [make_entry(1, **ODD)]
        assert list(signal("traces").interpret(reply(200, refusing("traces", 1)), batch).rejected) == [0]

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"", "text/plain"),
            (b"{}", "application/json; charset=utf-8"),
            (b'{"partialSuccess":null}', "application/json"),
            (b'{"partialSuccess":{"rejectedSpans":0,"errorMessage":"a warning"}}', "application/json"),
            (refusing("traces", 0, "a warning"), "application/x-protobuf"),
            (b"\x7a\x01x\x0a\x00\x85\x01aaaa\x81\x01aaaaaaaa", "application/x-protobuf"),
        ],
    )
    def test_success_is_read_leniently(self, body: bytes, kind: str) -> None:
        """Empty, a warning, or fields nobody knows yet."""
        assert signal("traces").interpret(reply(200, body, kind), make_batch(2)) == SendResult()

    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_other_statuses_of_success_count_too(self, status: int) -> None:
        """Some products answer 202."""
        assert signal("metrics").interpret(reply(status), make_batch(1)) == SendResult()

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b'{"partialSuccess":', "application/json"),
            (b'{"partialSuccess":{"rejectedSpans":"many"}}', "application/json"),
            (b"\x0a\x05\x08", "application/x-protobuf"),
            (b"\x0a", "application/x-protobuf"),
            (b"\x00\x01", "application/x-protobuf"),
            (b"\x0b", "application/x-protobuf"),
            (b"\x08" + b"\xff" * 11, "application/x-protobuf"),
        ],
    )
    def test_an_answer_that_cannot_be_read_is_no_success(self, body: bytes, kind: str) -> None:
        """Nobody knows what was taken."""
        with pytest.raises(SinkUnavailable):
            signal("traces").interpret(reply(200, body, kind), make_batch(2))

    def test_a_web_page_is_no_receiver(self) -> None:
        """A login page answers 200 to everything."""
        with pytest.raises(SinkRefused, match="text/html"):
            signal("traces").interpret(reply(200, b"<html>", "text/html"), make_batch(1))

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"\x08\x03\x12\x07bad one", "application/x-protobuf"),
            (b'{"code":3,"message":"bad one"}', "application/json"),
            (b"bad one\n", "text/plain"),
            (b"bad one", "application/json"),
        ],
    )
    def test_the_words_of_a_refusal_are_found(self, body: bytes, kind: str) -> None:
        """A `google.rpc.Status` in either encoding, or plain text."""
        with pytest.raises(BatchRejected, match=r"answered 400: bad one\Z"):
            signal("logs").interpret(reply(400, body, kind), make_batch(1))


_REJECTED = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}


class TestExample:
    """The folder in config/examples."""

    def test_the_collector_listens_where_the_example_sends(self) -> None:
        """Every part that a pipeline names is declared, every signal has a pipeline, and the address is one."""
        folder = Path(__file__).parents[3] / "config" / "examples" / "otlp"
        collector = yaml.safe_load((folder / "collector.yaml").read_text())
        pipelines = collector["service"]["pipelines"]
        assert set(pipelines) == set(SIGNALS)
        for pipeline in pipelines.values():
            for part, names in pipeline.items():
                assert set(names) <= set(collector[part])
        listens = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
        for name in ("headgate.yaml", "local.yaml"):
            assert yaml.safe_load((folder / name).read_text())["sinks"]["otel"]["url"] == f"http://{listens}"


class TestAgainstTheFake:
    """Over the wire."""

    async def test_old_spans_are_refused_alone_and_counted(self) -> None:
        """The receiver keeps the new ones, names none, and nothing is sent twice."""
        batch = [*make_batch(3), make_entry(9, occurred_ms=NOW_MS - HOUR_MS)]
        with FakeVendor("otlp", max_age_seconds=600, clock_ms=lambda: NOW_MS) as vendor:
            async with open_sink(PLUGINS[0], {"url": vendor.url, "signals": ["traces"]}) as (_, one):
                assert await send(one, batch) == SendResult(unnamed=1, words="too old")
            assert vendor.record_ids() == ids_of(batch[:3])

    async def test_check_asks_every_endpoint(self) -> None:
        """One that is wrong is named, whichever it is."""
        with FakeVendor("otlp") as vendor:
            settings = {"url": vendor.url, "endpoints": {"logs": f"{vendor.url}/v9/logs"}}
            async with open_sink(PLUGINS[0], settings) as (sink, _):
                (result,) = await sink.check()
            assert (result.ok, result.reason) == (False, "wrong_product")
            assert "/v9/logs" in result.fix
            assert vendor.stored() == []

    async def test_totals_survive_a_request_that_never_arrived(self) -> None:
        """What a lost request held is in the next total."""
        with FakeVendor("otlp", clock_ms=lambda: NOW_MS) as vendor:
            settings = {"url": vendor.url, "signals": ["metrics"], "temporality": "cumulative"}
            async with open_sink(PLUGINS[0], settings) as (_, one):
                vendor.answer(status=400, count=1)
                with pytest.raises(BatchRejected):
                    await send(one, make_batch(3))
                await send(one, make_batch(2, first=11))
            assert {row["native"]["count"] for row in vendor.stored()} == {"5"}
