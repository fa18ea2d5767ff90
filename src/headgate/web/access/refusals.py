"""What is said to whom the guard lets nothing through: a problem for scripts (RFC 9457), a page for people.

Invariant: whoever reads one of these knows that nothing was done, and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import orjson

from headgate.web.access.forms import local_path
from headgate.web.access.presented import Presented
from headgate.web.asgi import Send
from headgate.web.rendering import Templates

__all__ = ["Refusal", "asks_for_a_page", "refuse", "see_again", "send_to_login", "where"]

# Nobody looks at these with their own eyes.
_SCRIPTS = ("/api/", "/metrics", "/livez", "/readyz", "/static/")


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reason`: a fixed word. `login`: whether logging in would help. `retry`: seconds to wait, 0 for none."""

    status: int
    reason: str
    title: str
    detail: str
    login: bool = False
    retry: int = 0


def asks_for_a_page(asked: Presented) -> bool:
    """Whether a person will read the answer."""
    return "text/html" in asked.header("accept") and not asked.path.startswith(_SCRIPTS)


def where(asked: Presented, query: bytes) -> str:
    """Address of what is asked for, path and query."""
    return local_path(quote(asked.path) + (f"?{query.decode('latin-1')}" if query else ""))


async def refuse(send: Send, refusal: Refusal, asked: Presented, templates: Templates) -> None:
    """Say it."""
    extra: list[tuple[bytes, bytes]] = []
    if refusal.retry:
        extra.append((b"retry-after", b"%d" % refusal.retry))
    if asks_for_a_page(asked):
        text = templates.render("refused.html", refusal=refusal)
        await _answer(send, refusal.status, b"text/html; charset=utf-8", text.encode(), extra)
        return
    if refusal.status == 401 and not asked.header("hx-request"):
        extra.append((b"www-authenticate", b'Basic realm="Headgate", charset="UTF-8"'))
    problem = {
        "type": f"urn:headgate:problem:{refusal.reason}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "error": refusal.reason,
    }
    await _answer(send, refusal.status, b"application/problem+json", orjson.dumps(problem), extra)


async def send_to_login(send: Send, asked: Presented, address: str) -> None:
    """To the login page and back. What a page fetches by itself takes the whole page there."""
    there = f"/login?next={quote(address, safe='')}".encode()
    if asked.header("hx-request"):
        current = asked.header("hx-current-url")
        there = f"/login?next={quote(_path_of(current), safe='')}".encode()
        await _answer(send, 401, b"text/plain; charset=utf-8", b"log in again\n", [(b"hx-redirect", there)])
        return
    await _answer(send, 303, b"text/plain; charset=utf-8", b"log in\n", [(b"location", there)])


async def see_again(send: Send, address: str, templates: Templates) -> None:
    """Let the browser ask again from a page of ours: it sends our cookie to nobody who comes from another site."""
    text = templates.render("again.html", address=address)
    await _answer(send, 200, b"text/html; charset=utf-8", text.encode(), [])


def _path_of(url: str) -> str:
    """Path and query of a page's whole address."""
    rest = url.partition("://")[2]
    return local_path("/" + rest.partition("/")[2]) if rest else "/"


async def _answer(send: Send, status: int, kind: bytes, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
