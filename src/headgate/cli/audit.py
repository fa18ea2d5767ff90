"""`headgate audit`: prove that what CircleCI lists is kept, and fetch what is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.orders import here, progress
from headgate.cli.output import ConfigOption, JsonOption, moment_ms, note, print_json, print_table
from headgate.cli.session import load_configuration, operations
from headgate.core.clock import SystemClock
from headgate.web.operations import AuditOrder

if TYPE_CHECKING:
    from headgate.app.settings import Configuration

__all__ = ["audit"]

_LOOK_SECONDS = 1.0
_FIGURES = ("expected", "present", "repaired", "unrepairable", "unannounced")


def audit(
    *,
    since: Annotated[str, typer.Option("--since", help="Begin: 7d, 2026-11-01 or RFC 3339.")] = "7d",
    until: Annotated[str, typer.Option("--until", help="End, exclusive.")] = "now",
    project: Annotated[
        list[str] | None, typer.Option("--project", metavar="GLOB", help="Only these projects, such as gh/acme/*.")
    ] = None,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Only this source.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Compare what CircleCI lists with what is kept, and repair it. Exit 1 where something cannot be repaired.

    A running daemon does it beside everything else; without one it is done here and now.
    """
    clock, configuration = SystemClock(), load_configuration(config)
    order = AuditOrder(moment_ms(since, clock), moment_ms(until, clock), source, tuple(project or ()))
    made, served = asyncio.run(_ordered(configuration, order))
    ids = {(one["source"], one["id"]) for one in made}
    if not served:
        code = here(config)
        if code:
            return code
    done = asyncio.run(_watched(configuration, ids))
    rows = [
        (one["source"], slug, *(figures[name] for name in _FIGURES))
        for one in done
        for slug, figures in one["projects"].items()
    ]
    if json:
        for row in rows:
            print_json(dict(zip(("source", "project", *_FIGURES), row, strict=True)))
    else:
        columns = ("Source", "Project", *(name.capitalize() for name in _FIGURES))
        print_table(columns, rows, empty="No project was audited.")
    problems = [f"{slug}: {text}" for one in done for slug, text in one["problems"].items()]
    for problem in problems:
        note(problem)
    return 1 if problems or any(row[2 + _FIGURES.index("unrepairable")] for row in rows) else 0


async def _ordered(configuration: Configuration, order: AuditOrder) -> tuple[list[dict[str, Any]], bool]:
    """Store the request; whether a daemon has it."""
    from headgate.app.remote import RemoteOperations

    async with operations(configuration) as ask:
        return await ask.audit(order), isinstance(ask, RemoteOperations)


async def _watched(configuration: Configuration, ids: set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Wait until all requests are done."""
    async with operations(configuration) as ask:
        with progress() as say:
            while True:
                mine = [one for one in await ask.audits() if (one["source"], one["id"]) in ids]
                say(f"{sum(len(one['projects']) + len(one['problems']) for one in mine)} projects audited")
                if all(one["state"] == "done" for one in mine):
                    return mine
                await asyncio.sleep(_LOOK_SECONDS)
