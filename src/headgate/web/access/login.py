"""The login page and the way out. Thin: the gate decides, the browser keeps a cookie.

Invariant: a login that did not come from our own page does nothing, so that nobody is logged in as somebody else.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from headgate.web.access.credentials import Wait
from headgate.web.access.forms import FormRefused, local_path, read_form, submitted
from headgate.web.access.gate import Gate
from headgate.web.access.presented import Presented, read_presented
from headgate.web.access.trail import note
from headgate.web.access.ways import cookie_name
from headgate.web.access.who import admit, who
from headgate.web.rendering import shared_templates

__all__ = ["add_login"]

_WRONG = "This opens nothing. Look at the name and the password, or at the token."
_FORM_SECONDS = 3600


class _Pages:
    """The login page over one gate."""

    def __init__(self, gate: Gate, version: str) -> None:
        self._gate = gate
        self._templates = shared_templates(version)

    def show(self, request: Request, following: str, *, wrong: str = "", status: int = 200) -> Response:
        """The page with its form, and the cookie that makes the form ours."""
        asked = self._asked(request)
        seed = asked.cookie(_form_cookie(asked.secure)) or secrets.token_urlsafe(32)
        values = {
            "csrf": self._csrf(seed),
            "next": following,
            "wrong": wrong,
            "ended": bool(asked.cookie(cookie_name(asked.secure))),
            "has_users": self._gate.has_users,
            "takes_secrets": self._gate.takes_secrets,
        }
        made = HTMLResponse(self._templates.render("login.html", **values), status)
        _keep(made, _form_cookie(asked.secure), seed, asked.secure, _FORM_SECONDS)
        return made

    async def log_in(self, request: Request) -> Response:
        """Begin a session and go where somebody wanted to go. Raises FormRefused."""
        asked, fields = self._asked(request), await read_form(request)
        seed = asked.cookie(_form_cookie(asked.secure))
        if not seed or not hmac.compare_digest(fields.get("csrf", "").encode(), self._csrf(seed).encode()):
            raise FormRefused(
                403,
                "The login page is not valid any more",
                "Nobody was logged in. It was open for too long, or the browser keeps no cookies. Open it again.",
            )
        following = local_path(fields.get("next", ""))
        found = await self._gate.log_in(fields.get("name", "").strip(), fields.get("secret", "").strip(), asked.peer)
        if isinstance(found, Wait):
            note(request, "login", "refused: too many wrong ones")
            words = f"Too many wrong ones came from your address. Try again in {found.seconds} s."
            made = self.show(request, following, wrong=words, status=429)
            made.headers["retry-after"] = str(found.seconds)
            return made
        if found is None:
            note(request, "login", "refused: wrong")
            return self.show(request, following, wrong=_WRONG, status=403)
        cookie, session = found
        self._gate.sessions.end(asked.cookie(cookie_name(asked.secure)))  # whoever it was before
        admit(request.scope, session.who)
        note(request, "login", session.who.name)
        answer = RedirectResponse(following, 303)
        _keep(answer, cookie_name(asked.secure), cookie, asked.secure, int(self._gate.sessions.longest))
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session, and forget the cookie. Raises FormRefused."""
        await submitted(request, "viewer")
        asked = self._asked(request)
        note(request, "logout", who(request).name)
        self._gate.sessions.end(asked.cookie(cookie_name(asked.secure)))
        answer = RedirectResponse("/login", 303)
        _keep(answer, cookie_name(asked.secure), "", asked.secure, 0)
        return answer

    def _asked(self, request: Request) -> Presented:
        return read_presented(request.scope, self._gate.proxy)

    def _csrf(self, seed: str) -> str:
        return self._gate.csrf("login", seed)


def _form_cookie(secure: bool) -> str:
    return cookie_name(secure) + "-form"


def _keep(answer: Response, name: str, value: str, secure: bool, seconds: int) -> None:
    answer.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict")


def add_login(app: FastAPI, gate: Gate, version: str) -> None:
    """Add `/login` and `/logout`."""
    pages = _Pages(gate, version)

    @app.get("/login", include_in_schema=False)
    async def login(request: Request, following: Annotated[str, Query(alias="next")] = "") -> Response:
        following = local_path(following)
        if gate.is_open or who(request).via == "session":
            return RedirectResponse(following, 303)
        return pages.show(request, following)

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        return await pages.log_in(request)

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        return await pages.log_out(request)
