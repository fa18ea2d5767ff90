"""The code of docs/plugins.md does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from headgate.plugins import load_plugins

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the page's module and its test."""
    module, test = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "headgate_beacon.py").write_text(module, encoding="utf-8")
    (tmp_path / "test_beacon.py").write_text(test, encoding="utf-8")
    return tmp_path


def test_the_sink_of_the_page_keeps_the_contract(written: Path) -> None:
    """Its test, run in a process of its own as its author would, passes every rule of the suite."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "test_beacon.py"],
        cwd=written,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{written}", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b6 passed\b", done.stdout), done.stdout


def test_the_entry_point_of_the_page_is_found(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page writes into pyproject.toml makes the sink known, and nothing is broken by it."""
    [(group, name, value)] = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(\w+)"', PAGE)
    monkeypatch.syspath_prepend(str(written))
    registry = load_plugins(found=[EntryPoint(name, value, group)])
    assert (name in registry.names("sink"), registry.broken) == (True, ())
