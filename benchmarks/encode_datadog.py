"""Encoding and compressing 10,000 records for Datadog, beside the models, JSON and compression of its own client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from statistics import median
from types import SimpleNamespace
from typing import Any

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v1.api.metrics_api import MetricsApi as DistributionsApi
from datadog_api_client.v1.model.distribution_point import DistributionPoint
from datadog_api_client.v1.model.distribution_points_content_encoding import DistributionPointsContentEncoding
from datadog_api_client.v1.model.distribution_points_payload import DistributionPointsPayload
from datadog_api_client.v1.model.distribution_points_series import DistributionPointsSeries
from datadog_api_client.v2.api.ci_visibility_pipelines_api import CIVisibilityPipelinesApi
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.api.metrics_api import MetricsApi
from datadog_api_client.v2.model.ci_app_create_pipeline_event_request import CIAppCreatePipelineEventRequest
from datadog_api_client.v2.model.ci_app_create_pipeline_event_request_attributes import (
    CIAppCreatePipelineEventRequestAttributes,
)
from datadog_api_client.v2.model.ci_app_create_pipeline_event_request_data import CIAppCreatePipelineEventRequestData
from datadog_api_client.v2.model.ci_app_create_pipeline_event_request_data_type import (
    CIAppCreatePipelineEventRequestDataType,
)
from datadog_api_client.v2.model.ci_app_pipeline_event_finished_job import CIAppPipelineEventFinishedJob
from datadog_api_client.v2.model.ci_app_pipeline_event_job_level import CIAppPipelineEventJobLevel
from datadog_api_client.v2.model.ci_app_pipeline_event_job_status import CIAppPipelineEventJobStatus
from datadog_api_client.v2.model.content_encoding import ContentEncoding
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from datadog_api_client.v2.model.metric_content_encoding import MetricContentEncoding
from datadog_api_client.v2.model.metric_intake_type import MetricIntakeType
from datadog_api_client.v2.model.metric_payload import MetricPayload
from datadog_api_client.v2.model.metric_point import MetricPoint
from datadog_api_client.v2.model.metric_series import MetricSeries

from benchmarks.jobs import RECORDS, Batches, batches, jobs
from benchmarks.report import Row, row
from headgate.core.ports import HttpSignal, LogEntry
from headgate.core.record import decode_record
from headgate.core.times import parse_ms
from headgate.deliver.transport import prepare
from headgate.plugins.datadog import tags_of
from headgate.sinks._measures import Point, points
from headgate.sinks.datadog import PLUGINS
from headgate.testing.sink_harness import NOW_MS, build_sink, make_entry

ROUNDS = 3
TARGETS = {"metrics": 20.0, "logs": 15.0}


def usage() -> list[LogEntry]:
    """Rows of the usage export, each with two kinds of credits."""
    return [
        make_entry(
            n,
            kind="usage",
            occurred_ms=NOW_MS - n * 10,
            project=f"gh/acme/p{n % 12}",
            cicd__pipeline__task__name=f"job-{n % 8}",
            circleci__credits__compute=100 + n % 50,
            circleci__credits__storage=3,
            circleci__credits__total=103 + n % 50,
            circleci__resource_class="medium",
        )
        for n in range(RECORDS)
    ]


def ours(name: str) -> Callable[[Batches], int]:
    """Our encoding of one signal, and the compression of the engine's transport; gives the bytes on the wire."""
    signal = build_sink(PLUGINS[0], {"api_key": "k" * 32, "signals": [name]}).signals()[0]
    assert isinstance(signal, HttpSignal)

    def run(parts: Batches) -> int:
        requests = (signal.encode(part) for part in parts)
        return sum(len(prepare(request).body) for request in requests if request is not None)

    return run


class Wire:
    """Stands in for the client's connections: counts bytes and says that all is well."""

    def __init__(self) -> None:
        self.bytes = 0

    def request(self, *_: Any, body: Any = b"", **__: Any) -> SimpleNamespace:
        """An answer that each endpoint can read."""
        self.bytes += len(body)
        return SimpleNamespace(status=202, data=b"{}", headers={"Content-Type": "application/json"})

    def clear(self) -> None:
        """Called by the client's close."""


def client() -> tuple[ApiClient, Wire]:
    """The vendor's client with nobody at the other end."""
    made = ApiClient(Configuration(api_key={"apiKeyAuth": "k" * 32}))
    made.rest_client.pool_manager = wire = Wire()
    return made, wire


def measured(entries: Iterable[LogEntry], instrument: str) -> list[tuple[Point, list[str]]]:
    """Points and their tags, as somebody who uses the client's models would have them."""
    found = (point for entry in entries for point in points(decode_record(entry.body)))
    return [(point, tags_of(point.labels)) for point in found if point.measure.instrument == instrument]


