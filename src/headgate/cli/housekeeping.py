"""Commands around the store and the machine: backup, restore, doctor."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.output import ConfigOption, JsonOption, note, print_json, print_table
from headgate.cli.session import answer, load_configuration, operations

if TYPE_CHECKING:
    from headgate.app.doctor import Finding
    from headgate.app.settings import Configuration

__all__ = ["backup", "doctor", "restore"]


def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Copy the store to a file, also while the daemon runs."""
    done = answer(config, lambda ask: ask.backup(str(file.absolute())))
    print_json(done) if json else print(f"{done['bytes']} bytes written to {done['path']}")


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file that `headgate backup` wrote.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make the store from a backup, on a host that has none; collection then repairs what is missing."""
    from headgate.app.compose import restore_store

    path = load_configuration(config).settings.store.path
    restore_store(file, path)
    print_json({"store": str(path)}) if json else print(f"{path} restored; start `headgate run`")


def doctor(
    config: ConfigOption = None,
    json: JsonOption = False,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Write a tar.gz for a support request.")] = None,
) -> int:
    """Measure flush time, disk, SQLite and clocks, and say what rate to expect."""
    from headgate.app.doctor import write_bundle

    configuration = load_configuration(config)
    findings, status = asyncio.run(_examined(configuration))
    if json:
        for one in findings:
            print_json({"name": one.name, "ok": one.ok, "value": one.value, "unit": one.unit, "fix": one.fix})
    else:
        rows = [("ok" if one.ok else "BAD", one.name, f"{one.value} {one.unit}", one.fix) for one in findings]
        print_table(("", "What", "Value", "Fix"), rows, empty="")
    if bundle is not None:
        write_bundle(bundle, configuration, findings, status)
        note(f"written to {bundle}; look through it before you send it")
    return 0 if all(one.ok for one in findings) else 1


async def _examined(configuration: Configuration) -> tuple[list[Finding], dict[str, Any] | None]:
    from headgate.app.compose import build_plant
    from headgate.app.doctor import examine
    from headgate.app.telemetry import Telemetry
    from headgate.core.clock import SystemClock
    from headgate.core.errors import SourceError, StoreError

    for problem in configuration.unread.values():
        note(f"left out: {problem}")
    clock = SystemClock()
    plant = build_plant(configuration, clock, Telemetry())
    try:
        for source in plant.sources.values():
            try:
                await source.check()
            except SourceError as exc:
                note(f"source {source.name}: {exc}")
        findings = examine(configuration, plant.sources, clock)
    finally:
        await plant.aclose()
    try:
        async with operations(configuration) as ask:
            return findings, await ask.status()
    except StoreError:
        return findings, None
