"""Every notifier has a page with the options of its configuration; UPDATE_DOCS=1 rewrites what is generated."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from pathlib import Path

import pytest

from headgate import notifiers
from headgate.core.ports import Plugin
from headgate.plugins.docs import with_table
from headgate.testing import notifier_suite

DOCS = Path(__file__).parents[2] / "docs"


def _plugins() -> list[Plugin]:
    names = [f"headgate.notifiers.{info.name}" for info in pkgutil.iter_modules(notifiers.__path__)]
    return [plugin for name in names for plugin in getattr(importlib.import_module(name), "PLUGINS", ())]


@pytest.mark.parametrize("plugin", _plugins(), ids=lambda plugin: plugin.name)
def test_each_notifier_has_a_page_with_its_options(plugin: Plugin) -> None:
    """The page says what answers mean and holds the table of options."""
    path = DOCS / "notifiers" / f"{plugin.name}.md"
    page = path.read_text(encoding="utf-8")
    assert "## Answers" in page
    wanted = with_table(page, plugin.config)
    if os.environ.get("UPDATE_DOCS") == "1":
        path.write_text(wanted, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == wanted, f"UPDATE_DOCS=1 rewrites {path.name}"


@pytest.mark.parametrize("plugin", _plugins(), ids=lambda plugin: plugin.name)
def test_each_notifier_is_in_the_lists_of_notifiers(plugin: Plugin) -> None:
    """Whoever looks for it finds it."""
    for page in (DOCS / "configuration.md", DOCS.parent / "README.md"):
        assert f"notifiers/{plugin.name}.md" in page.read_text("utf-8"), page.name


def test_each_rule_for_notifiers_is_enforced_and_each_test_has_its_rule() -> None:
    """Numbers in docs/spec/notifiers.md and in the suite are the same."""
    spec = set(re.findall(r"^\| (NOTIF-\d\d) \|", (DOCS / "spec" / "notifiers.md").read_text("utf-8"), re.MULTILINE))
    tested = set(re.findall(r'"""(NOTIF-\d\d):', Path(str(notifier_suite.__file__)).read_text("utf-8")))
    assert spec == tested
