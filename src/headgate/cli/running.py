"""Commands that start something: run, demo, check."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.output import ConfigOption, JsonOption, print_json
from headgate.cli.session import load_configuration
from headgate.core.errors import ConfigError

if TYPE_CHECKING:
    from headgate.core.ports import CheckResult

__all__ = ["check", "demo", "run"]

OrgOption = Annotated[
    list[str] | None, typer.Option("--org", metavar="SLUG", help="Organisation to collect, such as gh/acme.")
]


def run(
    config: ConfigOption = None,
    org: OrgOption = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop once everything is collected and delivered.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=0, help="With --until-idle: give up after this, exit 1."),
    ] = None,
) -> int:
    """Collect, keep, forward and alert until told to stop."""
    from headgate.app.lifecycle import Daemon, RunOptions, run_on_loop

    if timeout is not None and not until_idle:
        raise typer.BadParameter("--timeout goes with --until-idle")
    configuration = load_configuration(config, org, secrets=True)
    options = RunOptions(until_idle=until_idle, timeout_seconds=timeout)

    async def work() -> int:
        return await Daemon(configuration, lambda: load_configuration(config, org, secrets=True), options).run()

    return run_on_loop(work)


def demo(
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 8080,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same organisation.")] = 1,
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="Days of history.")] = 90,
    projects: Annotated[int, typer.Option("--projects", min=1, max=64, help="Projects of the organisation.")] = 12,
    exit_after: Annotated[
        float | None, typer.Option("--exit-after", metavar="SECONDS", min=0, help="Stop by itself after this.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Keep store and records here, in a folder without an earlier demo."),
    ] = None,
) -> int:
    """Show everything on a made-up organisation: no token, no network."""
    from headgate.app.demo import DemoOptions, run_demo

    return run_demo(DemoOptions(port=port, seed=seed, days=days, projects=projects, exit_after=exit_after, keep=keep))


def check(
    *,
    config: ConfigOption = None,
    org: OrgOption = None,
    json: JsonOption = False,
    send: Annotated[bool, typer.Option("--send", help="Send a test message through every notifier.")] = False,
) -> int:
    """Check configuration, tokens, sinks and notifiers by real calls, and say how to mend what is wrong."""
    from headgate.core.ports import CheckResult

    try:
        results = asyncio.run(_checked(config, org, json, send=send))
    except ConfigError as exc:
        for problem in exc.problems:
            _show(CheckResult("config", ok=False, reason="config_invalid", fix=problem), json)
        return 2
    return 0 if all(results) else 1


async def _checked(config: str | None, org: list[str] | None, json: bool, *, send: bool) -> list[bool]:
    from headgate.app.check import check_all
    from headgate.app.check_notifiers import NotifierChecks
    from headgate.app.compose import build_plant
    from headgate.app.settings import default_file, load
    from headgate.app.telemetry import Telemetry
    from headgate.core.clock import SystemClock
    from headgate.plugins import load_plugins

    registry, clock = load_plugins(), SystemClock()
    configuration = load(registry, file=Path(config) if config else default_file(), orgs=org or ())
    plant, notifying = build_plant(configuration, clock, Telemetry()), NotifierChecks(clock, send=send)
    results: list[bool] = []
    try:
        async for result in check_all(configuration, registry, plant, notifying):
            _show(result, json)
            results.append(result.ok)
    finally:
        await notifying.aclose()
        await plant.aclose()
    return results


def _show(result: CheckResult, json: bool) -> None:
    if json:
        print_json({"name": result.name, "ok": result.ok, "reason": result.reason, "fix": result.fix})
        return
    word = "ok  " if result.ok else "BAD "
    more = "" if result.reason == "ok" else f": {result.reason}"
    print(f"{word}{result.name}{more}")
    if result.fix:
        print(f"      {result.fix}")
