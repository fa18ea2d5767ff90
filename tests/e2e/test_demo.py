"""The demo as a person meets it: what it prints, what the page shows, whether both are true."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Request, sync_playwright
from tests.e2e.harness import ASKING, Child, wait_until
from tests.e2e.tour import stops

pytestmark = pytest.mark.timeout(300)

CHROMIUM = "/usr/bin/chromium"
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SMALL = ("--days", "28", "--projects", "6")
# Plain requests of this many seconds may pass while the page's figures are held against the API's.
_SAME_SECONDS = 90.0


class Demo(Child):
    """`headgate demo` on a free port. `now_ms`: its present, which no option of the command can set."""

    def __init__(self, folder: Path, *arguments: str, now_ms: int | None = None) -> None:
        command = ["-m", "headgate", "demo", "--port", "0", *arguments]
        if now_ms is not None:
            options = f"DemoOptions(port=0, now_ms={now_ms})"
            command = ["-c", f"from headgate.app.demo import DemoOptions, run_demo; run_demo({options})"]
        super().__init__([sys.executable, "-u", *command], folder / "demo.err", out=folder / "demo.out")

    def said(self) -> str:
        """Everything on standard output so far."""
        assert self.out is not None
        return self.out.read_text() if self.out.exists() else ""

    def address(self, name: str) -> str:
        """The address that the demo prints behind a name."""

        def found() -> re.Match[str] | None:
            assert self.running(), self.said() + self.text()
            return re.search(rf"(?m)^{name}\s+(http://127\.0\.0\.1:\d+)", self.said())

        return wait_until(found, f"the line {name} of the demo", 60)[1]


def get(url: str) -> Any:
    return httpx.get(url, timeout=20, **ASKING).raise_for_status()


def test_the_demo_tells_where_to_look_and_is_right(tmp_path):
    """It prints addresses that answer, raises the planted alert, ends by itself, and agrees with the twin."""
    with Demo(tmp_path, *SMALL, "--exit-after", "30", "--keep", str(tmp_path / "kept")) as demo:
        demo.launch()
        page, twin = demo.address("Page"), demo.address("Twin")
        assert "<html" in get(f"{page}/").text
        assert get(f"{page}/readyz").text == "ok"
        assert get(f"{page}/api/v1/status").json()["sinks"]
        assert "headgate_records_released_total" in get(f"{page}/metrics").text
        assert get(f"{twin}/_twin").json()["projects"]
        assert demo.wait(120) == 0, demo.said() + demo.text()
    said = demo.said()
    assert "ALERT firing" in said, said
    assert "The counters equal what really happened" in said, said
    assert "no token, no network" in said
    assert "failed" not in demo.text(), demo.text()
    assert (tmp_path / "kept" / "records.jsonl").stat().st_size > 0


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Page, list[str], Path]]:
    """A running demo in a browser: its address, the page, every address that was asked for, a folder."""
    folder = tmp_path_factory.mktemp("demo")
    with Demo(folder, *SMALL) as demo:
        demo.launch()
        address = demo.address("Page")
        wait_until(lambda: "ALERT firing" in demo.said(), "the alert", 150)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            asked: list[str] = []
            page.on("request", lambda request: asked.append(_address(request)))
            page.goto(f"{address}/delivery")
            yield address, page, asked, folder
            browser.close()
        demo.send(signal.SIGINT)
        assert demo.wait(20) == 0, demo.said() + demo.text()


def _address(request: Request) -> str:
    return request.url


def ended_on(page: Page) -> dict[str, dict[str, int]]:
    """The counters of ended workflows and jobs, read off the page."""
    found: dict[str, dict[str, int]] = {"workflow": {}, "job": {}}
    for place in page.locator("[data-kind][data-status]").all():
        kind, word = place.get_attribute("data-kind"), place.get_attribute("data-status")
        found[str(kind)][str(word)] = int(place.locator("b").inner_text().replace(",", ""))
    return found


def test_the_page_shows_the_counters_of_the_api(shown):
    """What a browser shows equals what the API says at the same moment."""
    address, page, _, _ = shown

    def equal() -> bool:
        before = get(f"{address}/api/v1/overview").json()
        page.reload()
        seen = ended_on(page), int(page.locator("[data-counter=jobs]").inner_text().replace(",", ""))
        after = get(f"{address}/api/v1/overview").json()
        return before["ended"] == after["ended"] and seen == (before["ended"], sum(before["ended"]["job"].values()))

    wait_until(equal, "a moment in which page and API agree", _SAME_SECONDS)


@pytest.mark.parametrize("width", [1280, 500, 390])
def test_nothing_of_the_page_is_cut_off(shown, width):
    """At the width of a screen and of a phone no part has to be scrolled sideways."""
    _, page, _, _ = shown
    page.set_viewport_size({"width": width, "height": 1000})
    cut = page.evaluate(
        "[...document.querySelectorAll('html, section')].filter(part => part.scrollWidth > part.clientWidth)"
        ".map(part => part.getAttribute('aria-label') || part.tagName)"
    )
    page.set_viewport_size({"width": 1280, "height": 1000})
    assert cut == []


def test_the_page_shows_the_alert_and_the_sink(shown):
    """The planted regression and the state of the sink are on the page of delivery."""
    _, page, _, _ = shown
    page.reload()
    assert page.locator("[aria-label=Alerts] .state.firing").count() >= 1
    assert "records.lines" in page.locator("[aria-label=Sinks]").inner_text()
    assert page.locator("[aria-label='Recent runs'] tbody tr").count() >= 10


def test_the_page_renews_itself(shown):
    """Without a reload the counters follow what happens."""
    _, page, _, _ = shown
    before = page.locator("[data-counter=jobs]").inner_text()
    wait_until(lambda: page.locator("[data-counter=jobs]").inner_text() != before, "other counters", 60)


def test_the_tour_can_be_walked(shown):
    """Each step of docs/tour.md, at its address, shows the words that it says one will see."""
    address, page, _, _ = shown

    def told() -> bool:
        return {alert["rule"] for alert in get(f"{address}/api/v1/alerts").json()} >= {
            "DefaultBranchFailing",
            "QueueTimeHigh",
            "CreditsSpike",
            "ProjectSilent",
        }

    wait_until(told, "the alerts of the tour", 150)
    for stop in stops():
        stop.reach(page, address)
        stop.look(page)
    page.goto(f"{address}/delivery")


def test_what_a_receiver_refused_is_sent_again(shown):
    """Three releases, with its words; it takes them now, and none is left."""
    address, page, _, _ = shown
    page.goto(f"{address}/delivery")
    letters = get(f"{address}/api/v1/deadletters").json()
    assert [("board.post", 400, "unknown environment 'registry'")] * 3 == [
        (one["signal"], one["status"], one["answer"]) for one in letters
    ]
    page.get_by_role("button", name="Send all of these").click()
    wait_until(lambda: not get(f"{address}/api/v1/deadletters").json(), "the dead letters to be taken", 30)


def test_the_page_asks_nobody_else(shown):
    """Every request of the browser goes to the daemon; no script reports an error; a picture is kept to look at."""
    address, page, asked, folder = shown
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.reload()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(folder / "page.png"), full_page=True)
    assert complaints == []
    hosts = Counter(urlsplit(url).netloc for url in asked)
    assert set(hosts) == {urlsplit(address).netloc}
    assert (folder / "page.png").stat().st_size > 10_000
