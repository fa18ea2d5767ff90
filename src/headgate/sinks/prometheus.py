"""Prometheus: CI metrics with true histograms, to be scraped at `/metrics/ci` or pushed by remote write 1.

Invariant: a record is counted once while the process runs. Series are cumulative and begin at nothing with each start,
which is a counter reset as Prometheus knows it; remote write says so with a sample of nothing just before the first. A
write whose answer was lost is repeated byte for byte, or with the same totals, so nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple, Self

import httpx
from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from pydantic import Field, model_validator

from headgate.core.clock import Clock
from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, Limits, LogEntry, Plugin
from headgate.core.record import decode_record
from headgate.core.times import MINUTE_MS
from headgate.core.verdicts import SendResult, classify, raise_for, retry_after_seconds
from headgate.plugins.config import Duration, duration_field
from headgate.sinks._endpoint import BaseUrl, EndpointConfig, answer, connections, failed_check, judge_check, unanswered
from headgate.sinks._measures import MEASURES, Point, points
from headgate.sinks._tally import Cell, Key, Tally, family_name, samples

__all__ = ["PLUGINS", "PrometheusConfig", "PrometheusSink", "RemoteWriteSignal", "ScrapeSignal"]

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_KINDS = frozenset({measure.kind for measure in MEASURES} | {"insight"})
_Labels = list[tuple[str, str]]
# A repeat may carry its old time this long: receivers refuse samples that are older than their newest block.
_REPEATED_FOR_MS = 5 * MINUTE_MS
_THROTTLED = 429
_BATCH = 2_000
_BATCH_BYTES = 4_000_000


class PrometheusConfig(EndpointConfig):
    """Options of a Prometheus sink."""

    url: BaseUrl | None = Field(
        default=None,
        description="Remote write address, such as http://prometheus:9090/api/v1/write; none: no remote write.",
    )
    scrape: bool | None = Field(
        default=None, description="Serve `/metrics/ci`; unless given: yes where there is no url."
    )
    tags: Mapping[str, str] = Field(default_factory=dict, description="Label -> value, of every series.")
    max_age: Duration = duration_field(
        "1h", "Older records are skipped as too_old: a counter counts when it is told, and history would be a spike."
    )
    stale_after: Duration = duration_field("7d", "Series that nothing touched for so long are no longer served.")
    zero_first: Duration = duration_field(
        "60s",
        "How long a new series is shown as 0 when scraped, so that `increase` sees its first value; at least as long as"
        " the longest scrape interval.",
    )
    max_series: int = Field(
        default=20_000, ge=1, description="Label sets at most; further ones are counted under `overflow`."
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for name in self.tags:
            if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or name == "le":
                raise ValueError(f"label {name!r} is not a free label name")
        if self.scrape is False and self.url is None:
            raise ValueError("set url, or leave scrape on: otherwise nobody gets anything")
        return self

    @property
    def scraped(self) -> bool:
        """Whether `/metrics/ci` is served."""
        return self.url is None if self.scrape is None else self.scrape


def _points(batch: Sequence[LogEntry]) -> Iterator[Point]:
    for entry in batch:
        yield from points(decode_record(entry.body), entry.occurred_ms)


class _MetricSignal:
    """What both signals share. Totals are made one batch after the other."""

    kinds: frozenset[str] | None = _KINDS

    def __init__(self, config: PrometheusConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._tally = Tally(most=config.max_series, stale_ms=config.stale_after)
        self.limits = Limits(max_records=_BATCH, max_bytes=_BATCH_BYTES, max_age_ms=config.max_age, concurrency=1)


class ScrapeSignal(_MetricSignal):
    """Adds up what `/metrics/ci` shows."""

    name = "scrape"
    destination = "/metrics/ci"

    def __init__(self, config: PrometheusConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        # When a page first showed a label set; while that is young it is shown as nothing.
        self._shown: dict[Key, int] = {}

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """Add the records up, in a thread, because thousands are milliseconds. Cannot fail."""
        changed = await asyncio.to_thread(lambda: self._tally.after(_points(batch), self._clock.now_ms()))
        self._tally.take(changed)
        return SendResult()

    def page(self) -> bytes:
        """The page, without what is stale. May be called in any thread."""
        self._tally.drop_stale(self._clock.now_ms())
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """The families, as the client library's writer wants them."""
        family: Metric | None = None
        cells, now_ms = self._tally.items(), self._clock.now_ms()
        self._shown = {key: self._shown.get(key, now_ms) for key, _ in cells}
        for key, cell in cells:
            measure = key[0]
            young = now_ms - self._shown[key] < self._config.zero_first
            if family is None or family.name != family_name(measure):
                if family is not None:
                    yield family
                family = Metric(family_name(measure), measure.meaning, measure.instrument)
            for name, labels, value in samples(key, cell):
                shown = 0.0 if young and measure.instrument != "gauge" else value
                family.add_sample(name, {**self._config.tags, **labels}, shown)
        if family is not None:
            yield family


class _NeverSentError(SinkUnavailable):
    """No connection came about, so the far side has nothing of it."""


class _Write(NamedTuple):
    """One request: when, the totals it tells, its bytes."""

    at_ms: int
    changed: Mapping[Key, Cell]
    body: bytes


