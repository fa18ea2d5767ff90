"""`headgate export`: any table as a file, from the running daemon or from the store alone."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.output import ConfigOption, JsonOption, note, print_json, print_table
from headgate.cli.session import answer
from headgate.web.operations import Operations, WantedExport

__all__ = ["export"]

_STDOUT = "-"
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx"}


def export(
    table: Annotated[str | None, typer.Argument(help="Name of a table, as --list shows them.")] = None,
    *,
    project: Annotated[str, typer.Option("--project", metavar="SLUG", help="Only this project.")] = "",
    workflow: Annotated[str, typer.Option("--workflow", help="Only this workflow of it.")] = "",
    job: Annotated[str, typer.Option("--job", help="Only this job of that.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="ID", help="Only this run.")] = "",
    branch: Annotated[str, typer.Option("--branch", help="Only this branch; @default: the default branches.")] = "",
    by: Annotated[list[str] | None, typer.Option("--by", metavar="DIMENSION", help="Group by it.")] = None,
    window: Annotated[str, typer.Option("--window", help="Length, such as 24h or 30d; else 7d.")] = "",
    since: Annotated[str, typer.Option("--since", help="Begin: 30d (ago), 2026-11-01 or RFC 3339.")] = "",
    until: Annotated[str, typer.Option("--until", help="End, exclusive; else now.")] = "",
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other word that the table takes.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="csv, json, jsonl or xlsx; else by the name of the file, else csv.")
    ] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A file, or - for stdout.")] = _STDOUT,
    listed: Annotated[bool, typer.Option("--list", help="List tables and what each takes.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write a table to a file, whole or not at all."""
    if listed:
        _list(json=json)
        return
    if table is None:
        raise typer.BadParameter("say which table; --list shows them", param_hint="TABLE")
    chosen = form or _SUFFIXES.get(Path(output).suffix.lower(), "csv")
    _must_be_known(table, chosen)
    if chosen == "xlsx" and output == _STDOUT and sys.stdout.isatty():
        raise typer.BadParameter("a workbook is no text: name a file with -o", param_hint="--format")
    named = {
        "project": project,
        "workflow": workflow,
        "job": job,
        "run": run,
        "branch": branch,
        "window": window,
        "since": since,
        "until": until,
    }
    words = {name: (value,) for name, value in named.items() if value} | ({"by": tuple(by)} if by else {})
    wanted = WantedExport(table, chosen, {**words, **_more(more or ())})
    size = answer(config, lambda ask: _write(ask, wanted, output))
    if output != _STDOUT:
        note(f"headgate: {output}: {size} bytes")


def _must_be_known(table: str, form: str) -> None:
    from headgate.insights.formats import FORMATS
    from headgate.insights.tables import find_table
    from headgate.insights.views.refusal import Refused

    try:
        find_table(table)
    except Refused as exc:
        raise typer.BadParameter(str(exc), param_hint="TABLE") from exc
    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r} is no format; valid: {', '.join(FORMATS)}", param_hint="--format")


def _more(pairs: list[str] | tuple[()]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise typer.BadParameter(f"{pair}: write NAME=VALUE", param_hint="--set")
        found[name] = (*found.get(name, ()), value)
    return found


async def _write(ask: Operations, wanted: WantedExport, output: str) -> int:
    from headgate.app.atomicfile import write_file

    chunks = ask.export(wanted)
    if output != _STDOUT:
        try:
            return await write_file(Path(output), chunks)
        except OSError as exc:
            raise typer.BadParameter(f"{output}: {exc.strerror or exc}", param_hint="--output") from exc
    return await _print(chunks)


async def _print(chunks: AsyncIterator[bytes]) -> int:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return size


def _list(*, json: bool) -> None:
    from headgate.web.exports import list_tables

    tables = list_tables()
    if json:
        for one in tables:
            print_json(one)
        return
    rows = [(one["name"], one["doc"], ", ".join(_word(one, name) for name in one["takes"])) for one in tables]
    print_table(("table", "what it holds", "takes (* needs)"), rows, empty="")


def _word(table: Mapping[str, list[str]], name: str) -> str:
    return f"{name}*" if name in table["needs"] else name
