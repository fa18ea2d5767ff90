"""Stands before the API and the pages: host names, who asks, what they may, forged requests, headers, request ids.

Invariant: a request that is refused here reaches no handler. Health pages stay open, they tell nothing; so does what a
login page needs. Every answer has an id in `X-Request-Id`, and every log line that the request causes carries it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import structlog

from headgate import __version__
from headgate.core.clock import Clock, SystemClock
from headgate.core.trail import TrailEntry
from headgate.web.access.credentials import Wait
from headgate.web.access.forms import FORM_TYPE
from headgate.web.access.gate import Gate
from headgate.web.access.grants import TokenGrant
from headgate.web.access.needs import need_of
from headgate.web.access.presented import Doubled, Presented, read_presented
from headgate.web.access.refusals import Refusal, asks_for_a_page, refuse, see_again, send_to_login, where
from headgate.web.access.trail import LONGEST, Note, Trail, notes
from headgate.web.access.ways import Known, cookie_name
from headgate.web.access.who import NOBODY, Who, admit, asker
from headgate.web.asgi import App, Receive, Scope, Send
from headgate.web.bodies import bounded
from headgate.web.heads import answering_head
from headgate.web.rendering import shared_templates

__all__ = ["Guard"]

_HEALTH = frozenset({"/livez", "/readyz"})
# What the login page needs; everybody may see it.
_ASSETS, _LOGIN = "/static/", "/login"
# A caller's own id is kept when it is harmless in a header and in a log line.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger("headgate.web")
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
# Browsers that came over TLS once come no other way for a year.
_OVER_TLS = (b"strict-transport-security", b"max-age=31536000")
_HOST = Refusal(421, "host", "This name is not served here", "Add it to http.hosts, or use another name.")
_NOBODY = Refusal(401, "token", "Log in first", "Send a token of http.access: Authorization: Bearer TOKEN.", login=True)
_WRONG = Refusal(401, "token", "This opens nothing", "The token, or the name and password, are not known.", login=True)
_ENDED = Refusal(
    401, "token", "Your login has ended", "Nothing was done. Log in, open the page again and repeat it.", login=True
)
_LONG = Refusal(
    414, "long", "The address is too long", "Nothing was done. It is kept who asks for what; ask for less at once."
)
_FORGED = Refusal(
    403,
    "forged",
    "This does not come from a page of ours",
    "Nothing was done. Requests that change something carry the header X-Headgate-Request, or come from our own form.",
)


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    text = host.lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.rpartition(":")[0] if ":" in text else text


@dataclass(slots=True)
class _Turn:
    """One request on its way: what it presents, who it is, what of it is for the trail, and how it was answered."""

    asked: Presented
    scope: Scope
    known: Known | None = None
    noted: list[Note] = field(default_factory=list)
    written: int = 0
    status: int = 0


class Guard:
    """ASGI middleware.

    `hosts`: names under which the page may be asked for; loopback names always are. None: any (bound beyond loopback,
    where nobody comes in unknown). `gate`: who may come in; without, all may, as on loopback. `trail`: where it is kept
    what they do; without, the log alone has it. `prefix`: first part of the request ids made here, different for each
    process.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: Sequence[str] | None = (),
        gate: Gate | None = None,
        trail: Trail | None = None,
        clock: Clock | None = None,
        prefix: str = "r",
    ) -> None:
        self._app = answering_head(app)
        self._clock = clock or SystemClock()
        self._gate = gate or Gate(self._clock)
        self._trail = trail
        self._prefix = prefix
        self._serial = itertools.count(1)
        self._templates = shared_templates(__version__)
        self._named: frozenset[str] = frozenset()
        self._any_host = False
        self.serve_names(hosts)

    def serve_names(self, hosts: Sequence[str] | None) -> None:
        """Answer under these names from now on."""
        self._any_host = hosts is None
        self._named = _LOOPBACK | {host.lower() for host in hosts or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with security headers on the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(dict(scope["headers"]).get(b"x-request-id", b""))
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                asked = read_presented(scope, self._gate.proxy)
                doubled = ""
            except Doubled as exc:
                asked = Presented(scope["method"], scope["path"], (scope.get("client") or ("",))[0], False, {})
                doubled = str(exc)
            turn = _Turn(asked, scope, noted=notes(scope))
            sealed = self._sealing(turn, send, request_id)
            if doubled:
                detail = f"The header {doubled} is there twice."
                await refuse(
                    sealed, Refusal(400, "doubled", "This can be read in two ways", detail), asked, self._templates
                )
            else:
                await self._answer(turn, receive, sealed)
            await self._write(turn)
            if not asked.is_safe:
                known = asker(scope)
                _log.info("operation", method=asked.method, path=asked.path, status=turn.status, who=known.name)

    def _request_id(self, given: bytes) -> str:
        return given.decode() if _REQUEST_ID.fullmatch(given) else f"{self._prefix}-{next(self._serial):x}"

    def _sealing(self, turn: _Turn, send: Send, request_id: str) -> Send:
        async def sealed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                turn.status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*_sealed(message.get("headers", ()), turn.asked.secure), own]
                await self._write(turn)
            await send(message)

        return sealed

    async def _write(self, turn: _Turn) -> None:
        """Put into the trail what is new of the request; a change is flushed before anybody hears that it is done."""
        known, trail = asker(turn.scope), self._trail
        if not turn.asked.is_safe and not turn.noted and known != NOBODY:
            turn.noted.append(Note(turn.asked.method, _about(turn)))
        fresh, turn.written = turn.noted[turn.written :], len(turn.noted)
        if trail is None or not fresh:
            return
        whose = (known.name, known.via, turn.asked.peer)
        for one in fresh:
            trail.add(TrailEntry(self._clock.now_ms(), *whose, one.action, one.about, turn.status))
        if not turn.asked.is_safe:
            await trail.flush()

    async def _answer(self, turn: _Turn, receive: Receive, send: Send) -> None:
        asked = turn.asked
        if not self._any_host and _host_name(asked.header("host")) not in self._named:
            await refuse(send, _HOST, asked, self._templates)
            return
        if asked.path in _HEALTH:
            await self._app(turn.scope, receive, send)
            return
        refusal = await self._identify(turn)
        if refusal is None:
            known = turn.known.who if turn.known is not None else NOBODY
            admit(turn.scope, known)
            refusal = self._against(turn, known)
        if refusal is not None:
            await self._refuse(turn, refusal, send)
            return
        if need_of(asked.method, asked.path).personal:
            turn.noted.append(Note("read", _about(turn)))
        await self._app(turn.scope, bounded(receive), send)

    async def _identify(self, turn: _Turn) -> Refusal | None:
        """Find out who asks; None: that is known, or need not be."""
        asked = turn.asked
        if asked.path.startswith(_ASSETS):
            return None
        outcome = await self._gate.identify(asked)
        turn.known = outcome if isinstance(outcome, Known) else None
        wait = self._gate.too_often(turn.known.who if turn.known is not None else None, asked)
        wait = outcome.seconds if isinstance(outcome, Wait) else wait
        if wait:
            return _wait(wait)
        if turn.known is not None or (asked.path == _LOGIN and outcome is None):
            return None
        if outcome == "wrong":
            turn.noted.append(Note("refused", "unknown token, name or password"))
            return _WRONG
        return _NOBODY

    def _against(self, turn: _Turn, known: Who) -> Refusal | None:
        """What is against a request of somebody who is known, or on a page that is open."""
        asked = turn.asked
        grant = turn.known.grant if turn.known is not None else None
        if isinstance(grant, TokenGrant) and grant.limited and not (asked.is_safe and grant.reaches(asked.path)):
            limits = ", ".join(grant.only)
            return Refusal(403, "limited", "This token is not for this", f"It reads {limits} and nothing else.")
        if not asked.is_safe and self._is_forged(asked):
            return _FORGED
        need = need_of(asked.method, asked.path)
        if asked.path != _LOGIN and not asked.path.startswith(_ASSETS) and not known.may(need.role):
            detail = f"It needs the role {need.role}; {known.name} is {known.role}. http.access gives roles."
            return Refusal(403, "role", "Your role may not do this", f"Nothing was done. {detail}")
        if (need.personal or not asked.is_safe) and len(_about(turn)) > LONGEST:
            return _LONG
        return None

    def _is_forged(self, asked: Presented) -> bool:
        """Whether another site may have made a browser send this."""
        site = asked.header("sec-fetch-site")
        origin = asked.header("origin")
        if site and site not in ("same-origin", "none"):
            return True
        if origin and not site and not self._is_ours(origin, asked):
            return True
        return not asked.header("x-headgate-request") and not _is_form(asked)

    def _is_ours(self, origin: str, asked: Presented) -> bool:
        try:
            name = urlsplit(origin).hostname or ""
        except ValueError:
            return False
        shown = f"[{name}]" if ":" in name else name
        return shown == _host_name(asked.header("host")) or shown in self._named

    async def _refuse(self, turn: _Turn, refusal: Refusal, send: Send) -> None:
        """Say no; who only has to log in is taken there, unless something would have been changed."""
        asked = turn.asked
        address = where(asked, turn.scope.get("query_string", b""))
        if refusal is not _NOBODY or not (asks_for_a_page(asked) or asked.header("hx-request")):
            await refuse(send, refusal, asked, self._templates)
        elif not asked.is_safe:
            await refuse(send, _ENDED, asked, self._templates)
        elif _came_from_elsewhere(asked):
            await see_again(send, address, self._templates)
        else:
            await send_to_login(send, asked, address)


