"""Failures, tests, machine sizes, retries and budgets in a browser: numbers are the API's, names are text."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.hostile import PROJECT, TEST
from tests.e2e.pages_site import PagesSite
from tests.e2e.visits import Visit, api

pytestmark = pytest.mark.timeout(120)

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


@pytest.fixture
def site(hostile_site: PagesSite) -> PagesSite:
    """A served store with hostile names."""
    return hostile_site


def test_numbers_are_those_of_the_api(browser: Browser, site: PagesSite) -> None:
    """Of groups, sizes, retries, charges and budgets; from a group of failures to its test and to a run."""
    visit = Visit(browser, site)
    page = visit.open(PAGES["failures"])
    failures = api(site, "insights/failures", window="30d")
    counts = {one["id"]: one["count"] for one in (*failures["groups"], *failures["infrastructure"])}
    shown = page.eval_on_selector_all(
        "tr[data-group]",
        "rows => rows.map(row => [row.dataset.group, +row.querySelector('[data-value]').dataset.value])",
    )
    assert counts == dict(shown) != {}
    page = visit.open(PAGES["sizes"])
    sizes = api(site, "insights/rightsizing", window="30d")
    assert float(page.get_attribute("[data-tile=saving] b", "data-value") or 0) == pytest.approx(sizes["saving"])
    assert page.locator("tr[data-verdict=smaller]").count() == sizes["counts"]["smaller"] == 2
    page = visit.open(PAGES["retries"])
    waste = api(site, "insights/reruns", window="30d", by="workflow")["figures"]["rerun_waste"]["value"]
    assert float(page.get_attribute("[data-tile=rerun_waste] b", "data-value") or 0) == waste
    page = visit.open(PAGES["credits"])
    charges = api(site, "insights/charges", window="30d", by="project")
    assert int(page.get_attribute("[data-charges=total]", "data-value") or 0) == charges["whole"]["total"] == 50 * 26
    expect(page.locator("[data-tile=rerun_credits]")).to_be_visible()  # comes by itself
    expect(page).to_have_title("Credits - Headgate")
    page = visit.open(PAGES["budgets"])
    spent = [line["spent"] for line in api(site, "insights/budgets", by="project")["lines"]]
    assert spent == [float(cell.get_attribute("data-value")) for cell in page.locator("td[data-label=Spent]").all()]
    page = visit.open(PAGES["test"])
    one = api(site, "insights/test", project=PROJECT, test=TEST, window="30d")
    assert len(one["results"]) == page.locator(".strip li").count() == 5
    page.locator(".strip a").first.click()
    page.wait_for_url(re.compile("/run/"))
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
