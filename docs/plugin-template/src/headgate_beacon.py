"""Records to Beacon, a service that takes a JSON array of them."""

from collections.abc import Sequence

import httpx
from pydantic import Field

from headgate.core.ports import (
    CheckResult,
    HttpReply,
    HttpRequest,
    Limits,
    LogEntry,
    Plugin,
    TransportOptions,
)
from headgate.core.verdicts import SendResult, classify, raise_for, retry_after_seconds
from headgate.plugins import PluginConfig, Secret, reveal


class BeaconConfig(PluginConfig):
    """What people write under `sinks.<name>`. Frozen, and unknown keys are refused."""

    url: str = Field(description="Base address.")
    token: Secret = Field(description="Sent as a bearer token.")


class BeaconSignal:
    """The one endpoint. Both methods are pure: the engine sends."""

    name = "records"
    kinds = frozenset({"workflow", "job"})  # None: all kinds
    limits = Limits(max_records=100, max_bytes=500_000, concurrency=4)
    transport = TransportOptions()

    def __init__(self, config: BeaconConfig) -> None:
        self.destination = config.url  # shown to people: never a secret
        self._url = f"{config.url}/v1/records"
        self._headers = (
            ("authorization", f"Bearer {reveal(config.token)}"),
            ("content-type", "application/json"),
        )

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest:
        """Each entry's body is the record as stored JSON; the same batch gives the same bytes."""
        body = b"[" + b",".join(entry.body for entry in batch) + b"]"
        return HttpRequest("POST", self._url, self._headers, body, gzip=True)

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """The common reading of statuses. One refused record alone: SendResult(rejected={index: Reject(...)})."""
        wait = retry_after_seconds(reply.headers)
        raise_for(classify(reply.status), reply.status, "", retry_after=wait)
        return SendResult()


class BeaconSink:
    """Built once. Building does no I/O."""

    def __init__(self, name: str, config: BeaconConfig) -> None:
        self.name = name
        self._url = config.url
        self._signals = (BeaconSignal(config),)

    def signals(self) -> Sequence[BeaconSignal]:
        """One cursor for each."""
        return self._signals

    async def check(self) -> Sequence[CheckResult]:
        """What `headgate check` says; stores nothing and never raises."""
        try:
            async with httpx.AsyncClient(timeout=10.0) as client:
                await client.options(self._url)
        except httpx.HTTPError as exc:
            fix = f"{type(exc).__name__}: check url, network and proxy"
            return [CheckResult(f"sink {self.name}", ok=False, reason="unreachable", fix=fix)]
        return [CheckResult(f"sink {self.name}", ok=True, reason="ok")]

    async def aclose(self) -> None:
        """Nothing is held open."""


PLUGINS = (
    Plugin(
        kind="sink",
        name="beacon",
        config=BeaconConfig,
        build=lambda name, config, context: BeaconSink(name, config),
    ),
)
