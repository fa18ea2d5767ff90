"""Pictures of the pages for README and docs: `python -m tests.e2e.screenshots [FOLDER]`, or `make screenshots`.

Invariant: seed and present are fixed, so the same troubles are in the same places; only how far time has gone differs.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright
from tests.e2e.harness import wait_until
from tests.e2e.test_demo import BROWSER_ARGUMENTS, CHROMIUM, Demo

NOW_MS = 1_795_179_600_000  # Friday 20 November 2026, 13:00 UTC
MOST_BYTES = 300_000
_FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
_WEB = "project=gh/acme/web&workflow=build-test-deploy"
# Rules whose alerts are to be seen, and so much history that every page has something to show.
_RULES = {"DefaultBranchFailing", "QueueTimeHigh", "ProjectSilent", "JobDurationChanged", "CreditsSpike", "FlakyTest"}
_WAIT_SECONDS = 400.0


@dataclass(frozen=True)
class Shot:
    """One picture. `path` may have `{run}`, the first bad run of the worst project; `height`: of what is shown."""

    name: str
    path: str
    height: int = 960
    width: int = 1280
    options: dict[str, Any] = field(default_factory=dict)


SHOTS = (
    Shot("overview", "/", 1040),
    Shot("overview-dark", "/", 1040, options={"color_scheme": "dark"}),
    Shot("overview-phone", "/", 1100, 390),
    Shot("workflow", f"/workflow?{_WEB}&window=30d", 1040),
    Shot("run", "/run/{run}", 1000),
    Shot("tests", "/tests?window=7d", 900),
    Shot("credits", "/credits?window=30d", 1000),
    Shot("alerts", "/alerts", 1000),
    Shot("delivery", "/delivery", 1000),
)


@contextmanager
def running_demo(folder: Path) -> Iterator[tuple[str, str]]:
    """The demo once it has everything to show; gives its address and the first bad run of the worst project."""
    with Demo(folder, now_ms=NOW_MS) as demo:
        demo.launch()
        address = demo.address("Page")
        wait_until(lambda: "days are collected" in demo.said(), "history", _WAIT_SECONDS)
        wait_until(lambda: firing(address) >= _RULES, "the alerts", _WAIT_SECONDS)
        wait_until(lambda: has_tests(address), "test results", _WAIT_SECONDS)
        yield address, first_bad(address)
        demo.send(signal.SIGINT)
        assert demo.wait(30) == 0, demo.said() + demo.text()


def ask(address: str, path: str, **query: str) -> Any:
    """What the API says."""
    return httpx.get(f"{address}/api/v1/{path}", params=query, timeout=30, trust_env=False).raise_for_status().json()


def firing(address: str) -> set[str]:
    """Names of the rules of which an alert fires."""
    return {alert["rule"] for alert in ask(address, "alerts") if alert["state"] == "firing"}


def has_tests(address: str) -> bool:
    """Whether the flaky test is known to be one, and the one before it to be fixed: results of ten days are read."""
    flaky = ask(address, "insights/tests", project="gh/acme/mobile", window="7d")["flaky"]
    return bool(flaky) and bool(ask(address, "insights/tests", project="gh/acme/web", window="7d")["fixed"])


def first_bad(address: str) -> str:
    """The newest failed run of the worst workflow on its default branch."""
    runs = ask(address, "insights/runs", project="gh/acme/web", workflow="build-test-deploy", window="24h")["runs"]
    return next(run["id"] for run in runs if run["status"] == "failure" and run["branch"] == "main")


def take(browser: Browser, address: str, run: str, shot: Shot, folder: Path) -> Path:
    """Take one picture."""
    context = browser.new_context(viewport={"width": shot.width, "height": shot.height}, **shot.options)
    page = context.new_page()
    page.goto(address + shot.path.format(run=run))
    page.wait_for_load_state("load")
    path = folder / f"{shot.name}.png"
    page.screenshot(path=str(path))
    context.close()
    return path


def main(folder: Path = _FOLDER) -> None:
    """Take all pictures and say how large they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="headgate-pictures-") as scratch,
        running_demo(Path(scratch)) as (address, run),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        sizes = {shot.name: take(browser, address, run, shot, folder).stat().st_size for shot in SHOTS}
        browser.close()
    sys.stdout.write(json.dumps(sizes, indent=1) + "\n")
    large = {name: size for name, size in sizes.items() if size > MOST_BYTES}
    if large:
        sys.exit(f"more than {MOST_BYTES} bytes: {large}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
