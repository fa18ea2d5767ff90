"""`headgate deadletters`: list, show, replay, export, purge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from headgate.cli.output import ConfigOption, JsonOption, note, print_json, print_table
from headgate.cli.session import answer
from headgate.web.operations import ChosenDeliveries, Json, Operations, Problem

__all__ = ["group"]

group = typer.Typer()

# One call of the API gives at most this many.
_PAGE = 1000

Ids = Annotated[list[int] | None, typer.Argument(help="Numbers of dead letters.")]
Signal = Annotated[str | None, typer.Option("--signal", "-s", help="Of this signal only, such as loki.logs.")]
Reason = Annotated[str | None, typer.Option("--reason", help="With this reason only.")]
Webhooks = Annotated[bool, typer.Option("--webhooks", help="Webhooks that were set aside instead of records.")]
OfSource = Annotated[str | None, typer.Option("--source", help="With --webhooks: of this source only.")]
Everything = Annotated[bool, typer.Option("--all", help="All that match.")]


async def _find(ask: Operations, ids: Sequence[int], signal: str | None, reason: str | None) -> list[Json]:
    letters = await ask.dead_letters(signal, ids, _PAGE)
    return [letter for letter in letters if reason is None or letter["reason"] == reason]


@group.command("list")
def list_letters(
    *,
    config: ConfigOption = None,
    signal: Signal = None,
    reason: Reason = None,
    webhooks: Webhooks = False,
    json: JsonOption = False,
) -> None:
    """List dead letters, newest first, or with --webhooks those that could not be parsed or wait for a source."""
    if webhooks:
        _list_deliveries(answer(config, lambda ask: ask.dead_deliveries(_PAGE)), json)
        return
    letters = answer(config, lambda ask: _find(ask, (), signal, reason))
    if json:
        for letter in letters:
            print_json(letter)
        return
    rows = [
        (
            one["id"],
            one["signal"],
            one["reason"],
            one["status"],
            one["kind"],
            one["project"],
            one["last_at"],
            one["answer"][:80],
        )
        for one in letters
    ]
    columns = ("Id", "Signal", "Reason", "Status", "Kind", "Project", "Last", "Answer")
    print_table(columns, rows, empty="No dead letters.")


def _list_deliveries(rows: list[Json], json: bool) -> None:
    if json:
        for row in rows:
            print_json(row)
        return
    table = [(one["id"], one["source"], one["reason"], one["arrived_at"], one["bytes"]) for one in rows]
    print_table(("Id", "Source", "Reason", "Arrived", "Bytes"), table, empty="No webhooks are set aside.")


@group.command("show")
def show(
    letter: Annotated[int, typer.Argument(help="Number of the dead letter.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one dead letter with its record and the sink's words."""
    found = answer(config, lambda ask: _find(ask, (letter,), None, None))
    if not found:
        raise Problem("unknown", f"no dead letter {letter}")
    if json:
        print_json(found[0])
    else:
        print(orjson.dumps(found[0], option=orjson.OPT_INDENT_2).decode())


async def _chosen(
    ask: Operations, ids: Sequence[int] | None, signal: str | None, reason: str | None, everything: bool
) -> list[int]:
    """Numbers that a command is about. Raises typer.BadParameter when it does not say which."""
    if not ids and not everything and signal is None and reason is None:
        raise typer.BadParameter("name the dead letters, or say --signal, --reason or --all")
    found = [letter["id"] for letter in await _find(ask, ids or (), signal, reason)]
    if unknown := sorted({*(ids or ())} - {*found}):
        raise Problem("unknown", f"no dead letter {', '.join(map(str, unknown))}; nothing was done")
    return found


def _chosen_webhooks(
    ids: Sequence[int] | None, signal: str | None, source: str | None, reason: str | None, everything: bool
) -> ChosenDeliveries:
    """Which webhooks a command is about. Raises typer.BadParameter when it does not say."""
    if signal is not None:
        raise typer.BadParameter("webhooks belong to a source: say --source instead of --signal")
    if ids and (source is not None or reason is not None):
        raise typer.BadParameter("name the webhooks, or say --source and --reason, not both")
    if not ids and not everything and source is None and reason is None:
        raise typer.BadParameter("name the webhooks, or say --source, --reason or --all")
    return ChosenDeliveries(tuple(ids or ()), source, reason, everything)


@group.command("replay")
def replay(
    *,
    ids: Ids = None,
    config: ConfigOption = None,
    signal: Signal = None,
    webhooks: Webhooks = False,
    source: OfSource = None,
    reason: Reason = None,
    everything: Everything = False,
    json: JsonOption = False,
) -> None:
    """Send dead letters again, or with --webhooks merge webhooks again, after what was wrong was mended."""

    async def work(ask: Operations) -> int:
        if webhooks:
            return await ask.replay_deliveries(_chosen_webhooks(ids, signal, source, reason, everything))
        chosen = await _chosen(ask, ids, signal, reason, everything)
        return await ask.replay_dead(chosen) if chosen else 0

    count = answer(config, work)
    print_json({"requeued": count}) if json else print(f"{count} queued again")


@group.command("purge")
def purge(
    *,
    ids: Ids = None,
    config: ConfigOption = None,
    signal: Signal = None,
    webhooks: Webhooks = False,
    source: OfSource = None,
    reason: Reason = None,
    everything: Everything = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Forget dead letters, or with --webhooks webhooks that were set aside, for good."""

    async def work(ask: Operations) -> int:
        if webhooks:
            deliveries = _chosen_webhooks(ids, signal, source, reason, everything)
            if not yes:
                typer.confirm("Forget these webhooks for good?", abort=True, err=True)
            return await ask.purge_deliveries(deliveries)
        chosen = await _chosen(ask, ids, signal, reason, everything)
        if not chosen:
            return 0
        if not yes:
            typer.confirm(f"Forget {len(chosen)} dead letters for good?", abort=True, err=True)
        return await ask.purge_dead(chosen)

    count = answer(config, work)
    print_json({"purged": count}) if json else print(f"{count} forgotten")


@group.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write; without one: stdout.")] = None,
    config: ConfigOption = None,
    signal: Signal = None,
    reason: Reason = None,
) -> None:
    """Write dead letters as JSON Lines."""
    letters = answer(config, lambda ask: _find(ask, (), signal, reason))
    if file is None:
        for letter in letters:
            print_json(letter)
        return
    file.write_bytes(b"".join(orjson.dumps(letter) + b"\n" for letter in letters))
    note(f"{len(letters)} written to {file}")
