"""Every sink of ours through the public contract suite; docs/spec/component.md has the rules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from headgate import sinks
from headgate.core.ports import LogEntry
from headgate.core.record import Kind
from headgate.core.verdicts import SendResult
from headgate.sinks import elasticsearch, http, jsonl, loki, newrelic, prometheus, sumologic
from headgate.testing.sink_harness import NOW_MS, make_batch, make_entry, open_sink, send
from headgate.testing.sink_suite import CANARY, Far, SinkContract, Subject, VendorSinkContract, VendorSubject
from headgate.testing.sinks import FakeVendor

BASIC = {"basic_auth": {"user": "headgate", "password": CANARY}}
WRONG_BASIC = {"basic_auth": {"user": "headgate", "password": "wrong"}}
SIGNED = {"secret": "a-long-secret"}


class TestLoki(VendorSinkContract):
    """Loki's push endpoint."""

    subject = VendorSubject(
        plugin=loki.PLUGINS[0],
        vendor="loki",
        cases_of="loki",
        secret_settings={**BASIC, "headers": {"x-scope-secret": CANARY}},
        locked_options={"basic": f"headgate:{CANARY}", "tenant": "acme"},
        key_settings={**BASIC, "tenant": "acme"},
        wrong_key_settings={**WRONG_BASIC, "tenant": "acme"},
    )


class TestElasticsearchDataStream(VendorSinkContract):
    """Elasticsearch 9 with data streams."""

    subject = VendorSubject(
        plugin=elasticsearch.PLUGINS[0],
        vendor="elasticsearch",
        settings=lambda url: {"hosts": [url]},
        cases_of="elasticsearch",
        reads_body=True,
        secret_settings={"api_key": CANARY},
        locked_options={"api_key": CANARY},
        key_settings={"api_key": CANARY},
        wrong_key_settings={"api_key": "wrong"},
    )


class TestElasticsearchMonth(VendorSinkContract):
    """Elasticsearch 8 with month indices and the versioned media types."""

    subject = VendorSubject(
        plugin=elasticsearch.PLUGINS[0],
        vendor="elasticsearch",
        vendor_options={"generation": "8"},
        settings=lambda url: {"hosts": [url], "target": "month", "generation": "8"},
        cases_of="elasticsearch",
        reads_body=True,
        secret_settings=BASIC,
        locked_options={"basic": f"headgate:{CANARY}"},
        key_settings=BASIC,
        wrong_key_settings=WRONG_BASIC,
    )


class TestOpenSearch(VendorSinkContract):
    """OpenSearch, which has no product header and refuses versioned media types."""

    subject = VendorSubject(
        plugin=elasticsearch.PLUGINS[0],
        vendor="elasticsearch",
        vendor_options={"generation": "opensearch"},
        settings=lambda url: {"hosts": [url], "target": "month"},
        cases_of="elasticsearch",
        reads_body=True,
        secret_settings={"bearer_token": CANARY},
        locked_options={"bearer": CANARY},
        key_settings={"bearer_token": CANARY},
        wrong_key_settings={"bearer_token": "wrong"},
    )


class TestHttpLines(VendorSinkContract):
    """The generic sink with JSON Lines and a signature."""

    subject = VendorSubject(
        plugin=http.PLUGINS[0],
        vendor="http",
        settings=lambda url: {"url": f"{url}/records"},
        secret_settings={**BASIC, "hmac": {"secret": CANARY}},
        locked_options={"hmac_secret": "a-long-secret"},
        key_settings={"hmac": {"secret": "a-long-secret"}},
        wrong_key_settings={"hmac": {"secret": "another-secret"}},
    )


class TestHttpArray(VendorSinkContract):
    """The generic sink with arrays, compressed and signed."""

    subject = VendorSubject(
        plugin=http.PLUGINS[0],
        vendor="http",
        settings=lambda url: {"url": f"{url}/{CANARY}", "format": "array", "gzip": True, "hmac": SIGNED},
        secret_settings={"bearer_token": CANARY, "proxy": None},
        locked_options={"hmac_secret": "a-long-secret", "bearer": "a-long-token"},
        key_settings={"bearer_token": "a-long-token"},
        wrong_key_settings={"bearer_token": "another-token"},
    )


class TestHttpSingle(VendorSinkContract):
    """The generic sink with one record a request."""

    subject = VendorSubject(
        plugin=http.PLUGINS[0],
        vendor="http",
        settings=lambda url: {"url": url, "format": "single", "template_headers": {"x-id": "{record_id}"}},
        secret_settings={"headers": {"x-key": CANARY}},
        locked_options={"basic": f"headgate:{CANARY}"},
        key_settings=BASIC,
        wrong_key_settings=WRONG_BASIC,
    )


def sumologic_subject(signal: str, **settings: object) -> VendorSubject:
    """One signal of a Sumo Logic source whose address holds a secret."""
    return VendorSubject(
        plugin=sumologic.PLUGINS[0],
        vendor="sumologic",
        settings=lambda url: {"url": f"{url}/receiver/v1/http/{CANARY}", "signals": [signal], **settings},
        cases_of="sumologic",
        statuses={400: "config", 408: "split"},
        deduplicates=False,
        secret_settings={"token": CANARY},
        locked_options={"token": "a-long-token"},
        key_settings={"token": "a-long-token"},
        wrong_key_settings={"token": "another-token"},
    )


