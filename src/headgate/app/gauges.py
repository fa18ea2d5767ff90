"""Puts the figures of store and sources on `/metrics`, from the same numbers that `headgate status` shows."""

from __future__ import annotations

import asyncio

from headgate import __version__
from headgate.app.engines import Engines
from headgate.app.telemetry import Telemetry
from headgate.core.storeport import Store

__all__ = ["keep_gauges", "set_gauges"]

_EVERY_SECONDS = 5.0


async def keep_gauges(store: Store, engines: Engines, telemetry: Telemetry) -> None:
    """Set all gauges every five seconds, until cancelled."""
    while True:
        await set_gauges(store, engines, telemetry)
        await asyncio.sleep(_EVERY_SECONDS)


async def set_gauges(store: Store, engines: Engines, telemetry: Telemetry) -> None:
    """Set all gauges once."""
    figures = await store.figures()
    telemetry.set("headgate_inbox_waiting", figures.inbox_waiting)
    telemetry.set("headgate_inbox_unreadable", figures.inbox_dead)
    telemetry.clear("headgate_inbox_parked")
    for name, count in figures.inbox_parked.items():
        telemetry.set("headgate_inbox_parked", count, source=name)
    telemetry.set("headgate_outbox_waiting", figures.outbox_waiting)
    telemetry.set("headgate_store_bytes", figures.bytes)
    telemetry.set("headgate_build_info", 1, version=__version__, schema=str(figures.schema))
    telemetry.clear("headgate_store_level")
    telemetry.set("headgate_store_level", 1, level=figures.level)
    for name, source in engines.plant.sources.items():
        usage = source.usage()
        telemetry.set("headgate_source_clock_skew_seconds", usage.skew_seconds, source=name)
        if usage.budget_left is not None:
            telemetry.set("headgate_source_budget_left", usage.budget_left, source=name)
    for name, rates in engines.call_rates().items():
        telemetry.set("headgate_source_calls_per_hour", sum(rates.parts.values()), source=name, of="estimate")
        if rates.live is not None:
            telemetry.set("headgate_source_calls_per_hour", rates.live, source=name, of="live")
    for name, age in engines.walk_age_seconds().items():
        telemetry.set("headgate_source_walk_age_seconds", age, source=name)
