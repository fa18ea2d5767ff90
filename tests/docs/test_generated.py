"""Generated pages are up to date."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("docs_generated", Path(__file__).with_name("generated.py"))
assert _spec is not None
assert _spec.loader is not None
generated = importlib.util.module_from_spec(_spec)
sys.modules["docs_generated"] = generated
_spec.loader.exec_module(generated)


@pytest.mark.parametrize("page", generated.PAGES)
def test_page_is_what_the_code_says(page):
    """`make docs` was run after the last change."""
    path = generated.DOCS / page
    expected = generated.PAGES[page]()
    if os.environ.get("UPDATE_DOCS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(expected)
    assert path.read_text() == expected, f"docs/{page} is out of date: run `make docs`"
