"""The code of docs/plugins.md is that of the template project."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
TEMPLATE = ROOT / "docs" / "plugin-template"


def test_the_page_shows_the_template() -> None:
    """Module, test and entry point on the page are those of the project, to the letter."""
    module, test = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert module == (TEMPLATE / "src" / "headgate_beacon.py").read_text(encoding="utf-8")
    assert test == (TEMPLATE / "tests" / "test_beacon.py").read_text(encoding="utf-8")
    (entry,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert entry in (TEMPLATE / "pyproject.toml").read_text(encoding="utf-8")
