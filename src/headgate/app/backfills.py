"""Asking for history and telling how far it is: what the API and `headgate backfill` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.collect.backfill_requests import Request, load_requests, store_request
from headgate.core.clock import Clock
from headgate.core.slug import short_slug
from headgate.core.storeport import Store
from headgate.core.times import format_ms
from headgate.web.operations import BackfillOrder, Json, Problem

__all__ = ["ask", "backfill_view", "listed"]


async def ask(store: Store, sources: Mapping[str, int], order: BackfillOrder, clock: Clock) -> list[Json]:
    """Store one request for each source concerned. `sources`: name -> how far back facts are kept, milliseconds.

    Raises Problem for an empty range, one beyond retention, and a source that cannot be asked.
    """
    chosen = [order.source] if order.source else sorted(sources)
    if not chosen or any(name not in sources for name in chosen):
        known = ", ".join(sorted(sources)) or "none"
        raise Problem("unknown", f"no source {order.source or ''} that is polled with a token; there is: {known}")
    now_ms = clock.now_ms()
    until_ms = min(order.until_ms, now_ms)
    if order.since_ms >= until_ms:
        raise Problem("refused", "the range is empty: --since must be before --until and before now")
    made = []
    for name in chosen:
        kept_since = now_ms - sources[name]
        if until_ms <= kept_since:
            raise Problem("refused", f"facts are kept since {format_ms(kept_since)}: raise store.retention.facts")
        taken = {one.id for one in await load_requests(store, name)}
        request = Request(
            id=next(one for number in range(len(taken) + 1) if (one := f"{now_ms // 1000:x}-{number}") not in taken),
            since_ms=max(order.since_ms, kept_since),
            until_ms=until_ms,
            created_ms=now_ms,
            orgs=tuple(short_slug(slug) for slug in order.orgs),
            projects=tuple(short_slug(slug) for slug in order.projects),
        )
        await store_request(store, name, request, now_ms=now_ms)
        made.append(backfill_view(name, request, now_ms))
    return made


async def listed(store: Store, sources: Sequence[str], clock: Clock) -> list[Json]:
    """Requests that are remembered, the newest last."""
    now_ms = clock.now_ms()
    return [backfill_view(name, one, now_ms) for name in sorted(sources) for one in await load_requests(store, name)]


def backfill_view(source: str, request: Request, now_ms: int) -> dict[str, Any]:
    """One request as plain data."""
    return {
        "source": source,
        "id": request.id,
        "state": request.state,
        "since": format_ms(request.since_ms),
        "until": format_ms(request.until_ms),
        "orgs": list(request.orgs),
        "projects": list(request.projects),
        "strategy": request.strategy or None,
        "why": list(request.why),
        "share": round(request.share, 4),
        "calls": request.calls,
        "observations": request.observations,
        "seconds_left": request.seconds_left(now_ms),
        "problems": list(request.problems),
        "trouble": request.trouble or None,
    }