def _about(turn: _Turn) -> str:
    """What the trail says that is read or changed: a read of what is about a person with all that is asked for."""
    asked = turn.asked
    query = turn.scope.get("query_string", b"") if asked.is_safe else b""
    return f"{asked.path}?{unquote_plus(query.decode('latin-1'))}" if query else asked.path


def _sealed(headers: Iterable[tuple[bytes, bytes]], secure: bool) -> list[tuple[bytes, bytes]]:
    """An answer's headers with ours; how long it is kept, what it loads and who embeds it it may say itself."""
    given = list(headers)
    named = {name for name, _ in given} & {
        b"cache-control",
        b"content-security-policy",
        b"cross-origin-resource-policy",
    }
    ours = (*_HEADERS, _OVER_TLS) if secure else _HEADERS
    return [*given, *(one for one in ours if one[0] not in named)]


def _is_form(asked: Presented) -> bool:
    """Whether a page's form is sent, whose handler asks `submitted` whether it may be; nothing of the API is one."""
    kind = asked.header("content-type").partition(";")[0].strip().lower()
    return kind == FORM_TYPE and not asked.path.startswith("/api/")


def _came_from_elsewhere(asked: Presented) -> bool:
    """Whether a link of another site led here, so that the browser kept our cookie back (SameSite=Strict)."""
    site, mode = asked.header("sec-fetch-site"), asked.header("sec-fetch-mode")
    return site in ("cross-site", "same-site") and mode == "navigate" and not asked.cookie(cookie_name(asked.secure))


def _wait(seconds: int) -> Refusal:
    detail = f"Too many requests, or too many wrong passwords. Try again in {seconds} s."
    return Refusal(429, "rate", "Wait a little", detail, retry=seconds)
