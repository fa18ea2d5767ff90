"""What every fake vendor shares: its description, its judgement, its bad bodies and its front door.

Invariant: a request is judged by the vendor's strict rules even when a success was ordered; an order can
make a fake fail or lie about the connection, never make it take what the real vendor refuses.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from headgate.testing.sinks.ledger import KEPT_BODY_BYTES, Ledger
from headgate.testing.sinks.wire import Fault, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headgate.testing.sinks.answers import Script, Told
    from headgate.testing.sinks.cases import Case

CONTROL = "/_fake/"
RETRY_DATE_SECONDS = 5  # how far ahead `<HTTP date>` of a row lies


class Vendor(Protocol):
    """The strict rules of one vendor; called on the event loop, one request at a time, must not block.

    Subclass it; only `handle` must be written.
    """

    def handle(self, request: Request) -> Reply:
        """Judge one request, keep its good records in the ledger, return the vendor's answer."""

    def answer_case(self, request: Request, case: Case) -> Reply | None:
        """Carry out a row that stores a part of the request; None leaves it to the common rule."""

    def clear(self) -> None:
        """Forget what the vendor remembers beside the ledger's rows."""


@dataclass(frozen=True, slots=True)
class BadBody:
    """One request that the fake must refuse with `status`, keeping nothing of it.

    `options` are those of the fake to be built for it. `reason` must occur in the answer's body.
    """

    name: str
    status: int
    body: bytes
    reason: str
    method: str = "POST"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fake:
    """How one fake is built: `options` is a frozen dataclass whose fields are the command-line options."""

    name: str
    options: type[Any]
    build: Callable[[Any, Ledger], Vendor]
    bad_bodies: tuple[BadBody, ...]


def json_reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an answer with a JSON body."""
    return Reply(status, orjson.dumps(value), {"content-type": "application/json", **(headers or {})})


def text_reply(status: int, text: str) -> Reply:
    """Return an answer with a plain text body, ended by a newline as Go servers do."""
    return Reply(status, f"{text}\n".encode(), {"content-type": "text/plain; charset=utf-8"})


class FrontDoor:
    """Answers control requests, obeys orders, and hands the rest to the vendor."""

    def __init__(self, vendor: Vendor, ledger: Ledger, script: Script, delay_seconds: float = 0.0) -> None:
        self.vendor = vendor
        self.ledger = ledger
        self.script = script
        self._delay_seconds = delay_seconds

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        if request.path.startswith(CONTROL):
            return self._control(request)
        number = self.ledger.begin_request(len(request.body))
        before = self.ledger.stats.records
        told = self.script.choose(request.path)
        note = told.order.told() if told else "judged"
        try:
            reply = self.vendor.handle(request) if told is None else self._obey(request, told)
        except Exception as error:  # noqa: BLE001  # a mistake of the fake must be seen, not look like a cut
            traceback.print_exc()
            note = f"the fake failed: {error!r}"
            reply = json_reply(500, {"error": note})
        self.ledger.note_request(
            {
                "n": number,
                "at_ms": self.ledger.clock_ms(),
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "headers": dict(request.headers),
                "body": request.body[:KEPT_BODY_BYTES].decode("utf-8", "replace"),
                "body_bytes": len(request.body),
                "status": reply.status,
                "fault": reply.fault.value,
                "told": note,
                "stored": self.ledger.stats.records - before,
            }
        )
        return replace(reply, delay_seconds=reply.delay_seconds + self._delay_seconds)

    def _obey(self, request: Request, told: Told) -> Reply:
        reply = self._told_reply(request, told)
        order = told.order
        if order.broken_json:
            broken = reply.body[: len(reply.body) // 2] or b'{"broken":'
            reply = replace(reply, body=broken, status=200 if reply.status == 204 else reply.status)
        fault = Fault.NONE
        if order.hang:
            fault = Fault.HANG
        elif order.cut:
            fault = Fault.CUT_ANSWER if order.cut == "mid_answer" else Fault.CUT
        elif order.chunked:
            fault = Fault.CHUNKED
        return replace(reply, delay_seconds=order.slow_seconds, fault=fault)

    def _told_reply(self, request: Request, told: Told) -> Reply:
        if told.case is not None and told.order.store is None:
            special = self.vendor.answer_case(request, told.case)
            if special is not None:
                return special
        if not told.stores:
            return self._rendered(told, Reply(told.status or 200))
        judged = self.vendor.handle(request)
        if told.status is None and told.body is None and not told.headers:
            return judged
        if judged.status >= 400 and (told.status or 200) < 400:
            return judged
        return self._rendered(told, judged)

    def _rendered(self, told: Told, judged: Reply) -> Reply:
        body = judged.body if told.status in (None, judged.status) else b""
        if told.body is not None:
            body = body_bytes(told.body)
        headers = judged.headers if told.status in (None, judged.status) else {}
        dated = render_dates({**headers, **told.headers}, self.ledger.clock_ms())
        return Reply(told.status or judged.status, body, dated)

    def _control(self, request: Request) -> Reply:
        controls: dict[str, Callable[[], Reply]] = {
            "GET stored": lambda: _json_lines(row.as_json() for row in self.ledger.rows()),
            "DELETE stored": self._forget,
            "GET requests": lambda: _json_lines(self.ledger.requests()),
            "GET stats": lambda: json_reply(200, self.ledger.stats),
            "PUT answer": lambda: self._put_answer(request.body),
            "DELETE answer": lambda: self._put_answer(b"[]"),
        }
        control = controls.get(f"{request.method} {request.path.removeprefix(CONTROL)}")
        if control is None:
            return json_reply(404, {"error": f"no control {request.method} {request.path}"})
        return control()

    def _forget(self) -> Reply:
        self.ledger.clear()
        self.vendor.clear()
        return Reply(204)

    def _put_answer(self, body: bytes) -> Reply:
        try:
            self.script.put(body)
        except ValueError as error:
            return json_reply(400, {"error": str(error)})
        return Reply(204)


def body_bytes(body: Any) -> bytes:
    """Return the bytes of a told body: text as it is, anything else as JSON, None as nothing."""
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


def case_reply(case: Case, now_ms: int) -> Reply:
    """Return the answer of a row exactly as the table has it."""
    return Reply(case.status, body_bytes(case.body), render_dates(case.headers, now_ms))


def render_dates(headers: Mapping[str, str], now_ms: int) -> dict[str, str]:
    """Return the headers with `<HTTP date>` replaced by a date a few seconds ahead (RFC 9110, 5.6.7)."""
    date = formatdate(now_ms // 1000 + RETRY_DATE_SECONDS, usegmt=True)
    return {name: value.replace("<HTTP date>", date) for name, value in headers.items()}


def _json_lines(values: Any) -> Reply:
    body = b"".join(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in values)
    return Reply(200, body, {"content-type": "application/x-ndjson"})
