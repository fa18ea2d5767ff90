"""`headgate access hash` and `headgate trail`."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from headgate.app.telemetry import Telemetry
from headgate.cli.application import run_command
from headgate.core.clock import SystemClock
from headgate.core.times import HOUR_MS
from headgate.core.trail import TrailEntry
from headgate.store import SqliteStore
from headgate.web.access.passwords import is_right, parse_hash


@pytest.mark.parametrize(("typed", "password"), [("correct horse\n", "correct horse"), (" hörse 12 \r\n", "hörse 12")])
def test_a_password_from_standard_input_becomes_its_hash(monkeypatch, capsys, typed, password):
    """It is printed alone, for scripts."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert 0 == run_command(["access", "hash"])
    said = capsys.readouterr()
    assert is_right(password, parse_hash(said.out))
    assert password not in said.out + said.err


@pytest.mark.parametrize("typed", ["", "short\n", "       \n"])
def test_a_short_password_is_refused(monkeypatch, capsys, typed):
    """Exit code 2, and nothing printed that could be pasted."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert 2 == run_command(["access", "hash"])
    said = capsys.readouterr()
    assert ("", True) == (said.out, "shorter than 8 characters" in said.err)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a store whose trail has an old entry and 1001 new ones, in two pages."""
    now = SystemClock().now_ms()

    async def fill() -> None:
        store = SqliteStore(tmp_path / "x.db", clock=SystemClock(), metrics=Telemetry())
        await store.open()
        old = TrailEntry(now - 48 * HOUR_MS, "anna", "session", "10.0.0.1", "login", "anna", 303)
        new = [TrailEntry(now, "ci", "token", "", "read", f"/run/{number}", 200, number) for number in range(1001)]
        await store.append_trail([old, *new])
        await store.close()

    asyncio.run(fill())
    path = tmp_path / "headgate.yaml"
    path.write_text(f"version: 1\nstore: {{url: 'sqlite://{tmp_path}/x.db'}}\n", encoding="utf-8")
    return path


def test_the_trail_is_shown_oldest_first(config, capsys):
    """Since a week ago or when one says, all pages of it, as a table or as JSON; reading a page is in it too."""
    assert 0 == run_command(["trail", "--json", "-c", str(config)])
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (1002, "login", "/run/1000") == (len(entries), entries[0]["action"], entries[-1]["about"])
    assert 0 == run_command(["trail", "--since", "1d", "-c", str(config)])
    lines = capsys.readouterr().out.splitlines()
    assert (1004, "ci\ttoken\t\tread\t/run/7\t200\t7") == (len(lines), lines[8].partition("\t")[2])
