"""The overview over the store of `insights` in headless Chromium: when something is seen, and how much is sent."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from playwright.sync_api import sync_playwright
from tests.e2e import pages_site

from benchmarks.bigdetails import add_details
from benchmarks.bigstore import NOW_MS, filled
from benchmarks.insights import JOBS
from benchmarks.report import Row, row
from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.store import SqliteStore

_CHROMIUM = "/usr/bin/chromium"
_LOADS = 5
_PAINT = "performance.getEntriesByType('paint').find(one => one.name === 'first-contentful-paint').startTime"
_BYTES = (
    "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    ".reduce((sum, one) => sum + one.transferSize, 0)"
)


def _open(path: Path) -> SqliteStore:
    return SqliteStore(path, clock=SystemClock(), metrics=NullMetrics())


async def _added_up(path: Path) -> None:
    store = _open(path)
    await store.open()
    await store.trim({}, now_ms=NOW_MS)
    await store.close()


def _load(browser: Any, address: str) -> tuple[float, float]:
    """Seconds to the first paint, and kilobytes, of a visitor who was never here."""
    visitor = browser.new_context()
    page = visitor.new_page()
    page.goto(address)
    page.wait_for_function(f"{_PAINT[: -len('.startTime')]} !== undefined")
    found = page.evaluate(_PAINT) / 1000, page.evaluate(_BYTES) / 1000
    visitor.close()
    return found


def run(*, long: bool, store: Path | None = None) -> list[Row]:
    """The slowest of five loads and the first. `store`: a folder in which the store is kept."""
    with tempfile.TemporaryDirectory(prefix="headgate-paint-") as scratch:
        path = filled(store or Path(scratch), JOBS * 10 if long else JOBS).path
        add_details(path)
        asyncio.run(_added_up(path))
        world = pages_site.world
        with (
            patch.object(world, "sqlite", lambda _: _open(path)),
            patch.object(world, "NOW", NOW_MS),
            pages_site.PagesSite(Path(scratch), runs=0) as site,
            sync_playwright() as drive,
        ):
            browser = drive.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            loads = [_load(browser, site.address) for _ in range(1 + _LOADS)]
            browser.close()
    worst = max(seconds for seconds, _ in loads[1:])
    sent = max(kilobytes for _, kilobytes in loads)
    return [
        row("load of the machine, one minute", os.getloadavg()[0], ""),
        row("first paint of the overview, first visit of all", loads[0][0], "s"),
        row("first paint of the overview, slowest of five", worst, "s", target="<= 1 s", met=worst <= 1),
        row("transferred for it", sent, "kB", target="<= 200 kB", met=sent <= 200),
    ]
