"""What audits have proven, as `status`, the page and alerts tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headgate.collect.audit import totals
from headgate.collect.audit_state import NEVER_MS, AuditMark, Tally, load_marks
from headgate.core.clock import Clock
from headgate.core.storeport import Store
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.web.workings import ProvenWindow

__all__ = ["by_project", "figures", "proven", "silences"]

_HOURS = 24
_MOST_DAYS = 31

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


async def proven(store: Store, sources: Iterable[str], clock: Clock, window: ProvenWindow) -> dict[str, Any]:
    """What is proven of each project that was audited, those with something missing first, silent ones too.

    `{"window", "step", "hours": [begin of each cell, oldest first], "projects": [{"source", "project", "proven_until",
    "cells"} and the figures of all cells]}`; a cell is None where nothing was audited yet, else the figures with
    `state`: nothing, complete, repaired or missing. By the hour for 24 hours, else by the UTC day.
    """
    marks = await _marks(store, sources)
    if window == "24h":
        step, count, found = HOUR_MS, _HOURS, {mark.slug: _hours(mark) for _, mark in marks}
    else:
        step, count = DAY_MS, int(window[:-1])
        found = await _days(store, (clock.now_ms() // DAY_MS - count + 1) * DAY_MS)
    last = clock.now_ms() // step * step
    begins = range(last - (count - 1) * step, last + 1, step)
    lines = [_line(name, mark, begins, found.get(mark.slug, {})) for name, mark in marks]
    lines = [one for one in lines if any(cell is not None for cell in one["cells"])]
    lines.sort(
        key=lambda one: (-one["unrepairable"], -one["repaired"], not one["expected"], one["source"], one["project"])
    )
    words = {"window": window, "step": "1h" if step == HOUR_MS else "1d"}
    return {**words, "hours": [format_ms(begin) for begin in begins], "projects": lines}


def _hours(mark: AuditMark) -> dict[int, Tally]:
    """Begin of an hour -> its figures, runs and reruns together."""
    found: dict[int, Tally] = {}
    for name, tally in mark.hours.items():
        found.setdefault(int(name.split()[1]) * HOUR_MS, Tally()).add(tally)
    return found


async def _days(store: Store, since_ms: int) -> dict[str, dict[int, Tally]]:
    """Project -> begin of a day -> its figures."""
    found: dict[str, dict[int, Tally]] = {}
    for row in await store.audited_days(since_ms, since_ms + _MOST_DAYS * DAY_MS):
        figures = Tally(row.expected, row.present, row.repaired, row.unrepairable, row.unannounced)
        found.setdefault(row.project, {})[row.day_ms] = figures
    return found


def _line(source: str, mark: AuditMark, begins: range, known: Mapping[int, Tally]) -> dict[str, Any]:
    """One project. Before the first day of which anything is known nothing was audited, as far as we can tell."""
    total, cells = Tally(), []
    first = min(known, default=NEVER_MS) if begins.step == DAY_MS else 0
    for begin in begins:
        one = known.get(begin, Tally())
        total.add(one)
        cells.append(_cell(one, audited=first <= begin < mark.until_ms))
    until = format_ms(mark.until_ms) if mark.until_ms else None
    return {"source": source, "project": mark.slug, "proven_until": until, **_figures(total), "cells": cells}


def _cell(one: Tally, *, audited: bool) -> dict[str, Any] | None:
    if not audited and not one.expected:
        return None
    state = "missing" if one.unrepairable else "repaired" if one.repaired else "complete"
    return {"state": state if one.expected else "nothing", **_figures(one)}


def _figures(one: Tally) -> dict[str, int]:
    return {name: getattr(one, name) for name in _FIGURES}


async def silences(store: Store, sources: Iterable[str], clock: Clock) -> dict[tuple[str, str], tuple[int, int]]:
    """Source and project whose webhooks stopped -> when the last one told of an end, how many have ended since."""
    return {
        (name, mark.slug): (silence.heard_ms, silence.missing)
        for name, mark in await _marks(store, sources)
        if (silence := mark.silent(clock.now_ms())) is not None
    }


async def _marks(store: Store, sources: Iterable[str]) -> list[tuple[str, AuditMark]]:
    return [(name, mark) for name in sources for mark in (await load_marks(store, name)).values()]