def client_metrics(entries: Iterable[LogEntry]) -> int:
    """The client's series."""
    made, wire = client()
    series = [
        MetricSeries(
            metric=point.measure.name,
            type=MetricIntakeType.COUNT,
            interval=60,
            points=[MetricPoint(timestamp=point.at_ms // 1000, value=point.value)],
            tags=tags,
        )
        for point, tags in measured(entries, "counter")
    ]
    MetricsApi(made).submit_metrics(MetricPayload(series=series), content_encoding=MetricContentEncoding.GZIP)
    return wire.bytes


def client_distributions(entries: Iterable[LogEntry]) -> int:
    """The client's distributions."""
    made, wire = client()
    series = [
        DistributionPointsSeries(
            metric=point.measure.name,
            points=[DistributionPoint([float(point.at_ms // 1000), [point.value]])],
            tags=tags,
        )
        for point, tags in measured(entries, "histogram")
    ]
    DistributionsApi(made).submit_distribution_points(
        DistributionPointsPayload(series=series), content_encoding=DistributionPointsContentEncoding.DEFLATE
    )
    return wire.bytes


def client_logs(entries: Iterable[LogEntry], sender: ApiClient | None = None) -> int:
    """The client's logs, with the attributes that ours have; its model takes them as text alone."""
    made, wire = client()
    items = []
    for entry in entries:
        record = decode_record(entry.body)
        labels = (("project", record.project), ("branch", record.attributes.get("vcs.ref.head.name")))
        items.append(
            HTTPLogItem(
                ddsource="circleci",
                ddtags=",".join(tags_of(labels)),
                service=record.project or "",
                message=f"{record.kind} in {record.project}",
                timestamp=str(entry.occurred_ms),
                record_id=record.id,
                **{name: str(value) for name, value in record.attributes.items()},
            )
        )
    LogsApi(sender or made).submit_log(HTTPLog(items), content_encoding=ContentEncoding.GZIP)
    return wire.bytes


def client_ci(entries: Iterable[LogEntry]) -> int:
    """The client's CI events, one a request: of a list it sends nothing."""
    made, wire = client()
    api = CIVisibilityPipelinesApi(made)
    for entry in entries:
        record = decode_record(entry.body)
        found = {name: str(value) for name, value in record.attributes.items()}
        job = CIAppPipelineEventFinishedJob(
            level=CIAppPipelineEventJobLevel.JOB,
            id=found["cicd.pipeline.task.run.id"],
            name=found["cicd.pipeline.task.name"],
            pipeline_unique_id=found["cicd.pipeline.run.id"],
            pipeline_name=found["cicd.pipeline.name"],
            start=_when(found["circleci.started_at"]),
            end=_when(found["circleci.stopped_at"]),
            status=CIAppPipelineEventJobStatus.ERROR,
            url=found["cicd.pipeline.task.run.url.full"],
        )
        attributes = CIAppCreatePipelineEventRequestAttributes(resource=job, service=record.project or "", env="ci")
        kind = CIAppCreatePipelineEventRequestDataType.CIPIPELINE_RESOURCE_REQUEST
        data = CIAppCreatePipelineEventRequestData(attributes=attributes, type=kind)
        api.create_ci_app_pipeline_event(CIAppCreatePipelineEventRequest(data=data))
    return wire.bytes


def _when(text: str) -> datetime:
    return datetime.fromtimestamp((parse_ms(text) or 0) / 1000, UTC)


PEERS: dict[str, tuple[Callable[[], list[LogEntry]], int, Callable[[Iterable[LogEntry]], int]]] = {
    "metrics": (usage, 5_000, client_metrics),
    "distributions": (jobs, 5_000, client_distributions),
    "logs": (jobs, 1_000, client_logs),
    "ci": (jobs, 1_000, client_ci),
}


def run(*, long: bool) -> list[Row]:
    """Processor milliseconds of both ways, in turns; `met`: ours is as many times faster as was set."""
    rows = []
    for name, (records, size, peer) in PEERS.items():
        parts, encode = batches(records(), size), ours(name)
        mine, theirs = [], []
        for _ in range(ROUNDS * (4 if long else 1)):
            mine.append(_ms(lambda encode=encode, parts=parts: encode(parts)))
            theirs.append(_ms(lambda peer=peer, parts=parts: sum(map(peer, parts))))
        value, other = median(mine), median(theirs)
        target = TARGETS.get(name)
        words = f"{target:g} times faster" if target else ""
        met = other / value >= target if target else None
        rows.append(row(f"Datadog {name}", value, "ms", peer=("client", other), target=words, met=met))
    return rows


def _ms(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1000
