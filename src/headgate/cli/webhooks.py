"""`headgate webhooks`: plan, apply, list, remove the webhooks by which CircleCI tells us of ended runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.output import ConfigOption, JsonOption, note, print_json, print_table
from headgate.cli.session import load_configuration
from headgate.core.errors import ConfigError, SourceError
from headgate.core.wiring import CHANGES, Action, shown_url, wrong

if TYPE_CHECKING:
    from headgate.app.settings import Configuration
    from headgate.app.wiring import Done, Planner, Wired

__all__ = ["group"]

group = typer.Typer()

SourceName = Annotated[str | None, typer.Option("--source", metavar="NAME", help="This source only.")]
ProjectGlob = Annotated[str, typer.Option("--project", metavar="GLOB", help="Projects whose slug fits only.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask; needed with --json and where there is no terminal.")
]


@group.command("plan")
def show_plan(
    config: ConfigOption = None, source: SourceName = None, project: ProjectGlob = "*", json: JsonOption = False
) -> int:
    """Say what `apply` would do, and change nothing; exit 1 when webhooks are not as configured."""
    from headgate.app.wiring import planner

    return _over(config, source, lambda wired: _planned(wired, project, planner(), json))


@group.command("apply")
def apply(
    *,
    config: ConfigOption = None,
    source: SourceName = None,
    project: ProjectGlob = "*",
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Set the first of webhook.secrets again on every webhook of ours.")
    ] = False,
    yes: Yes = False,
    json: JsonOption = False,
) -> int:
    """Create and correct the webhook of every project, and read each change back; exit 1 when one failed."""
    from headgate.app.wiring import planner

    _may_ask(yes, json)
    again = planner()
    return _over(
        config, source, lambda wired: _applied(wired, project, planner(rotate=rotate), again, yes=yes, json=json)
    )


@group.command("remove")
def remove(
    *,
    config: ConfigOption = None,
    source: SourceName = None,
    project: ProjectGlob = "*",
    yes: Yes = False,
    json: JsonOption = False,
) -> int:
    """Delete the webhook with our URL from every project; those of others stay."""
    from headgate.app.wiring import remover

    _may_ask(yes, json)
    return _over(config, source, lambda wired: _applied(wired, project, remover, remover, yes=yes, json=json))


@group.command("list")
def list_webhooks(
    config: ConfigOption = None, source: SourceName = None, project: ProjectGlob = "*", json: JsonOption = False
) -> int:
    """List every webhook of every project, others' too."""
    return _over(config, source, lambda wired: _listed(wired, project, json))


def _may_ask(yes: bool, json: bool) -> None:
    if not yes and (json or not sys.stdin.isatty()):
        raise typer.BadParameter("say --yes: this asks first, and can do so only at a terminal and without --json")


# -- one source


async def _planned(wired: Wired, glob: str, chosen: Planner, json: bool) -> bool:
    actions = await _actions(wired, glob, chosen)
    _show(wired.source.name, actions, json)
    return not wrong(actions)


async def _applied(wired: Wired, glob: str, chosen: Planner, again: Planner, *, yes: bool, json: bool) -> bool:
    """Do it. What no change can mend (no right, full, not readable) is shown and fails, and stops nothing."""
    from headgate.app.wiring import carry_out

    actions = await _actions(wired, glob, chosen)
    changes = [action for action in actions if action.kind in CHANGES]
    others = [action for action in actions if action.kind not in CHANGES]
    if changes and not yes:
        _show(wired.source.name, changes, json=False)
        typer.confirm(f"Do this at {wired.source.host}?", abort=True, err=True)
    done = await carry_out(wired, changes, again)
    _show(wired.source.name, others, json)
    _show_done(wired.source.name, done, json)
    return not wrong(others) and not any(one.problem for one in done)


async def _listed(wired: Wired, glob: str, json: bool) -> bool:
    from headgate.app.wiring import remover

    actions = await _actions(wired, glob, remover)
    rows = []
    for action in actions:
        if action.webhook is None:
            note(f"{action.project}: {action.reason}")
        elif json:
            print_json(_listing(wired.source.name, action))
        else:
            it = action.webhook
            state = (", ".join(sorted(it.events)), _word(it.verify_tls), _word(it.signed), _word(_is_ours(action)))
            rows.append((wired.source.name, action.project, it.name, _url(action), *state))
    if not json:
        columns = ("Source", "Project", "Name", "URL", "Events", "TLS", "Signed", "Ours")
        print_table(columns, rows, empty=f"No webhooks of source {wired.source.name}.")
    return all(action.webhook is not None for action in actions)


