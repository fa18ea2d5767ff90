"""`headgate sinks setup`: lets one sink make what it wants at its far side.

Invariant: only the named sink is built, and no store is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from headgate.app.compose import build_parts, context_of
from headgate.app.settings import Configuration
from headgate.app.telemetry import Telemetry
from headgate.core.clock import SystemClock
from headgate.core.errors import ConfigError
from headgate.core.ports import SetsUp, SetUpStep, Sink

__all__ = ["set_up_sink"]


async def set_up_sink(configuration: Configuration, name: str, *, dry_run: bool) -> AsyncIterator[SetUpStep]:
    """Each step as it is known. Raises ConfigError for an unknown sink and for one that wants nothing set up."""
    part = configuration.sinks.get(name)
    if part is None:
        known = ", ".join(sorted(configuration.sinks)) or "none"
        raise ConfigError(f"sinks.{name}: there is no such sink; configured: {known}")
    sink: Sink = build_parts([part], context_of(SystemClock(), Telemetry()))[name]
    try:
        if not isinstance(sink, SetsUp):
            raise ConfigError(f"sinks.{name}: a sink of type {part.plugin.name} wants nothing set up")
        async for step in sink.set_up(dry_run=dry_run):
            yield step
    finally:
        await sink.aclose()
