"""Asking for audits and telling what they found: what the API, `status` and `headgate audit` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headgate.collect.audit import totals
from headgate.collect.audit_requests import AuditRequest, load_audits, store_audit
from headgate.collect.audit_state import AuditMark, load_marks
from headgate.core.clock import Clock
from headgate.core.slug import short_slug
from headgate.core.storeport import Store
from headgate.core.times import format_ms
from headgate.web.operations import AuditOrder, Json, Problem

__all__ = ["ask", "audit_view", "figures", "listed"]

_FIGURES = ("expected", "present", "repaired", "unrepairable", "unannounced")


async def figures(store: Store, sources: Sequence[str], clock: Clock) -> dict[str, int | None]:
    """Sums over the last 24 hours of all projects; None until an audit has run."""
    marks: list[AuditMark] = []
    for name in sources:
        marks += (await load_marks(store, name)).values()
    return dict(totals(marks, clock.now_ms())) if marks else dict.fromkeys(_FIGURES)


async def ask(store: Store, sources: Mapping[str, int], order: AuditOrder, clock: Clock) -> list[Json]:
    """Store one request for each source concerned. `sources`: name -> how far back facts are kept, milliseconds."""
    chosen = [order.source] if order.source else sorted(sources)
    if not chosen or any(name not in sources for name in chosen):
        known = ", ".join(sorted(sources)) or "none"
        raise Problem("unknown", f"no source {order.source or ''} that is polled with a token; there is: {known}")
    now_ms = clock.now_ms()
    if order.since_ms >= min(order.until_ms, now_ms):
        raise Problem("refused", "the range is empty: --since must be before --until and before now")
    made = []
    for name in chosen:
        taken = {one.id for one in await load_audits(store, name)}
        request = AuditRequest(
            id=next(one for number in range(len(taken) + 1) if (one := f"{now_ms // 1000:x}-{number}") not in taken),
            since_ms=max(order.since_ms, now_ms - sources[name]),
            until_ms=min(order.until_ms, now_ms),
            created_ms=now_ms,
            projects=tuple(short_slug(slug) for slug in order.projects),
        )
        await store_audit(store, name, request, now_ms=now_ms)
        made.append(audit_view(name, request))
    return made


async def listed(store: Store, sources: Sequence[str]) -> list[Json]:
    """Requests that are remembered, the newest last."""
    return [audit_view(name, one) for name in sorted(sources) for one in await load_audits(store, name)]


def audit_view(source: str, request: AuditRequest) -> Json:
    """One request as plain data."""
    return {
        "source": source,
        "id": request.id,
        "state": request.state,
        "since": format_ms(request.since_ms),
        "until": format_ms(request.until_ms),
        "projects": {slug: msgspec.structs.asdict(tally) for slug, tally in sorted(request.results.items())},
        "problems": dict(request.problems),
    }
