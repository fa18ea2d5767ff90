"""What audits have proven, as `status`, the page and alerts tell it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headgate.collect.audit import totals
from headgate.collect.audit_state import AuditMark, Tally, load_marks
from headgate.core.clock import Clock
from headgate.core.storeport import Store
from headgate.core.times import HOUR_MS, format_ms

__all__ = ["by_hour", "by_project", "figures", "silences"]

_HOURS = 24

_FIGURES = ("expected", "present", "repaired", "unrepairable", "unannounced")


async def figures(store: Store, sources: Iterable[str], clock: Clock) -> dict[str, int | None]:
    """Sums over the last 24 hours of all projects; None until an audit has run."""
    marks = [mark for _, mark in await _marks(store, sources)]
    return dict(totals(marks, clock.now_ms())) if marks else dict.fromkeys(_FIGURES)


async def by_project(store: Store, sources: Iterable[str], clock: Clock) -> list[dict[str, Any]]:
    """Figures of the last 24 hours of each project that has any: what could not be repaired first."""
    found: list[dict[str, Any]] = [
        {"source": name, "project": mark.slug, **totals([mark], clock.now_ms())}
        for name, mark in await _marks(store, sources)
    ]
    wanted = [one for one in found if one["expected"]]
    return sorted(wanted, key=lambda one: (-one["unrepairable"], -one["repaired"], one["source"], one["project"]))


async def by_hour(store: Store, sources: Iterable[str], clock: Clock) -> dict[str, Any]:
    """Figures of each of the last 24 hours of each project that has any, those with something missing first.

    `{"hours": [begin, oldest first], "projects": [{"source", "project", "proven_until", "cells"}]}`; a cell is None
    where nothing was audited yet, else the figures with `state`: nothing, complete, repaired or missing.
    """
    now_hour = clock.now_ms() // HOUR_MS
    hours = range(now_hour - _HOURS + 1, now_hour + 1)
    found: list[dict[str, Any]] = []
    for name, mark in await _marks(store, sources):
        cells = [_cell(mark, hour) for hour in hours]
        if any(cell and cell["expected"] for cell in cells):
            proven = format_ms(mark.until_ms) if mark.until_ms else None
            found.append({"source": name, "project": mark.slug, "proven_until": proven, "cells": cells})
    found.sort(key=lambda one: (*(-_sum(one["cells"], name) for name in ("unrepairable", "repaired")), one["project"]))
    return {"hours": [format_ms(hour * HOUR_MS) for hour in hours], "projects": found}


def _sum(cells: Iterable[dict[str, Any] | None], name: str) -> int:
    return sum(cell[name] for cell in cells if cell)


def _cell(mark: AuditMark, hour: int) -> dict[str, Any] | None:
    """One hour of one project, runs and reruns together."""
    total, audited = Tally(), mark.until_ms > hour * HOUR_MS
    for what in ("runs", "reruns"):
        if (one := mark.hours.get(f"{what} {hour}")) is not None:
            total.add(one)
    if not audited and not total.expected:
        return None
    state = "missing" if total.unrepairable else "repaired" if total.repaired else "complete"
    return {"state": state if total.expected else "nothing", **{name: getattr(total, name) for name in _FIGURES}}


async def silences(store: Store, sources: Iterable[str], clock: Clock) -> dict[tuple[str, str], tuple[int, int]]:
    """Source and project whose webhooks stopped -> when the last one told of an end, how many have ended since."""
    return {
        (name, mark.slug): (silence.heard_ms, silence.missing)
        for name, mark in await _marks(store, sources)
        if (silence := mark.silent(clock.now_ms())) is not None
    }


async def _marks(store: Store, sources: Iterable[str]) -> list[tuple[str, AuditMark]]:
    return [(name, mark) for name in sources for mark in (await load_marks(store, name)).values()]