class TestSumologicLogs(VendorSinkContract):
    """Log lines."""

    subject = sumologic_subject("logs", category="ci", fields={"team": "web"})


class TestSumologicJobFeed(VendorSinkContract):
    """The feed of jobs."""

    subject = sumologic_subject("job_feed")


class TestSumologicWorkflowFeed(VendorSinkContract):
    """The feed of workflows."""

    subject = sumologic_subject("workflow_feed")

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """Workflows."""
        return tagged_entries("workflow", count, first)


class TestSumologicMetrics(VendorSinkContract):
    """Metrics as Prometheus text."""

    subject = sumologic_subject("metrics", fields={"team": "web"})

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """Jobs with their ids as a tag, and so as a dimension: a point has no place for an id of its own."""
        return tagged_entries("job", count, first)


class TestSumologicCarbon(TestSumologicMetrics):
    """Metrics as Carbon 2.0."""

    subject = sumologic_subject("metrics", metrics_format="carbon2")


def tagged_entries(kind: Kind, count: int, first: int) -> list[LogEntry]:
    """Records of a kind with their ids in the tag `record_id`."""
    return [
        make_entry(
            first + n,
            kind=kind,
            occurred_ms=NOW_MS + n,
            tag__record_id=make_entry(first + n, kind=kind).record_id,
        )
        for n in range(count)
    ]


def newrelic_subject(signal: str, api: str, **more: object) -> VendorSubject:
    """New Relic with one signal switched on."""
    switches = {name: name == signal for name in ("events", "logs", "metrics", "spans")}
    return VendorSubject(
        plugin=newrelic.PLUGINS[0],
        vendor="newrelic",
        settings=lambda url: {"license_key": "k", "account_id": 1, "endpoints": {api: url}, **switches, **more},
        cases_of="newrelic",
        deduplicates=False,
        secret_settings={"license_key": CANARY},
        locked_options={"key": CANARY, "account": 1},
        key_settings={"license_key": CANARY},
        wrong_key_settings={"license_key": "wrong"},
    )


class TestNewRelicEvents(VendorSinkContract):
    """New Relic's Event API."""

    subject = newrelic_subject("events", "events")


class TestNewRelicLogs(VendorSinkContract):
    """New Relic's Log API."""

    subject = newrelic_subject("logs", "logs")


class TestNewRelicMetrics(VendorSinkContract):
    """New Relic's Metric API, with ids, so that it can be told which records came."""

    subject = newrelic_subject("metrics", "metrics", metric_ids=True)


class TestNewRelicSpans(VendorSinkContract):
    """New Relic's Trace API."""

    subject = newrelic_subject("spans", "traces")


class TestJsonlFile(SinkContract):
    """A file of lines."""

    subject = Subject(plugin=jsonl.PLUGINS[0])

    @contextmanager
    def far(self, directory: Path) -> Iterator[Far]:
        """A file that does not exist yet."""
        path = directory / "logs" / "records.jsonl"

        def ids() -> list[str | None]:
            return [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()] if path.exists() else []

        yield Far({"path": str(path)}, ids)


class TestPrometheus(SinkContract):
    """Remote write, which keeps no records but counts them."""

    subject = Subject(plugin=prometheus.PLUGINS[0], secret_settings=BASIC)

    @contextmanager
    def far(self, directory: Path) -> Iterator[Far]:
        """A strict receiver; the ids are those of nobody, so what is counted stands in for them."""
        with FakeVendor("prometheus", clock_ms=lambda: NOW_MS, basic=f"headgate:{CANARY}") as vendor:
            yield Far({"url": f"{vendor.url}/api/v1/write", **BASIC}, lambda: [None] * int(_counted(vendor)))

    async def test_a_batch_is_taken_whole_and_in_order(self, tmp_path: Path) -> None:
        """SINK-03: every record of a good batch is counted once."""
        with self.far(tmp_path) as far:
            async with open_sink(self.subject.plugin, far.settings) as (_, signal):
                assert await send(signal, make_batch(20)) == SendResult()
                assert len(far.ids()) == 20


def _counted(vendor: FakeVendor) -> float:
    """The newest count of jobs, 0 where none was told."""
    name = "cicd_pipeline_task_run_duration_seconds_count"
    told: list[float] = [row["native"]["value"] for row in vendor.stored() if row["native"]["name"] == name]
    return told[-1] if told else 0.0


def test_every_sink_is_under_contract() -> None:
    """SINK-00: a sink module without a contract class in this file is a failure."""
    names = {info.name for info in pkgutil.iter_modules(sinks.__path__) if not info.name.startswith("_")}
    found = {name for name in names if hasattr(importlib.import_module(f"headgate.sinks.{name}"), "PLUGINS")}
    # Other test files make contract classes of their own; the question is which ones are here.
    here = [case for case in _contracts(SinkContract) if case.__module__ == __name__]
    tested = {case.subject.plugin.name for case in here if "subject" in vars(case)}
    assert found == tested


def _contracts(root: type[SinkContract]) -> Iterator[type[SinkContract]]:
    for case in root.__subclasses__():
        yield case
        yield from _contracts(case)
