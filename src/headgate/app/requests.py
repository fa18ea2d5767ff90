"""Asking for long work and telling how far it is: what the API, `headgate backfill` and `headgate audit` share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from headgate.collect.requests import AuditRequest, BackfillRequest, Request, Requests
from headgate.core.clock import Clock
from headgate.core.slug import short_slug
from headgate.core.storeport import Store
from headgate.core.times import format_ms
from headgate.web.operations import Json, Order, Problem

__all__ = ["ask", "audit_view", "backfill_view", "listed"]

_R = TypeVar("_R", bound=Request)


async def ask(
    store: Store, sources: Mapping[str, int], order: Order, clock: Clock, requests: Requests[_R]
) -> list[tuple[str, _R]]:
    """Store one request for each source concerned. `sources`: name -> how far back facts are kept, milliseconds.

    Gives them with the names of their sources. Raises Problem for an empty range, one beyond retention, and a source
    that cannot be asked.
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
        taken = {one.id for one in await requests.load(store, name)}
        request = requests.kind(
            id=next(one for number in range(len(taken) + 1) if (one := f"{now_ms // 1000:x}-{number}") not in taken),
            since_ms=max(order.since_ms, kept_since),
            until_ms=until_ms,
            created_ms=now_ms,
            orgs=tuple(short_slug(slug) for slug in order.orgs),
            projects=tuple(short_slug(slug) for slug in order.projects),
        )
        await requests.save(store, name, request, now_ms=now_ms)
        made.append((name, request))
    return made


async def listed(store: Store, sources: Iterable[str], requests: Requests[_R]) -> list[tuple[str, _R]]:
    """Requests that are remembered with the names of their sources, the newest of each last."""
    return [(name, one) for name in sorted(sources) for one in await requests.load(store, name)]


def backfill_view(source: str, request: BackfillRequest, now_ms: int) -> Json:
    """A request for history as plain data."""
    return {
        **_view(source, request),
        "strategy": request.strategy or None,
        "why": list(request.why),
        "share": round(request.share, 4),
        "reached": None if request.reached_ms is None else format_ms(request.reached_ms),
        "calls": request.calls,
        "observations": request.observations,
        "seconds_left": request.seconds_left(now_ms),
        "problems": list(request.problems),
        "problems_more": request.problems_more,
        "trouble": request.trouble or None,
    }


def audit_view(source: str, request: AuditRequest) -> Json:
    """A request for an audit as plain data. `projects`: figures of those that were audited, by slug."""
    return {
        **_view(source, request),
        "projects": {slug: msgspec.structs.asdict(tally) for slug, tally in sorted(request.results.items())},
        "problems": dict(request.problems),
    }


def _view(source: str, request: Request) -> Json:
    """What all requests say."""
    return {
        "source": source,
        "id": request.id,
        "state": request.state,
        "since": format_ms(request.since_ms),
        "until": format_ms(request.until_ms),
        "orgs": list(request.orgs),
        "projects": list(request.projects),
        "unmatched": request.unmatched,
        "waits_for": request.waits_for or None,
    }
