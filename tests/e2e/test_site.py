"""The pages in a browser: from the overview to a run and back, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.hostile import PROJECT
from tests.e2e.pages_site import PagesSite
from tests.e2e.visits import Visit, api

pytestmark = pytest.mark.timeout(120)

# The most that one page may cost a browser that has nothing of it yet.
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def site(hostile_site: PagesSite) -> PagesSite:
    """A served store with hostile names."""
    return hostile_site


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: PagesSite) -> Iterator[Visit]:
    """A visitor at a desk, who has seen pages before."""
    made = Visit(browser, site)
    yield made
    made.context.close()


@pytest.fixture
def visit(visitor: Visit) -> Visit:
    """The same, with nothing to complain of yet."""
    visitor.wrong.clear()
    visitor.asked.clear()
    return visitor


def values(page: Page, attribute: str) -> dict[str, float | None]:
    """Name -> number, as elements with that attribute hold them for machines."""
    page.wait_for_load_state()
    found = page.evaluate(
        "name => [...document.querySelectorAll(`[${name}]`)].map(one =>"
        " [one.getAttribute(name), (one.querySelector('[data-value]') || one).dataset.value])",
        attribute,
    )
    return {name: float(value) if value else None for name, value in found}


def test_from_the_overview_to_a_run_and_back(visit, site):
    """Project, workflow and run by links, back by breadcrumbs; every figure on the way is the API's."""
    page = visit.open("/?window=30d")
    overview = api(site, "insights/overview", window="30d")
    figures = {name: overview["totals"][name]["value"] for name in values(page, "data-tile")}
    assert figures == values(page, "data-tile")
    page.click(f"main [data-project='{PROJECT}'] a")
    shown = api(site, "insights/project", project=PROJECT, window="30d")["figures"]
    assert {name: shown[name]["value"] for name in values(page, "data-tile")} == values(page, "data-tile")
    page.click("main [data-workflow='build'] a")
    known = api(site, "insights/workflow", project=PROJECT, workflow="build", window="30d")
    figures = {name: one["value"] for name, one in known["figures"].items()}
    tiles = values(page, "data-tile")  # those of waste come by themselves, sooner or later
    assert {"runs", "success_rate"} <= figures.keys() & tiles.keys()
    assert {name: figures[name] for name in tiles if name in figures}.items() <= tiles.items()
    lines = {line["metric"]: line["values"] for line in known["plot"]["lines"]}
    drawn = page.eval_on_selector_all(
        "[data-chart=success_rate] [data-v]", "cells => cells.map(cell => cell.dataset.v ? +cell.dataset.v : null)"
    )
    assert lines["success_rate"] == drawn
    assert page.locator("figure .plot canvas").count() == 4
    listed = api(site, "insights/runs", project=PROJECT, workflow="build", window="30d")["runs"]
    assert [run["id"] for run in listed] == [
        row.get_attribute("data-run") for row in page.locator("tr[data-run]").all()
    ]
    page.click("tr[data-run] a")
    page.wait_for_url(re.compile(listed[0]["id"]))
    assert "window=30d" in page.url
    run = api(site, "insights/run", run=listed[0]["id"])
    assert run["duration"] == values(page, "data-run")["taken"]
    page.click("nav[aria-label=Breadcrumb] a >> nth=2")
    page.wait_for_url(re.compile(r"/workflow\?"))
    page.click("nav[aria-label=Main] a >> nth=0")
    page.wait_for_url(re.compile(r"//[^/]+/(\?|$)"))
    assert visit.wrong == []


