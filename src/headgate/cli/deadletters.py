"""`headgate deadletters`: list, show, replay, export, purge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from headgate.cli.output import ConfigOption, JsonOption, note, print_json, print_table
from headgate.cli.session import answer
from headgate.web.operations import ChosenDeliveries, ChosenLetters, Json, Operations, Problem

__all__ = ["group"]

group = typer.Typer()

_Pages = AsyncIterator[list[Json]]

# One call of the API gives at most this many.
_PAGE = 1000
# As many numbers fit into one address.
_NAMED = 100

Ids = Annotated[list[int] | None, typer.Argument(help="Numbers of dead letters.")]
Signal = Annotated[str | None, typer.Option("--signal", "-s", help="Of this signal only, such as loki.logs.")]
Reason = Annotated[str | None, typer.Option("--reason", help="With this reason only.")]
Webhooks = Annotated[bool, typer.Option("--webhooks", help="Webhooks that were set aside instead of records.")]
OfSource = Annotated[str | None, typer.Option("--source", help="With --webhooks: of this source only.")]
Everything = Annotated[bool, typer.Option("--all", help="All that match.")]


async def _walk(read: Callable[[int | None], Awaitable[list[Json]]], reason: str | None) -> _Pages:
    """All of this reason, newest first. `read`: the page before a number."""
    before = None
    while page := await read(before):
        yield [one for one in page if reason in (None, one["reason"])]
        before = page[-1]["id"]


def _letters(ask: Operations, signal: str | None, reason: str | None) -> _Pages:
    return _walk(lambda before: ask.dead_letters(signal, (), _PAGE, before), reason)


def _webhooks(ask: Operations, reason: str | None) -> _Pages:
    return _walk(lambda before: ask.dead_deliveries(_PAGE, (), before), reason)


async def _print(pages: _Pages) -> None:
    async for page in pages:
        for one in page:
            print_json(one)


async def _newest(pages: _Pages) -> tuple[list[Json], bool]:
    """As many as a table shows, and whether there are more."""
    found: list[Json] = []
    async for page in pages:
        found += page
        if len(found) > _PAGE:
            return found[:_PAGE], True
    return found, False


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

    def pages(ask: Operations) -> _Pages:
        return _webhooks(ask, reason) if webhooks else _letters(ask, signal, reason)

    if json:
        answer(config, lambda ask: _print(pages(ask)))
        return
    found, more = answer(config, lambda ask: _newest(pages(ask)))
    if webhooks:
        _list_webhooks(found)
    else:
        _list_letters(found)
    if more:
        rest = "--json tells" if webhooks else "--json and export tell"
        note(f"The newest {_PAGE:,} are listed: there are more, which {rest}.")


def _list_letters(letters: list[Json]) -> None:
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


def _list_webhooks(webhooks: list[Json]) -> None:
    rows = [(one["id"], one["source"], one["reason"], one["arrived_at"], one["bytes"]) for one in webhooks]
    print_table(("Id", "Source", "Reason", "Arrived", "Bytes"), rows, empty="No webhooks are set aside.")


@group.command("show")
def show(
    letter: Annotated[int, typer.Argument(help="Number of the dead letter.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one dead letter with its record and the sink's words."""
    found = answer(config, lambda ask: ask.dead_letters(None, (letter,), 1))
    if not found:
        raise Problem("unknown", f"no dead letter {letter}")
    if json:
        print_json(found[0])
    else:
        print(orjson.dumps(found[0], option=orjson.OPT_INDENT_2).decode())


async def _chosen_letters(
    ask: Operations, ids: Sequence[int] | None, signal: str | None, reason: str | None, everything: bool
) -> ChosenLetters:
    """Which dead letters a command is about. Raises typer.BadParameter when it does not say, Problem for unknown."""
    if ids and (signal is not None or reason is not None):
        raise typer.BadParameter("name the dead letters, or say --signal and --reason, not both")
    if not ids and not everything and signal is None and reason is None:
        raise typer.BadParameter("name the dead letters, or say --signal, --reason or --all")
    unknown = set(ids or ())
    for start in range(0, len(ids or ()), _NAMED):
        named = list(ids or ())[start : start + _NAMED]
        unknown -= {letter["id"] for letter in await ask.dead_letters(None, named, _NAMED)}
    if unknown:
        raise Problem("unknown", f"no dead letter {', '.join(map(str, sorted(unknown)))}; nothing was done")
    return ChosenLetters(tuple(dict.fromkeys(ids or ())), signal, reason, everything)


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
        return await ask.replay_dead(await _chosen_letters(ask, ids, signal, reason, everything))

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
        letters = await _chosen_letters(ask, ids, signal, reason, everything)
        if not yes:
            typer.confirm("Forget these dead letters for good?", abort=True, err=True)
        return await ask.purge_dead(letters)

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
    if file is None:
        answer(config, lambda ask: _print(_letters(ask, signal, reason)))
        return

    async def write(ask: Operations) -> int:
        count, pages = 0, _letters(ask, signal, reason)
        page: list[Json] | None = await anext(pages, [])
        with file.open("wb") as out:
            while page is not None:
                out.writelines(orjson.dumps(letter) + b"\n" for letter in page)
                count += len(page)
                page = await anext(pages, None)
        return count

    note(f"{answer(config, write)} written to {file}")
