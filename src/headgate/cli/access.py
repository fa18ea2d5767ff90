"""`headgate access hash` and `headgate trail`: passwords for the configuration, and who did what."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Annotated

import typer

from headgate.cli.output import ConfigOption, JsonOption, moment_ms, note, print_json, print_table
from headgate.cli.session import answer
from headgate.core.clock import SystemClock
from headgate.web.operations import Json, Operations

__all__ = ["group", "trail"]

group = typer.Typer()
_PAGE = 1000


@group.callback()
def _commands() -> None:
    """Passwords for http.access."""


@group.command("hash")
def hash_() -> int:
    """Read a password from standard input and print its hash for http.access.basic."""
    from headgate.web.access.passwords import MIN_PASSWORD, hash_password

    password = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    password = password.strip()
    if len(password) < MIN_PASSWORD:
        note(f"headgate: the password is shorter than {MIN_PASSWORD} characters")
        return 2
    print(hash_password(password))
    return 0


def trail(
    config: ConfigOption = None,
    json: JsonOption = False,
    since: Annotated[str, typer.Option("--since", help="Begin: 7d (ago), 2026-11-01 or RFC 3339.")] = "7d",
) -> None:
    """Show who changed something, read what is about a person, or exported, oldest first."""
    since_ms = moment_ms(since, SystemClock())

    async def whole(ask: Operations) -> list[Json]:
        found = page = await ask.trail(since_ms, None, _PAGE)
        while len(page) == _PAGE:
            page = await ask.trail(since_ms, page[-1]["id"], _PAGE)
            found = [*found, *page]
        return found[::-1]

    entries = answer(config, whole)
    if json:
        for one in entries:
            print_json(one)
        return
    rows = [
        (one["at"], one["who"], one["via"], one["peer"], one["action"], one["about"], one["status"], one["times"])
        for one in entries
    ]
    print_table(("At", "Who", "Via", "From", "Did", "About", "Status", "Times"), rows, empty="Nothing since then.")
