"""What no address knows is refused everywhere: as a page to people, as a problem to scripts."""

from __future__ import annotations

import dataclasses
import html
import re

import httpx
import pytest
from fastapi.routing import APIRoute
from tests.unit.web.site.test_routes import Bench

from headgate.core.clock import ManualClock
from headgate.insights.match import Matcher
from headgate.insights.owners import Owner, Owners
from headgate.insights.views.lens import Lens
from headgate.testing.store_data import WORKFLOW, job, merge, pipeline, workflow
from headgate.web.access.gate import Gate
from headgate.web.access.login import add_login
from headgate.web.exports import add_exports
from headgate.web.guard import Guard
from headgate.web.insights import add_insights

PROJECT = "gh/acme/web"
TEAMS = Owners([Owner((Matcher("project", "=", PROJECT),), "core")])
# What must be there for an address to be asked at all.
PLACES = {"run_id": WORKFLOW, "fingerprint": "f", "number:int": "1", "number": "1", "table": "runs", "name": "runs"}


class Owned(Bench):
    """Pages, and the API beside them, of projects that somebody owns."""

    def lens(self) -> Lens:
        return dataclasses.replace(super().lens(), owners=TEAMS)


@pytest.fixture
async def bench():
    made = Owned()
    add_insights(made.app, made.lens)
    add_exports(made.app, made.answers, made.lens)
    add_login(made.app, Gate(ManualClock()), "0.0")  # its word is `next`
    await made.store.open()
    await merge(made.store, pipeline(), workflow(), job())
    async with made.http:
        yield made


def addresses(app) -> list[str]:
    """Every path that a GET answers."""
    found = [route.path for route in routes(app.routes) if "GET" in route.methods]
    return [re.sub(r"\{([\w:]+)\}", lambda match: PLACES.get(match[1], "x"), path) for path in found]


def routes(listed):
    """Those of included routers too."""
    for one in listed:
        if isinstance(one, APIRoute):
            yield one
        else:
            yield from routes(getattr(getattr(one, "original_router", None), "routes", ()))


async def test_a_word_that_no_address_knows_is_refused_everywhere(bench):
    """With what there is, also where it is empty; a badge says so in its picture."""
    asked = addresses(bench.app)
    assert len(asked) > 60
    assert [200] * 2 == [(await bench.http.get(f"{path}?windw=7d")).status_code for path in ("/livez", "/readyz")]
    asked = [path for path in asked if path not in ("/livez", "/readyz")]
    for path in asked:
        for query in ("windw=7d", "windw="):
            answer = await bench.http.get(f"{path}?{query}")
            assert 400 == answer.status_code or path.startswith("/api/v1/export/"), path
            if path.startswith("/badge/"):
                assert "bad windw" in answer.text
            elif path.startswith(("/api/", "/metrics")):
                if query.endswith("7d") or not path.startswith("/api/v1/export/"):
                    told = answer.json()
                    assert "windw" in told["detail"]
                    assert ("windw", "application/problem+json") == (told["parameter"], answer.headers["content-type"])
            else:
                assert "400 A parameter cannot be read" in " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


async def test_the_nearest_word_is_named_first(bench):
    """And all others after it."""
    told = (await bench.http.get("/api/v1/insights/overview?windw=7d")).json()
    assert ("window", "there is no parameter 'windw' here; did you mean window?") == (told["valid"][0], told["detail"])
    assert {"since", "until", "window", "branch", "branch_class", "trigger", "org", "team"} == set(told["valid"])
    assert "did you mean window? What would be valid: window " in await bench.text("/?windw=7d", 400)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/?project=x", 400, "there is no parameter &#39;project&#39; here"),
        ("/budgets?project=nope", 400, "there is no parameter &#39;project&#39; here"),
        ("/dora?by=q", 400, "there is no parameter &#39;by&#39; here"),
        ("/builds?branch=main", 400, "branch needs a project"),
        (f"/builds?project={PROJECT}&cursor=x", 400, "cursor is for all projects"),
        ("/?window=7d&window=30d", 400, "window is given more than once"),
        ("/api/v1/insights/credits?by=job&by=team", 400, "by is given more than once"),
        ("/?org=gh/nobody", 404, "is not known"),
        ("/?team=cors", 404, "did you mean core?"),
        ("/projects?trigger=pushed", 404, "is not known"),
        ("/api/v1/insights/overview?trigger=pushed", 404, '"webhook"'),
        ("/api/v1/insights/overview?team=nobody", 404, '"valid":["core"]'),
        ("/api/v1/insights/runs?project=gh/acme/web&org=x", 404, '"valid":["gh/acme"]'),
        ("/api/v1/query?metric=runs&where=team=nobody", 404, '"parameter":"where"'),
        ("/api/v1/series?metric=runs&where=trigger=pushed", 404, '"webhook"'),
        ("/api/v1/export/runs?project=gh/acme/web&team=nobody", 404, '"valid":["core"]'),
        ("/api/v1/export/runs?project=gh/acme/web&windw=7d", 400, '"window"'),
        ("/api/v1/insights/projects?limit=many", 400, "limit: Input should be a valid integer"),
        ("/api/v1/runs?limit=0", 400, '"parameter":"limit"'),
        ("/api/v1/insights/tests?show=odd", 400, '"flaky"'),
        ("/api/v1/insights/reruns?by=moon", 400, '"workflow"'),
    ],
)
async def test_what_is_misplaced_doubled_or_not_there_is_refused(bench, path, status, words):
    """Nothing that was asked is left out of the answer in silence."""
    answer = await bench.http.get(path)
    assert status == answer.status_code, answer.text
    assert words in answer.text
    kind = "application/problem+json" if path.startswith("/api") else "text/html; charset=utf-8"
    assert kind == answer.headers["content-type"]


