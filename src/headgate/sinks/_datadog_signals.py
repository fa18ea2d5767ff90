"""The signals of a Datadog sink: what each may hold, how a batch becomes a request, what an answer means.

Invariant: a body is a function of the batch, and Datadog's limits of size, number and age are declared, so the engine
keeps them. Limits: Datadog's API reference, read November 2026; the times that it does not state are marked [K].
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import orjson

from headgate.core.errors import SinkRefused
from headgate.core.ports import HttpReply, HttpRequest, Limits, LogEntry
from headgate.core.record import decode_record
from headgate.core.times import HOUR_MS, MINUTE_MS
from headgate.core.verdicts import MAX_RETRY_AFTER_SECONDS, Reject, SendResult, classify, raise_for, retry_after_seconds
from headgate.sinks._datadog_ci import ci_event
from headgate.sinks._datadog_events import dora_deployment, event
from headgate.sinks._datadog_logs import LogForm
from headgate.sinks._datadog_metrics import COUNT_KINDS, DISTRIBUTION_KINDS, DistributionForm, SeriesForm
from headgate.sinks._endpoint import EndpointConfig, Redactor

if TYPE_CHECKING:
    from headgate.sinks._datadog_client import Route

__all__ = ["DatadogSignal", "Look", "Packing", "Shape", "shape_of"]

Packing = Literal["gzip", "deflate", "identity"]
# "Payload contained 1 invalid point"
_COUNTED = re.compile(r"contained (\d+)")
_LOG_AGE_MS = 18 * HOUR_MS
# A record of 1 MB would be cut and still answered with success; the line and the tags are added to ours.
_LOG_RECORD_BYTES = 990_000
# 512,000 bytes may be on the wire, and series pack to a tenth.
_SERIES_BYTES = {True: 4_000_000, False: 512_000}
_SERIES_RECORDS = 5_000


@dataclass(frozen=True, slots=True)
class Look:
    """What of the configuration decides how records look. `tags`: normalized. `max_age_ms`: None: each intake's own."""

    env: str
    tags: tuple[str, ...]
    compat: bool
    shards: int
    max_age_ms: int | None
    gzip: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One signal. `body`: None when nothing of a batch is for it."""

    kinds: frozenset[str] | None
    limits: Limits
    body: Callable[[Sequence[LogEntry]], bytes | None]
    packing: Packing


def shape_of(name: str, look: Look) -> Shape:
    """The shape of the signal of this name. Raises KeyError for one that there is not."""
    return _SHAPES[name](look)


def _logs(look: Look) -> Shape:
    form = LogForm(look.env, look.tags)
    # How far ahead is [K].
    limits = Limits(
        1_000, 5_000_000, _LOG_RECORD_BYTES, max_age_ms=_oldest(look, _LOG_AGE_MS), max_ahead_ms=12 * HOUR_MS
    )
    return Shape(None, limits, lambda batch: b"[" + b",".join(map(form, batch)) + b"]", _packing(look))


def _metrics(look: Look) -> Shape:
    form = SeriesForm(look.env, look.tags, compat=look.compat, shards=look.shards)
    kinds = COUNT_KINDS | ({"job"} if look.compat else set())
    # A count has its place somewhere in its minute.
    age = max(0, (HOUR_MS if look.max_age_ms is None else look.max_age_ms) - MINUTE_MS)
    ahead = 9 * MINUTE_MS
    limits = Limits(_SERIES_RECORDS, _SERIES_BYTES[look.gzip], max_age_ms=age, max_ahead_ms=ahead)
    return Shape(kinds, limits, form, _packing(look))


def _distributions(look: Look) -> Shape:
    form = DistributionForm(look.env, look.tags, compat=look.compat)
    packing: Packing = "deflate" if look.gzip else "identity"
    # As v1 series; the age is [K].
    limits = Limits(_SERIES_RECORDS, 3_200_000, max_age_ms=_oldest(look, HOUR_MS), max_ahead_ms=10 * MINUTE_MS)
    return Shape(DISTRIBUTION_KINDS, limits, form, packing)


def _events(look: Look) -> Shape:
    def body(batch: Sequence[LogEntry]) -> bytes:
        (entry,) = batch
        return orjson.dumps(event(decode_record(entry.body), look.env, look.tags))

    limits = Limits(1, max_age_ms=_oldest(look, _LOG_AGE_MS), max_ahead_ms=2 * HOUR_MS)
    return Shape(frozenset({"alert", "deployment"}), limits, body, "identity")


def _ci(look: Look) -> Shape:
    def body(batch: Sequence[LogEntry]) -> bytes | None:
        found = (ci_event(decode_record(entry.body), look.env, look.tags) for entry in batch)
        data = [one for one in found if one is not None]
        return orjson.dumps({"data": data}) if data else None

    # No size is stated; other intakes take 5 MB.
    limits = Limits(1_000, 4_500_000, max_age_ms=_oldest(look, _LOG_AGE_MS), max_ahead_ms=MINUTE_MS)  # clocks differ
    return Shape(frozenset({"workflow", "job"}), limits, body, "identity")


def _dora(look: Look) -> Shape:
    def body(batch: Sequence[LogEntry]) -> bytes | None:
        (entry,) = batch
        found = dora_deployment(decode_record(entry.body), look.env, look.tags)
        return None if found is None else orjson.dumps(found)

    return Shape(frozenset({"deployment"}), Limits(1, max_age_ms=look.max_age_ms), body, "identity")


def _oldest(look: Look, window_ms: int) -> int:
    """The configured age, within what the intake takes."""
    return window_ms if look.max_age_ms is None else min(window_ms, look.max_age_ms)


def _packing(look: Look) -> Packing:
    return "gzip" if look.gzip else "identity"


_SHAPES: dict[str, Callable[[Look], Shape]] = {
    "logs": _logs,
    "metrics": _metrics,
    "distributions": _distributions,
    "events": _events,
    "ci": _ci,
    "dora": _dora,
}


class DatadogSignal:
    """One endpoint of Datadog."""

    def __init__(self, name: str, shape: Shape, route: Route, config: EndpointConfig, clean: Redactor) -> None:
        self.name = name
        self.kinds = shape.kinds
        self.limits = shape.limits
        self.destination = route.url
        self.transport = config.transport()
        self._shape = shape
        self._route = route
        self._timeout_seconds = config.timeout_seconds
        self._clean = clean
        packed = (("content-encoding", "deflate"),) if shape.packing == "deflate" else ()
        self._headers = (*route.headers, *packed)

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest | None:
        """One request; deflate, the one encoding that distributions have, is done here."""
        body = self._shape.body(batch)
        if body is None:
            return None
        if self._shape.packing == "deflate":
            body = zlib.compress(body, 1)
        return HttpRequest(
            self._route.method,
            self._route.url,
            self._headers,
            body,
            gzip=self._shape.packing == "gzip",
            timeout_seconds=self._timeout_seconds,
        )

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """202 is "accepted", never "stored". With errors in it, so many records were refused, and nobody says which."""
        text = self._clean.start(reply)
        if 200 <= reply.status < 300 and reply.headers.get("content-type", "").startswith("text/html"):
            raise SinkRefused(f"answered {reply.status} with a web page", reason="config", fix="check the addresses")
        wait = _reset_seconds(reply) if reply.status == 429 else None
        if wait is None:
            wait = retry_after_seconds(reply.headers)
        raise_for(classify(reply.status), reply.status, text, retry_after=wait)
        refused = _refused(reply)
        if refused and len(batch) == 1:
            return SendResult(rejected={0: Reject("refused", reply.status, text)})
        return SendResult(unnamed=min(refused, len(batch)), words=text if refused else "")


def _reset_seconds(reply: HttpReply) -> float | None:
    """Seconds until the rate limit begins anew, which Datadog tells instead of `Retry-After`."""
    text = reply.headers.get("x-ratelimit-reset", "").strip()
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if text.isdigit() else None


def _refused(reply: HttpReply) -> int:
    """How many points or records a success says that it refused; none where the body says nothing that can be read."""
    try:
        told = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return 0
    errors = told.get("errors") if isinstance(told, dict) else None
    if not isinstance(errors, list):
        return 0
    counted = (_COUNTED.search(str(one)) for one in errors)
    return sum(int(found[1]) if found else 1 for found in counted)
