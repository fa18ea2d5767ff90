"""Every detector has a page whose option table is that of its configuration; UPDATE_DOCS=1 rewrites the table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headgate.core.ports import Plugin
from headgate.plugins import load_plugins
from headgate.plugins.docs import with_table

ROOT = Path(__file__).parents[2]
REGISTRY = load_plugins()
DETECTORS = [REGISTRY.find("detector", name) for name in REGISTRY.names("detector")]


def test_there_are_detectors() -> None:
    """So that the checks below check something."""
    assert DETECTORS


@pytest.mark.parametrize("plugin", DETECTORS, ids=lambda plugin: plugin.name)
def test_each_detector_has_a_page_with_its_options(plugin: Plugin) -> None:
    """The table on the page is that of the model, and the README leads there."""
    path = ROOT / "docs" / "detectors" / f"{plugin.name}.md"
    page = path.read_text(encoding="utf-8")
    wanted = with_table(page, plugin.config)
    if os.environ.get("UPDATE_DOCS") == "1":
        path.write_text(wanted, encoding="utf-8")
        page = wanted
    assert page == wanted, f"UPDATE_DOCS=1 rewrites {path.name}"
    assert f"detectors/{plugin.name}.md" in (ROOT / "README.md").read_text(encoding="utf-8")
