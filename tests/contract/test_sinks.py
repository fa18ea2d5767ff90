"""Every sink of ours through the public contract suite; docs/spec/component.md has the rules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import httpx
import orjson

from headgate import sinks
from headgate.core.ids import record_id
from headgate.core.ports import LogEntry
from headgate.core.record import Kind
from headgate.core.verdicts import SendResult
from headgate.sinks import datadog, elasticsearch, http, jsonl, loki, newrelic, otlp, prometheus, sumologic
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


class PreparedContract(VendorSinkContract):
    """A cluster that has the index template which `sinks setup` makes."""

    @contextmanager
    def running(self, **options: Any) -> Iterator[FakeVendor]:
        """Prepared before anything else asks; what it saw of that is forgotten."""
        with super().running(**options) as vendor:
            settings = {**self.subject.settings(vendor.url), **(self.subject.key_settings if options else {})}
            config = elasticsearch.ElasticsearchConfig.model_validate(settings)
            accept = elasticsearch.media_types(config.generation)["accept"]
            headers = {**dict(config.credentials()), "accept": accept, "content-type": accept}
            template = {"index_patterns": ["circleci-none-*"]}
            httpx.put(f"{vendor.url}/_index_template/circleci", json=template, headers=headers).raise_for_status()
            vendor.clear()
            yield vendor


class TestElasticsearchMonth(PreparedContract):
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


class TestOpenSearch(PreparedContract):
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

    subject = sumologic_subject("logs", category="ci", tags={"team": "web"})


class TestSumologicJobFeed(VendorSinkContract):
    """The feed of jobs."""

    subject = sumologic_subject("job_feed")


class TestSumologicWebhooks(VendorSinkContract):
    """Lines in the form of CircleCI's webhooks."""

    subject = sumologic_subject("webhooks", category="ci")


class TestSumologicWorkflowFeed(VendorSinkContract):
    """The feed of workflows."""

    subject = sumologic_subject("workflow_feed")

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """Workflows."""
        return tagged_entries("workflow", count, first)