class RemoteWriteSignal(_MetricSignal):
    """Pushes totals whenever records change them."""

    name = "remote_write"

    def __init__(self, config: PrometheusConfig, url: str, clock: Clock, user_agent: str) -> None:
        # Only who writes remotely needs the extra.
        from headgate.sinks._remote_write import CONTENT_HEADERS, pack, write_request

        super().__init__(config, clock)
        self._url = url
        self._pack, self._write_request = pack, write_request
        self._headers = (("user-agent", user_agent), *CONTENT_HEADERS, *config.credentials())
        self._clean = config.redactor()
        self._client: httpx.AsyncClient | None = None
        self._lock = asyncio.Lock()
        self._last_ms = 0
        self._failed: _Write | None = None
        # Label sets whose last write has no certain end: it may have been stored.
        self._doubtful: set[Key] = set()
        self.destination = url

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """Write the totals that the batch leads to; they are ours once the far side has them."""
        async with self._lock:
            self._tally.drop_stale(self._clock.now_ms())
            write = await asyncio.to_thread(self._next_write, batch)
            if not write.changed:
                return SendResult()
            reply = await self._posted(write)
            raise_for(
                classify(reply.status),
                reply.status,
                self._clean.start(reply),
                retry_after=retry_after_seconds(reply.headers),
            )
            if reply.headers.get("content-type", "").startswith("text/html"):
                raise SinkRefused("answered with a web page", reason="config", fix="check the address")
            self._failed = None
            self._doubtful -= write.changed.keys()
            self._tally.take(write.changed)
        return SendResult()

    def _next_write(self, batch: Sequence[LogEntry]) -> _Write:
        """The failed write again if it was about the same, byte for byte; else one at a time of its own."""
        now_ms, failed = self._clock.now_ms(), self._failed
        recent = failed is not None and now_ms - failed.at_ms < _REPEATED_FOR_MS
        if failed and recent and self._tally.after(_points(batch), failed.at_ms) == failed.changed:
            return failed
        # Samples of a series must never go back in time, whatever the clock does; one is left for the old total.
        at_ms = self._last_ms = max(now_ms, self._last_ms + 2)
        changed = self._tally.after(_points(batch), at_ms)
        return _Write(at_ms, changed, self._pack(self._write_request(self._series(changed, at_ms))))

    async def _posted(self, write: _Write) -> HttpReply:
        """The answer; a write that was not certainly refused, or never sent, leaves its label sets in doubt."""
        self._failed = write
        in_doubt = set(self._doubtful)
        self._doubtful |= write.changed.keys()
        try:
            reply = await self._post(write.body)
        except _NeverSentError:
            self._doubtful = in_doubt
            raise
        if reply.status == _THROTTLED:
            self._doubtful = in_doubt
        return reply

    def _series(self, changed: Mapping[Key, Cell], at_ms: int) -> Iterator[tuple[_Labels, list[tuple[int, float]]]]:
        """Each series with its new total, and just before it the old one, so that any window sees the increase.

        The old one is left out where the far side may hold the new one already: it would look like a reset.
        """
        for key, cell in changed.items():
            before = self._tally.get(key)
            told = key[0].instrument != "gauge" and key not in self._doubtful
            olds = [value for _, _, value in samples(key, before)] if before else repeat(0.0)
            for (name, labels, value), old in zip(samples(key, cell), olds, strict=False):
                found = sorted({**self._config.tags, **labels, "__name__": name}.items())
                yield found, [(at_ms - 1, old), (at_ms, value)] if told else [(at_ms, value)]

    async def _post(self, body: bytes) -> HttpReply:
        if self._client is None:
            self._client = await connections(self._config.transport(), self._config.timeout_seconds)
        try:
            return answer(await self._client.post(self._url, content=body, headers=list(self._headers)))
        except (httpx.HTTPError, OSError) as exc:
            error = unanswered(self._url, exc, self._clean)
            never_sent = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            if never_sent and isinstance(error, SinkUnavailable):
                raise _NeverSentError(str(error)) from exc
            raise error from exc

    async def try_nothing(self) -> HttpReply:
        """Write no series at all. Raises as `send`."""
        return await self._post(self._pack(self._write_request(())))

    async def aclose(self) -> None:
        """Free the connection."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


class PrometheusSink:
    """One Prometheus, or many that scrape."""

    def __init__(self, name: str, config: PrometheusConfig, context: BuildContext) -> None:
        self.name = name
        self._config = config
        self._scrape = ScrapeSignal(config, context.clock) if config.scraped else None
        self._remote = RemoteWriteSignal(config, config.url, context.clock, context.user_agent) if config.url else None

    def signals(self) -> Sequence[ScrapeSignal | RemoteWriteSignal]:
        return [signal for signal in (self._scrape, self._remote) if signal is not None]

    def exposition(self) -> bytes | None:
        """What `/metrics/ci` shows."""
        return self._scrape.page() if self._scrape else None

    async def check(self) -> Sequence[CheckResult]:
        """Write nothing, where there is a far side: address, credentials and product are tried, no series is made."""
        name, config = f"sinks.{self.name}", self._config
        if self._remote is None or config.url is None:
            return (CheckResult(name, ok=True, reason="ok"),)
        try:
            reply = await self._remote.try_nothing()
        except (SinkUnavailable, SinkRefused) as error:
            return (failed_check(name, error),)
        text = config.redactor().start(reply, 200)
        rights = "check user, password or token, and headers that name a tenant"
        return (judge_check(name, config.url, reply, text, "a remote write receiver", rights=rights),)

    async def aclose(self) -> None:
        if self._remote is not None:
            await self._remote.aclose()


def build(name: str, config: PrometheusConfig, context: BuildContext) -> PrometheusSink:
    """Make the sink; imports the writer where there is a url; no I/O."""
    return PrometheusSink(name, config, context)


PLUGINS = (Plugin(kind="sink", name="prometheus", config=PrometheusConfig, build=build, extra="prometheus"),)
