"""The Elasticsearch sink: where documents go and what answers mean, per document and per request."""

from __future__ import annotations

import base64
import subprocess
import sys
import warnings
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply
from headgate.core.record import KINDS
from headgate.core.verdicts import SendResult
from headgate.sinks._elasticsearch_answers import read_bulk
from headgate.sinks._endpoint import Redactor
from headgate.sinks.elasticsearch import PLUGINS, ElasticsearchConfig, cloud_host
from headgate.testing.sink_harness import (
    CONTEXT,
    NOW_MS,
    deliver,
    ids_of,
    make_batch,
    make_entry,
    open_sink,
    send,
    try_send,
)
from headgate.testing.sinks import FakeVendor

CLEAN = Redactor(())
CLOUD = "mine:" + base64.b64encode(b"eu-west-1.aws.example.com:9243$abc123$kib456").decode()


def items(*found: dict[str, Any], status: int = 200) -> HttpReply:
    """A bulk answer with these items."""
    body = {"took": 1, "errors": True, "items": [{"create": item} for item in found]}
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(body))


def failed(status: int, kind: str) -> dict[str, Any]:
    """One failed item."""
    return {"status": status, "error": {"type": kind, "reason": f"because of {kind}"}}


def test_each_document_gets_its_own_verdict() -> None:
    """Created, there already, busy, broken: accepted, accepted, again, rejected with the server's words."""
    reply = items(
        {"status": 201},
        failed(409, "version_conflict_engine_exception"),
        failed(429, "es_rejected_execution_exception"),
        failed(400, "document_parsing_exception"),
        failed(503, "unavailable_shards_exception"),
        failed(413, "too_big"),
        failed(299, "nobody_foresaw_this"),
    )
    result = read_bulk(reply, 7, CLEAN)
    assert result.retry == {2, 4, 6}
    assert {index: (reject.reason, reject.status) for index, reject in result.rejected.items()} == {
        3: ("document_parsing_exception", 400),
        5: ("too_big", 413),
    }
    assert result.rejected[3].answer == "because of document_parsing_exception"
    assert result.retry_after is None


def test_a_write_block_is_retried_slowly() -> None:
    """A full disk is lifted by a person: the item is sent again after a minute."""
    result = read_bulk(items({"status": 201}, failed(403, "cluster_block_exception")), 2, CLEAN)
    assert (result.retry, result.retry_after) == ({1}, 60.0)


def test_the_failure_store_is_not_success() -> None:
    """A document that ended in the failure store is not where people search for it."""
    result = read_bulk(items({"status": 201, "failure_store": "used"}, {"status": 201}), 2, CLEAN)
    assert {index: reject.reason for index, reject in result.rejected.items()} == {0: "failure_store"}


def test_an_error_without_words_is_still_a_verdict() -> None:
    """Nulls where texts belong do not make the answer unreadable, which would be asked for ever."""
    item = {"status": 400, "error": {"type": None, "reason": None}, "failure_store": None}
    result = read_bulk(items({"status": 201, "error": None}, item, {"status": 400, "error": "words"}), 3, CLEAN)
    assert [(index, reject.reason, reject.answer) for index, reject in result.rejected.items()] == [
        (1, "refused", ""),
        (2, "refused", "words"),
    ]


@pytest.mark.parametrize(
    ("item", "reason"),
    [(failed(403, "security_exception"), "auth"), (failed(404, "index_not_found_exception"), "config")],
    ids=["security", "index"],
)
def test_an_item_that_only_a_human_can_mend_holds_the_signal(item: dict[str, Any], reason: str) -> None:
    """Missing rights or a missing index are nobody's dead letter."""
    with pytest.raises(SinkRefused) as caught:
        read_bulk(items({"status": 201}, item), 2, CLEAN)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "reply",
    [
        HttpReply(200, {}, b'{"took":3,"errors":false,"items":['),
        HttpReply(200, {}, b'{"acknowledged":true}'),
        HttpReply(200, {}, b"<html>"),
        HttpReply(200, {}, b"\xff\xfe"),
        HttpReply(200, {}, b""),
        items({"status": 201}),
        HttpReply(200, {}, b'{"items":[{},{}]}'),
    ],
    ids=["cut", "other", "page", "bytes", "empty", "too-few", "no-action"],
)
def test_an_answer_that_cannot_be_read_is_not_believed(reply: HttpReply) -> None:
    """Nobody knows what was stored; ids make sending again harmless."""
    with pytest.raises(SinkUnavailable):
        read_bulk(reply, 2, CLEAN)


@pytest.mark.parametrize(
    ("reply", "error", "reason"),
    [
        (HttpReply(413, {"content-type": "text/html"}, b"<html>413"), BatchRejected, "too_large"),
        (HttpReply(401, {"content-type": "text/html"}, b"<html>401"), SinkRefused, "auth"),
        (HttpReply(400, {}, b'{"error":{"type":"media_type_header_exception"}}'), SinkRefused, "config"),
        (HttpReply(400, {}, b'{"error":"no handler found"}'), BatchRejected, "refused"),
        (HttpReply(403, {}, b'{"error":{"type":"cluster_block_exception"}}'), SinkUnavailable, None),
        (HttpReply(202, {}, b"{}"), SinkUnavailable, None),
    ],
    ids=["413-page", "401-page", "media-type", "bad-request", "block", "202"],
)
def test_request_answers(reply: HttpReply, error: type[Exception], reason: str | None) -> None:
    """Error pages of proxies count by their status, the cluster's own errors by their type."""
    with pytest.raises(error) as caught:
        read_bulk(reply, 2, CLEAN)
    assert getattr(caught.value, "reason", None) == reason


