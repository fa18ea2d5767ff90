"""Every sink has a page whose option table is that of its configuration; UPDATE_DOCS=1 rewrites what is generated."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from pathlib import Path

import pytest

from headgate import sinks
from headgate.core.ports import Plugin
from headgate.plugins.docs import with_table
from headgate.testing import sink_suite
from headgate.testing.verdict_docs import verdict_page

DOCS = Path(__file__).parents[2] / "docs"
UPDATE = os.environ.get("UPDATE_DOCS") == "1"


def _plugins() -> list[Plugin]:
    modules = [importlib.import_module(f"headgate.sinks.{info.name}") for info in pkgutil.iter_modules(sinks.__path__)]
    return [plugin for module in modules for plugin in getattr(module, "PLUGINS", ())]


def _compare(path: Path, wanted: str) -> None:
    if UPDATE:
        path.write_text(wanted, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == wanted, f"UPDATE_DOCS=1 rewrites {path.name}"


@pytest.mark.parametrize("plugin", _plugins(), ids=lambda plugin: plugin.name)
def test_each_sink_has_a_page_with_its_options(plugin: Plugin) -> None:
    """The page says the delivery level and holds the table of options."""
    path = DOCS / "sinks" / f"{plugin.name}.md"
    page = path.read_text(encoding="utf-8")
    assert "## Delivery" in page
    assert "## What leaves the house" in page
    _compare(path, with_table(page, plugin.config))


@pytest.mark.parametrize("plugin", _plugins(), ids=lambda plugin: plugin.name)
def test_each_sink_is_in_the_lists_of_sinks(plugin: Plugin) -> None:
    """Whoever looks for it finds it, with what is promised about its duplicates."""
    assert re.search(rf"^\| `{plugin.name}`", (DOCS / "delivery.md").read_text("utf-8"), re.MULTILINE)
    for page in (DOCS / "configuration.md", DOCS.parent / "README.md"):
        assert f"sinks/{plugin.name}.md" in page.read_text("utf-8"), page.name


def test_the_page_of_verdicts_is_generated() -> None:
    """The table of classes says what the code does."""
    _compare(DOCS / "sinks" / "verdicts.md", verdict_page())


def test_each_rule_for_sinks_is_enforced_and_each_test_has_its_rule() -> None:
    """Numbers in docs/spec/component.md and in the contract suite are the same."""
    spec = set(re.findall(r"^- \*\*(SINK-\d\d)\*\*", (DOCS / "spec" / "component.md").read_text("utf-8"), re.MULTILINE))
    source = Path(str(sink_suite.__file__)).read_text("utf-8")
    contract = (Path(__file__).parents[1] / "contract" / "test_sinks.py").read_text("utf-8")
    tested = set(re.findall(r'"""(SINK-\d\d):', source + contract))
    assert spec == tested
