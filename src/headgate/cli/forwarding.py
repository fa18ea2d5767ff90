"""`headgate sinks` and `headgate replay`: where records go, and sending them there again."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headgate.cli.output import ConfigOption, JsonOption, moment_ms, print_json, print_table
from headgate.cli.session import answer, load_configuration
from headgate.core.clock import SystemClock

if TYPE_CHECKING:
    from headgate.app.settings import Configuration
    from headgate.core.ports import SetUpOutcome

__all__ = ["group", "replay"]

group = typer.Typer()


@group.command("list")
def list_sinks(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List every signal with its state, cursor and what waits."""
    figures = answer(config, lambda ask: ask.status())
    rows = [
        {"sink": name, "signal": signal, **one, "records": sink["records"]}
        for name, sink in sorted(figures["sinks"].items())
        for signal, one in sorted(sink["signals"].items())
    ]
    if json:
        for row in rows:
            print_json(row)
        return
    names = ("sink", "signal", "state", "cursor", "waiting", "accepted", "dead")
    table = [(*(row[name] for name in names), ", ".join(row["records"]) or "all") for row in rows]
    columns = ("Sink", "Signal", "State", "Cursor", "Waiting", "Accepted", "Dead", "Records")
    print_table(columns, table, empty="No sink has a cursor yet.")


@group.command("reset")
def reset(
    sink: Annotated[str, typer.Argument(help="Name of a sink, or sink.signal.")],
    start: Annotated[
        str,
        typer.Option(
            "--start", help="retained: all that is kept is sent, again too; now: what waits is dropped; or a time."
        ),
    ],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Forget where a sink is and what its address was; it starts again, and a replay to it ends."""
    where: Literal["now", "retained"] | int
    if start == "now":
        where = "now"
    elif start == "retained":
        where = "retained"
    else:
        where = moment_ms(start, SystemClock())
    keys = answer(config, lambda ask: ask.reset_sink(sink, where))
    if json:
        print_json({"reset": keys})
        return
    for key in keys:
        print(f"{key} starts again from {start}")


@group.command("setup")
def set_up(
    sink: Annotated[str, typer.Argument(metavar="NAME", help="Name of a sink.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make what a sink wants at its far side, such as index templates; repeating it is safe, nothing is deleted."""
    return 0 if asyncio.run(_set_up(load_configuration(config, secrets=True), sink, json, dry_run=dry_run)) else 1


async def _set_up(configuration: Configuration, name: str, json: bool, *, dry_run: bool) -> bool:
    from headgate.app.setups import set_up_sink

    fine = True
    async for step in set_up_sink(configuration, name, dry_run=dry_run):
        fine &= step.outcome != "failed"
        if json:
            print_json({"sink": name, "dry_run": dry_run, **asdict(step)})
            continue
        print(f"{_word(step.outcome, dry_run=dry_run):14}{step.what}")
        for line in (*step.diff, *([step.fix] if step.fix else [])):
            print(f"      {line}")
    return fine


def _word(outcome: SetUpOutcome, *, dry_run: bool) -> str:
    if dry_run:
        return {"done": "would make", "changed": "would change"}.get(outcome, outcome)
    return outcome


def replay(
    sink: Annotated[str, typer.Option("--sink", "-s", help="Name of a sink, or sink.signal.")],
    since: Annotated[str, typer.Option("--since", help="Begin: 2h, 7d, 2026-11-20 or RFC 3339.")],
    until: Annotated[str, typer.Option("--until", help="End, exclusive.")] = "now",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Send a time range to a sink again; ids and bytes are those of the first time."""
    clock = SystemClock()
    since_ms, until_ms = moment_ms(since, clock), moment_ms(until, clock)
    opened = answer(config, lambda ask: ask.replay(sink, since_ms, until_ms))
    if json:
        for one in opened:
            print_json(one)
        return
    rows = [(one["id"], one["signal"], one["since"], one["until"], one["total"]) for one in opened]
    print_table(("Id", "Signal", "Since", "Until", "Records"), rows, empty="Nothing to replay.")
