"""One attempt to send one batch: encode, compress, send, interpret; every way it can end as one answer.

Invariant: nothing a sink does escapes from here except cancellation: an error of its code becomes an answer of verdict
`internal`. It never waits, retries or touches the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from headgate.core.clock import Clock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import CallSignal, HttpReply, HttpSignal, LogEntry
from headgate.core.verdicts import SendResult
from headgate.deliver.transport import TimedOut, Transport, Wire, prepare

__all__ = ["Answer", "AnswerVerdict", "Caller"]

T = TypeVar("T")

# `oversize`: found by us before sending, the far side knows nothing of it.
AnswerVerdict = Literal["ok", "partial", "retry", "split", "drop", "auth", "config", "internal", "oversize"]

# Work longer than this goes to a thread, so that the event loop answers webhooks meanwhile.
_INLINE_SECONDS = 0.001
_INLINE_REPLY_BYTES = 65_536
# A vendor's client that does not end by itself within this has lost its way.
_CALL_SECONDS = 120.0

# Statuses whose meaning is known (core.verdicts, and the 5xx that servers and proxies document). Any other that a
# sink wants sent again is one nobody foresaw.
_FORESEEN = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended. `wire`: what to send again. `seconds`: round trip. `text`: for people, without secrets.

    `status`: of the HTTP answer, None without one. `overloaded`: 429, 503 or time-out. `unforeseen`: a status that no
    table names. `words`: the far side's, for dead letters, as the sink told them: without secrets.
    """

    verdict: AnswerVerdict
    seconds: float = 0.0
    result: SendResult = field(default_factory=SendResult)
    wire: Wire | None = None
    text: str = ""
    reason: str = ""
    status: int | None = None
    words: str = ""
    retry_after: float | None = None
    overloaded: bool = False
    unforeseen: bool = False