async def _actions(wired: Wired, glob: str, chosen: Planner) -> list[Action]:
    from headgate.app.wiring import look

    found = await look(wired, glob)
    if not found:
        raise SourceError(f"no project of source {wired.source.name} fits {glob}; name quiet ones in projects.include")
    return chosen(wired.admin, found)


# -- all sources


def _over(config: str | None, source: str | None, work: Callable[[Wired], Awaitable[bool]]) -> int:
    """Do it for each source; one that fails is told about and does not stop the others."""
    configuration = load_configuration(config, secrets=True)

    async def whole() -> bool:
        from headgate.app.compose import build_plant
        from headgate.app.telemetry import Telemetry
        from headgate.app.wiring import wired
        from headgate.core.clock import SystemClock

        plant = build_plant(configuration, SystemClock(), Telemetry())
        fine = True
        try:
            for one in _chosen(wired(plant.sources.values()), source):
                try:
                    fine &= await work(one)
                except SourceError as error:
                    note(f"headgate: source {one.source.name}: {error}")
                    fine = False
        finally:
            await plant.aclose()
        return fine

    _log_to_stderr(configuration)
    return 0 if asyncio.run(whole()) else 1


def _chosen(able: Sequence[Wired], name: str | None) -> list[Wired]:
    """The sources meant. Raises ConfigError when there is none."""
    chosen = [one for one in able if name in (None, one.source.name)]
    if chosen:
        return chosen
    where = f"source {name}" if name else "no source"
    raise ConfigError(f"{where} can manage webhooks: set sources.<name>.webhook.url, webhook.secrets and token")


def _log_to_stderr(configuration: Configuration) -> None:
    """Warnings of a source about its projects belong beside the data, not into it."""
    from headgate.app.logs import Redactor, secrets_of, set_up_logging

    redactor = Redactor()
    redactor.learn(secrets_of([part.config for part in configuration.sources.values()]))
    set_up_logging(level="warning", form=configuration.settings.log.format, redactor=redactor)


# -- showing


def _show(source: str, actions: Sequence[Action], json: bool) -> None:
    if json:
        for action in actions:
            print_json(_told(source, action))
        return
    rows = [(source, one.project, one.kind, _name(one), _url(one), one.reason) for one in actions]
    if rows:
        print_table(("Source", "Project", "Action", "Name", "URL", "Why"), rows, empty="")


def _show_done(source: str, done: Sequence[Done], json: bool) -> None:
    if json:
        for one in done:
            print_json(_told(source, one.action) | {"done": not one.problem, "problem": one.problem})
        return
    rows = [
        (source, action.project, action.kind, "FAILED" if one.problem else "done", one.problem or action.reason)
        for one in done
        for action in [one.action]
    ]
    print_table(("Source", "Project", "Action", "Outcome", "Why"), rows, empty="Nothing to do.")


def _told(source: str, action: Action) -> dict[str, Any]:
    it = action.webhook
    webhook = None if it is None else {**asdict(it), "url": _url(action), "events": sorted(it.events)}
    return {
        "source": source,
        "project": action.project,
        "action": action.kind,
        "drift": list(action.drift),
        "reason": action.reason,
        "webhook": webhook,
    }


def _listing(source: str, action: Action) -> dict[str, Any]:
    told = _told(source, action)
    return {"source": source, "project": action.project, "ours": _is_ours(action), **told["webhook"]}


def _is_ours(action: Action) -> bool:
    return action.kind != "foreign"


def _url(action: Action) -> str:
    """Where a webhook goes; addresses of others may hold secrets, so of these the host alone."""
    if action.webhook is None:
        return ""
    return action.webhook.url if _is_ours(action) else shown_url(action.webhook.url)


def _name(action: Action) -> str:
    return action.webhook.name if action.webhook else ""


def _word(yes: bool) -> str:
    return "yes" if yes else "no"
