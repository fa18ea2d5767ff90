"""What one answer means for the records, the signal's gate, the figures and the log. No I/O but logging.

Invariant: every entry of a part is afterwards settled, postponed, or back in its queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.clock import Clock
from headgate.core.metrics import Metrics
from headgate.core.ports import LogEntry
from headgate.core.verdicts import Reject, SendResult
from headgate.deliver.bisect import halve
from headgate.deliver.calling import Answer
from headgate.deliver.gate import Gate, Hold
from headgate.deliver.guard import RefusalGuard
from headgate.deliver.lane import UNNAMED
from headgate.deliver.limits import SizeRatio
from headgate.deliver.parts import Part, Parts, make_part

__all__ = ["DeliveryEvent", "Settlement"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryEvent:
    """Something about a signal that people should learn. `reason`: fixed word; `text`: without secrets."""

    kind: Literal["opened", "held", "resumed"]
    sink: str
    signal: str
    reason: str
    text: str
    at_ms: int


class Settlement:
    """Applies answers for one signal."""

    def __init__(
        self,
        sink: str,
        signal: str,
        *,
        gate: Gate,
        parts: Parts,
        clock: Clock,
        metrics: Metrics,
        policy: BackOff,
        on_event: Callable[[DeliveryEvent], None],
    ) -> None:
        self._sink, self._signal = sink, signal
        self._gate, self._parts = gate, parts
        self._clock, self._metrics, self._policy = clock, metrics, policy
        self._on_event = on_event
        self._guard = RefusalGuard()
        self._told: set[str] = set()
        self.ratio = SizeRatio()

    def settle(self, part: Part, answer: Answer) -> None:
        """Apply the answer to a part in flight."""
        now = self._clock.monotonic()
        self._parts.finish(part)
        self._measure(part, answer)
        match answer.verdict:
            case "ok":
                self._answered(part, answer, now)
                self._accept(part, part.entries, answer.result)
                self._note(part, len(part.entries), 0)
            case "partial":
                self._partial(part, answer, now)
            case "retry":
                self._retry(part, answer, now)
            case "split" | "drop" | "oversize":
                self._split(part, answer, now)
            case "auth" | "config" | "internal":
                self._hold(part, Hold(answer.verdict, answer.text), now)
                part.lane.put_back(part.entries)
        if self._gate.hold is not None:
            for other in self._parts.give_up():
                other.lane.put_back(other.entries)

    def skipped(self, reason: str, count: int) -> None:
        """Count records that were not sent."""
        self._metrics.count("headgate_sink_skipped_total", count, sink=self._sink, signal=self._signal, reason=reason)

    def filtered(self, by: str, count: int) -> None:
        """Count records that the sink's `records` section holds back."""
        self._metrics.count("headgate_sink_filtered_total", count, sink=self._sink, signal=self._signal, by=by)

    def records(self, outcome: str, count: int) -> None:
        """Count records by outcome."""
        if count:
            self._metrics.count(
                "headgate_sink_records_total", count, sink=self._sink, signal=self._signal, outcome=outcome
            )

    def _measure(self, part: Part, answer: Answer) -> None:
        if answer.wire is not None:
            self.ratio.learn(part.size, answer.wire.body_bytes)
        if answer.verdict == "oversize":
            return
        sink, signal = self._sink, self._signal
        self._metrics.count("headgate_sink_requests_total", sink=sink, signal=signal, verdict=answer.verdict)
        self._metrics.observe("headgate_sink_request_seconds", answer.seconds, sink=sink, signal=signal)
        if answer.unforeseen:
            status = str(answer.status)
            self._metrics.count("headgate_sink_unforeseen_answers_total", sink=sink, signal=signal, status=status)
            if self._tell_once(f"status {status}"):
                _log.warning("unforeseen answer, retried", sink=sink, signal=signal, status=status, text=answer.text)

    def _tell_once(self, what: str) -> bool:
        new = what not in self._told
        self._told.add(what)
        return new

    def _answered(self, part: Part, answer: Answer, now: float) -> None:
        """The far side is up and means what it says; a held signal goes on."""
        self._gate.succeeded(now, answer.seconds, probe=part.probe)
        if part.probe:
            self._resume(now)

    def _resume(self, now: float) -> None:
        hold = self._gate.hold
        self._gate.resume(now)
        self._guard.reset()
        if hold is not None:
            _log.info("sends again", sink=self._sink, signal=self._signal, was=hold.reason)
            self._event("resumed", hold.reason, hold.text)

    def _accept(self, part: Part, entries: Sequence[LogEntry], result: SendResult) -> None:
        if not entries:
            return
        size = part.size if entries is part.entries else sum(len(entry.body) for entry in entries)
        part.lane.accept(entries, size)
        doubted = min(result.unnamed, len(entries))
        if doubted:
            part.lane.doubt(doubted)
            self.skipped(UNNAMED, doubted)
            if self._tell_once(UNNAMED):
                _log.warning(
                    "records refused, nobody says which", sink=self._sink, signal=self._signal, text=result.words
                )
        self.records("accepted", len(entries) - doubted)

    def _partial(self, part: Part, answer: Answer, now: float) -> None:
        result = answer.result
        rejected = {index: why for index, why in result.rejected.items() if index not in result.retry}
        again = [part.entries[index] for index in sorted(result.retry)]
        if len(again) == len(part.entries) and not part.rest:
            self._retry(part, answer, now)
            return
        accepted = [
            entry for index, entry in enumerate(part.entries) if index not in rejected and index not in result.retry
        ]
        too_many = self._too_many(part, len(accepted), len(rejected))
        self._accept(part, accepted, answer.result)
        if too_many:
            self._hold(part, self._rejects(next(iter(rejected.values()))), now)
            part.lane.put_back([entry for i, entry in enumerate(part.entries) if i in rejected or i in result.retry])
            return
        self._answered(part, answer, now)
        self._note(part, len(accepted), len(rejected))
        self._reject(part, [(part.entries[index], why) for index, why in rejected.items()])
        if again:
            self._postpone_some(part, again, answer, now)

    def _postpone_some(self, part: Part, again: Sequence[LogEntry], answer: Answer, now: float) -> None:
        """The rest of a batch waits by itself; what the far side asked for counts for the whole signal."""
        self.records("retried", len(again))
        rest = make_part(again, part.lane, attempts=part.attempts + 1)
        rest.rest = True
        rest.not_before = now + wait_seconds(
            self._policy, rest.attempts, self._clock.jitter(), retry_after=answer.retry_after
        )
        if answer.retry_after is not None:
            self._gate.pause(now, answer.retry_after)
        self._parts.postpone([rest])

    def _retry(self, part: Part, answer: Answer, now: float) -> None:
        self.records("retried", len(part.entries))
        opened = self._gate.failed(
            now,
            answer.seconds,
            answer.text,
            draw=self._clock.jitter(),
            retry_after=answer.retry_after,
            overloaded=answer.overloaded,
            probe=part.probe,
        )
        if opened:
            _log.warning("does not answer, probing", sink=self._sink, signal=self._signal, text=answer.text)
            self._event("opened", "unavailable", answer.text)
        if self._gate.hold is not None:
            part.lane.put_back(part.entries)
            return
        part.wire = answer.wire
        part.attempts += 1
        self._parts.postpone([part])

    def _split(self, part: Part, answer: Answer, now: float) -> None:
        alone = len(part.entries) == 1
        why = Reject(answer.reason, answer.status, answer.words)
        if alone and answer.verdict != "oversize" and self._too_many(part, 0, 1):
            self._hold(part, self._rejects(why), now)
            part.lane.put_back(part.entries)
            return
        if answer.verdict == "oversize":
            self._gate.abandoned(probe=part.probe)
        else:
            self._answered(part, answer, now)
        if alone:
            self._note(part, 0, 1)
            self._reject(part, [(part.entries[0], why)])
            return
        self._parts.postpone([make_part(half, part.lane, attempts=part.attempts) for half in halve(part.entries)])

    def _too_many(self, part: Part, accepted: int, rejected: int) -> bool:
        """Whether rejections say that the signal is wrong, not the records. Requeued dead letters say nothing."""
        if part.lane.lane == "dead" or not rejected:
            return False
        hold = self._gate.hold
        if hold is not None and hold.reason == "rejects" and part.probe and not accepted:
            return True
        return self._guard.would_trip(accepted, rejected)

    def _note(self, part: Part, accepted: int, rejected: int) -> None:
        if part.lane.lane != "dead":
            self._guard.note(accepted, rejected)

    def _rejects(self, why: Reject) -> Hold:
        status = f"{why.status} " if why.status else ""
        return Hold("rejects", f"too many records are rejected, the last as {why.reason}: {status}{why.answer[:200]}")

    def _reject(self, part: Part, rejected: Sequence[tuple[LogEntry, Reject]]) -> None:
        for entry, why in rejected:
            part.lane.reject(entry, why, part.attempts + 1)
            if self._tell_once(f"reject {why.reason}"):
                words = {"reason": why.reason, "status": why.status, "record_id": entry.record_id}
                _log.warning("record rejected, kept as dead letter", sink=self._sink, signal=self._signal, **words)
        self.records("rejected", len(rejected))

    def _hold(self, part: Part, hold: Hold, now: float) -> None:
        if self._gate.refuse(now, hold, probe=part.probe):
            _log.error("refused, nothing is sent but a probe", sink=self._sink, signal=self._signal, text=hold.text)
            self._event("held", hold.reason, hold.text)

    def _event(self, kind: Literal["opened", "held", "resumed"], reason: str, text: str) -> None:
        self._on_event(DeliveryEvent(kind, self._sink, self._signal, reason, text, self._clock.now_ms()))