class Caller:
    """Sends batches of one signal."""

    def __init__(
        self, signal: HttpSignal | CallSignal, transport: Transport, clock: Clock, executor: Executor | None
    ) -> None:
        self._http = signal if isinstance(signal, HttpSignal) else None
        self._call = signal if self._http is None and isinstance(signal, CallSignal) else None
        self._max_bytes = signal.limits.max_bytes
        self._transport = transport
        self._clock = clock
        self._executor = executor
        # Running mean of what it takes to encode and compress one record, seconds; unknown counts as long.
        self._record_seconds = _INLINE_SECONDS

    async def attempt(self, entries: Sequence[LogEntry], wire: Wire | None) -> Answer:
        """Send once. `wire`: the bytes of an earlier attempt with the same entries, used while they are good."""
        started = self._clock.monotonic()
        try:
            if self._call is not None:
                return await self._attempt_call(self._call, entries, started)
            if self._http is None:
                return Answer("internal", text="the signal is neither an HttpSignal nor a CallSignal")
            return await self._attempt_http(self._http, entries, wire)
        except Exception as exc:  # noqa: BLE001  # a sink's bug must not harm the others; it is told and held
            return Answer("internal", self._clock.monotonic() - started, text=_bug(exc), reason="internal")

    async def _attempt_call(self, signal: CallSignal, entries: Sequence[LogEntry], started: float) -> Answer:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                result = await signal.send(entries)
        except TimeoutError:
            text = f"the client did not end within {_CALL_SECONDS:g} s"
            return Answer("retry", self._clock.monotonic() - started, text=text, overloaded=True)
        except (SinkUnavailable, BatchRejected, SinkRefused) as exc:
            return _refusal(exc, self._clock.monotonic() - started, None, None, overloaded=True)
        return _accepted(result, entries, self._clock.monotonic() - started, None, None)

    async def _attempt_http(self, signal: HttpSignal, entries: Sequence[LogEntry], wire: Wire | None) -> Answer:
        if wire is None or (wire.good_until_ms is not None and wire.good_until_ms < self._clock.now_ms()):
            try:
                wire = await self._prepare(signal, entries)
                if wire is None:
                    return _accepted(SendResult(), entries, 0.0, None, None)
            except (BatchRejected, SinkRefused) as exc:
                return _refusal(exc, 0.0, None, None, overloaded=False)
            if wire.body_bytes > self._max_bytes:
                words = f"{wire.body_bytes} bytes encoded, at most {self._max_bytes}"
                return Answer("oversize", wire=wire, text=words, reason="too_large", words=words)
        started = self._clock.monotonic()
        try:
            reply = await self._transport.send(wire, signal.transport)
        except (SinkUnavailable, SinkRefused) as exc:
            return _refusal(exc, self._clock.monotonic() - started, wire, None, overloaded=isinstance(exc, TimedOut))
        seconds = self._clock.monotonic() - started
        overloaded = reply.status in {429, 503}
        try:
            long = len(reply.body) > _INLINE_REPLY_BYTES
            result = await self._work(lambda: signal.interpret(reply, entries), thread=long)
        except (SinkUnavailable, BatchRejected, SinkRefused) as exc:
            return _refusal(exc, seconds, wire, reply, overloaded=overloaded)
        return _accepted(result, entries, seconds, wire, reply)

    async def _prepare(self, signal: HttpSignal, entries: Sequence[LogEntry]) -> Wire | None:
        clock = self._clock

        def work() -> tuple[Wire | None, float]:
            started = clock.monotonic()
            request = signal.encode(entries)
            wire = prepare(request) if request is not None else None
            return wire, clock.monotonic() - started

        expected = self._record_seconds * len(entries)
        wire, seconds = await self._work(work, thread=expected > _INLINE_SECONDS)
        self._record_seconds += 0.2 * (seconds / len(entries) - self._record_seconds)
        return wire

    async def _work(self, work: Callable[[], T], *, thread: bool) -> T:
        if not thread or self._executor is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _bug(exc: Exception) -> str:
    """Type and place of an unexpected error; its text may hold a secret."""
    place = exc.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" in {place.tb_frame.f_code.co_name}, line {place.tb_lineno}" if place is not None else ""
    return f"the sink's code failed: {type(exc).__name__}{where}"


def _accepted(
    result: SendResult, entries: Sequence[LogEntry], seconds: float, wire: Wire | None, reply: HttpReply | None
) -> Answer:
    named = {*result.rejected, *result.retry}
    if named and not (min(named) >= 0 and max(named) < len(entries)):
        return Answer("internal", seconds, text="the sink named a record outside of the batch", reason="internal")
    return Answer(
        "partial" if named else "ok",
        seconds,
        result,
        wire,
        text=f"{len(result.retry)} records to be sent again" if result.retry else "",
        status=reply.status if reply else None,
        retry_after=result.retry_after,
    )


def _refusal(
    exc: SinkUnavailable | BatchRejected | SinkRefused,
    seconds: float,
    wire: Wire | None,
    reply: HttpReply | None,
    *,
    overloaded: bool,
) -> Answer:
    status = reply.status if reply else None
    if isinstance(exc, SinkUnavailable):
        unforeseen = status is not None and status not in _FORESEEN and not 200 <= status < 300
        return Answer(
            "retry",
            seconds,
            wire=wire,
            text=str(exc),
            status=status,
            retry_after=exc.retry_after,
            overloaded=overloaded,
            unforeseen=unforeseen,
        )
    if isinstance(exc, BatchRejected):
        verdict: AnswerVerdict = "split" if exc.reason == "too_large" else "drop"
        code = status if exc.status is None else exc.status
        return Answer(verdict, seconds, wire=wire, text=str(exc), reason=exc.reason, status=code, words=exc.words)
    verdict = "auth" if exc.reason == "auth" else "config"
    return Answer(verdict, seconds, wire=wire, text=str(exc), reason=exc.reason, status=status)
