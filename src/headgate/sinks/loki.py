"""Grafana Loki: records as lines of a few bounded streams, ids and branch as structured metadata.

Invariant: the line is the stored record, byte for byte, and time and metadata are functions of the record alone; so is
the stream, but for a live record that is late when it is encoded: a resend is a line that Loki already has and ignores,
unless it became late in between. Source of all limits and texts: grafana/loki `limits_config` and `pkg/distributor`,
read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Literal, Self

import msgspec
from pydantic import Field, field_validator, model_validator

from headgate.core.clock import Clock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, HttpRequest, Limits, LogEntry, Plugin
from headgate.core.record import decode_record
from headgate.core.times import HOUR_MS, MINUTE_MS, format_ms
from headgate.core.verdicts import SendResult, classify, raise_for, retry_after_seconds
from headgate.plugins.config import Duration, duration_field
from headgate.sinks._endpoint import BaseUrl, EndpointConfig, failed_check, judge_check, probe
from headgate.sinks._loki_refusals import reason_of, refused_lines
from headgate.sinks._measures import TAG_PREFIX

__all__ = ["PLUGINS", "LokiConfig", "LokiSignal", "LokiSink"]

PUSH = "/loki/api/v1/push"
LABELS = "/loki/api/v1/labels"
MAX_LABELS = 15
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS = frozenset({"service_name", "record", "project", "outcome", "backfill"})
# A live stream takes lines up to 1 h behind its newest; half of it is left for clocks, retries and requests in flight.
_LATE_MS = 30 * MINUTE_MS
# So old may a line become while its request is sent again as it is; the rest of the hour is for lines dated ahead.
_RENEWED_MS = 45 * MINUTE_MS
# "ingestion blocked ... with status code '260'": an operator's decision, so asking often is of no use.
_BLOCKED_STATUS = 260
_BLOCKED_SECONDS = 60.0
# The server's limit is 64 KiB of metadata a line; a shorter record cannot reach it.
_CUT_METADATA_OF_BYTES = 60_000
_CUT_METADATA_TO = 1_000
_CUT_TAGS_TO = 250
# The server takes 128 pairs of metadata a line.
_MOST_TAGS = 64


class LokiConfig(EndpointConfig):
    """Options of a Loki sink."""

    url: BaseUrl = Field(description="Base address, such as http://loki:3100, without `/loki/api/v1/push`.")
    tenant: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9!_.*'()|-]{1,150}$", description="Sent as `X-Scope-OrgID`."
    )
    service_name: str = Field(default="circleci", min_length=1, description="Value of the label `service_name`.")
    labels: frozenset[Literal["project", "outcome"]] = Field(
        default=frozenset({"project", "outcome"}),
        description="Labels taken from the record; leave `project` out when there are more than some hundred projects.",
    )
    tags: Mapping[str, str] = Field(default_factory=dict, description="Label -> value, of every stream.")
    max_age: Duration = duration_field(
        "7d", "Older records are skipped as too_old; as the server's `reject_old_samples_max_age`."
    )
    max_ahead: Duration = duration_field(
        "10m", "Records further in the future wait; as the server's `creation_grace_period`."
    )
    max_record_bytes: int = Field(default=262_144, ge=1, description="As the server's `max_line_size`.")
    batch_records: int = Field(default=5_000, ge=1, description="Records of one request at most.")
    batch_bytes: int = Field(default=1_000_000, ge=1_000, description="Bytes of one request before compression.")
    gzip: bool = Field(default=True, description="Compress requests.")
    backfill_shard: str | None = Field(
        default=None,
        pattern=r"^[!-~]{1,128}$",
        description="Sent as `X-Loki-Backfill-Shard` with what is not live (servers after 3.8); raise max_age with it.",
    )

    @field_validator("url")
    @classmethod
    def _base(cls, url: str) -> str:
        if url.endswith(PUSH):
            raise ValueError(f"the path {PUSH} is appended; write {url.removesuffix(PUSH)}")
        return url

    @model_validator(mode="after")
    def _bounded_labels(self) -> Self:
        for name in self.tags:
            if not _LABEL_NAME.fullmatch(name) or name in _OURS or name.startswith("__"):
                raise ValueError(f"tag {name!r} is not a free label name")
        if len(self.tags) + len(_OURS) > MAX_LABELS:
            raise ValueError(
                f"at most {MAX_LABELS - len(_OURS)} tags: they are labels, and the server takes {MAX_LABELS} in all"
            )
        return self


class _Attributes(msgspec.Struct, gc=False):
    """The few attributes that a line carries beside itself; everything else is passed over undecoded."""

    status: str | None = msgspec.field(default=None, name="headgate.status")
    workflow: str | None = msgspec.field(default=None, name="cicd.pipeline.name")
    workflow_id: str | None = msgspec.field(default=None, name="cicd.pipeline.run.id")
    job: str | None = msgspec.field(default=None, name="cicd.pipeline.task.name")
    job_id: str | None = msgspec.field(default=None, name="cicd.pipeline.task.run.id")
    branch: str | None = msgspec.field(default=None, name="vcs.ref.head.name")
    revision: str | None = msgspec.field(default=None, name="vcs.ref.head.revision")
    amends: str | None = msgspec.field(default=None, name="headgate.amends")


class _Line(msgspec.Struct, gc=False):
    attributes: _Attributes


class _Metadata(msgspec.Struct, gc=False, omit_defaults=True):
    """Structured metadata of a line: text only, flat."""

    record_id: str
    status: str | None = None
    project: str | None = None
    workflow: str | None = None
    workflow_id: str | None = None
    job: str | None = None
    job_id: str | None = None
    branch: str | None = None
    revision: str | None = None
    amends: str | None = None


_Value = tuple[str, str, _Metadata | dict[str, str]]
_TAG, _TAG_KEY = "tag_", f'"{TAG_PREFIX}'.encode()
_NOT_OF_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_decode_line = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


def _read(body: bytes) -> _Attributes:
    """What a line needs of a record. Attributes of an unforeseen type are left out: Loki takes text only."""
    try:
        found = _decode_line(body).attributes
    except msgspec.ValidationError:
        texts = {name: value for name, value in decode_record(body).attributes.items() if isinstance(value, str)}
        found = msgspec.convert(texts, _Attributes)
    if len(body) > _CUT_METADATA_OF_BYTES:
        for name in found.__struct_fields__:
            value = getattr(found, name)
            setattr(found, name, value[:_CUT_METADATA_TO] if value else value)
    return found


def _tagged(metadata: _Metadata, body: bytes) -> dict[str, str]:
    """The metadata with the record's tags: `tag.team` is `tag_team`, as LogQL can name it."""
    found = [(name, value) for name, value in decode_record(body).attributes.items() if name.startswith(TAG_PREFIX)]
    longest = _CUT_TAGS_TO if len(body) > _CUT_METADATA_OF_BYTES else None
    tags = {
        _TAG + _NOT_OF_A_NAME.sub("_", name[len(TAG_PREFIX) :])[:longest]: str(value)[:longest]
        for name, value in found[:_MOST_TAGS]
    }
    own: dict[str, str] = msgspec.to_builtins(metadata)
    return own | tags


