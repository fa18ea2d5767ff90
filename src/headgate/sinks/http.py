"""Any HTTP receiver: records as JSON Lines, as an array or one by one, with templated headers and an HMAC signature.

Invariant: the same batch gives the same request, signature included.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.packing import pack
from headgate.core.ports import BuildContext, CheckResult, HttpReply, HttpRequest, Limits, LogEntry, Plugin
from headgate.core.verdicts import SendResult, Verdict, classify, raise_for, retry_after_seconds
from headgate.plugins.config import PluginConfig, Secret, address_secrets, reveal
from headgate.sinks._endpoint import EndpointConfig, Redactor, SecretUrl, failed_check, probe, shown_address

__all__ = ["PLACEHOLDERS", "PLUGINS", "HmacConfig", "HttpConfig", "HttpSink", "HttpSinkSignal"]

_CONTENT_TYPE = {"jsonl": "application/x-ndjson", "array": "application/json", "single": "application/json"}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# The closed set of what a header may tell about a batch; the second group needs requests of one record.
_OF_BATCH = ("sink", "count", "sha256")
_OF_RECORD: dict[str, Callable[[LogEntry], str]] = {
    "record_id": lambda entry: entry.record_id,
    "kind": lambda entry: entry.kind,
    "project": lambda entry: entry.project,
}
PLACEHOLDERS = (*_OF_BATCH, *_OF_RECORD)


class HmacConfig(PluginConfig):
    """Signature of the bytes that are sent."""

    secret: Secret = Field(description="Key of the signature.")
    header: str = Field(
        default="x-headgate-signature",
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header that carries `v1=` and the signature in hex.",
    )
    algorithm: Literal["sha256"] = Field(default="sha256", description="Hash of the HMAC.")


class HttpConfig(EndpointConfig):
    """Options of a generic HTTP sink."""

    url: SecretUrl = Field(description="Full address. Path and query are treated as secret and never shown.")
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="HTTP method.")
    format: Literal["jsonl", "array", "single"] = Field(
        default="jsonl", description="JSON Lines, a JSON array, or one JSON object a request."
    )
    template_headers: Mapping[str, str] = Field(
        default_factory=dict,
        description="Headers with placeholders: {sink}, {count}, {sha256} of the body; with one record a request also "
        "{record_id}, {kind}, {project}.",
    )
    hmac: HmacConfig | None = Field(default=None, description="Sign each request.")
    gzip: bool = Field(default=False, description="Compress requests; a signature is over the compressed bytes.")
    success: frozenset[int] = Field(
        default=frozenset({200, 201, 202, 204}), min_length=1, description="Statuses that mean the batch was taken."
    )
    batch_records: int = Field(default=500, ge=1, description="Records of one request at most.")
    batch_bytes: int = Field(default=1_000_000, ge=1_000, description="Bytes of one request before compression.")
    concurrency: int = Field(default=16, ge=1, le=16, description="Requests in flight at most.")

    @property
    def one_record(self) -> bool:
        """Whether each request holds exactly one record."""
        return self.format == "single" or self.batch_records == 1

    @model_validator(mode="after")
    def _known_placeholders(self) -> Self:
        allowed = PLACEHOLDERS if self.one_record else _OF_BATCH
        for name, template in self.template_headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not template.isascii() or not template.isprintable():
                raise ValueError(f"template header {name!r} is not a header name with printable ASCII text")
            for found in _PLACEHOLDER.findall(template):
                if found not in allowed:
                    raise ValueError(f"{{{found}}} in header {name} is none of {', '.join(allowed)}")
        if bad := sorted(status for status in self.success if not 200 <= status < 300):
            raise ValueError(f"success statuses are 200 to 299, not {bad[0]}")
        return self


class HttpSinkSignal:
    """The receiver."""

    name = "post"
    kinds: frozenset[str] | None = None

    def __init__(self, name: str, config: HttpConfig, user_agent: str) -> None:
        self._sink = name
        self._config = config
        self._url = reveal(config.url)
        self._clean = redactor(config)
        self._headers = (
            ("user-agent", user_agent),
            ("content-type", _CONTENT_TYPE[config.format]),
            *config.credentials(),
        )
        self.destination = shown_address(self._url)
        self.transport = config.transport()
        self.limits = Limits(
            max_records=1 if config.one_record else config.batch_records,
            max_bytes=config.batch_bytes,
            concurrency=config.concurrency,
        )

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest:
        """The records in the order of the batch; signed when configured, over the bytes as they are sent."""
        config = self._config
        body = self._body(batch)
        headers = self._headers + self._templated(batch, body)
        compress_later = config.gzip and config.hmac is None
        if config.hmac:
            if config.gzip:
                body = pack(body)
                headers = (*headers, ("content-encoding", "gzip"))
            digest = hmac.new(reveal(config.hmac.secret).encode(), body, sha256).hexdigest()
            headers = (*headers, (config.hmac.header.lower(), f"v1={digest}"))
        return HttpRequest(
            config.method, self._url, headers, body, gzip=compress_later, timeout_seconds=config.timeout_seconds
        )

    def _body(self, batch: Sequence[LogEntry]) -> bytes:
        bodies = [entry.body for entry in batch]
        if self._config.format == "array":
            return b"[" + b",".join(bodies) + b"]"
        if self._config.format == "single":
            return bodies[0]
        return b"\n".join(bodies) + b"\n"

    def _templated(self, batch: Sequence[LogEntry], body: bytes) -> tuple[tuple[str, str], ...]:
        if not self._config.template_headers:
            return ()
        values = {"sink": self._sink, "count": str(len(batch)), "sha256": sha256(body).hexdigest()}
        if self._config.one_record:
            values |= {name: read(batch[0]) for name, read in _OF_RECORD.items()}
        return tuple(
            (name.lower(), _PLACEHOLDER.sub(lambda match: _header_text(values[match[1]]), template))
            for name, template in self._config.template_headers.items()
        )

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """The status alone decides; the batch is taken whole or not at all."""
        del batch
        if reply.status in self._config.success:
            return SendResult()
        verdict = classify(reply.status)
        if verdict is Verdict.OK:  # a success that the configuration does not list
            verdict = Verdict.RETRY
        wait = retry_after_seconds(reply.headers)
        raise_for(verdict, reply.status, self._clean.start(reply), retry_after=wait)
        return SendResult()


def _header_text(value: str) -> str:
    """A value made safe for a header: printable ASCII, everything else percent-encoded."""
    return quote(value, safe="/:@.,;=+-_~ ")


def redactor(config: HttpConfig) -> Redactor:
    """Takes the secrets of a receiver, its path and query and the tokens in them among them, out of text."""
    secret = reveal(config.hmac.secret) if config.hmac else ""
    return config.redactor(*address_secrets(reveal(config.url)), secret)


class HttpSink:
    """One receiver."""

    def __init__(self, name: str, config: HttpConfig, context: BuildContext) -> None:
        self.name = name
        self._config = config
        self._user_agent = context.user_agent
        self._signal = HttpSinkSignal(name, config, context.user_agent)

    def signals(self) -> Sequence[HttpSinkSignal]:
        return (self._signal,)

    async def check(self) -> Sequence[CheckResult]:
        """Ask with OPTIONS, which stores nothing. Few receivers know it, so only a refused key is held against them."""
        config, name = self._config, f"sinks.{self.name}"
        headers = (("user-agent", self._user_agent), *config.credentials())
        clean = redactor(config)
        try:
            reply = await probe("OPTIONS", reveal(config.url), headers, config.transport(), clean)
        except (SinkUnavailable, SinkRefused) as error:
            return (failed_check(name, error),)
        if reply.status in (401, 403):
            fix = f"{self._signal.destination} answered {reply.status}; check the key and its rights"
            return (CheckResult(name, ok=False, reason="auth", fix=fix),)
        return (CheckResult(name, ok=True, reason="ok"),)

    async def aclose(self) -> None:
        """Nothing is held open."""


def build(name: str, config: HttpConfig, context: BuildContext) -> HttpSink:
    """Make the sink; no I/O."""
    return HttpSink(name, config, context)


PLUGINS = (Plugin(kind="sink", name="http", config=HttpConfig, build=build),)
