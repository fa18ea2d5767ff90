"""Every route of the API has its role in one table."""

from __future__ import annotations

import re
from typing import Any, cast

import httpx
import pytest
from fastapi.routing import APIRoute
from tests.unit.web.test_api import Answers, Health

from headgate.app.rulepages import add_rule_pages
from headgate.core.clock import ManualClock
from headgate.insights.views.lens import Lens
from headgate.store import MemoryStore
from headgate.web.access.gate import Gate
from headgate.web.access.login import add_login
from headgate.web.access.needs import NEEDS, Need, need_of
from headgate.web.api import build_app
from headgate.web.exports import add_exports
from headgate.web.guard import Guard
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages
from headgate.web.site.routes import add_pages

_HEALTH = {"GET /livez", "GET /readyz"}


def routes() -> set[str]:
    """Method and path of all that the application serves, but for pages."""
    nobody = cast("Any", None)
    app = build_app(nobody, nobody, MetricPages(bytes, lambda _: b""), version="0")
    add_rule_pages(app, nobody)
    add_exports(app, nobody, lambda: Lens(nobody, 0))
    add_insights(app, lambda: Lens(nobody, 0))
    add_pages(app, nobody, lambda: Lens(nobody, 0), "0")
    found = {
        f"{method} {path}"
        for path, method in _walk(app.routes)
        if path.startswith(("/api/", "/metrics", "/badge", "/livez", "/readyz"))
    }
    return found - _HEALTH


def _walk(given: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for route in given:
        if isinstance(route, APIRoute):
            found += [(route.path, method) for method in route.methods]
        inner = getattr(route, "original_router", None)
        if inner is not None:
            found += _walk(inner.routes)
    return found


def test_every_route_says_which_role_it_needs():
    """One that is new here fails until somebody decides; one that is gone is taken out."""
    of_one_table = {"GET /api/v1/export/trail"}  # of the route of all
    assert routes() == set(NEEDS) - of_one_table


async def test_every_form_of_a_page_is_held_against_forgery():
    """Whichever page has one: without what our form carries nothing is done, whoever sends it."""
    store, answers = MemoryStore(clock=ManualClock()), Answers()
    await store.open()
    app = build_app(answers, Health(), MetricPages(bytes, lambda _: b""), version="0")
    add_pages(app, answers, lambda: Lens(store, 0), "0")
    add_login(app, Gate(ManualClock()), "0")
    forms = [path for path, method in _walk(app.routes) if method == "POST" and not path.startswith("/api/")]
    assert {"/login", "/logout"} <= set(forms)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Guard(app)), base_url="http://127.0.0.1") as http:
        for path in forms:
            answer = await http.post(re.sub(r"\{[^}]*\}", "1", path), data={"csrf": "guess", "id": "1", "by": "x"})
            assert 403 == answer.status_code, path
    assert [] == answers.asked


def test_what_changes_something_is_no_viewers():
    """Whatever route it is."""
    assert not [route for route, need in NEEDS.items() if not route.startswith("GET ") and need.role == "viewer"]


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/api/v1/status", Need("viewer")),
        ("HEAD", "/api/v1/trail", Need("admin", personal=True)),
        ("GET", "/api/v1/export/trail", Need("admin")),
        ("GET", "/api/v1/export/runs", Need("viewer")),
        ("GET", "/api/v1/explain/abc", Need("viewer", personal=True)),
        ("GET", "/run/abc", Need("viewer", personal=True)),
        ("POST", "/api/v1/alerts/f/ack", Need("operator")),
        ("POST", "/api/v1/alerts/f/g/ack", Need("admin")),
        ("GET", "/api/v2/anything", Need("admin")),
        ("PUT", "/api/v1/status", Need("admin")),
        ("GET", "/metrics/other", Need("admin")),
        ("GET", "/alerts", Need("viewer")),
        ("POST", "/alerts/ack", Need("viewer")),
    ],
)
def test_a_path_is_found_in_the_table(method, path, need):
    """What the table does not know of the API is an admin's; forms of pages say themselves what they need."""
    assert need == need_of(method, path)
