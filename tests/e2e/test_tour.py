"""The tour of the documentation on the whole demo: every step leads where it says and shows what it says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.e2e.harness import wait_until
from tests.e2e.test_demo import BROWSER_ARGUMENTS, CHROMIUM, Demo
from tests.e2e.tour import TOUR, stops

IMAGES = TOUR.parent / "images"
MOST_BYTES = 300_000


def test_the_tour_has_eight_steps_with_pictures():
    """Each says what to look for; its pictures are there and of a size that can be loaded."""
    found = list(stops())
    assert list(range(1, 9)) == sorted({stop.step for stop in found})
    assert all(stop.words for stop in found)
    assert 0 < min(path.stat().st_size for path in IMAGES.glob("*.png"))
    assert max(path.stat().st_size for path in IMAGES.glob("*.png")) <= MOST_BYTES


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_tour_on_the_whole_demo(tmp_path: Path):
    """Ninety days of twelve projects, as somebody meets them who follows the document."""
    with Demo(tmp_path) as demo:
        demo.launch()
        address = demo.address("Page")
        wait_until(lambda: "days are collected" in demo.said(), "history", 300)
        told = ("on the default branch succeeded", "jobs wait")
        wait_until(lambda: all(words in demo.said() for words in told), "both alerts of the tour", 120)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            for stop in stops():
                stop.reach(page, address)
                stop.look(page)
            browser.close()
        demo.send(signal.SIGINT)
        assert demo.wait(30) == 0, demo.said() + demo.text()
