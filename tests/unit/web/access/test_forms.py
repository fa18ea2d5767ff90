"""Forms of pages: what makes them ours, who may send them, where they lead."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from headgate.core.clock import ManualClock
from headgate.insights.views.lens import Lens
from headgate.store import MemoryStore
from headgate.web.access.forms import back, local_path, submitted
from headgate.web.access.who import Who, admit
from headgate.web.guard import Guard
from headgate.web.site.frame import Site
from headgate.web.site.routes import add_problems

FORM = '{% from "parts.html" import csrf_field with context %}<form method="post">{{ csrf_field() }}</form>'
ANNA = {"name": "anna", "via": "token", "csrf": "c"}


class Bench:
    """A page with a form that operators may send.

    `done`: what its handler did; `known`: who asks, else whom the guard finds.
    """

    def __init__(self) -> None:
        self.done: list[list[tuple[str, str]]] = []
        self.known: Who | None = None
        self._app = FastAPI()
        store = MemoryStore(clock=ManualClock())
        self._site = Site(lambda: Lens(store, 0), "0.0", self._reading)
        add_problems(self._app, self._site)
        self._app.get("/form")(self._form)
        self._app.post("/change")(self._change)
        guard = Guard(self._inner)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1")

    async def _reading(self) -> list[str]:
        return []

    async def _inner(self, scope, receive, send):
        if self.known is not None:
            admit(scope, self.known)
        await self._app(scope, receive, send)

    async def _form(self, request: Request) -> Response:
        frame = self._site.frame(request, self._site.asked(request, self._site.lens()))
        return HTMLResponse(self._site.templates._environment.from_string(FORM).render(**frame))

    async def _change(self, request: Request) -> Response:
        fields = await submitted(request, "operator")
        self.done.append(fields.multi_items())
        return back(fields, "/otherwise")

    async def made(self, path: str = "/form") -> dict[str, str]:
        """The fields of the form of the page."""
        page = await self.http.get(path)
        return dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))


@pytest.fixture
async def bench():
    made = Bench()
    async with made.http:
        yield made


async def test_a_form_of_ours_is_carried_out_and_leads_back(bench):
    """Nobody has logged in on loopback; fields may come several times."""
    fields = await bench.made("/form?id=%3Cb%3E")
    answer = await bench.http.post("/change", data={**fields, "id": ["1", "2"], "comment": ""})
    assert (303, "/form?id=%3Cb%3E") == (answer.status_code, answer.headers["location"])
    [done] = bench.done
    assert [("id", "1"), ("id", "2"), ("comment", "")] == done[2:]


@pytest.mark.parametrize("csrf", [None, "", "guess", "ä", "\x00"])
async def test_a_form_of_somebody_else_does_nothing(bench, csrf):
    """The page says so in words."""
    fields = await bench.made() | {"csrf": csrf}
    answer = await bench.http.post("/change", data={name: text for name, text in fields.items() if text is not None})
    assert (403, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert "The form is not valid any more" in answer.text
    assert "Nothing was done" in answer.text
    assert [] == bench.done


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 303), ("admin", 303)])
async def test_a_form_needs_a_role(bench, role, status):
    """It is named where it is missing."""
    bench.known = Who(role=role, **ANNA)
    answer = await bench.http.post("/change", data={"csrf": "c"})
    assert status == answer.status_code
    assert (status == 303) == bool(bench.done)
    assert ("needs the role operator; anna is viewer" in answer.text) == (status == 403)


async def test_nobody_sends_a_form(bench):
    """An empty secret equals no other."""
    bench.known = Who("", "admin", "", "")
    assert 403 == (await bench.http.post("/change", data={"csrf": ""})).status_code
    assert [] == bench.done


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("csrf=c&id=" + "x" * 65_536, "application/x-www-form-urlencoded", 413),
        ("csrf=c" + "&i=1" * 2001, "application/x-www-form-urlencoded", 413),
        ("csrf=c", "text/plain", 403),
        ('{"csrf": "c"}', "application/json", 403),
    ],
)
async def test_what_is_not_a_form_of_ours_does_nothing(bench, content, kind, status):
    """Too long, or of a kind that other sites can send too."""
    bench.known = Who(role="admin", **ANNA)
    answer = await bench.http.post("/change", content=content, headers={"content-type": kind})
    assert status == answer.status_code
    assert [] == bench.done


async def test_another_kind_with_the_header_of_scripts_is_not_a_form(bench):
    """Scripts use the API."""
    answer = await bench.http.post("/change", json={}, headers={"x-headgate-request": "1"})
    assert 415 == answer.status_code
    assert [] == bench.done


@pytest.mark.parametrize(
    "text",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/ok\r\nset-cookie: a=b",
        "/\tx",
        "/a b",
        "/ä",
        "//[",
        " /",
        "///evil.example",
    ],
)
def test_a_way_back_leads_nowhere_else(text):
    """Browsers read backslashes as slashes, and drop tabs and line ends."""
    assert "/alerts" == local_path(text, "/alerts")


@pytest.mark.parametrize("text", ["/", "/alerts?rule=a%20b&x=//y", "/run/1#top"])
def test_a_way_back_is_kept(text):
    """Path and query as they are."""
    assert text == local_path(text)
