"""The pages in a browser: from the overview to a run and back, by keyboard, in the dark, on a phone, under attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.e2e.pages_site import EVIL, LONG_BRANCH, PROJECT, RIGHT_TO_LEFT, RUN, PagesSite
from tests.e2e.test_demo import BROWSER_ARGUMENTS, CHROMIUM

pytestmark = pytest.mark.timeout(120)

OF_EVIL = f"project={quote(PROJECT)}&workflow={quote(EVIL)}"
PAGES = {
    "overview": "/",
    "projects": "/projects",
    "project": f"/project?project={PROJECT}",
    "workflow": f"/workflow?project={PROJECT}&workflow=build",
    "hostile workflow": f"/workflow?{OF_EVIL}",
    "hostile job": f"/job?{OF_EVIL}&job={quote(EVIL)}",
    "job": f"/job?project={PROJECT}&workflow=build&job=test",
    "run": f"/run/{RUN}",
    "tests": "/tests",
    "credits": "/credits?by=branch",
    "builds": "/builds",
    "builds of a branch": f"/builds?project={PROJECT}&branch={quote(EVIL)}",
    "dora": "/dora",
    "alerts": "/alerts",
    "reports": "/reports",
    "delivery": "/delivery",
    "problem": f"/project?project={quote(EVIL)}",
}
# The most that one page may cost a browser that has nothing of it yet.
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    """A served store with hostile names."""
    with PagesSite(tmp_path_factory.mktemp("site")) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        yield opened
        opened.close()


class Visit:
    """A fresh visitor, and everything that the browser complained of."""

    def __init__(self, browser: Browser, site: PagesSite, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.address = site.address
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on(
            "console", lambda line: self.wrong.append(line.text) if line.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.wrong.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> Page:
        """Go there and wait until it is drawn: charts are, before a page counts as loaded."""
        self.page.goto(self.address + path)
        return self.page


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


def api(site: PagesSite, path: str, **query: str) -> Any:
    """What the API says."""
    answer = httpx.get(f"{site.address}/api/v1/insights/{path}", params=query, trust_env=False)
    return answer.raise_for_status().json()


def values(page: Page, attribute: str) -> dict[str, float | None]:
    """Name -> number, as elements with that attribute hold them for machines."""
    found = page.evaluate(
        "name => [...document.querySelectorAll(`[${name}]`)].map(one =>"
        " [one.getAttribute(name), (one.querySelector('[data-value]') || one).dataset.value])",
        attribute,
    )
    return {name: float(value) if value else None for name, value in found}


def test_from_the_overview_to_a_run_and_back(visit, site):
    """Project, workflow and run by links, back by breadcrumbs; every figure on the way is the API's."""
    page = visit.open("/?window=30d")
    overview = api(site, "overview", window="30d")
    figures = {name: overview["totals"][name]["value"] for name in values(page, "data-tile")}
    assert figures == values(page, "data-tile")
    page.click(f"main [data-project='{PROJECT}'] a")
    shown = api(site, "project", project=PROJECT, window="30d")["figures"]
    assert {name: shown[name]["value"] for name in values(page, "data-tile")} == values(page, "data-tile")
    page.click("main [data-workflow='build'] a")
    known = api(site, "workflow", project=PROJECT, workflow="build", window="30d")
    tiles = {
        name: value for name, value in values(page, "data-tile").items() if "rerun" not in name
    }  # those come later
    assert {name: known["figures"][name]["value"] for name in tiles} == tiles != {}
    lines = {line["metric"]: line["values"] for line in known["plot"]["lines"]}
    drawn = page.eval_on_selector_all(
        "[data-chart=success_rate] [data-v]", "cells => cells.map(cell => cell.dataset.v ? +cell.dataset.v : null)"
    )
    assert lines["success_rate"] == drawn
    assert page.locator("figure .plot canvas").count() == 4
    listed = api(site, "runs", project=PROJECT, workflow="build", window="30d")["runs"]
    assert [run["id"] for run in listed] == [
        row.get_attribute("data-run") for row in page.locator("tr[data-run]").all()
    ]
    page.click("tr[data-run] a")
    assert listed[0]["id"] in page.url
    assert "window=30d" in page.url
    run = api(site, "run", run=listed[0]["id"])
    assert run["duration"] == values(page, "data-run")["taken"]
    page.click("nav[aria-label=Breadcrumb] a >> nth=2")
    assert "/workflow?" in page.url
    page.click("nav[aria-label=Main] a >> nth=0")
    assert urlsplit(page.url).path == "/"
    assert visit.wrong == []


