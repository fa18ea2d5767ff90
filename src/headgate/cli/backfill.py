"""`headgate backfill`: ask for history, and watch it come in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.orders import Listed, here, nowhere, ordered, watched
from headgate.cli.output import ConfigOption, JsonOption, moment_ms, note, print_json, print_table
from headgate.cli.session import load_configuration, operations
from headgate.core.clock import SystemClock
from headgate.web.operations import Order

if TYPE_CHECKING:
    from headgate.app.settings import Configuration

__all__ = ["backfill"]


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

    Exit 1 where a part could not be read, and where no collected project is as was asked for.
    A running daemon does it beside everything else; without one it is done here and now.
    """
    clock = SystemClock()
    configuration = load_configuration(config)
    if since is None:
        _show(asyncio.run(_listed(configuration)), json=json)
        return 0
    order = Order(
        since_ms=moment_ms(since, clock),
        until_ms=moment_ms(until, clock),
        source=source,
        orgs=tuple(org or ()),
        projects=tuple(project or ()),
    )
    made, served = asyncio.run(ordered(configuration, order, lambda asked, wanted: asked.backfill(wanted)))
    if not wait:
        _show(made, json=json)
        return 0
    if not served:
        code = here(config)
        if code:
            return code
    done = asyncio.run(watched(configuration, made, lambda asked: asked.backfills(), _progress))
    _show(done, json=json)
    missing = nowhere(done)
    for one in missing:
        note(one)
    return 1 if missing or any(one["problems"] for one in done) else 0


async def _listed(configuration: Configuration) -> list[dict[str, Any]]:
    async with operations(configuration) as ask:
        return await ask.backfills()


def _progress(mine: Listed) -> str:
    return "; ".join(_progress_of(one) for one in mine)


def _progress_of(one: dict[str, Any]) -> str:
    left = one["seconds_left"]
    if one["trouble"] or one["waits_for"]:
        return f"{one['source']}: {one['share']:.0%}, waiting: {one['trouble'] or one['waits_for']}"
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
        if one["problems_more"]:
            note(f"{one['source']}: and {one['problems_more']} more problems")
