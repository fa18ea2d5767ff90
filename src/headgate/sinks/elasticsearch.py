"""Elasticsearch 8 and 9, Elastic Cloud and OpenSearch: one document per record, created under the record's id.

Invariant: `create` with `_id` makes a resend harmless: 409 means that the document is there. In month indices for
ever; in data streams until the stream rolls over. Source: elastic.co "Bulk API" and "Data streams", read November 2026.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

import orjson
from pydantic import BeforeValidator, Field, field_validator, model_validator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.packing import pack
from headgate.core.ports import BuildContext, CheckResult, HttpReply, Limits, LogEntry, Plugin, SetUpStep
from headgate.core.record import KINDS
from headgate.core.times import format_ms
from headgate.core.verdicts import SendResult
from headgate.plugins.config import Duration, Secret, duration_field, reveal
from headgate.sinks._ecs import EcsMapper, data_stream
from headgate.sinks._elasticsearch_answers import product_of, read_bulk, refuses_media
from headgate.sinks._elasticsearch_setup import lacking, prepare
from headgate.sinks._elasticsearch_templates import Layout, data_views
from headgate.sinks._endpoint import (
    BaseUrl,
    EndpointConfig,
    Redactor,
    failed_check,
    judge_check,
    probe,
    refuse_unprintable,
)
from headgate.sinks._kibana import ask, bring_in
from headgate.sinks._saved_objects import Place, as_ndjson

if TYPE_CHECKING:
    from headgate.sinks._elasticsearch_client import BulkClient

__all__ = ["PLUGINS", "ElasticsearchConfig", "ElasticsearchSignal", "ElasticsearchSink"]

# Positions must stay, so items are thinned and never filtered.
_BULK = "/_bulk?filter_path=took,errors,items.*.status,items.*.error,items.*.failure_store"
_PART = r"^[a-z0-9_.]{1,100}$"


def _generation(value: object) -> object:
    """YAML reads an unquoted 8 as a number."""
    return str(value) if type(value) is int else value


class ElasticsearchConfig(EndpointConfig):
    """Options of an Elasticsearch or OpenSearch sink."""

    hosts: tuple[BaseUrl, ...] = Field(default=(), description="Addresses of the nodes, such as https://es:9200.")
    url: BaseUrl | None = Field(default=None, description="One address, instead of hosts.")
    cloud_id: str | None = Field(default=None, description="Elastic Cloud id, instead of hosts.")
    api_key: Secret | None = Field(default=None, description="API key, the base64 form of `id:key`.")
    generation: Annotated[Literal["auto", "8", "9", "opensearch"], BeforeValidator(_generation)] = Field(
        default="auto", description="Media types to send; auto sends the plain ones, which every generation takes."
    )
    target: Literal["data_stream", "month"] = Field(
        default="data_stream",
        description="`logs-circleci.<kind>-<namespace>`, or an index per kind and month of the record.",
    )
    namespace: str = Field(default="default", pattern=_PART, description="Last part of the data streams' names.")
    index_prefix: str = Field(
        default="circleci",
        pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$",
        description="First part of the month indices' names.",
    )
    retention: Duration = duration_field(
        "0s", "Age at which `sinks setup` lets the cluster delete documents, counted by index; 0s: never."
    )
    kibana_url: BaseUrl | None = Field(
        default=None,
        description="Kibana or OpenSearch Dashboards, with `/s/<space>` if it is not the default space; `sinks setup` "
        "puts data views there.",
    )
    tags: Mapping[str, str] = Field(default_factory=dict, description="ECS `labels` of every document.")
    ecs_tags: tuple[str, ...] = Field(default=(), description="ECS `tags` of every document, words without a value.")
    gzip: bool = Field(default=True, description="Compress requests.")
    batch_records: int = Field(default=1_000, ge=1, description="Records of one request at most.")
    batch_bytes: int = Field(default=2_000_000, ge=1_000, description="Bytes of the records of one request.")

    @field_validator("cloud_id")
    @classmethod
    def _readable_cloud_id(cls, value: str | None) -> str | None:
        if value is not None:
            cloud_host(value)
        return value

    @model_validator(mode="after")
    def _one_address_and_key(self) -> Self:
        if sum(map(bool, (self.hosts, self.url, self.cloud_id))) != 1:
            raise ValueError("set one of hosts, url and cloud_id")
        refuse_unprintable("api_key", reveal(self.api_key))
        if self.api_key and (self.basic_auth or self.bearer_token):
            raise ValueError("api_key, basic_auth and bearer_token exclude each other")
        return self

    @property
    def nodes(self) -> tuple[str, ...]:
        """Addresses of the nodes; empty with a cloud id."""
        return (self.url,) if self.url else self.hosts


def cloud_host(cloud_id: str) -> str:
    """The host that a cloud id names. Raises ValueError when it names none."""
    try:
        decoded = base64.b64decode(cloud_id.rpartition(":")[2], validate=True).decode()
        host, elasticsearch = decoded.split("$")[:2]
    except (binascii.Error, UnicodeDecodeError, ValueError) as exc:
        raise ValueError("cloud_id is not what the Elastic Cloud console shows") from exc
    name, _, port = host.partition(":")
    return f"{elasticsearch}.{name}:{port or 443}"


class ElasticsearchSignal:
    """The bulk endpoint."""

    name = "bulk"
    kinds: frozenset[str] | None = None

    def __init__(self, config: ElasticsearchConfig, client: BulkClient, user_agent: str) -> None:
        self._config = config
        self._client = client
        self._clean = redactor(config)
        self._headers = {"user-agent": user_agent, **media_types(config.generation)}
        if config.gzip:
            self._headers["content-encoding"] = "gzip"
        streams = config.target == "data_stream"
        self._mapper = EcsMapper(
            namespace=config.namespace if streams else None, tags=config.ecs_tags, labels=config.tags
        )
        self._streams: dict[str, str] = {kind: data_stream(kind, config.namespace).name for kind in KINDS}
        self._index_of = self._stream if streams else self._month_index
        self.destination = shown_address(config)
        self.limits = Limits(max_records=config.batch_records, max_bytes=config.batch_bytes)

    def encode(self, batch: Sequence[LogEntry]) -> bytes:
        """The bulk body: an action and a document per entry. Pure."""
        parts: list[bytes] = []
        document, index_of, dumps = self._mapper.document, self._index_of, orjson.dumps
        for entry in batch:
            parts.append(dumps({"create": {"_index": index_of(entry), "_id": entry.record_id}}))
            parts.append(document(entry.body))
        return b"\n".join([*parts, b""])

    def _stream(self, entry: LogEntry) -> str:
        return self._streams.get(entry.kind) or data_stream(entry.kind, self._config.namespace).name

    def _month_index(self, entry: LogEntry) -> str:
        return f"{self._config.index_prefix}-{entry.kind}-{_month(entry.occurred_ms)}"

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """One bulk request; encoded and compressed in a thread, because a thousand documents are milliseconds."""
        body = await asyncio.to_thread(self._packed, batch)
        reply = await self._client.call(
            "POST", _BULK, self._headers, body, timeout_seconds=self._config.timeout_seconds
        )
        return read_bulk(reply, len(batch), self._clean)

    def _packed(self, batch: Sequence[LogEntry]) -> bytes:
        body = self.encode(batch)
        return pack(body) if self._config.gzip else body


def _month(occurred_ms: int) -> str:
    """The month of a record, UTC, as `2026.11`."""
    return format_ms(occurred_ms)[:7].replace("-", ".")


def media_types(generation: str) -> dict[str, str]:
    """Content-Type and Accept. OpenSearch and other generations refuse the versioned names."""
    if generation in ("8", "9"):
        name = "application/vnd.elasticsearch+{}; compatible-with=" + generation
        return {"content-type": name.format("x-ndjson"), "accept": name.format("json")}
    return {"content-type": "application/x-ndjson", "accept": "application/json"}


def addresses(config: ElasticsearchConfig) -> tuple[str, ...]:
    """The nodes, at least one; a cloud id is one."""
    return config.nodes or (f"https://{cloud_host(config.cloud_id or '')}",)


def credentials(config: ElasticsearchConfig) -> tuple[tuple[str, str], ...]:
    """Headers that authenticate, as the client would send them, and the configured ones."""
    key = reveal(config.api_key)
    return (*config.credentials(), *((("authorization", f"ApiKey {key}"),) if key else ()))


def shown_address(config: ElasticsearchConfig) -> str:
    """Where documents go, without secrets."""
    nodes = ",".join(addresses(config))
    names = (
        f"logs-circleci.*-{config.namespace}" if config.target == "data_stream" else f"{config.index_prefix}-*-YYYY.MM"
    )
    return f"{nodes} {names}"


def redactor(config: ElasticsearchConfig) -> Redactor:
    """Knows the API key too."""
    return config.redactor(reveal(config.api_key))


def layout_of(config: ElasticsearchConfig) -> Layout:
    """What decides what `sinks setup` makes."""
    return Layout(config.target, config.namespace, config.index_prefix, config.retention)


class ElasticsearchSink:
    """One cluster."""

    def __init__(self, name: str, config: ElasticsearchConfig, client: BulkClient, context: BuildContext) -> None:
        self.name = name
        self._config = config
        self._client = client
        self._nodes = addresses(config)
        self._accept = media_types(config.generation)["accept"]
        self._headers = (("user-agent", context.user_agent), ("accept", self._accept), *credentials(config))
        self._signal = ElasticsearchSignal(config, client, context.user_agent)

    def signals(self) -> Sequence[ElasticsearchSignal]:
        return (self._signal,)

    async def check(self) -> Sequence[CheckResult]:
        """One line for the cluster and, with `kibana_url`, one for Kibana."""
        name, config = f"sinks.{self.name}", self._config
        try:
            found = [await self._check_cluster(name)]
        except (SinkUnavailable, SinkRefused) as error:
            found = [failed_check(name, error)]
        if config.kibana_url:
            place = Place(config.kibana_url, credentials(config), redactor(config))
            views = as_ndjson(data_views(layout_of(config)))
            found.append(await ask(f"{name}.kibana", place, config.transport(), views))
        return found

    async def _check_cluster(self, name: str) -> CheckResult:
        """Ask the cluster who it is, then for our templates where it has none that would do.

        OpenSearch is told by its own words, Elasticsearch by its product header. Raises as `probe`.
        """
        reply = await self._call("GET", "/", None)
        text, at = redactor(self._config).start(reply, 200), self._nodes[0]
        if refuses_media(reply):
            fix = f"{at} answered {reply.status}: {text}; set generation to auto, or to that of the cluster"
            return CheckResult(name, ok=False, reason="config", fix=fix)
        result, product = judge_check(name, at, reply, text, "an Elasticsearch"), product_of(reply)
        if not result.ok:
            return result
        if product is None:
            said = f"{at} answered without a product header: {text}"
            fix = f"{said}; the address is not that of an Elasticsearch or OpenSearch"
            return CheckResult(name, ok=False, reason="wrong_product", fix=fix)
        if product == "elasticsearch" and self._config.target == "data_stream":
            return result
        if missing := await lacking(self._call, product, layout_of(self._config)):
            fix = f"{at} has no {', '.join(missing)}; run `headgate sinks setup {self.name}`"
            return CheckResult(name, ok=False, reason="not_set_up", fix=fix)
        return result

    async def set_up(self, *, dry_run: bool) -> AsyncIterator[SetUpStep]:
        """Lifecycle policy, mapping and index templates; with `kibana_url` data views."""
        config, clean = self._config, redactor(self._config)
        layout = layout_of(config)
        async for step in prepare(self._call, layout, clean, dry_run=dry_run):
            yield step
        if config.kibana_url:
            place = Place(config.kibana_url, credentials(config), clean)
            views = as_ndjson(data_views(layout))
            async for step in bring_in(place, config.transport(), views, dry_run=dry_run):
                yield step

    async def _call(self, method: str, path: str, body: bytes | None) -> HttpReply:
        """Ask the nodes in turn until one answers, which is then the first. Raises as `probe`, naming the dead."""
        config, dead = self._config, []
        headers = self._headers if body is None else (*self._headers, ("content-type", self._accept))
        for node in self._nodes:
            try:
                reply = await probe(
                    method,
                    node + path,
                    headers,
                    config.transport(),
                    redactor(config),
                    body=body,
                    timeout_seconds=config.timeout_seconds,
                )
            except SinkUnavailable as error:
                dead.append(f"{error}")
            else:
                self._nodes = (node, *(one for one in self._nodes if one != node))
                return reply
        raise SinkUnavailable("; ".join(dead))

    async def aclose(self) -> None:
        await self._client.close()


def build(name: str, config: ElasticsearchConfig, context: BuildContext) -> ElasticsearchSink:
    """Make the sink and import the official client; no I/O."""
    from headgate.sinks._elasticsearch_client import BulkClient

    client = BulkClient(
        options=config.transport(),
        clean=redactor(config),
        hosts=config.nodes or None,
        cloud_id=config.cloud_id,
        api_key=reveal(config.api_key) or None,
        headers=dict(config.credentials()) or None,
    )
    return ElasticsearchSink(name, config, client, context)


PLUGINS = (Plugin(kind="sink", name="elasticsearch", config=ElasticsearchConfig, build=build, extra="elasticsearch"),)
