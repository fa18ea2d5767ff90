"""What a browser shows changes as it happens, by events, and by asking again where there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.hostile import PROJECT, seen
from tests.e2e.pages_site import PagesSite
from tests.e2e.visits import Visit
from tests.unit.insights import world

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def site(tmp_path) -> Iterator[PagesSite]:
    """A served store that may learn more."""
    with PagesSite(tmp_path, runs=40, odd=False) as served:
        yield served


def begun(number: int):
    """A run that began a second ago."""
    created = {"created_at": world.NOW - 1000}
    place = {"number": 900 + number, "ref_name": "main"} | created
    run = {"name": "build", "pipeline_id": world.key(8, number), "status": "running"} | created
    return [
        unended(seen("pipeline", world.key(8, number), place)),
        unended(seen("workflow", world.key(7, number), run)),
    ]


def unended(one):
    """The same before its end."""
    return type(one)(one.kind, one.key, one.project, one.source, one.observed_ms, terminal=False, fields=one.fields)


def ended(number: int):
    """The end of that run."""
    run = {"name": "build", "pipeline_id": world.key(8, number), "status": "success", "stopped_at": world.NOW}
    return seen("workflow", world.key(7, number), run | {"created_at": world.NOW - 1000})


def test_the_overview_follows_what_happens(browser: Browser, site):
    """A run appears and goes without a reload; nothing is asked every few seconds, and keyboard focus stays."""
    visit = Visit(browser, site)
    with visit.page.expect_response("**/api/v1/live"):
        page = visit.open("/")
    running = page.locator("[data-now=running] b")
    expect(running).to_have_text("0")
    page.wait_for_timeout(1500)  # until the first look
    asked = len([url for url in visit.asked if "/now" in url])
    site.tell(*begun(1))
    expect(running).to_have_text("1", timeout=8000)
    page.locator("#now td a[href^='/run/']").focus()
    site.tell(*begun(2))
    expect(running).to_have_text("2", timeout=8000)
    assert page.evaluate("document.activeElement.tagName") == "A"
    site.tell(ended(1), ended(2))
    expect(running).to_have_text("0", timeout=8000)
    assert len([url for url in visit.asked if "/now" in url]) - asked <= 6
    visit.context.close()
    assert visit.wrong == []


@pytest.mark.long
def test_without_events_it_asks_again(browser: Browser, site):
    """Where the stream is refused, as by a proxy that does not know it."""
    visit = Visit(browser, site)
    visit.page.route("**/api/v1/live", lambda route: route.fulfill(status=503, body="no"))
    page = visit.open("/delivery")
    expect(page.locator("#freshness")).to_contain_text("live, ", timeout=8000)
    first = page.locator("#freshness").inner_text()
    expect(page.locator("#freshness")).not_to_have_text(first, timeout=8000)
    visit.page.route("**/live", lambda route: route.abort())
    expect(page.locator("#freshness")).to_contain_text("no answer", timeout=8000)
    visit.context.close()


def test_builds_need_no_script(browser: Browser, hostile_site):
    """Bars are links, as many as builds, and a branch is chosen by a plain form."""
    visit = Visit(browser, hostile_site, java_script_enabled=False)
    page = visit.open("/builds")
    page.click(f"[data-builds='{PROJECT}'] a >> nth=0")
    expect(page.locator("svg.builds a").nth(3)).to_be_visible()
    branch = page.locator("#branches option").nth(1).get_attribute("value") or ""
    page.fill("#b-branch", branch)
    page.click("form[aria-label='Choose a branch'] button")
    page.wait_for_url(re.compile(re.escape(f"branch={quote(branch, safe='')}")))
    expect(page.locator("svg.builds")).to_have_count(2)
    visit.context.close()
