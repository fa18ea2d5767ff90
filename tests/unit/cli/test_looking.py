"""`headgate tail`: what it asks for, and when it waits."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.cli import looking
from headgate.cli.application import run_command
from headgate.web.operations import Problem


class _Ask:
    """Has a page of two records, two pages that follow at once, and one that comes later; then it is gone."""

    def __init__(self) -> None:
        self.asked: list[tuple[Mapping[str, int], int]] = []
        self._pages = [[1, 2], [3, 4], [5], [], [6]]

    async def tail(self, after: Mapping[str, int], limit: int) -> dict[str, Any]:
        self.asked.append((after, limit))
        if not self._pages:
            raise Problem("busy", "gone")
        found = self._pages.pop(0)
        records = [{"lane": "live", "seq": seq, "record": {"seq": seq}} for seq in found]
        return {"records": records, "after": {"live": found[-1] if found else 5, "backfill": 7}}


def test_following_asks_until_there_is_nothing_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After what it has of both lanes; it waits only where nothing came."""
    ask, slept = _Ask(), []

    @asynccontextmanager
    async def operations(_configuration: object) -> AsyncIterator[_Ask]:
        yield ask

    async def sleep(_seconds: float) -> None:
        slept.append(len(ask.asked))

    monkeypatch.setattr(looking, "load_configuration", lambda _config: None)
    monkeypatch.setattr(looking, "operations", operations)
    monkeypatch.setattr(looking, "asyncio", SimpleNamespace(sleep=sleep, run=asyncio.run))
    assert run_command(["tail", "-f", "-n", "2", "--json"]) == 1
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3, 4, 5, 6]
    assert (ask.asked[:2], slept) == ([({}, 2), ({"live": 2, "backfill": 7}, 1000)], [4])