@pytest.mark.parametrize("target", ["data_stream", "month"])
async def test_every_kind_of_record_is_taken_by_a_strict_cluster(target: str) -> None:
    """One record of each kind, mappings enforced: stored once, and a resend stores nothing."""
    batch = [make_entry(n, kind=kind) for n, kind in enumerate(KINDS, start=1)]
    with FakeVendor("elasticsearch", clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "target": target}) as (_, signal):
            assert await send(signal, batch) == SendResult()
            assert await send(signal, batch) == SendResult()
        assert vendor.record_ids() == ids_of(batch)
        names = {row["native"]["_index"] for row in vendor.stored()}
    expected = {"month": "circleci-job-2026.11", "data_stream": "logs-circleci.job-default"}
    assert expected[target] in names
    assert len(names) == len(KINDS)


async def test_the_month_is_that_of_the_record() -> None:
    """An index is named by when the thing happened, not by when it was sent."""
    with FakeVendor("elasticsearch", clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "target": "month"}) as (_, signal):
            await send(
                signal, [make_entry(1, occurred_ms=1_793_491_199_999), make_entry(2, occurred_ms=1_793_491_200_000)]
            )
        assert [row["native"]["_index"] for row in vendor.stored()] == ["circleci-job-2026.10", "circleci-job-2026.11"]


async def test_partial_acceptance_sends_only_the_refused_documents_again() -> None:
    """After the mixed answer only what was busy is sent again; what is broken is named; nothing is doubled."""
    batch = make_batch(8)
    with FakeVendor("elasticsearch", clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"url": vendor.url}) as (_, signal):
            vendor.answer(case="mixed", count=1)
            done = await deliver(signal, batch)
        assert sorted(done.accepted) == sorted(map(str, vendor.record_ids()))
        assert len(done.accepted) + len(done.rejected) == len(batch)
        assert len(done.rejected) == 2
        assert vendor.stats()["duplicates"] == 0


async def test_one_request_is_one_request() -> None:
    """The client's own repeats are off: a busy cluster is asked once."""
    with FakeVendor("elasticsearch", clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url]}) as (_, signal):
            for order in ({"status": 429}, {"status": 503}, {"cut": "before_store"}):
                vendor.clear()
                vendor.answer(order)
                assert isinstance(await try_send(signal, make_batch(1)), SinkUnavailable)
                assert vendor.stats()["requests"] == 1


async def test_the_media_types_of_the_wrong_generation_hold_the_signal() -> None:
    """Versioned names for 9 are refused by 8: configuration, not dead letters; check says so too."""
    with FakeVendor("elasticsearch", generation="8", clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "generation": "9"}) as (sink, signal):
            outcome = await try_send(signal, make_batch(1))
            assert isinstance(outcome, SinkRefused)
            assert outcome.reason == "config"
            assert [result.ok for result in await sink.check()] == [False]


async def test_check_names_another_product() -> None:
    """Something else that answers JSON with 200 is not taken for a cluster."""
    with FakeVendor("elasticsearch", product=False) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url]}) as (sink, _):
            assert [(result.ok, result.reason) for result in await sink.check()] == [(False, "wrong_product")]


async def test_check_and_setup_ask_the_next_node_where_one_is_dead() -> None:
    """One dead node of several is no reason to fail; where all are dead, each is named."""
    dead = "http://127.0.0.1:1"
    with FakeVendor("elasticsearch", clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [dead, vendor.url]}) as (sink, _):
            assert [step.outcome async for step in sink.set_up(dry_run=True)].count("failed") == 0
            assert [result.ok for result in await sink.check()] == [True]
    async with open_sink(PLUGINS[0], {"hosts": [dead, "http://127.0.0.1:2"]}) as (sink, _):
        (result,) = await sink.check()
        assert result.reason == "unreachable"
        assert dead in result.fix
        assert "http://127.0.0.1:2" in result.fix


def test_a_cloud_id_names_its_host() -> None:
    """The middle part of the decoded id is the cluster, in front of the host."""
    assert cloud_host(CLOUD) == "abc123.eu-west-1.aws.example.com:9243"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sink = PLUGINS[0].build("x", ElasticsearchConfig(cloud_id=CLOUD), CONTEXT)
    assert sink.signals()[0].destination == "https://abc123.eu-west-1.aws.example.com:9243 logs-circleci.*-default"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hosts": ["http://a:1"], "cloud_id": CLOUD},
        {"hosts": ["http://a:1"], "url": "http://b:1"},
        {"cloud_id": "nonsense"},
        {"hosts": ["http://a:1"], "api_key": "k", "bearer_token": "t"},
        {"hosts": ["http://a:1"], "namespace": "Not-Legal"},
        {"hosts": ["a:1"]},
        {"hosts": ["http://u:p@a:1"]},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, object]) -> None:
    """Exactly one address and at most one credential."""
    with pytest.raises(ValidationError):
        ElasticsearchConfig.model_validate(settings)


def test_the_client_is_imported_only_when_a_sink_is_built() -> None:
    """Reading the configuration needs no vendor package."""
    code = "import headgate.sinks.elasticsearch, sys; print([m for m in sys.modules if m.startswith('elastic')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