async def test_an_empty_value_is_none(bench):
    """As the untouched fields of a form send it."""
    empty = "branch=&branch_class=&trigger=&org=&team=&window=&since=&until="
    for page in ("/", "/projects", f"/project?project={PROJECT}", "/credits?by=", "/tests?project=", "/dora?project="):
        answer = await bench.http.get(page + ("&" if "?" in page else "?") + ("" if "dora" in page else empty))
        assert 200 == answer.status_code, page
    api = await bench.http.get(f"/api/v1/insights/credits?by=&step=&limit=&project=&cursor=&{empty}")
    assert 200 == api.status_code
    assert api.json() == (await bench.http.get("/api/v1/insights/credits")).json()


async def test_known_values_and_lists_are_taken(bench):
    """A word may be there several times where it is a list; a branch without a run is an answer."""
    for query in ("org=gh/acme&team=core&window=30d", "trigger=schedule", "branch=nobody", "branch=@default"):
        assert 200 == (await bench.http.get(f"/?{query}")).status_code
        assert 200 == (await bench.http.get(f"/api/v1/insights/overview?{query}")).status_code
    several = "/api/v1/query?metric=runs&by=project&by=workflow&where=branch=main&where=project=gh/acme/web"
    assert 200 == (await bench.http.get(several)).status_code
    assert 303 == (await bench.http.get("/login?next=/")).status_code


async def test_every_link_of_every_page_is_answered(bench):
    """With a window, filters and names: no page leads to a question that another refuses."""
    chosen = f"/project?project={PROJECT}&branch=main&trigger=webhook&window=30d"
    seen, wanted = set(), ["/?window=30d&team=core", chosen]
    while wanted:
        path = wanted.pop()
        seen.add(path)
        answer = await bench.http.get(path)
        assert answer.status_code in (200, 303), path
        if "html" in answer.headers.get("content-type", ""):
            found = re.findall(r'(?:href|section [^>]*hx-get|data-live)="(/[^"]*)"', answer.text)
            found = [one for one in found if not re.search(r"window=(24h|7d|90d)", one)]
            wanted += {html.unescape(one) for one in found if not one.startswith("/static/")} - seen - set(wanted)
    assert len(seen) > 100


async def test_what_the_guard_stands_before_refuses_too():
    """Through the whole of it, as a browser asks."""
    made = Bench()
    await made.store.open()
    transport = httpx.ASGITransport(Guard(made.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert 400 == (await http.get("/?windw=7d", headers={"accept": "text/html"})).status_code


async def test_the_document_says_how_one_is_known_and_what_can_go_wrong(bench):
    """On each route: problems where they can occur, tags where answers have one, our header where something changes."""
    document = bench.app.openapi()
    assert {"token", "password", "session", "badge"} == set(document["components"]["securitySchemes"])
    assert [{"token": []}, {"password": []}, {"session": []}] == document["security"]
    assert {"type": "integer", "minimum": 1} == document["components"]["responses"]["429"]["headers"]["Retry-After"][
        "schema"
    ]
    for path, routes_of in document["paths"].items():
        for method, one in routes_of.items():
            codes = set(one["responses"])
            if path in ("/livez", "/readyz"):
                assert ({"200", "503"}, []) == (codes, one["security"])
                continue
            assert {"400", "401", "403", "429", "503"} <= codes, path
            assert "422" not in codes
            assert method == "get" or {"404", "409"} <= codes, path
            headers = {part["name"] for part in one.get("parameters", ()) if part["in"] == "header"}
            assert (
                ("304" in codes)
                == ("If-None-Match" in headers)
                == ("ETag" in one["responses"]["200"].get("headers", ()))
            )
            assert (method != "get") == ("X-Headgate-Request" in headers)
    paths = document["paths"]
    assert {"404", "304"} <= set(paths["/api/v1/insights/job"]["get"]["responses"])
    assert "404" not in paths["/api/v1/status"]["get"]["responses"]
    assert "304" in paths["/api/v1/status"]["get"]["responses"]
    assert "304" not in paths["/api/v1/live"]["get"]["responses"]
    assert "304" not in paths["/api/v1/export/{table}"]["get"]["responses"]
