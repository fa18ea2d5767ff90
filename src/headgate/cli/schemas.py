"""`headgate schema`: JSON Schemas for editors and for whoever reads records."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import typer

__all__ = ["group"]

group = typer.Typer()


def _print(schema: Any) -> None:
    sys.stdout.write(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode() + "\n")


@group.command("record")
def record() -> None:
    """The envelope in which every record leaves."""
    from headgate.core.record import record_schema

    _print(record_schema())


@group.command("config")
def config() -> None:
    """The configuration file, with the options of every plugin that is installed."""
    from headgate.app.schema import config_schema
    from headgate.plugins import load_plugins

    _print(config_schema(load_plugins()))


@group.command("rules")
def rules() -> None:
    """A rule file."""
    from headgate.alerting.forms import rules_schema

    _print(rules_schema())
