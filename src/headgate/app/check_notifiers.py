"""What `headgate check` asks of a notifier: its key where the far side can be asked in silence, else the connection.

Invariant: no message reaches people unless `send` asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from headgate.core.clock import Clock
from headgate.core.errors import BatchRejected, SinkError, SinkRefused
from headgate.core.messages import CallNotifier, Message, Notification, Notifier, Probing
from headgate.core.ports import CheckResult, HttpReply, HttpRequest
from headgate.deliver import HttpTransport
from headgate.deliver.transport import prepare

__all__ = ["NotifierChecks"]


class NotifierChecks:
    """Checks notifiers over one transport, which it owns. `send`: send a test message to people instead."""

    def __init__(self, clock: Clock, *, send: bool) -> None:
        self._clock = clock
        self._send = send
        self._transport = HttpTransport()

    async def aclose(self) -> None:
        """Free connections."""
        await self._transport.aclose()

    async def check(self, notifier: Notifier | CallNotifier) -> Sequence[CheckResult]:
        """One result."""
        label = f"notifier {notifier.name}"
        try:
            reason = await self._try(notifier)
        except SinkError as exc:
            return [CheckResult(label, ok=False, reason=_reason(exc), fix=str(exc))]
        return [CheckResult(label, ok=True, reason=reason)]

    async def _try(self, notifier: Notifier | CallNotifier) -> str:
        now_ms = self._clock.now_ms()
        message = _message(now_ms)
        http = partial(self._exchange, notifier)
        if isinstance(notifier, CallNotifier):
            if self._send:
                await notifier.send(message, now_ms=now_ms, http=http)
            else:
                await notifier.reach(http)
            return "ok"
        request = notifier.encode(message, now_ms=now_ms)
        if self._send:
            notifier.interpret(await http(request), message)
            return "ok"
        if isinstance(notifier, Probing) and (probe := notifier.probe()) is not None:
            notifier.read_probe(await http(probe))
            return "ok"
        await self._transport.reach(request.url, notifier.transport)
        return "connected"

    async def _exchange(self, notifier: Notifier | CallNotifier, request: HttpRequest) -> HttpReply:
        return await self._transport.send(prepare(request), notifier.transport)


def _message(now_ms: int) -> Message:
    told = Notification(
        key=f"headgate-test:{now_ms}",
        fingerprint="headgate-test",
        rule="HeadgateTest",
        state="firing",
        reason="test",
        labels={"severity": "info"},
        annotations={"summary": "A test message of `headgate check --send`; nothing is wrong"},
        starts_ms=now_ms,
        ends_ms=None,
        at_ms=now_ms,
    )
    return Message(told.key, (told,))


def _reason(error: SinkError) -> str:
    if isinstance(error, SinkRefused):
        return error.reason
    if isinstance(error, BatchRejected):
        return "config"
    return "tls" if "certificate" in str(error) else "unreachable"
