"""Sumo Logic: records as log lines, as metrics and in forms that others send, to an HTTP source.

Invariant: the headers of a request are those of its signal, so that no record is stored under another one's category
or fields; and neither the address nor the token of the source is ever shown. Source: Sumo Logic documentation, "HTTP
Logs and Metrics Source", read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, HttpRequest, Limits, LogEntry, Plugin
from headgate.core.record import Record, decode_record
from headgate.core.times import DAY_MS, MINUTE_MS
from headgate.core.verdicts import SendResult, Verdict, classify, raise_for, retry_after_seconds
from headgate.plugins.config import Secret, address_secrets, reveal
from headgate.sinks._endpoint import (
    EndpointConfig,
    Redactor,
    SecretUrl,
    failed_check,
    judge_check,
    origin,
    probe,
    refuse_unprintable,
)
from headgate.sinks._sumologic_feeds import job_feed, workflow_feed
from headgate.sinks._sumologic_lines import Document, fitting_line, log_document
from headgate.sinks._sumologic_metrics import CONTENT_TYPES, KINDS, MetricsFormat, metrics_body
from headgate.sinks._sumologic_webhooks import webhook_form

__all__ = ["PLUGINS", "SignalName", "SumologicConfig", "SumologicSignal", "SumologicSink"]

SignalName = Literal["logs", "metrics", "job_feed", "workflow_feed", "webhooks"]
_NAMES: tuple[SignalName, ...] = get_args(SignalName)
# Kinds of record, form of a line, and the category that the app looks for.
_FEEDS: dict[SignalName, tuple[frozenset[str], Callable[[Record], Document], str | None]] = {
    "job_feed": (frozenset({"job"}), job_feed, "circleci/job-collector"),
    "workflow_feed": (frozenset({"workflow"}), workflow_feed, "circleci/workflow-collector"),
    "webhooks": (frozenset({"workflow", "job"}), webhook_form, None),
}
_LINES = "application/x-ndjson"
# The source drops metrics that are a day old or ahead; this much is left for clocks and the way there.
_METRICS_MS = DAY_MS - 5 * MINUTE_MS
# No header says how long a quota is exceeded.
_QUOTA_SECONDS = 5.0
_SPECIAL = {400: Verdict.CONFIG, 408: Verdict.SPLIT}
_MOST_FIELDS = 30
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_FIELD_VALUE = re.compile(r"[ !-+\--<>-~]{1,200}")
# Words of every source's address; all others of its path are part of the key.
_PATH_WORDS = frozenset({"", "receiver", "v1", "http"})
_TEXT = r"^[!-~]{1,1024}$"


class SumologicConfig(EndpointConfig):
    """Options of a Sumo Logic sink."""

    url: SecretUrl = Field(
        description="Address of the HTTP source. Its path is a secret and never shown; where the source has a token, "
        "the address without it."
    )
    token: Secret | None = Field(default=None, description="Sent as `x-sumo-token`, for sources that want one.")
    signals: frozenset[SignalName] = Field(
        default=frozenset({"logs", "metrics"}),
        min_length=1,
        description="What to send; the feeds are for the vendor's CircleCI app, `webhooks` for searches made for "
        "CircleCI's own webhooks.",
    )
    name: str | None = Field(default=None, pattern=_TEXT, description="Sent as `X-Sumo-Name`.")
    host: str | None = Field(default=None, pattern=_TEXT, description="Sent as `X-Sumo-Host`.")
    category: str | None = Field(
        default=None,
        pattern=_TEXT,
        description="Sent as `X-Sumo-Category` with all but the feeds, which have the category that the app looks for.",
    )
    tags: Mapping[str, str] = Field(
        default_factory=dict, description="Fields of every log message, dimensions of every metric; 30 at most."
    )
    metrics_format: MetricsFormat = Field(default="prometheus", description="Content type of the metrics.")
    max_line_bytes: int = Field(
        default=60_000, ge=4_096, le=65_536, description="Longer lines are cut; Sumo would cut one of over 64 KB."
    )
    batch_records: int = Field(default=2_000, ge=1, description="Records of one request at most.")
    batch_bytes: int = Field(default=1_000_000, ge=1_000, description="Bytes of one request before compression.")
    concurrency: int = Field(
        default=1, ge=1, le=16, description="Requests in flight of one signal; the vendor wants 1."
    )
    gzip: bool = Field(default=True, description="Compress requests.")

    @model_validator(mode="after")
    def _sendable_tags(self) -> Self:
        if len(self.tags) > _MOST_FIELDS:
            raise ValueError(f"at most {_MOST_FIELDS} tags")
        for name, value in self.tags.items():
            if not _FIELD.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a field: letters, digits, `_`, `.`, `-`")
            if not _FIELD_VALUE.fullmatch(value):
                raise ValueError(f"the value of tag {name} is not 1 to 200 ASCII characters without `,` and `=`")
        refuse_unprintable("token", reveal(self.token))
        return self

    def secrets(self) -> Redactor:
        """Takes the address, each part of it that is a key, and the token out of text."""
        url = reveal(self.url)
        keys = set(urlsplit(url).path.split("/")) - _PATH_WORDS
        return self.redactor(*address_secrets(url), *sorted(keys), reveal(self.token))


_Body = Callable[[Sequence[LogEntry]], bytes]


class SumologicSignal:
    """One kind of request to the source."""

    def __init__(self, name: SignalName, config: SumologicConfig, user_agent: str) -> None:
        self.name: str = name
        self._config = config
        self._clean = config.secrets()
        self._url = reveal(config.url)
        self._headers = (*request_headers(config, user_agent), *_source_headers(name, config))
        self.kinds, self._body = _content(name, config)
        # The path is the key: a new one is a rotated key, not another place.
        self.destination = origin(self._url)
        self.transport = config.transport()
        age = _METRICS_MS if name == "metrics" else None
        self.limits = Limits(
            max_records=config.batch_records,
            max_bytes=config.batch_bytes,
            max_age_ms=age,
            max_ahead_ms=age,
            concurrency=config.concurrency,
        )

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest | None:
        """One request; None when the records measure nothing, or hold nothing that a feed tells."""
        body = self._body(batch)
        if not body:
            return None
        return HttpRequest(
            "POST",
            self._url,
            self._headers,
            body,
            gzip=self._config.gzip,
            timeout_seconds=self._config.timeout_seconds,
        )

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """The status alone decides. 408 is halved, for the source ran out of time; a single record is sent again."""
        text = self._clean.start(reply)
        if reply.status == 200 and reply.headers.get("content-type", "").startswith("text/html"):
            raise SinkRefused("answered 200 with a web page", reason="config", fix="check the address: not a source")
        verdict = classify(reply.status, _SPECIAL)
        if reply.status == 408 and len(batch) == 1:
            verdict = Verdict.RETRY
        wait = retry_after_seconds(reply.headers)
        if reply.status == 429 and wait is None:
            wait = _QUOTA_SECONDS
        fix = "check the address of the HTTP source and its token"
        raise_for(verdict, reply.status, text, retry_after=wait, fix=fix)
        return SendResult()


def _content(name: SignalName, config: SumologicConfig) -> tuple[frozenset[str] | None, _Body]:
    """The kinds of records that a signal takes, and how its body is made."""
    if name == "metrics":
        return KINDS, partial(metrics_body, form=config.metrics_format)
    if name == "logs":
        return None, partial(_lines, render=log_document, max_bytes=config.max_line_bytes)
    kinds, render, _ = _FEEDS[name]
    return kinds, partial(_lines, render=render, max_bytes=config.max_line_bytes)


def _lines(batch: Sequence[LogEntry], render: Callable[[Record], Document], max_bytes: int) -> bytes:
    return b"".join(fitting_line(decode_record(entry.body), render, max_bytes) for entry in batch)


def request_headers(config: SumologicConfig, user_agent: str) -> tuple[tuple[str, str], ...]:
    """Headers of every request: who asks, and the token."""
    token = (("x-sumo-token", reveal(config.token)),) if config.token else ()
    return (("user-agent", user_agent), ("x-sumo-client", "headgate"), *token, *config.credentials())


def _source_headers(name: SignalName, config: SumologicConfig) -> tuple[tuple[str, str], ...]:
    """What the source is told of all records of a signal."""
    metrics = name == "metrics"
    category = (_FEEDS[name][2] if name in _FEEDS else None) or config.category
    fields = ",".join(f"{field}={value}" for field, value in config.tags.items())
    given = (
        ("x-sumo-name", config.name),
        ("x-sumo-host", config.host),
        ("x-sumo-category", category),
        ("x-sumo-dimensions" if metrics else "x-sumo-fields", fields),
        ("content-type", CONTENT_TYPES[config.metrics_format] if metrics else _LINES),
    )
    return tuple((header, value) for header, value in given if value)


class SumologicSink:
    """One HTTP source."""

    def __init__(self, name: str, config: SumologicConfig, context: BuildContext) -> None:
        self.name = name
        self._config = config
        self._headers = request_headers(config, context.user_agent)
        self._signals = tuple(
            SumologicSignal(signal, config, context.user_agent) for signal in _NAMES if signal in config.signals
        )

    def signals(self) -> Sequence[SumologicSignal]:
        return self._signals

    async def check(self) -> Sequence[CheckResult]:
        """Post nothing at all: the source judges address and token, and there is no line that it could store."""
        config, name, clean = self._config, f"sinks.{self.name}", self._config.secrets()
        try:
            reply = await probe("POST", reveal(config.url), self._headers, config.transport(), clean)
        except (SinkUnavailable, SinkRefused) as error:
            return (failed_check(name, error),)
        text, at = clean.start(reply, 200), origin(reveal(config.url))
        rights = "copy the address of the source again; it holds the key"
        result = judge_check(name, at, reply, text, "a Sumo Logic HTTP source", rights=rights)
        if result.ok and text:
            said = f"{at} answered {reply.status}: {text}"
            fix = f"{said}; a Sumo Logic HTTP source says nothing, the address is another's"
            result = CheckResult(name, ok=False, reason="wrong_product", fix=fix)
        return (result,)

    async def aclose(self) -> None:
        """Nothing is held open."""


def build(name: str, config: SumologicConfig, context: BuildContext) -> SumologicSink:
    """Make the sink; no I/O."""
    return SumologicSink(name, config, context)


PLUGINS = (Plugin(kind="sink", name="sumologic", config=SumologicConfig, build=build),)
