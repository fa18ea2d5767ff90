"""Commands that look: status, tail, explain."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from headgate.cli.output import ConfigOption, JsonOption, print_json, print_table
from headgate.cli.session import answer, load_configuration, operations
from headgate.web.operations import Json

__all__ = ["explain", "status", "tail"]

_FOLLOW_SECONDS = 1.0


def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show sinks, inbox, sources and store in figures."""
    if json:
        print_json(answer(config, lambda ask: ask.status()))
        return
    overview = answer(config, lambda ask: ask.overview())
    figures = overview["status"]
    rows = [
        (f"{name}.{signal}", one["state"], one["accepted"], one["waiting"], f"{one['lag_seconds']:.0f} s", one["dead"])
        for name, sink in sorted(figures["sinks"].items())
        for signal, one in sorted(sink["signals"].items())
    ]
    print_table(("Signal", "State", "Accepted", "Waiting", "Lag", "Dead"), rows, empty="No sink has a cursor yet.")
    for name, sink in sorted(figures["sinks"].items()):
        for signal, one in sorted(sink["signals"].items()):
            if again := one["replay"]:
                done, span = f"{again['done']} of {again['total']} records", f"{again['since']} to {again['until']}"
                print(f"{name}.{signal}: replay of {span}, {done} done")
    sources = [
        (name, one["calls"], one["budget_left"], one["last_complete_walk"] or "-", one["last_insights"] or "-")
        for name, one in sorted(figures["sources"].items())
    ]
    print_table(
        ("Source", "Calls", "Budget left", "Last complete walk", "Last Insights"),
        sources,
        empty="No source is configured.",
    )
    if figures["notifiers"]:
        channels = [
            (name, one["state"], one["waiting"], f"{one['lag_seconds']:.0f} s", one["dead"], one["last_error"] or "-")
            for name, one in sorted(figures["notifiers"].items())
        ]
        print_table(("Notifier", "State", "Waiting", "Lag", "Given up", "Last error"), channels, empty="")
    for name, one in sorted(figures["sources"].items()):
        for slug, since in one["gone"].items():
            print(f"{name}: project {slug} is not found since {since}; its history is kept, it is asked for once a day")
    inbox, store = figures["inbox"], figures["store"]
    print(f"inbox: {inbox['waiting']} waiting, {inbox['dead']} unreadable")
    for name, count in inbox["waiting_for_source"].items():
        print(f"inbox: {count} waiting for source {name}")
    print(f"store: {store['bytes']} bytes, schema {store['schema']}")
    for hint in overview["hints"]:
        print(f"! {hint}")


def tail(
    config: ConfigOption = None,
    json: JsonOption = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="Newest records to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on with new ones.")] = False,
) -> None:
    """Show the newest records, and new ones as they are released with --follow."""

    async def whole() -> None:
        async with operations(load_configuration(config)) as ask:
            page = await ask.tail({}, lines)
            _print_records(page["records"], json)
            while follow:
                if not page["records"]:
                    await asyncio.sleep(_FOLLOW_SECONDS)
                page = await ask.tail(page["after"], 1000)
                _print_records(page["records"], json)

    asyncio.run(whole())


def _print_records(entries: list[Json], json: bool) -> None:
    for entry in entries:
        record = entry["record"]
        if json:
            print_json(record)
            continue
        attributes = record["attributes"]
        name = attributes.get("cicd.pipeline.task.name") or attributes.get("cicd.pipeline.name") or ""
        word = attributes.get("headgate.status", "")
        print(f"{record['occurred_at']} {record['kind']:<9} {word:<9} {record.get('project', '')} {name}")


def explain(
    query: Annotated[
        str, typer.Argument(help="Address of a workflow or job page, its id, or the id of a record or amendment.")
    ],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show all that is known about a workflow or job, and its way through each sink."""
    for found in answer(config, lambda ask: ask.explain(query)):
        if json:
            print_json(found)
        else:
            _print_explained(found)


def _print_explained(found: Json) -> None:
    print(f"{found['kind']} {found['provider_id']} of {found['project']}")
    if found["released"]:
        print(f"released as record {found['record_id']}, {found['lane']} {found['seq']}")
    else:
        print(f"not released yet; at the latest {found['due_at'] or 'once it has ended'}")
    rows = [(name, one["value"], one["source"], one["observed_at"]) for name, one in sorted(found["fields"].items())]
    print_table(("Field", "Value", "From", "Observed"), rows, empty="No field is known.")
    print_table(("Signal", "Way"), sorted(found["path"].items()), empty="No sink has a cursor.")
