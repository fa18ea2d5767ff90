"""Stands before the API and the page: host check, access tokens, forged requests, security headers, request ids.

Invariant: a request that is refused here reaches no handler. Health pages stay open, they tell nothing. Every answer
has an id in `X-Request-Id`, and every log line that the request causes carries it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import re
import secrets
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from headgate.web.access.forms import FORM_TYPE
from headgate.web.access.trail import notes
from headgate.web.access.who import Who, admit
from headgate.web.asgi import App, Receive, Scope, Send, answer_json

__all__ = ["Guard"]

_OPEN = frozenset({"/livez", "/readyz"})
# A caller's own id is kept when it is harmless in a header and in a log line.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger("headgate.web")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
_HEADERS = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Ours alone learn where somebody comes from; and their forms say an origin that can be held against ours.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _host_name(host: bytes) -> str:
    """The name in a Host header, without its port."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.rpartition(":")[0] if ":" in text else text


def _is_form(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a page's form is sent, whose handler asks `submitted` whether it may be; nothing of the API is one."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return kind == FORM_TYPE.encode() and not scope["path"].startswith("/api/")


def _sealed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers with ours; how long it may be kept is its own affair where it says so."""
    given = list(headers)
    named = {name for name, _ in given} & {b"cache-control"}
    return [*given, *(one for one in _HEADERS if one[0] not in named)]


class Guard:
    """ASGI middleware.

    `hosts`: names under which the page may be asked for; loopback names always are. None: any (bound beyond loopback,
    where tokens protect). `tokens`: any of them opens; empty: no token asked. Both may be swapped with `configure`.
    `prefix`: first part of the request ids made here, different for each process.
    """

    def __init__(
        self, app: App, *, hosts: Sequence[str] | None = (), tokens: Sequence[str] = (), prefix: str = "r"
    ) -> None:
        self._app = app
        self._prefix = prefix
        self._serial = itertools.count(1)
        self._hosts: frozenset[str] | None = None
        self._tokens: tuple[bytes, ...] = ()
        self._csrf = secrets.token_urlsafe(32)
        self.configure(hosts=hosts, tokens=tokens)

    def configure(self, *, hosts: Sequence[str] | None, tokens: Sequence[str]) -> None:
        """Guard with these from now on."""
        self._hosts = None if hosts is None else _LOOPBACK | {host.lower() for host in hosts}
        self._tokens = tuple(_digest(token.encode()) for token in tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with security headers on the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        answered = 0

        async def sealed(message: MutableMapping[str, Any]) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*_sealed(message.get("headers", ())), own]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            noted = notes(scope)
            await self._answer(scope, receive, sealed, headers)
            for one in noted:
                _log.info("noted", action=one.action, about=one.about, status=answered)
            if scope["method"] not in _SAFE:
                _log.info("operation", method=scope["method"], path=scope["path"], status=answered)

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        given = headers.get(b"x-request-id", b"")
        return given.decode() if _REQUEST_ID.fullmatch(given) else f"{self._prefix}-{next(self._serial):x}"

    async def _answer(self, scope: Scope, receive: Receive, sealed: Send, headers: Mapping[bytes, bytes]) -> None:
        refusal = self._refuse(scope, headers)
        if refusal is None:
            admit(scope, self._identified())
            await self._app(scope, receive, sealed)
            return
        status, reason, detail = refusal
        extra = ((b"www-authenticate", b'Basic realm="Headgate"'),) if status == 401 else ()
        await answer_json(sealed, status, {"error": reason, "detail": detail}, extra)

    def _refuse(self, scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[int, str, str] | None:
        if self._hosts is not None and _host_name(headers.get(b"host", b"")) not in self._hosts:
            return 421, "host", "this name is not served here; add it to http.hosts"
        if scope["path"] in _OPEN:
            return None
        if self._tokens and not self._knows(headers.get(b"authorization", b"")):
            return 401, "token", "send a token of http.access: Authorization: Bearer TOKEN"
        if scope["method"] not in _SAFE and b"x-headgate-request" not in headers and not _is_form(scope, headers):
            return 403, "forged", "requests that change something carry the header X-Headgate-Request"
        return None

    def _identified(self) -> Who:
        """Who asks, when nothing is against it."""
        name, via = ("token", "token") if self._tokens else ("local", "loopback")
        return Who(name, "admin", via, self._csrf)

    def _knows(self, authorization: bytes) -> bool:
        """Bearer TOKEN, or Basic with the token as password, which browsers can ask for. Constant time per token."""
        scheme, _, rest = authorization.partition(b" ")
        offered = rest.strip()
        if scheme.lower() == b"basic":
            try:
                offered = base64.b64decode(offered, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != b"bearer":
            return False
        digest = _digest(offered)
        matching = [hmac.compare_digest(digest, token) for token in self._tokens]  # all of them, whichever matches
        return True in matching
