"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST_FILES = sorted(ROOT.glob("tests/**/test_*.py"))
SOURCE_FILES = sorted(ROOT.glob("src/headgate/**/*.py"))
MARKDOWN = [*sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*.md")), ROOT / "changelog.d" / "README.md"]
MAX_LINES = 400


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEST_FILES, ids=name)
def test_every_test_says_what_it_shows(path):
    """Each test has a sentence of behaviour."""
    tree = ast.parse(path.read_text())
    silent = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_source_file_is_longer_than_can_be_read_at_once():
    """400 lines at most, unless the module says why."""
    long = {
        name(path): lines
        for path in SOURCE_FILES
        if (lines := path.read_text().count("\n")) > MAX_LINES and "Over 400 lines because" not in path.read_text()
    }
    assert long == {}


def test_nothing_is_left_for_later():
    """The product has no marks of unfinished work."""
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|for now)\b")
    found = {name(path): match.group() for path in SOURCE_FILES if (match := mark.search(path.read_text()))}
    assert found == {}


def test_links_between_pages_lead_somewhere():
    """Relative links in the documentation resolve."""
    broken = []
    for page in MARKDOWN:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        broken.extend(
            f"{name(page)} -> {target}"
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists()
        )
    assert broken == []


def test_changelog_fragments_are_named_alike():
    """`<area>.<kind>.md`, and each holds a list."""
    kinds = "added|changed|deprecated|removed|fixed|security"
    wrong = [
        name(path)
        for path in sorted((ROOT / "changelog.d").iterdir())
        if path.name != "README.md"
        and not (re.fullmatch(rf"[a-z-]+\.({kinds})\.md", path.name) and path.read_text().startswith("- "))
    ]
    assert wrong == []
