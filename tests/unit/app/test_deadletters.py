"""`headgate deadletters` says which webhooks are meant, and refuses to guess."""

import asyncio

import pytest
from typer.testing import CliRunner

from headgate.cli import deadletters
from headgate.web.operations import ChosenDeliveries


class _Ask:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ChosenDeliveries]] = []

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
