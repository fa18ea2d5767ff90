"""Generations 8 and 9 and OpenSearch with each kind of credential: what is sent and refused, and what check says.

The clusters are strict fakes; no real one was run.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from headgate.core.errors import SinkRefused
from headgate.core.verdicts import SendResult
from headgate.sinks.elasticsearch import PLUGINS
from headgate.testing.sink_harness import NOW_MS, build_sink, make_batch, open_sink, send, try_send
from headgate.testing.sinks import FakeVendor

CLOUD = "mine:" + base64.b64encode(b"eu-west-1.aws.example.com$abc123$kib456").decode()
PAIR = base64.b64encode(b"id:key").decode()
CREDENTIALS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "api-key": ({"api_key": PAIR}, {"api_key": PAIR}, f"ApiKey {PAIR}"),
    "basic": (
        {"basic": "u:pass"},
        {"basic_auth": {"user": "u", "password": "pass"}},
        f"Basic {base64.b64encode(b'u:pass').decode()}",
    ),
    "bearer": ({"bearer": "token"}, {"bearer_token": "token"}, "Bearer token"),
}
PLAIN = ("application/x-ndjson", "application/json")


def versioned(number: str) -> tuple[str, str]:
    """Content-Type and Accept of a client of that generation."""
    name = "application/vnd.elasticsearch+{}; compatible-with=" + number
    return name.format("x-ndjson"), name.format("json")


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize(
    ("cluster", "generation", "media"),
    [
        ("8", "auto", PLAIN),
        ("8", "8", versioned("8")),
        ("9", "auto", PLAIN),
        ("9", "9", versioned("9")),
        ("9", "8", versioned("8")),
        ("opensearch", "auto", PLAIN),
        ("opensearch", "opensearch", PLAIN),
    ],
)
async def test_each_generation_takes_what_it_is_sent(
    cluster: str, generation: str, media: tuple[str, str], credential: str
) -> None:
    """Records are stored, the check is fine, and the headers are those of the generation and the credential."""
    options, settings, authorization = CREDENTIALS[credential]
    with FakeVendor("elasticsearch", generation=cluster, clock_ms=lambda: NOW_MS, **options) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "generation": generation, **settings}) as (
            sink,
            signal,
        ):
            assert await send(signal, make_batch(3)) == SendResult()
            steps = [step async for step in sink.set_up(dry_run=False)]
            assert {step.outcome for step in steps} == {"done"}
            assert [result.ok for result in await sink.check()] == [True]
        bulk = next(row for row in vendor.requests() if row["path"] == "/_bulk")
        headers = bulk["headers"]
        assert (headers["content-type"], headers["accept"]) == media
        assert headers["authorization"] == authorization
        assert headers["user-agent"] == "headgate-test"
        assert "x-elastic-client-meta" not in headers
        assert len(vendor.stored()) == 3


@pytest.mark.parametrize(("cluster", "generation"), [("8", "9"), ("opensearch", "8"), ("opensearch", "9")])
async def test_the_wrong_generation_holds_the_signal_and_says_what_to_set(cluster: str, generation: str) -> None:
    """400 of an older Elasticsearch, 406 of OpenSearch: configuration, nothing stored, no dead letter."""
    with FakeVendor("elasticsearch", generation=cluster, clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "generation": generation}) as (sink, signal):
            outcome = await try_send(signal, make_batch(2))
            assert isinstance(outcome, SinkRefused)
            assert (outcome.reason, "generation" in outcome.fix) == ("config", True)
            (result,) = await sink.check()
        assert vendor.stored() == []
    assert not result.ok
    assert "generation" in result.fix


@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_a_wrong_credential_holds_the_signal(credential: str) -> None:
    """The key of nobody is 401: the signal holds and the check says which."""
    options, _, _ = CREDENTIALS[credential]
    with FakeVendor("elasticsearch", clock_ms=lambda: NOW_MS, **options) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url], "bearer_token": "nobody"}) as (sink, signal):
            outcome = await try_send(signal, make_batch(2))
            assert isinstance(outcome, SinkRefused)
            assert outcome.reason == "auth"
            assert [(result.ok, result.reason) for result in await sink.check()] == [(False, "auth")]


async def test_a_product_header_that_is_missing_refuses_no_write() -> None:
    """What a gateway strips is a matter of `check`; a batch that the cluster has stored is accepted."""
    with FakeVendor("elasticsearch", product=False, clock_ms=lambda: NOW_MS) as vendor:
        async with open_sink(PLUGINS[0], {"hosts": [vendor.url]}) as (sink, signal):
            assert await send(signal, make_batch(2)) == SendResult()
            assert [result.reason for result in await sink.check()] == ["wrong_product"]
        assert len(vendor.stored()) == 2


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_cloud_id_goes_with_each_credential(credential: str) -> None:
    """The client's only node is the host that the cloud id names, by TLS, and it carries the credential."""
    _, settings, authorization = CREDENTIALS[credential]
    sink = build_sink(PLUGINS[0], {"cloud_id": CLOUD, **settings})
    client = sink._client
    (node,) = client.transport.node_pool.all()
    assert (node.scheme, node.host, node.port) == ("https", "abc123.eu-west-1.aws.example.com", 443)
    assert client._headers["authorization"] == authorization
    assert sink.signals()[0].destination.startswith("https://abc123.eu-west-1.aws.example.com:443 ")
