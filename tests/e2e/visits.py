"""Visitors of the pages, and what their browser complains of."""

from __future__ import annotations

from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from tests.e2e.pages_site import PagesSite

_GRAVE = ("moderate", "serious", "critical")
_CUT = (
    "[...document.querySelectorAll('html, section, figure')].filter(one => one.scrollWidth > one.clientWidth)"
    ".map(one => one.getAttribute('aria-labelledby') || one.getAttribute('aria-label') || one.tagName)"
)
_ADDED = "main img, main script, iframe, object, embed, script:not([src]), [onerror], [href^='javascript:']"


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


def api(site: PagesSite | Visit, path: str, **query: str) -> Any:
    """What the API says."""
    answer = httpx.get(f"{site.address}/api/v1/{path}", params=query, trust_env=False)
    return answer.raise_for_status().json()


def cut(page: Page) -> list[str]:
    """Names of the parts that are wider than their place, once charts have their new width."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(_CUT)


def added(page: Page) -> list[str]:
    """Elements that no template has."""
    return page.eval_on_selector_all(_ADDED, "all => all.map(one => one.outerHTML)")


def barriers(page: Page, *rules: str) -> list[str]:
    """What axe-core finds that keeps somebody out, as `rule: element`; by those rules alone, if any are named."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("async options => (await axe.run(options)).violations", options)
    return [
        f"{one['impact']} {one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for one in found
        if one["impact"] in _GRAVE
        for node in one["nodes"][:3]
    ]
