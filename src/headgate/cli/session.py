"""Finds who can answer a command: the running daemon first, else the store itself.

Invariant: a store that does not exist is never made by a command, and one that is damaged never repaired by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from headgate.core.errors import ConfigError
from headgate.web.operations import Operations

if TYPE_CHECKING:
    from headgate.app.rulepages import RuleOperations
    from headgate.app.settings import Configuration

__all__ = ["answer", "load_configuration", "operations"]

T = TypeVar("T")


def load_configuration(config: str | None, orgs: list[str] | None = None, *, secrets: bool = False) -> Configuration:
    """The configuration that a command works with; most need no secrets of it. Raises ConfigError."""
    from headgate.app.settings import default_file, load
    from headgate.plugins import load_plugins

    return load(load_plugins(), file=Path(config) if config else default_file(), orgs=orgs or (), secrets=secrets)


@asynccontextmanager
async def operations(configuration: Configuration, *, create: bool = False) -> AsyncIterator[RuleOperations]:
    """Operations for one command; `create`: make a store where there is none.

    Raises StoreError when neither daemon nor store can answer.
    """
    from headgate.app.remote import Denied, RemoteOperations, Unreachable, trusting
    from headgate.app.runtimefile import find_running

    running = find_running(configuration.settings.store.path)
    if running is not None:
        token = running.token or configuration.command_token
        remote = RemoteOperations(running.http, token, verify=trusting(running.certificate, configuration))
        try:
            await remote.status()
        except Unreachable:
            pass
        except Denied as exc:
            unread = [why for part, why in configuration.unread.items() if part.startswith("http.access")]
            raise ConfigError(f"{exc}: {'; '.join(unread)}") if unread else exc from exc
        else:
            yield remote
            return
        finally:
            await remote.aclose()
    async with _alone(configuration, create=create) as alone:
        yield alone


@asynccontextmanager
async def _alone(configuration: Configuration, *, create: bool) -> AsyncIterator[RuleOperations]:
    from headgate.app.alertdesk import acknowledging
    from headgate.app.compose import build_parts, context_of, make_store, signals_of
    from headgate.app.measuring import catalogue_of, owners_of
    from headgate.app.noting import noting
    from headgate.app.operations import StoreOperations
    from headgate.app.remote import user_name
    from headgate.app.running import Running
    from headgate.app.telemetry import Telemetry
    from headgate.core.clock import SystemClock
    from headgate.core.errors import StoreError

    path = configuration.settings.store.path
    if not create and not path.exists():
        raise StoreError(f"{path}: there is no store yet; start `headgate run`, or name its configuration with -c")
    clock = SystemClock()
    context = context_of(clock, Telemetry())
    sinks = build_parts(configuration.sinks.values(), context)
    # A new store is made; one that is there is never repaired by a command.
    store = make_store(configuration.settings, clock, Telemetry(), repair=create and not path.exists())
    await store.open()
    try:
        names = dict.fromkeys(configuration.settings.sources)
        known = Running(
            sources=lambda: names,
            idle=lambda: configuration.idle,
            signals=lambda: signals_of(sinks),
            records=configuration.records,
            polled=configuration.polled,
            catalogue=lambda: catalogue_of(configuration.settings.kpis),
            owners=lambda: owners_of(configuration.settings.owners),
            configuration=lambda: configuration,
            acknowledging=lambda: acknowledging(build_parts(configuration.notifiers.values(), context)),
        )
        yield noting(StoreOperations(store, clock, known), store, clock, user_name())
    finally:
        await store.close()
        for sink in sinks.values():
            await sink.aclose()


def answer(config: str | None, work: Callable[[Operations], Awaitable[T]]) -> T:
    """Do one piece of work with operations and return what it gives."""

    async def whole() -> T:
        async with operations(load_configuration(config)) as chosen:
            return await work(chosen)

    return asyncio.run(whole())
