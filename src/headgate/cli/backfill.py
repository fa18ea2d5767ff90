"""`headgate backfill`: ask for history, and watch it come in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.orders import here, progress
from headgate.cli.output import ConfigOption, JsonOption, moment_ms, note, print_json, print_table
from headgate.cli.session import load_configuration, operations
from headgate.core.clock import SystemClock
from headgate.web.operations import BackfillOrder

if TYPE_CHECKING:
    from headgate.app.settings import Configuration

__all__ = ["backfill"]

_LOOK_SECONDS = 1.0


def backfill(
    *,
    since: Annotated[str | None, typer.Option("--since", help="Begin: 90d, 2026-08-01 or RFC 3339.")] = None,
    until: Annotated[str, typer.Option("--until", help="End, exclusive.")] = "now",
    org: Annotated[list[str] | None, typer.Option("--org", metavar="SLUG", help="Only this organisation.")] = None,
    project: Annotated[
        list[str] | None, typer.Option("--project", metavar="GLOB", help="Only these projects, such as gh/acme/*.")
    ] = None,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Only this source.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay and show how far it is.")] = True,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Collect history with the fewest calls. Without --since: list what was asked for.

    A running daemon does it beside everything else; without one it is done here and now.
    """
    clock = SystemClock()
    configuration = load_configuration(config)
    if since is None:
        _show(asyncio.run(_listed(configuration)), json=json)
        return 0
    order = BackfillOrder(
        since_ms=moment_ms(since, clock),
        until_ms=moment_ms(until, clock),
        source=source,
        orgs=tuple(org or ()),
        projects=tuple(project or ()),
    )
    made, served = asyncio.run(_ordered(configuration, order))
    ids = {(one["source"], one["id"]) for one in made}
    if not wait:
        _show(made, json=json)
        return 0
    if served:
        done = asyncio.run(_watched(configuration, ids))
    else:
        code = here(config)
        if code:
            return code
        done = [one for one in asyncio.run(_listed(configuration)) if (one["source"], one["id"]) in ids]
    _show(done, json=json)
    return 1 if any(one["problems"] or one["state"] != "done" for one in done) else 0


async def _listed(configuration: Configuration) -> list[dict[str, Any]]:
    async with operations(configuration) as ask:
        return await ask.backfills()


async def _ordered(configuration: Configuration, order: BackfillOrder) -> tuple[list[dict[str, Any]], bool]:
    """Store the request; whether a daemon has it."""
    from headgate.app.compose import make_store_directory
    from headgate.app.remote import RemoteOperations

    make_store_directory(configuration.settings.store.path)
    async with operations(configuration, create=True) as ask:
        return await ask.backfill(order), isinstance(ask, RemoteOperations)


async def _watched(configuration: Configuration, ids: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Show progress until all requests are done."""
    async with operations(configuration) as ask:
        with progress() as say:
            while True:
                mine = [one for one in await ask.backfills() if (one["source"], one["id"]) in ids]
                say("; ".join(_progress(one) for one in mine))
                if all(one["state"] == "done" for one in mine):
                    return mine
                await asyncio.sleep(_LOOK_SECONDS)


def _progress(one: dict[str, Any]) -> str:
    left = one["seconds_left"]
    if one["trouble"]:
        return f"{one['source']}: {one['share']:.0%}, waiting: {one['trouble']}"
    more = "" if left is None else f", about {left // 60} min {left % 60} s left"
    return f"{one['source']}: {one['share']:.0%}, {one['calls']} calls, {one['observations']} facts{more}"


def _show(listed: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        for one in listed:
            print_json(one)
        return
    rows = [
        (one["id"], one["source"], one["state"], one["since"], one["until"], one["strategy"] or "",
         f"{one['share']:.0%}", one["calls"], one["observations"])
        for one in listed
    ]  # fmt: skip
    columns = ("Id", "Source", "State", "Since", "Until", "Strategy", "Done", "Calls", "Facts")
    print_table(columns, rows, empty="Nothing was asked for; try `headgate backfill --since 90d`.")
    for one in listed:
        for problem in [*one["problems"], *([one["trouble"]] if one["trouble"] else [])]:
            note(f"{one['source']}: {problem}")
