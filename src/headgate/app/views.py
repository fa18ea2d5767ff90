"""Rows of the store as plain JSON data, as the API and the commands show them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from headgate.core.ports import LogEntry, Source
from headgate.core.storeport import (
    CursorView,
    DeadLetter,
    Explained,
    GapRow,
    InboxRow,
    OutcomeCounts,
    Replay,
    RunRow,
    SourceCursor,
    StoreFigures,
)
from headgate.core.times import DAY_MS, format_ms, parse_ms
from headgate.web.operations import Json

__all__ = [
    "dead_letter_view",
    "delivery_view",
    "entry_view",
    "explained_view",
    "gap_hints",
    "observed_ms",
    "parked_hints",
    "provider_id_of",
    "replay_view",
    "run_view",
    "signal_view",
    "source_view",
    "status_view",
]

_FOUND_LOSSES = ("damaged", "overflow", "removed", "deliveries")
_GAP_HINTS = 5
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class _Observed(msgspec.Struct):
    observed_at: str


_observed = msgspec.json.Decoder(_Observed)


def observed_ms(entry: LogEntry) -> int:
    """When a record was released, which is when it began to wait."""
    return parse_ms(_observed.decode(entry.body).observed_at) or entry.occurred_ms


def provider_id_of(query: str) -> str:
    """The id to look for: the last UUID of an address or text, else the text as it is."""
    found = _UUID.findall(query)
    return found[-1].lower() if found else query.strip()


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_ms(ms)


def _data(body: bytes) -> Any:
    """JSON of a body, or its text where it is none."""
    try:
        return orjson.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def signal_view(lanes: Sequence[CursorView], counts: OutcomeCounts | None, lag_seconds: float) -> Json:
    """One signal of `status`; figures are sums over its lanes, the cursor is that of lane live."""
    live = next((lane for lane in lanes if lane.lane == "live"), lanes[0])
    return {
        "state": live.state,
        "cursor": live.acked,
        "lag_seconds": round(lag_seconds, 3),
        "waiting": sum(lane.waiting for lane in lanes),
        "dead": counts.dead if counts else 0,
        "skipped": dict(counts.skipped) if counts else {},
        "accepted": counts.accepted if counts else 0,
    }


def source_view(source: Source | None, cursors: Mapping[str, SourceCursor]) -> Json:
    """One source of `status`. Without a running source only the store's part is known.

    `last_complete_walk`: of the project that is furthest behind; null until every known project was walked.
    """
    walks = [cursor.complete_ms for cursor in cursors.values()]
    known = [walk for walk in walks if walk is not None]
    complete = bool(known) and len(known) == len(walks)
    usage = source.usage() if source else None
    return {
        "calls": usage.calls if usage else 0,
        "budget_left": usage.budget_left if usage else None,
        "last_complete_walk": _time(min(known)) if complete else None,
    }


def gap_hints(gaps: Sequence[GapRow], now_ms: int) -> list[str]:
    """What was lost to damage or a full disk in the last week, newest first; chosen purges are left out."""
    found = [gap for gap in gaps if gap.reason.startswith(_FOUND_LOSSES) and now_ms - gap.at_ms < 7 * DAY_MS]
    return [
        f"{format_ms(gap.at_ms)}: {gap.reason}"
        + (f", {gap.count} of them" if gap.count else "")
        + (f", of sink {gap.sink}" if gap.sink else "")
        for gap in found[:_GAP_HINTS]
    ]


def parked_hints(parked: Mapping[str, int]) -> list[str]:
    """Webhooks of sources that are not configured, and what to do about them."""
    return [
        f"{count} webhooks are waiting for source {name}: configure it again, or give them up with"
        f" `headgate deadletters purge --webhooks --source {name}`."
        for name, count in parked.items()
    ]


def status_view(figures: StoreFigures, sinks: Mapping[str, Mapping[str, Json]], sources: Mapping[str, Json]) -> Json:
    """`headgate status --json`. The figures of `audit` are null until an audit has run."""
    return {
        "sinks": {name: {"signals": dict(signals)} for name, signals in sinks.items()},
        "inbox": {
            "waiting": figures.inbox_waiting,
            "dead": figures.inbox_dead,
            "waiting_for_source": dict(figures.inbox_parked),
        },
        "sources": dict(sources),
        "audit": dict.fromkeys(("expected", "present", "repaired", "unrepairable")),
        "store": {"bytes": figures.bytes, "schema": figures.schema},
    }


def run_view(run: RunRow) -> Json:
    """One ended workflow."""
    return {
        "workflow_id": run.workflow_id,
        "project": run.project,
        "workflow": run.workflow,
        "ref": run.ref,
        "status": run.status,
        "stopped_at": format_ms(run.stopped_ms),
        "duration_ms": run.duration_ms,
        "revision": run.revision,
        "pipeline_number": run.pipeline_number,
        "url": run.url,
    }


def dead_letter_view(letter: DeadLetter) -> Json:
    """One dead letter with its record."""
    return {
        "id": letter.id,
        "signal": letter.signal,
        "reason": letter.reason,
        "status": letter.status,
        "answer": letter.answer,
        "attempts": letter.attempts,
        "first_at": format_ms(letter.first_ms),
        "last_at": format_ms(letter.last_ms),
        "requeued": letter.requeued,
        "record_id": letter.record_id,
        "kind": letter.kind,
        "project": letter.project,
        "occurred_at": format_ms(letter.occurred_ms),
        "record": _data(letter.body),
    }


def delivery_view(row: InboxRow) -> Json:
    """One webhook that was set aside."""
    return {
        "id": row.id,
        "source": row.delivery.source,
        "arrived_at": format_ms(row.delivery.arrived_ms),
        "event_type": row.delivery.event_type,
        "reason": row.reason,
        "bytes": len(row.delivery.body),
        "body": row.delivery.body[:2000].decode("utf-8", "replace"),
    }


def entry_view(entry: LogEntry) -> Json:
    """One record with its place in the log."""
    return {"lane": entry.lane, "seq": entry.seq, "record": _data(entry.body)}


def explained_view(found: Explained) -> Json:
    """All about one workflow or job: each field with where it came from, its record, its way."""
    return {
        "kind": found.kind,
        "provider_id": found.provider_id,
        "project": found.project,
        "record_id": found.record_id,
        "released": found.released,
        "due_at": _time(found.due_ms),
        "fields": {
            name: {"value": value, "source": source, "observed_at": format_ms(observed), "terminal": terminal}
            for name, (value, source, observed, terminal) in found.fields.items()
        },
        "record": None if found.record is None else _data(found.record),
        "amendments": [_data(body) for body in found.amendments],
        "lane": found.lane,
        "seq": found.seq,
        "path": dict(found.path),
    }


def replay_view(replay: Replay) -> Json:
    """One replay and how far it is."""
    return {
        "id": replay.id,
        "signal": replay.signal,
        "since": format_ms(replay.since_ms),
        "until": format_ms(replay.until_ms),
        "total": replay.total,
        "done": replay.done,
    }