@lru_cache(maxsize=4096)
def _hour_text(hour: int) -> str:
    """An hour since the epoch as `2026-11-20T10`."""
    return format_ms(hour * HOUR_MS)[:13]


class LokiSignal:
    """The push endpoint."""

    name = "push"
    kinds: frozenset[str] | None = None

    def __init__(self, config: LokiConfig, clock: Clock, user_agent: str) -> None:
        self._config, self._clock = config, clock
        self._clean = config.redactor()
        self._url = config.url + PUSH
        self._headers = (*request_headers(config, user_agent), ("content-type", "application/json"))
        self._project_label = "project" in config.labels
        self._outcome_label = "outcome" in config.labels
        self.destination = f"{self._url} (tenant {config.tenant})" if config.tenant else self._url
        self.transport = config.transport()
        self.limits = Limits(
            max_records=config.batch_records,
            max_bytes=config.batch_bytes,
            max_record_bytes=config.max_record_bytes,
            max_age_ms=config.max_age,
            max_ahead_ms=config.max_ahead,
        )

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest:
        """One push. Lines of a stream are ordered by time, streams by their first line in the batch."""
        late_ms = self._clock.now_ms() - _LATE_MS
        streams: dict[tuple[str, str, str, str], list[_Value]] = {}
        shared: list[int] = []
        shard = self._config.backfill_shard
        for entry in batch:
            body = entry.body
            found = _read(body)
            key = self._stream(entry, found.status, late_ms)
            if not key[3]:
                shared.append(entry.occurred_ms)
            metadata = _Metadata(
                entry.record_id,
                found.status,
                entry.project if entry.project and not key[1] else None,
                found.workflow,
                found.workflow_id,
                found.job,
                found.job_id,
                found.branch,
                found.revision,
                found.amends,
            )
            told = _tagged(metadata, body) if _TAG_KEY in body else metadata
            value = (f"{entry.occurred_ms}000000", body.decode(), told)
            if key in streams:
                streams[key].append(value)
            else:
                streams[key] = [value]
        headers = self._headers
        if shard and all(entry.lane != "live" for entry in batch):
            headers = (*headers, ("x-loki-backfill-shard", shard))
        return HttpRequest(
            "POST",
            self._url,
            headers,
            _encode({"streams": [self._pushed(key, values) for key, values in streams.items()]}),
            gzip=self._config.gzip,
            timeout_seconds=self._config.timeout_seconds,
            good_until_ms=min(shared) + _RENEWED_MS if shared else None,
        )

    def _stream(self, entry: LogEntry, status: str | None, late_ms: int) -> tuple[str, str, str, str]:
        """Kind, project, outcome and backfill hour of the entry's stream.

        What is not live, or occurred before `late_ms`, goes to the stream of its own hour: no line of it can be further
        behind than the server allows, whatever order they come in.
        """
        if entry.lane != "live" or entry.occurred_ms < late_ms:
            return (entry.kind, "", "", _hour_text(entry.occurred_ms // HOUR_MS))
        outcome = ""
        if self._outcome_label and entry.kind in ("workflow", "job"):
            outcome = status or ""
        return (entry.kind, entry.project if self._project_label else "", outcome, "")

    def _pushed(self, key: tuple[str, str, str, str], values: list[_Value]) -> dict[str, object]:
        kind, project, outcome, hour = key
        labels = {**self._config.tags, "service_name": self._config.service_name, "record": kind}
        labels |= {
            name: value for name, value in (("project", project), ("outcome", outcome), ("backfill", hour)) if value
        }
        values.sort(key=itemgetter(0))
        return {"stream": labels, "values": values}

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """204 and 200 are success, 260 is not. A 400 about single lines is read, or bisected where it is not exact.

        Bisecting sends lines again that were stored the first time; Loki ignores equal lines.
        """
        text = self._clean.start(reply)
        if reply.status == 400:
            words = self._clean(reply.text(len(reply.body)))
            rejected = refused_lines(words, batch)
            if rejected is not None:
                return SendResult(rejected=rejected)
            if reason := reason_of(words):
                raise BatchRejected(f"answered 400: {text[:500]}", status=400, reason=reason, words=text)
        if reply.status == 200 and reply.headers.get("content-type", "").startswith("text/html"):
            raise SinkRefused("answered 200 with a web page", reason="config", fix="check the address: not a Loki")
        wait = retry_after_seconds(reply.headers)
        if reply.status == _BLOCKED_STATUS:
            wait = _BLOCKED_SECONDS
        raise_for(classify(reply.status), reply.status, text, retry_after=wait)
        return SendResult()


def request_headers(config: LokiConfig, user_agent: str) -> tuple[tuple[str, str], ...]:
    """Headers of every request: who asks, for which tenant, with what credentials."""
    tenant = (("x-scope-orgid", config.tenant),) if config.tenant else ()
    return (("user-agent", user_agent), *tenant, *config.credentials())


class LokiSink:
    """One Loki."""

    def __init__(self, name: str, config: LokiConfig, context: BuildContext) -> None:
        self.name = name
        self._config = config
        self._headers = request_headers(config, context.user_agent)
        self._clean = config.redactor()
        self._signal = LokiSignal(config, context.clock, context.user_agent)

    def signals(self) -> Sequence[LokiSignal]:
        return (self._signal,)

    async def check(self) -> Sequence[CheckResult]:
        """Ask `/ready` (absent behind some gateways), then for the labels with tenant and credentials."""
        config, name = self._config, f"sinks.{self.name}"
        try:
            ready = await probe("GET", f"{config.url}/ready", self._headers, config.transport(), self._clean)
            reply = await probe("GET", config.url + LABELS, self._headers, config.transport(), self._clean)
        except (SinkUnavailable, SinkRefused) as error:
            return (failed_check(name, error),)
        if ready.status == 503:
            return (
                CheckResult(
                    name,
                    ok=False,
                    reason="not_ready",
                    fix=f"wait: {config.url}/ready says {self._clean(ready.text(200))}",
                ),
            )
        text, at = self._clean.start(reply, 200), config.url + LABELS
        result = judge_check(name, at, reply, text, "a Loki", rights="check the key, the tenant and their rights")
        if result.ok and not _lists_labels(reply):
            fix = f"{at} answered {reply.status} without a list of labels: {text}; the address is not that of a Loki"
            result = CheckResult(name, ok=False, reason="wrong_product", fix=fix)
        return (result,)

    async def aclose(self) -> None:
        """Nothing is held open."""


def _lists_labels(reply: HttpReply) -> bool:
    """Whether an answer is Loki's to the question for labels, of which an empty Loki has none."""
    try:
        told = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        return False
    return isinstance(told, dict) and told.get("status") == "success"


def build(name: str, config: LokiConfig, context: BuildContext) -> LokiSink:
    """Make the sink; no I/O."""
    return LokiSink(name, config, context)


PLUGINS = (Plugin(kind="sink", name="loki", config=LokiConfig, build=build),)
