"""Every file that is due by the configuration: scheduled exports and reports.

Invariant: a file that was written by a schedule is in the trail, with who was sent it, before it counts as done.
"""

from __future__ import annotations

from dataclasses import replace

from headgate.app.chores import Chore, Made
from headgate.app.exportjobs import export_chores
from headgate.app.operations import StoreOperations
from headgate.app.reportjobs import report_chores
from headgate.app.settings import Configuration
from headgate.core.clock import Clock
from headgate.core.storeport import Store
from headgate.core.trail import TrailEntry
from headgate.insights.tables import Material

__all__ = ["due_files", "in_trail"]


def due_files(configuration: Configuration, store: Store, operations: StoreOperations, clock: Clock) -> list[Chore]:
    """As they are configured, over this store."""
    settings, base = configuration.settings, configuration.base
    exports = export_chores(settings.exports, base, lambda: Material(operations.lens(), operations))
    reports = report_chores(settings.reports, base, store, operations.lens, operations.reading)
    return [in_trail(chore, store, clock) for chore in (*exports, *reports)]


def in_trail(chore: Chore, store: Store, clock: Clock) -> Chore:
    """The same, whose files are in the trail as exports by the schedule."""

    async def make(due_ms: int) -> Made:
        made = await chore.make(due_ms)
        sent = f", sent to {', '.join(made.to)}" if made.to else ""
        about = f"{chore.kind} {chore.name}: {made.path.name}{sent}"

        async def after() -> None:
            await store.append_trail([TrailEntry(clock.now_ms(), "headgate", "schedule", "", "export", about, 200)])
            if made.after is not None:
                await made.after()

        return replace(made, after=after)

    return replace(chore, make=make)
