"""`headgate report`: the review of a week or month as one file of HTML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate.cli.output import ConfigOption, note
from headgate.cli.session import answer
from headgate.web.operations import WantedReport

__all__ = ["report"]

_STDOUT = "-"


def report(
    every: Annotated[Literal["weekly", "monthly"], typer.Argument(help="Of a week, Monday to Monday, or of a month.")],
    *,
    until: Annotated[
        str | None, typer.Option("--until", help="The last whole one before: 2026-11-01, 7d (ago); else now.")
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option("--project", metavar="SLUG", help="Only these, or patterns: gh/acme/*.")
    ] = None,
    team: Annotated[list[str] | None, typer.Option("--team", help="Only what these own.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A file, or - for stdout.")] = _STDOUT,
    config: ConfigOption = None,
) -> None:
    """Write what got better and worse, by project and team, to one file with charts."""
    from headgate.app.atomicfile import put_file

    wanted = WantedReport("week" if every == "weekly" else "month", until, tuple(project or ()), tuple(team or ()))
    text = answer(config, lambda ask: ask.report(wanted))
    if output == _STDOUT:
        sys.stdout.write(text)
        return
    try:
        put_file(Path(output), text.encode())
    except OSError as exc:
        raise typer.BadParameter(f"{output}: {exc.strerror or exc}", param_hint="--output") from exc
    note(f"headgate: {output}: {len(text.encode())} bytes")
