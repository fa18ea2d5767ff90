"""An application behind the guard, for tests of who comes in: it says who asks, and keeps what was done."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import replace

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from headgate.core.clock import ManualClock
from headgate.core.trail import TrailEntry
from headgate.web.access.forms import FormRefused, back, submitted
from headgate.web.access.gate import Gate
from headgate.web.access.grants import Access, ProxyGrant, TokenGrant, UserGrant, digest_of
from headgate.web.access.login import add_login
from headgate.web.access.passwords import PasswordHash, _derive
from headgate.web.access.trail import Trail
from headgate.web.access.who import who
from headgate.web.guard import Guard

PASSWORD, ADMIN, READER, METRICS, COMMAND = "correct horse", "admin-token", "reader-token", "metrics-token", "cmd-token"
BROWSER = {"accept": "text/html,application/xhtml+xml"}
BADGES = "badges-token"
_COST = PasswordHash(14, 8, 1, b"salt-of-the-test", b"")
ANNA = UserGrant("anna", "operator", b"1", replace(_COST, key=_derive(PASSWORD, _COST, 32)))
PLAIN = UserGrant("paul", "viewer", digest_of("plain password"))
PROXY = ProxyGrant(
    "x-forwarded-user", None, "x-groups", {"ops": "admin", "dev": "viewer"}, (ipaddress.ip_network("10.0.0.1/32"),)
)
ACCESS = Access(
    tokens=(
        TokenGrant("root", "admin", digest_of(ADMIN)),
        TokenGrant("reader", "viewer", digest_of(READER)),
        TokenGrant("scrape", "viewer", digest_of(METRICS), ("metrics",)),
        TokenGrant("readme", "viewer", digest_of(BADGES), ("badges",)),
    ),
    users=(ANNA, PLAIN),
    proxy=PROXY,
)


class Bench:
    """`done`: changes that reached a handler, with who made them; `entries`: the trail, as it was kept."""

    def __init__(self, access: Access = ACCESS, *, base: str = "http://127.0.0.1", peer: str = "192.0.2.1") -> None:
        self.clock = ManualClock()
        self.gate = Gate(self.clock, access, command_token=COMMAND)
        self.done: list[str] = []
        self.entries: list[TrailEntry] = []
        self.trail = Trail(self._append, self.clock)
        self._app = FastAPI()
        add_login(self._app, self.gate, "0.0")
        self._app.add_exception_handler(FormRefused, self._refused)
        self._app.post("/change")(self._form)
        self._app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])(self._any)
        self.guard = Guard(self._app, gate=self.gate, trail=self.trail, clock=self.clock)
        self.http = self.browser(base, peer)

    def browser(self, base: str = "http://127.0.0.1", peer: str = "192.0.2.1") -> httpx.AsyncClient:
        """Somebody else, with cookies of their own."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.guard, client=(peer, 1)), base_url=base)

    async def _append(self, entries) -> None:
        self.entries += entries

    async def _refused(self, _request: Request, exc: Exception) -> Response:
        assert isinstance(exc, FormRefused)
        return Response(f"{exc.title} {exc}", exc.status)

    async def _form(self, request: Request) -> Response:
        fields = await submitted(request, "operator")
        self.done.append(f"{who(request).name} form")
        return back(fields)

    async def _any(self, request: Request, path: str) -> Response:
        known = who(request)
        if request.method != "GET":
            self.done.append(f"{known.name} {request.method} /{path}")
        seen = {name: value for name, value in request.headers.items() if name.startswith("x-")}
        return JSONResponse(
            {"name": known.name, "role": known.role, "via": known.via, "csrf": known.csrf, "seen": seen}
        )

    async def log_in(
        self, secret: str, name: str = "", http: httpx.AsyncClient | None = None, **more
    ) -> httpx.Response:
        """Through the page, as a browser does."""
        http = http or self.http
        page = await http.get("/login", headers=BROWSER)
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        fields |= {"name": name, "secret": secret, **more}
        return await http.post("/login", data=fields, headers=BROWSER)


def basic(name: str, secret: str) -> dict[str, str]:
    """As a browser or curl sends a name and a password."""
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """As scripts send a token."""
    return {"authorization": f"Bearer {token}"}
