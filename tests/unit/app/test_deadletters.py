"""`headgate deadletters` says which letters or webhooks are meant, all of them, and refuses to guess."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headgate.cli import deadletters
from headgate.web.operations import ChosenDeliveries, ChosenLetters


class _Ask:
    """Has 2,500 dead letters; every hundredth is odd."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ChosenDeliveries | ChosenLetters]] = []

    async def dead_letters(
        self, signal: str | None, ids: Sequence[int], limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        assert (limit <= 1_000, len(ids) <= 100) == (True, True), "more than an answer or an address holds"
        numbers = [
            number for number in range(2_500, 0, -1) if number < (before or 9_999) and (number in ids or not ids)
        ]
        return [
            {
                "id": number,
                "signal": signal or "loki.logs",
                "reason": "refused" if number % 100 else "odd",
                **dict.fromkeys(("status", "kind", "project", "last_at", "answer"), ""),
            }
            for number in numbers[:limit]
        ]

    async def dead_deliveries(
        self, limit: int, ids: Sequence[int] = (), before: int | None = None
    ) -> list[dict[str, Any]]:
        assert (limit <= 1_000, ids) == (True, ())
        # Large ones: a page has fewer than were asked for.
        numbers = [number for number in range(2_500, 0, -1) if number < (before or 9_999)][: min(limit, 700)]
        more = dict.fromkeys(("source", "arrived_at", "bytes"), "")
        return [{"id": number, "reason": "not_json" if number % 100 else "internal", **more} for number in numbers]

    async def replay_dead(self, chosen: ChosenLetters) -> int:
        self.asked.append(("replay", chosen))
        return 3

    async def purge_dead(self, chosen: ChosenLetters) -> int:
        self.asked.append(("purge", chosen))
        return 3

    async def replay_deliveries(self, chosen: ChosenDeliveries) -> int:
        self.asked.append(("replay", chosen))
        return 3

    async def purge_deliveries(self, chosen: ChosenDeliveries) -> int:
        self.asked.append(("purge", chosen))
        return 3


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> _Ask:
    """Whoever answers."""
    made = _Ask()
    monkeypatch.setattr(deadletters, "answer", lambda _config, work: asyncio.run(work(made)))
    return made


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["replay", "--webhooks", "4", "5"], ("replay", ChosenDeliveries((4, 5)))),
        (["replay", "--webhooks", "--reason", "internal"], ("replay", ChosenDeliveries(reason="internal"))),
        (["purge", "--webhooks", "--source", "old", "--yes"], ("purge", ChosenDeliveries(source="old"))),
        (["purge", "--webhooks", "--all", "--yes"], ("purge", ChosenDeliveries(everything=True))),
    ],
    ids=["numbers", "reason", "source", "all"],
)
def test_webhooks_are_named(ask: _Ask, words: list[str], asked: tuple[str, ChosenDeliveries]) -> None:
    """By number, reason, source, or all of them."""
    done = CliRunner().invoke(deadletters.group, words)
    assert (done.exit_code, done.output.split()[0], ask.asked) == (0, "3", [asked])


@pytest.mark.parametrize("more", [[], ["--signal", "a.b"], ["4", "--source", "x"]], ids=["none", "signal", "both"])
def test_webhooks_that_are_not_named_stay(ask: _Ask, more: list[str]) -> None:
    """Nothing is done, and the command fails as one that was typed wrong."""
    done = CliRunner().invoke(deadletters.group, ["purge", "--webhooks", "--yes", *more])
    assert (done.exit_code, ask.asked) == (2, [])


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["replay", *map(str, range(1, 301))], ("replay", ChosenLetters(tuple(range(1, 301))))),
        (["replay", "4", "4"], ("replay", ChosenLetters((4,)))),
        (["replay", "--signal", "a.b"], ("replay", ChosenLetters(signal="a.b"))),
        (["purge", "--reason", "odd", "--yes"], ("purge", ChosenLetters(reason="odd"))),
        (["purge", "--all", "--yes"], ("purge", ChosenLetters(everything=True))),
    ],
    ids=["numbers", "twice", "signal", "reason", "all"],
)
def test_dead_letters_are_named(ask: _Ask, words: list[str], asked: tuple[str, ChosenLetters]) -> None:
    """By number, however many, or as all of a signal or reason, which whoever has them counts."""
    done = CliRunner().invoke(deadletters.group, words)
    assert (done.exit_code, done.output.split()[0], ask.asked) == (0, "3", [asked])


@pytest.mark.parametrize("more", [[], ["4", "--signal", "a.b"], ["4", "--reason", "odd"]], ids=["none", "both", "too"])
def test_dead_letters_that_are_not_named_stay(ask: _Ask, more: list[str]) -> None:
    """Nothing is done, and the command fails as one that was typed wrong."""
    done = CliRunner().invoke(deadletters.group, ["replay", *more])
    assert (done.exit_code, ask.asked) == (2, [])


def test_all_dead_letters_are_written(ask: _Ask, tmp_path: Path) -> None:
    """Page by page, to a file and to stdout; the table holds the newest thousand and says so."""
    file, run = tmp_path / "letters.jsonl", CliRunner()
    assert "2500 written" in run.invoke(deadletters.group, ["export", str(file)]).output
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == list(range(2_500, 0, -1))
    assert len(run.invoke(deadletters.group, ["list", "--json"]).stdout.splitlines()) == 2_500
    odd = [
        json.loads(line)["id"] for line in run.invoke(deadletters.group, ["export", "--reason", "odd"]).stdout.split()
    ]
    assert odd == list(range(2_500, 0, -100))
    listed = run.invoke(deadletters.group, ["list"])
    assert (len(listed.stdout.splitlines()), "there are more" in listed.stderr) == (1_001, True)
    few = run.invoke(deadletters.group, ["list", "--reason", "odd"])
    assert (len(few.stdout.splitlines()), few.stderr) == (26, "")


def test_all_webhooks_are_listed(ask: _Ask) -> None:
    """Page by page, of one reason or all; the table holds the newest thousand and says so."""
    run = CliRunner()
    listed = run.invoke(deadletters.group, ["list", "--webhooks", "--json"]).stdout.splitlines()
    assert [json.loads(line)["id"] for line in listed] == list(range(2_500, 0, -1))
    table = run.invoke(deadletters.group, ["list", "--webhooks"])
    assert (len(table.stdout.splitlines()), "there are more, which --json tells" in table.stderr) == (1_001, True)
    few = run.invoke(deadletters.group, ["list", "--webhooks", "--reason", "internal"])
    assert (len(few.stdout.splitlines()), few.stderr) == (26, "")
