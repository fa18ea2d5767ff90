"""What a sink is tested with: records, a transport, the class of an outcome, a delivery loop without waiting.

Public, with `sink_suite`. Invariant: nothing here waits or asks the clock; the delivery loop repeats a bounded number
of times and then fails, so a sink that never comes to an end ends the test.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkError, SinkRefused, SinkUnavailable
from headgate.core.ids import record_id
from headgate.core.metrics import NullMetrics
from headgate.core.ports import (
    BuildContext,
    CallSignal,
    HttpReply,
    HttpRequest,
    HttpSignal,
    Lane,
    LogEntry,
    Plugin,
    Sink,
)
from headgate.core.record import Attribute, Kind, Record, encode_record
from headgate.core.times import format_ms
from headgate.core.verdicts import Reject, SendResult
from headgate.plugins.tls import verification

__all__ = [
    "CONTEXT",
    "NOW_MS",
    "Delivered",
    "build_sink",
    "deliver",
    "ids_of",
    "make_batch",
    "make_entry",
    "open_sink",
    "outcome_class",
    "send",
    "try_send",
]

# 2026-11-20T10:02:10Z. Fakes that judge ages get this clock.
NOW_MS = 1_795_168_930_000
CONTEXT = BuildContext(ManualClock(NOW_MS), NullMetrics(), "headgate-test")
_MOST_REQUESTS = 2_000
Signal = HttpSignal | CallSignal


def make_entry(
    seq: int,
    *,
    kind: Kind = "job",
    lane: Lane = "live",
    occurred_ms: int = NOW_MS,
    project: str = "gh/acme/web",
    **attributes: Attribute,
) -> LogEntry:
    """One record on its way. `seq` makes it unlike all others; attribute names have `__` for each dot."""
    found: dict[str, Attribute] = {
        "cicd.pipeline.name": "build",
        "cicd.pipeline.run.id": f"00000000-0000-4000-8000-{seq // 8:012d}",
        "cicd.pipeline.task.name": "unit",
        "cicd.pipeline.task.run.id": f"00000000-0000-4000-9000-{seq:012d}",
        "circleci.duration_ms": 130_000,
        "circleci.job.number": seq,
        "circleci.status": "failed",
        "headgate.status": "failure",
        "vcs.ref.head.name": "main",
    }
    found |= {name.replace("__", "."): value for name, value in attributes.items()}
    record = Record(
        id=record_id(kind, "circleci.com", f"sample-{seq}"),
        schema=1,
        kind=kind,
        occurred_at=format_ms(occurred_ms),
        observed_at=format_ms(occurred_ms + 900),
        sources=["webhook"],
        tenant="circleci.com",
        org="gh/acme",
        project=project,
        attributes=dict(sorted(found.items())),
    )
    return LogEntry(seq, lane, record.id, kind, occurred_ms, project, seq // 8, encode_record(record))


def make_batch(count: int, *, first: int = 1, lane: Lane = "live") -> list[LogEntry]:
    """`count` jobs of one project, 10 ms apart, the last of them now."""
    return [make_entry(first + n, lane=lane, occurred_ms=NOW_MS - (count - 1 - n) * 10) for n in range(count)]


def build_sink(plugin: Plugin, settings: Mapping[str, object], *, name: str = "sample") -> Sink:
    """A sink from plain settings. Raises pydantic.ValidationError and ConfigError."""
    sink: Sink = plugin.build(name, plugin.config.model_validate(dict(settings)), CONTEXT)
    return sink


def ids_of(batch: Sequence[LogEntry]) -> list[str]:
    """The records' ids, in the order of the batch."""
    return [entry.record_id for entry in batch]


@asynccontextmanager
async def open_sink(plugin: Plugin, settings: Mapping[str, object]) -> AsyncIterator[tuple[Sink, Signal]]:
    """A sink from plain settings, its first signal, and its end."""
    sink = build_sink(plugin, settings)
    try:
        yield sink, sink.signals()[0]
    finally:
        await sink.aclose()


async def transmit(request: HttpRequest, signal: HttpSignal) -> HttpReply:
    """Send a request as the engine's transport does: once, compressed when asked, following nothing."""
    options = signal.transport
    headers, body = list(request.headers), request.body
    if request.gzip:
        body = gzip.compress(body, 1, mtime=0)
        headers.append(("content-encoding", "gzip"))
    try:
        async with httpx.AsyncClient(
            verify=verification(options), proxy=options.proxy, timeout=request.timeout_seconds, trust_env=True
        ) as client:
            reply = await client.request(request.method, request.url, headers=headers, content=body)
    except (httpx.HTTPError, OSError) as exc:
        raise SinkUnavailable(f"{type(exc).__name__}: {exc}") from exc
    return HttpReply(reply.status_code, {name.lower(): value for name, value in reply.headers.items()}, reply.content)


async def send(signal: Signal, batch: Sequence[LogEntry]) -> SendResult:
    """Send one batch, whichever kind of signal it is. Raises as `CallSignal.send`."""
    if isinstance(signal, CallSignal):
        return await signal.send(batch)
    request = signal.encode(batch)
    return SendResult() if request is None else signal.interpret(await transmit(request, signal), batch)


async def try_send(signal: Signal, batch: Sequence[LogEntry]) -> SendResult | SinkError:
    """The result of a batch, or the error it ended with; anything but a SinkError is a fault of the sink."""
    try:
        return await send(signal, batch)
    except SinkError as error:
        return error


def outcome_class(outcome: SendResult | SinkError) -> str:
    """The class of `sink-cases.json` that an outcome stands for.

    A BatchRejected whose reason is neither of the two general ones says that single records are at fault and must be
    found by halving: that is `partial`.
    """
    match outcome:
        case SendResult():
            return "partial" if outcome.rejected or outcome.retry or outcome.unnamed else "ok"
        case SinkUnavailable():
            return "retry"
        case SinkRefused():
            return outcome.reason
        case BatchRejected():
            return {"too_large": "split", "refused": "drop"}.get(outcome.reason, "partial")
    return type(outcome).__name__


@dataclass(slots=True)
class Delivered:
    """What became of a batch: ids accepted in the order of acceptance, ids rejected, requests made."""

    accepted: list[str] = field(default_factory=list)
    rejected: dict[str, Reject] = field(default_factory=dict)
    requests: int = 0


async def deliver(signal: Signal, batch: Sequence[LogEntry]) -> Delivered:
    """Deliver as the engine does, without waiting: repeat what is unavailable, halve what is rejected.

    Raises SinkRefused as it comes, and AssertionError when there is no end to it.
    """
    done = Delivered()
    waiting = [list(batch)]
    while waiting:
        part = waiting.pop(0)
        done.requests += 1
        assert done.requests < _MOST_REQUESTS, "the sink comes to no end with this batch"
        try:
            result = await send(signal, part)
        except SinkUnavailable:
            waiting.insert(0, part)
            continue
        except BatchRejected as error:
            if len(part) == 1:
                done.rejected[part[0].record_id] = Reject(error.reason, error.status, error.words)
            else:
                half = len(part) // 2
                waiting[:0] = [part[:half], part[half:]]
            continue
        again = []
        for index, entry in enumerate(part):
            if index in result.rejected:
                done.rejected[entry.record_id] = result.rejected[index]
            elif index in result.retry:
                again.append(entry)
            else:
                done.accepted.append(entry.record_id)
        if again:
            waiting.insert(0, again)
    return done