class TestSumologicMetrics(VendorSinkContract):
    """Metrics as Prometheus text."""

    subject = sumologic_subject("metrics", tags={"team": "web"})

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
    return VendorSubject(
        plugin=newrelic.PLUGINS[0],
        vendor="newrelic",
        settings=lambda url: {
            "license_key": "k",
            "account_id": 1,
            "endpoints": {api: url},
            "signals": [signal],
            **more,
        },
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


def otlp_subject(signal: str, encoding: str, **more: object) -> VendorSubject:
    """One signal in one encoding. By the specification every failure but four statuses is final."""
    return VendorSubject(
        plugin=otlp.PLUGINS[0],
        vendor="otlp",
        settings=lambda url: {"url": url, "signals": [signal], "encoding": encoding, **more},
        cases_of="otlp",
        reads_body=True,
        secret_settings={"headers": {"x-api-key": CANARY}},
        locked_options={"bearer": CANARY},
        key_settings={"bearer_token": CANARY},
        wrong_key_settings={"bearer_token": "wrong"},
        statuses=dict.fromkeys((408, 418, 425, 500, 599), "drop"),
        # A delta that is sent twice is counted twice.
        deduplicates=signal != "metrics" or "temporality" in more,
    )


class TestOtlpTraces(VendorSinkContract):
    """Spans in protobuf."""

    subject = otlp_subject("traces", "protobuf")


class TestOtlpTracesJson(VendorSinkContract):
    """Spans in JSON."""

    subject = otlp_subject("traces", "json")


class TestOtlpMetrics(VendorSinkContract):
    """Deltas in protobuf."""

    subject = otlp_subject("metrics", "protobuf")


class TestOtlpMetricsJson(VendorSinkContract):
    """Deltas in JSON."""

    subject = otlp_subject("metrics", "json")


class TestOtlpMetricsCumulative(VendorSinkContract):
    """Totals in protobuf."""

    subject = otlp_subject("metrics", "protobuf", temporality="cumulative")


class TestOtlpMetricsCumulativeJson(VendorSinkContract):
    """Totals in JSON."""

    subject = otlp_subject("metrics", "json", temporality="cumulative")


class TestOtlpLogs(VendorSinkContract):
    """Log records in protobuf."""

    subject = otlp_subject("logs", "protobuf")


class TestOtlpLogsJson(VendorSinkContract):
    """Log records in JSON."""

    subject = otlp_subject("logs", "json")


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


def _datadog(signal: str) -> Callable[[str], dict[str, object]]:
    """Settings of a Datadog sink that has this signal alone, with all addresses on one server."""

    def settings(url: str) -> dict[str, object]:
        return {
            "api_key": "a-made-up-key",
            "endpoints": dict.fromkeys(("api", "logs", "events"), url),
            "signals": [signal],
        }

    return settings


DATADOG = VendorSubject(
    plugin=datadog.PLUGINS[0],
    vendor="datadog",
    cases_of="datadog",
    secret_settings={"api_key": CANARY},
    locked_options={"api_key": CANARY},
    key_settings={"api_key": CANARY},
    wrong_key_settings={"api_key": "another-key"},
)


class TestDatadogLogs(VendorSinkContract):
    """Logs v2, which fold nothing."""

    subject = replace(DATADOG, settings=_datadog("logs"), deduplicates=False)


class TestDatadogCi(VendorSinkContract):
    """CI Visibility, where the same id with the same times is one event."""

    subject = replace(DATADOG, settings=_datadog("ci"), packs="")


class TestDatadogEvents(VendorSinkContract):
    """Events v1, one alert a request."""

    subject = replace(DATADOG, settings=_datadog("events"), deduplicates=False, packs="")

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """Alerts."""
        return [make_entry(first + n, kind="alert") for n in range(count)]


class TestDatadogDora(VendorSinkContract):
    """DORA deployments, known by their id."""

    subject = replace(DATADOG, settings=_datadog("dora"), packs="")

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """Deployments."""
        return [make_entry(first + n, kind="deployment", deployment__status="succeeded") for n in range(count)]


class PointVendor(FakeVendor):
    """Points have no record's id, so each record of a test has a value of its own, by which it is known again."""

    kind: Kind = "job"

    def record_ids(self) -> list[str | None]:
        """Ids of the records whose values are there."""
        return [record_id(self.kind, "circleci.com", f"sample-{row['native']['value']:.0f}") for row in self.stored()]


class PointContract(VendorSinkContract):
    """Metrics and distributions: records of `kind` with an `attribute` of `unit` times their number."""

    kind: ClassVar[Kind]
    attribute: ClassVar[str]
    unit: ClassVar[int]

    @contextmanager
    def running(self, **options: Any) -> Iterator[FakeVendor]:
        """The fake, which names records by values."""
        wanted = {**self.subject.vendor_options, **options}
        with PointVendor(self.subject.vendor, clock_ms=lambda: NOW_MS, **wanted) as vendor:
            vendor.kind = self.kind
            yield vendor

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """Records whose value is their number."""
        name, unit = self.attribute.replace(".", "__"), self.unit
        spread = [NOW_MS - 10 * (count - 1 - n) for n in range(count)]
        return [
            make_entry(first + n, kind=self.kind, occurred_ms=at_ms, **{name: (first + n) * unit})
            for n, at_ms in enumerate(spread)
        ]


class TestDatadogMetrics(PointContract):
    """Counts, whose place is their record's own, so that a resend is the point that is there."""

    subject = replace(DATADOG, settings=_datadog("metrics"))
    kind = "usage"
    attribute = "circleci.credits.compute"
    unit = 1


class TestDatadogDistributions(PointContract):
    """Durations, which add up, a resend's too."""

    subject = replace(DATADOG, settings=_datadog("distributions"), deduplicates=False, packs="deflate")
    kind = "job"
    attribute = "circleci.duration_ms"
    unit = 1_000


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
