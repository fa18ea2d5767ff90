"""Failures, tests, machine sizes, retries and budgets in a browser: numbers are the API's, names are text."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from tests.e2e.pages_site import EVIL, PROJECT, PagesSite, seen
from tests.e2e.test_demo import BROWSER_ARGUMENTS, CHROMIUM
from tests.e2e.test_site import Visit, api
from tests.unit.insights import world

from headgate.core.merge import Observation

pytestmark = pytest.mark.timeout(120)

TEST = world.key(4, 9)
_CUT = (
    "[...document.querySelectorAll('html, section, figure')].filter(one => one.scrollWidth > one.clientWidth)"
    ".map(one => one.getAttribute('aria-labelledby') || one.getAttribute('aria-label') || one.tagName)"
)
PAGES = {
    "failures": "/failures?window=30d",
    "test": f"/test?project={PROJECT}&test={TEST}&window=30d",
    "tests": "/tests?window=30d",
    "sizes": "/rightsizing?window=30d",
    "retries": "/reruns?window=30d&by=workflow",
    "retries of jobs": "/reruns?window=30d&by=job",
    "budgets": "/budgets?by=project",
    "credits": "/credits?window=30d",
    "workflow": f"/workflow?project={PROJECT}&workflow=build&window=30d",
}


def told() -> list[Observation]:
    """Beside the hostile history: bills and figures of a job with an evil name, and results of its test."""
    found = []
    for number in range(25):
        busy = {"ram_max_pct": 20.0, "cpu_median_pct": 10.0, "cpu_max_pct": 30.0, "run_seconds": 60}
        bill = {"compute_credits": 20, "dlc_credits": 3, "user_credits": 2, "total_credits": 26}
        place = {"workflow_name": "build", "job_name": EVIL if number % 2 else "test", "resource_class": "large"}
        where = {"executor": "docker", "operating_system": "linux", "stopped_at": world.NOW - number * 1_000}
        found += [seen("usage", world.key(11, 2 * number + one), {**busy, **bill, **place, **where}) for one in (0, 1)]
    for number, word in enumerate(["pass", "fail", "pass", "skip"], 50):
        fields = {
            "job_id": world.key(6, 3),
            "name": EVIL,
            "class_name": EVIL,
            "result": word,
            "message": f"{EVIL} {number}",
        }
        at = {
            "stopped_at": world.NOW - number * 1_000,
            "run_ms": 10 * number,
            "test_id": TEST,
            "message": f"{EVIL} {number}",
        }
        found.append(seen("test_result", world.key(4, number), fields | at))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    """A served store with hostile names."""
    with PagesSite(tmp_path_factory.mktemp("site")) as served:
        served.tell(*told())
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        yield opened
        opened.close()


def test_hostile_names_are_text_and_nothing_is_cut_off(browser: Browser, site: PagesSite, tmp_path) -> None:
    """On every page, at a desk and on a phone in the dark; nothing that is loaded complains."""
    for width, scheme in ((1280, "light"), (390, "dark")):
        visit = Visit(browser, site, viewport={"width": width, "height": 900}, color_scheme=scheme)
        for name, path in PAGES.items():
            page = visit.open(path)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
            assert page.locator("main h1").count() == 1, name
            assert page.evaluate(_CUT) == [], name
            assert not page.evaluate("document.querySelector('main img, main script')"), name
        assert visit.wrong == []
        visit.context.close()


def test_numbers_are_those_of_the_api(browser: Browser, site: PagesSite) -> None:
    """Of groups, sizes, retries, charges and budgets; from a group of failures to its test and to a run."""
    visit = Visit(browser, site)
    page = visit.open(PAGES["failures"])
    failures = api(site, "failures", window="30d")
    counts = {one["id"]: one["count"] for one in (*failures["groups"], *failures["infrastructure"])}
    shown = page.eval_on_selector_all(
        "tr[data-group]",
        "rows => rows.map(row => [row.dataset.group, +row.querySelector('[data-value]').dataset.value])",
    )
    assert counts == dict(shown) != {}
    page = visit.open(PAGES["sizes"])
    sizes = api(site, "rightsizing", window="30d")
    assert float(page.get_attribute("[data-tile=saving] b", "data-value") or 0) == pytest.approx(sizes["saving"])
    assert page.locator("tr[data-verdict=smaller]").count() == sizes["counts"]["smaller"] == 2
    page = visit.open(PAGES["retries"])
    waste = api(site, "reruns", window="30d", by="workflow")["figures"]["rerun_waste"]["value"]
    assert float(page.get_attribute("[data-tile=rerun_waste] b", "data-value") or 0) == waste
    page = visit.open(PAGES["credits"])
    charges = api(site, "charges", window="30d", by="project")
    assert int(page.get_attribute("[data-charges=total]", "data-value") or 0) == charges["whole"]["total"] == 50 * 26
    expect(page.locator("[data-tile=rerun_credits]")).to_be_visible()  # comes by itself
    page = visit.open(PAGES["budgets"])
    spent = [line["spent"] for line in api(site, "budgets", by="project")["lines"]]
    assert spent == [float(cell.get_attribute("data-value")) for cell in page.locator("td[data-label=Spent]").all()]
    page = visit.open(PAGES["test"])
    one = api(site, "test", project=PROJECT, test=TEST, window="30d")
    assert len(one["results"]) == page.locator(".strip li").count() == 5
    page.locator(".strip a").first.click()
    assert "/run/" in page.url
    expect(page.get_by_role("heading", name="Why it failed")).to_be_visible()
    assert visit.wrong == []
    visit.context.close()


def test_it_needs_no_script(browser: Browser, site: PagesSite) -> None:
    """What would come by itself is a link then."""
    visit = Visit(browser, site, java_script_enabled=False)
    page = visit.open(PAGES["credits"])
    page.get_by_role("link", name="Waste by retries").click()
    expect(page.locator("[data-tile=rerun_waste]")).to_be_visible()
    page = visit.open(f"/failures?project={quote(PROJECT)}&window=30d")
    expect(page.locator("tr[data-group]").first).to_be_visible()
    visit.context.close()
