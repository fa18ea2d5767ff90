"""What commands share that ask for long work: doing it here where no daemon runs, and showing how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.cli.output import note
from headgate.cli.session import load_configuration

if TYPE_CHECKING:
    from headgate.app.settings import Configuration

__all__ = ["here", "progress"]


def here(config: str | None) -> int:
    """Be the daemon until everything is collected and delivered; returns its exit code."""
    from headgate.app.lifecycle import Daemon, RunOptions, run_on_loop

    def reread() -> Configuration:
        return load_configuration(config, secrets=True)

    async def work() -> int:
        return await Daemon(reread(), reread, RunOptions(until_idle=True)).run()

    return run_on_loop(work)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Gives what shows a line: written over on a terminal, plain lines elsewhere, never the same twice."""
    said = ""
    terminal = sys.stderr.isatty()

    def say(line: str) -> None:
        nonlocal said
        if line == said:
            return
        said = line
        if terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            note(line)

    try:
        yield say
    finally:
        if terminal and said:
            note("")
