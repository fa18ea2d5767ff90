"""What audits have proven, as `status`, the page and alerts tell it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headgate.collect.audit import totals
from headgate.collect.audit_state import AuditMark, load_marks
from headgate.core.clock import Clock
from headgate.core.storeport import Store

__all__ = ["by_project", "figures", "silences"]

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


async def silences(store: Store, sources: Iterable[str], clock: Clock) -> dict[tuple[str, str], tuple[int, int]]:
    """Source and project whose webhooks stopped -> when the last one told of an end, how many have ended since."""
    return {
        (name, mark.slug): (silence.heard_ms, silence.missing)
        for name, mark in await _marks(store, sources)
        if (silence := mark.silent(clock.now_ms())) is not None
    }


async def _marks(store: Store, sources: Iterable[str]) -> list[tuple[str, AuditMark]]:
    return [(name, mark) for name in sources for mark in (await load_marks(store, name)).values()]
