"""`headgate audit`: prove that what CircleCI lists is kept, and fetch what is not."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from headgate.cli.orders import Listed, here, nowhere, ordered, watched
from headgate.cli.output import ConfigOption, JsonOption, moment_ms, note, print_json, print_table
from headgate.cli.session import load_configuration
from headgate.core.clock import SystemClock
from headgate.web.operations import Order

__all__ = ["audit"]

_FIGURES = ("expected", "present", "repaired", "unrepairable", "unannounced")


def audit(
    *,
    since: Annotated[str, typer.Option("--since", help="Begin: 7d, 2026-11-01 or RFC 3339.")] = "7d",
    until: Annotated[str, typer.Option("--until", help="End, exclusive.")] = "now",
    org: Annotated[list[str] | None, typer.Option("--org", metavar="SLUG", help="Only this organisation.")] = None,
    project: Annotated[
        list[str] | None, typer.Option("--project", metavar="GLOB", help="Only these projects, such as gh/acme/*.")
    ] = None,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Only this source.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Compare what CircleCI lists with what is kept, and repair it.

    Exit 1 where something cannot be repaired or audited, and where no collected project is as was asked for.

    A running daemon does it beside everything else; without one it is done here and now.
    """
    clock, configuration = SystemClock(), load_configuration(config)
    order = Order(moment_ms(since, clock), moment_ms(until, clock), source, tuple(org or ()), tuple(project or ()))
    made, served = asyncio.run(ordered(configuration, order, lambda asked, wanted: asked.audit(wanted)))
    if not served:
        code = here(config)
        if code:
            return code
    done = asyncio.run(watched(configuration, made, lambda asked: asked.audits(), _progress))
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
    problems = nowhere(done) + [f"{slug}: {text}" for one in done for slug, text in one["problems"].items()]
    for problem in problems:
        note(problem)
    return 1 if problems or any(row[2 + _FIGURES.index("unrepairable")] for row in rows) else 0


def _progress(mine: Listed) -> str:
    waiting = "".join(f"; {one['source']} waits: {one['waits_for']}" for one in mine if one["waits_for"])
    return f"{sum(len(one['projects']) + len(one['problems']) for one in mine)} projects audited{waiting}"
