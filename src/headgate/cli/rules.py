"""`headgate rules`: check files, test them against made-up runs, replay them over what was collected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.output import ConfigOption, JsonOption, moment_ms, print_json, print_table
from headgate.cli.session import load_configuration, operations
from headgate.core.clock import SystemClock
from headgate.core.storeport import RunRow
from headgate.web.operations import Operations

if TYPE_CHECKING:
    from headgate.app.settings import Configuration

__all__ = ["group"]

group = typer.Typer()

Files = Annotated[list[str] | None, typer.Argument(help="Rule files; without any: those of the configuration.")]


def _row_line(row: dict[str, Any]) -> tuple[object, ...]:
    labels = " ".join(f"{key}={value}" for key, value in row["labels"].items())
    return row["at"], row["rule"], row["state"], row["value"], row["n"], labels


_COLUMNS = ("At", "Rule", "State", "Value", "n", "Labels")


@group.command("check")
def check(files: Files = None, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Say everything that is wrong with rule files; exit 1 when anything is."""
    from headgate.alerting.load import check_rules

    if files:
        problems = check_rules(files, base=Path.cwd())
    else:
        configuration = load_configuration(config)
        problems = check_rules(configuration.settings.alerts.rules, base=configuration.base)
    for problem in problems:
        print_json(problem.as_json()) if json else print(problem)
    if not problems and not json:
        print("ok")
    return 1 if problems else 0


@group.command("test")
def run_tests(
    files: Annotated[list[Path], typer.Argument(help="Test files: given runs, expected alerts.")],
    json: JsonOption = False,
) -> int:
    """Run rule tests; exit 1 when one fails."""
    from headgate.alerting.ruletest import test_rules

    results = test_rules(files)
    for result in results:
        if json:
            for row in result.rows:
                print_json(row)
            continue
        print(f"{'ok  ' if not result.failures else 'BAD '}{result.file}: {result.name}")
        for failure in result.failures:
            print(f"      {failure}")
    return 1 if any(result.failures for result in results) else 0


@group.command("replay")
def replay(
    files: Files = None,
    since: Annotated[str, typer.Option("--since", help="Begin: 30d, 2026-11-20 or RFC 3339.")] = "30d",
    rule: Annotated[str | None, typer.Option("--rule", help="This rule only.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show every message that the rules would have sent over what was collected."""
    rows = asyncio.run(_replayed(load_configuration(config), files, since, rule))
    if json:
        for row in rows:
            print_json(row)
        return
    print_table(_COLUMNS, [_row_line(row) for row in rows], empty="No rule would have sent anything.")


async def _replayed(
    configuration: Configuration, files: list[str] | None, since: str, only: str | None
) -> list[dict[str, Any]]:
    from headgate.alerting.load import load_rules
    from headgate.alerting.replay import replay_rules

    clock = SystemClock()
    since_ms = moment_ms(since, clock)
    if files:
        rules = load_rules(files, base=Path.cwd())
    else:
        rules = load_rules(configuration.settings.alerts.rules, base=configuration.base)
    async with operations(configuration) as ask:
        return [row async for row in replay_rules(_History(ask), rules, since_ms, clock.now_ms(), only=only)]


class _History:
    """What a replay of rules reads, wherever it comes from."""

    def __init__(self, ask: Operations) -> None:
        self._ask = ask

    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        """A page of ended workflows by end time, oldest first."""
        return [RunRow(**run) for run in await self._ask.history(since_ms, until_ms, after, limit)]