def test_filters_change_the_page_and_its_address(visit, site):
    """Without a reload, and the address that results shows the same again."""
    page = visit.open(f"/workflow?project={PROJECT}&workflow=build&window=30d")
    page.select_option("#f-class", "@other")
    page.wait_for_url("**branch_class=%40other**")
    page.wait_for_selector("a.clear")
    asked = {"project": PROJECT, "workflow": "build", "window": "30d", "branch_class": "@other"}
    assert api(site, "workflow", **asked)["figures"]["runs"]["value"] == values(page, "data-tile")["runs"]
    page.wait_for_selector("figure .plot canvas")
    page.fill("#f-branch", "fix/a")
    page.press("#f-branch", "Enter")
    page.wait_for_url("**branch=fix%2Fa**")
    assert "trigger=" not in page.url
    expect(page.locator("tr[data-run] .whole bdi").filter(has_not_text="fix/a")).to_have_count(0)
    before = page.locator("tr[data-run]").count()
    page.reload()
    assert before == page.locator("tr[data-run]").count()
    page.click("a.clear")
    assert "branch" not in page.url
    assert visit.wrong == []


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_hostile_names_are_text(visit, path):
    """Nothing of theirs runs, nobody else is asked, nothing is complained of; landmarks stand."""
    page = visit.open(path)
    hosts = {urlsplit(url).netloc for url in visit.asked}
    assert hosts == {urlsplit(visit.address).netloc}
    expected = ["Failed to load resource: the server responded with a status of 404 (Not Found)"]
    assert (expected if path == PAGES["problem"] else []) == visit.wrong
    assert page.locator("img[src=x], main script").count() == 0
    check_landmarks(page)


@pytest.mark.parametrize("name", ["overview", "job"])
def test_a_first_visit_is_light(browser, site, name):
    """Everything that a page of ninety days needs, for somebody who has none of it."""
    fresh = Visit(browser, site)
    path = PAGES[name]
    page = fresh.open(path + ("&" if "?" in path else "?") + "window=90d")
    size = page.evaluate(
        "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
    fresh.context.close()
    assert 50_000 < size < MOST_BYTES


def test_hostile_names_are_shown_whole(visit):
    """As they were written, in every place that has them."""
    page = visit.open(f"/run/{RUN}")
    assert EVIL in page.locator("h1").inner_text()
    facts = page.locator(".facts").inner_text()
    assert facts.count(EVIL) >= 2
    assert EVIL in page.locator(".waterfall").inner_text()
    assert EVIL in page.locator(".steps").inner_text()
    page = visit.open(f"/workflow?project={PROJECT}&workflow=build")
    shown = page.locator("table.runs").inner_text()
    assert LONG_BRANCH in shown
    assert RIGHT_TO_LEFT in shown
    assert EVIL in visit.open("/tests").locator("main").inner_text()
    assert EVIL in visit.open("/alerts").locator("main").inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_is_cut_off(browser, site, width, scheme, tmp_path):
    """On a screen and on a phone, in light and dark; a picture of each page is kept to look at."""
    visit = Visit(browser, site, viewport={"width": width, "height": 900}, color_scheme=scheme)
    cut = {}
    for name, path in PAGES.items():
        page = visit.open(path)
        cut[name] = page.evaluate(
            "[...document.querySelectorAll('html, section, figure')].filter(one => one.scrollWidth > one.clientWidth)"
            ".map(one => one.getAttribute('aria-labelledby') || one.getAttribute('aria-label') || one.tagName)"
        )
        page.screenshot(path=str(tmp_path / f"{name}.png"), full_page=True)
    back = visit.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    visit.context.close()
    assert {name: [] for name in PAGES} == cut
    assert (back > 200) is (scheme == "light")


def test_the_keyboard_reaches_everything(visit):
    """The first stop skips to the content; links, filters and tables of charts follow in their order."""
    page = visit.open(f"/workflow?project={PROJECT}&workflow=build")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert [stop for stop in stops if stop.startswith("f-")] == ["f-class", "f-branch", "f-trigger"]
    assert stops.count("SUMMARY") >= 5
    page.locator("figure summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("figure table").first.is_visible()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def check_landmarks(page: Page) -> None:
    """One main part and one heading of the first rank; tables have captions, fields labels, ids are one of a kind."""
    assert page.locator("main").count() == 1
    assert page.locator("h1").count() == 1
    assert page.locator("header nav[aria-label=Main]").count() == 1
    assert page.title().endswith(" - Headgate")
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.eval_on_selector_all("input:not([type=hidden]), select", "all => all.every(one => one.labels.length)")


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