def test_filters_change_the_page_and_its_address(visit, site):
    """Without a reload, and the address that results shows the same again."""
    page = visit.open(f"/workflow?project={PROJECT}&workflow=build&window=30d")
    page.select_option("#f-class", "@other")
    page.wait_for_url("**branch_class=%40other**")
    page.wait_for_selector("a.clear")
    asked = {"project": PROJECT, "workflow": "build", "window": "30d", "branch_class": "@other"}
    assert api(site, "insights/workflow", **asked)["figures"]["runs"]["value"] == values(page, "data-tile")["runs"]
    page.wait_for_selector("figure .plot canvas")
    page.fill("#f-branch", "fix/a")
    page.press("#f-branch", "Enter")
    page.wait_for_url("**branch=fix%2Fa**")
    assert "trigger=" not in page.url
    expect(page.locator("tr[data-run] .whole bdi").filter(has_not_text="fix/a")).to_have_count(0)
    before = page.locator("tr[data-run]").count()
    page.reload()
    expect(page.locator("tr[data-run]")).to_have_count(before)
    page.select_option("#f-trigger", "api")
    page.wait_for_url("**trigger=api**")
    asked |= {"branch": "fix/a", "trigger": "api"}
    expect(page.locator("tr[data-run]")).to_have_count(len(api(site, "insights/runs", **asked)["runs"]))
    assert 0 < page.locator("tr[data-run]").count() < before
    page.click("a.clear")
    expect(page).not_to_have_url(re.compile("branch"))
    assert visit.wrong == []


# Counts in `alive` what each plot listens to until it is destroyed.
COUNT_PLOTS = """
window.alive = -1;  // the library itself listens once
for (const [method, step] of [["addEventListener", 1], ["removeEventListener", -1]]) {
  const own = window[method].bind(window);
  window[method] = (name, ...rest) => { window.alive += name === "dppxchange" ? step : 0; own(name, ...rest); };
}
"""
WIDTHS = "[...document.querySelectorAll('.plot')].map(one => one.clientWidth === one.firstChild.offsetWidth)"


def test_charts_that_are_drawn_again_are_not_kept(browser, site):
    """As many plots live as are seen, after a filter, other widths, other colours and the way back."""
    fresh = Visit(browser, site)
    fresh.context.add_init_script(COUNT_PLOTS)
    page = fresh.open(f"/workflow?project={PROJECT}&workflow=build&window=30d")
    seen = page.locator("figure .plot canvas")

    def alive() -> int:
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert page.evaluate("alive") == seen.count()
        return seen.count()

    first = alive()
    assert first > 0
    for width in (1100, 900, 700):
        page.set_viewport_size({"width": width, "height": 900})
        assert alive() == first
        assert page.evaluate(WIDTHS) == [True] * first
    page.emulate_media(color_scheme="dark")
    assert alive() == first
    page.select_option("#f-class", "@other")
    page.wait_for_selector("a.clear")
    expect(seen).to_have_count(first)
    assert alive() == first
    page.go_back()
    expect(page.locator("a.clear")).to_have_count(0)
    expect(seen).to_have_count(first)
    assert alive() == first
    assert fresh.wrong == []
    fresh.context.close()


@pytest.mark.parametrize("path", ["/?window=90d", f"/job?project={PROJECT}&workflow=build&job=test&window=90d"])
def test_a_first_visit_is_light(browser, site, path):
    """Everything that a page of ninety days needs, for somebody who has none of it."""
    fresh = Visit(browser, site)
    page = fresh.open(path)
    size = page.evaluate(
        "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
    fresh.context.close()
    assert 50_000 < size < MOST_BYTES


def test_the_keyboard_reaches_everything(visit):
    """The first stop skips to the content; links, filters and tables of charts follow in their order."""
    page = visit.open(f"/workflow?project={PROJECT}&workflow=build")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert [stop for stop in stops if stop.startswith("f-")] == ["f-class", "f-branch", "f-trigger"]
    assert stops.count("SUMMARY") >= 5
    page.locator("figure summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("figure table").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_store_without_anything_says_what_to_do(browser, tmp_path):
    """Every page that needs no name opens and says what is missing."""
    with PagesSite(tmp_path, runs=0) as empty:
        visit = Visit(browser, empty)
        for path, words in {
            "/": "Nothing is known yet",
            "/projects": "No project is known yet",
            "/tests": "No test result",
            "/credits": "No credits are known",
        }.items():
            assert words in visit.open(path).locator("main").inner_text()
        visit.context.close()
    assert visit.wrong == []
