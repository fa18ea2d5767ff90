"""Dates, organisation and team, chosen in a browser; and what a wrong address says there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.pages_site import PagesSite
from tests.e2e.visits import Visit, api
from tests.unit.insights import world

from headgate.core.times import DAY_MS, format_ms
from headgate.insights.match import Matcher
from headgate.insights.owners import Owner, Owners

pytestmark = pytest.mark.timeout(120)

OWNERS = Owners([Owner((Matcher("project", "=", "gh/acme/web"),), "core"), Owner((), "rest")])


@pytest.fixture(scope="module")
def visit(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """A visitor of three projects that two organisations and two teams own."""
    with PagesSite(tmp_path_factory.mktemp("site"), runs=200, odd=False, owners=OWNERS) as site:
        made = Visit(browser, site)
        yield made
        made.context.close()


def runs(page: Page) -> float:
    """What the tile of runs says."""
    return float(page.get_attribute("[data-tile=runs] [data-value]", "data-value") or 0)


def told(visit: Visit, **asked: Any) -> float:
    """What the API says to the same question."""
    return float(api(visit, "insights/overview", **asked)["totals"]["runs"]["value"] or 0)


def test_dates_team_and_organisation_are_chosen(visit: Visit) -> None:
    """Each changes the page and its address, together with what was chosen before; untouched fields are not in it."""
    page = visit.open("/?window=30d")
    whole = runs(page)
    page.select_option("#f-team", "core")
    page.wait_for_url("**team=core**")
    expect(page.locator("main [data-project]")).to_have_count(1)
    assert "org=" not in page.url
    assert 0 < runs(page) == told(visit, window="30d", team="core") < whole
    page.click("a.clear")
    expect(page.locator("main [data-project]")).to_have_count(3)
    page.select_option("#f-org", "gh/beta")
    page.wait_for_url("**org=gh%2Fbeta**")
    expect(page.locator("main [data-project]")).to_have_count(1)
    assert runs(page) == told(visit, window="30d", org="gh/beta")
    since, until = (format_ms(world.NOW - back * DAY_MS)[:10] for back in (20, 5))
    page.click("summary:has-text('Dates')")
    page.fill("input[name=since]", since)
    page.fill("input[name=until]", until)
    page.click(".picker button")
    page.wait_for_url(f"**since={since}**")
    assert "org=gh%2Fbeta" in page.url
    assert runs(page) == told(visit, since=since, until=until, org="gh/beta")
    page.click("nav[aria-label=Main] a >> nth=1")
    page.wait_for_url(re.compile(f"/projects.*since={since}"))
    page.select_option("#f-team", "rest")
    page.wait_for_url("**team=rest**")
    assert f"since={since}" in page.url
    expect(page.locator("main tr[data-project]")).to_have_count(2)
    assert visit.wrong == []


def test_a_word_that_the_page_does_not_know_is_said(visit: Visit) -> None:
    """With the nearest one; a team that is not there with those that are."""
    page = visit.context.new_page()
    for path, words in (("/?windw=30d", "did you mean window?"), ("/projects?team=cor", "did you mean core?")):
        page.goto(visit.address + path)
        expect(page.locator("main")).to_contain_text(words)
    page.close()
