"""Exports in a browser: a link below a table is a file that says what the table says."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import Browser, Page
from tests.e2e.hostile import PROJECT
from tests.e2e.pages_site import PagesSite


@pytest.fixture
def page(browser: Browser, hostile_site: PagesSite) -> Iterator[Page]:
    """A visitor of a served store."""
    context = browser.new_context(base_url=hostile_site.address)
    yield context.new_page()
    context.close()


def downloaded(page: Page, name: str, path: Path) -> Path:
    """What a link gives."""
    with page.expect_download() as waiting:
        page.get_by_role("link", name=name, exact=True).click()
    waiting.value.save_as(path)
    assert waiting.value.suggested_filename.endswith(path.suffix)
    return path


def test_an_export_says_what_the_page_says(page: Page, tmp_path: Path) -> None:
    """Projects as CSV and XLSX have the numbers of the table; a filter of the page is one of its files."""
    page.goto("/projects?window=30d")
    shown = {
        row.get_attribute("data-project"): row.locator("[data-metric=runs]").get_attribute("data-value")
        for row in page.locator("tr[data-project]").all()
    }
    path = downloaded(page, "Projects as CSV", tmp_path / "projects.csv")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = {row["project"]: row["runs"] for row in csv.DictReader(lines)}
    assert shown == rows
    book = downloaded(page, "Projects as XLSX", tmp_path / "projects.xlsx")
    names, *cells = openpyxl.load_workbook(book)["Table"].iter_rows(values_only=True)
    place = names.index("runs")
    assert {one: float(value or 0) for one, value in shown.items()} == {row[0]: row[place] for row in cells}
    page.goto(f"/workflow?project={PROJECT}&workflow=build&branch=main&window=30d")
    listed = [one.get_attribute("data-run") for one in page.locator("tr[data-run]").all()]
    path = downloaded(page, "Runs as CSV", tmp_path / "runs.csv")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert (listed, {"main"}) == ([row["id"] for row in rows], {row["branch"] for row in rows})
