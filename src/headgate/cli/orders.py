"""What commands share that ask for long work: doing it here where no daemon runs, and showing how far it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headgate.cli.output import note
from headgate.cli.session import load_configuration, operations
from headgate.web.operations import Operations, Order

if TYPE_CHECKING:
    from headgate.app.settings import Configuration

__all__ = ["Listed", "here", "nowhere", "ordered", "watched"]

_LOOK_SECONDS = 1.0
Listed = list[dict[str, Any]]


async def ordered(
    configuration: Configuration, order: Order, ask: Callable[[Operations, Order], Awaitable[Listed]]
) -> tuple[Listed, bool]:
    """Store the requests; whether a daemon has them."""
    from headgate.app.compose import make_store_directory
    from headgate.app.remote import RemoteOperations

    make_store_directory(configuration.settings.store.path)
    async with operations(configuration, create=True) as asked:
        return await ask(asked, order), isinstance(asked, RemoteOperations)


async def watched(
    configuration: Configuration,
    made: Listed,
    listed: Callable[[Operations], Awaitable[Listed]],
    told: Callable[[Listed], str],
) -> Listed:
    """Wait until all requests are done, and show how far they are. `told`: that in words."""
    ids = {(one["source"], one["id"]) for one in made}
    async with operations(configuration) as asked:
        with progress() as say:
            while True:
                mine = [one for one in await listed(asked) if (one["source"], one["id"]) in ids]
                say(told(mine))
                if all(one["state"] == "done" for one in mine):
                    return mine
                await asyncio.sleep(_LOOK_SECONDS)


def nowhere(done: Listed) -> list[str]:
    """What was asked for and no source has a project of, with what there is."""
    words = set.intersection(*(set(one["unmatched"]) for one in done)) if done else set[str]()
    return [f"{one['source']}: {word}: {one['unmatched'][word]}" for word in sorted(words) for one in done]


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
