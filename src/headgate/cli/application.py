"""The tree of commands, and what an error means as an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from headgate import __version__
from headgate.cli import (
    access,
    alerts,
    audit,
    backfill,
    dashboards,
    deadletters,
    detect,
    export,
    forwarding,
    housekeeping,
    looking,
    query,
    report,
    rules,
    running,
    schemas,
    webhooks,
)
from headgate.core.errors import ConfigError, HeadgateError, StoreError
from headgate.web.operations import Problem

__all__ = ["application", "run_command"]


def _tree() -> typer.Typer:
    tree = typer.Typer(
        name="headgate",
        help="CircleCI data on your own terms: collected, kept, forwarded, alerted on.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for function in (
        running.run,
        running.demo,
        running.check,
        backfill.backfill,
        audit.audit,
        looking.status,
        looking.tail,
        looking.explain,
        query.query,
        export.export,
        report.report,
        access.trail,
        detect.detect,
        forwarding.replay,
        housekeeping.backup,
        housekeeping.restore,
        housekeeping.doctor,
    ):
        _add(tree, function)
    for name, group, text in (
        ("deadletters", deadletters.group, "Records that a sink will never take as they are."),
        ("sinks", forwarding.group, "Where records go."),
        ("dashboards", dashboards.group, "Dashboards and monitors for the products that records go to."),
        ("schema", schemas.group, "JSON Schemas of records, configuration and rules."),
        ("rules", rules.group, "Alert rules: check, test, replay, explain."),
        ("alerts", alerts.group, "Alerts: list, acknowledge, silence."),
        ("access", access.group, "Passwords for page and API."),
        ("webhooks", webhooks.group, "Webhooks at CircleCI: plan, apply, list, remove."),
    ):
        tree.add_typer(group, name=name, help=text, no_args_is_help=True)
    tree.callback()(_top)
    return tree


def _add(tree: typer.Typer, function: Callable[..., Any]) -> None:
    tree.command(name=function.__name__.rstrip("_"))(function)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"headgate {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """CircleCI data on your own terms: collected, kept, forwarded, alerted on."""


application = _tree()


# Typer shows usage errors by classes of click, its own copy or the package, by version; it exports only their children.
_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def run_command(arguments: list[str]) -> int:
    """Run one command line; returns the exit code and prints errors without tracebacks."""
    command = typer.main.get_command(application)
    try:
        result = command.main(arguments, prog_name="headgate", standalone_mode=False)
    except typer.Abort:
        return 130
    except _UsageError as exc:
        exc.show()
        return int(exc.exit_code)
    except BrokenPipeError:
        # The reader of our output has left, as `head` does.
        sys.stderr.close()
        return 0
    except (HeadgateError, Problem) as exc:
        return _complain(exc)
    return result if isinstance(result, int) else 0


def _complain(error: HeadgateError | Problem) -> int:
    for line in str(error).splitlines():
        print(f"headgate: {line}", file=sys.stderr)
    if isinstance(error, ConfigError):
        return 2
    return 3 if isinstance(error, StoreError) else 1
