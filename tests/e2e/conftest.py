"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.e2e.desk import Desk
from tests.e2e.harness import ancient_loki
from tests.e2e.hostile import PROJECT, evil
from tests.e2e.pages_site import PagesSite
from tests.e2e.test_demo import BROWSER_ARGUMENTS, CHROMIUM
from tests.unit.insights.alarms import fired

from headgate.testing.sinks import FakeVendor


@pytest.fixture
def loki() -> Iterator[FakeVendor]:
    """A strict Loki that takes lines of any age."""
    with FakeVendor("loki", **ancient_loki()) as fake:
        yield fake


@pytest.fixture(scope="session")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    """Every page over hostile names, with something on each; tests look at it only, so that all may share it."""
    folder = tmp_path_factory.mktemp("hostile")
    labels = {"project": PROJECT, "severity": "critical", "workflow": evil("label")}
    with PagesSite(folder, prepare=Desk(folder, fired(rule=evil("rule"), labels=labels)).prepare) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium; of a file, as asyncio cannot be used beside it."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGUMENTS)
        yield opened
        opened.close()
