"""What audits have proven, as `status` and the page show it."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.collect.audit import totals
from headgate.collect.audit_state import AuditMark, load_marks
from headgate.core.clock import Clock
from headgate.core.storeport import Store

__all__ = ["figures"]

_FIGURES = ("expected", "present", "repaired", "unrepairable", "unannounced")


async def figures(store: Store, sources: Sequence[str], clock: Clock) -> dict[str, int | None]:
    """Sums over the last 24 hours of all projects; None until an audit has run."""
    marks: list[AuditMark] = []
    for name in sources:
        marks += (await load_marks(store, name)).values()
    return dict(totals(marks, clock.now_ms())) if marks else dict.fromkeys(_FIGURES)
