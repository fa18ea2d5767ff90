"""Rows of the store as plain JSON data, as the API and the commands show them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import orjson

from headgate.collect import CallRates
from headgate.core.discovery import Found
from headgate.core.ports import LogEntry, Signal, Source
from headgate.core.shaping import Shaper, filtered_words
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
from headgate.core.trail import TrailEntry
from headgate.deliver.status import SignalStatus
from headgate.web.operations import Json

__all__ = [
    "dead_letter_view",
    "delivery_view",
    "entry_view",
    "explained_view",
    "file_hints",
    "gap_hints",
    "observed_ms",
    "parked_hints",
    "provider_id_of",
    "replay_view",
    "run_view",
    "signal_hints",
    "signal_view",
    "source_view",
    "status_view",
    "trail_view",
    "ways_of",
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


def signal_view(
    lanes: Sequence[CursorView], counts: OutcomeCounts | None, lag_seconds: float, replay: Replay | None
) -> Json:
    """One signal of `status`; figures are sums over its lanes, the cursor is of lane live, `replay` the open one."""
    live = next((lane for lane in lanes if lane.lane == "live"), lanes[0])
    return {
        "state": live.state,
        "cursor": live.acked,
        "lag_seconds": round(lag_seconds, 3),
        "waiting": sum(lane.waiting for lane in lanes),
        "dead": counts.dead if counts else 0,
        "skipped": dict(counts.skipped) if counts else {},
        "accepted": counts.accepted if counts else 0,
        "replay": replay_view(replay) if replay else None,
    }


def source_view(
    source: Source | None,
    cursors: Mapping[str, SourceCursor],
    found: Found,
    rates: CallRates | None = None,
    insights_ms: int | None = None,
    *,
    now_ms: int = 0,
) -> Json:
    """One source of `status`. Without a running source only the store's part is known.

    `last_complete_walk`: of the project that is furthest behind; null until every known project was walked.
    `last_insights`: when CircleCI's own figures of any project were last read; null before. `gone`:
    projects that CircleCI no longer has, with since when. `refused`: why the far side takes no call of ours now;
    `waits_until`: until when it has us wait, null where it does not.
    `calls_per_hour_estimate`: by part; null until it is made. `calls_per_hour`: of the last ten minutes; null in the
    first one.
    """
    here = {key for key, one in found.projects.items() if not one.gone} or cursors.keys()
    walks = [cursors[key].complete_ms if key in cursors else None for key in here]
    known = [walk for walk in walks if walk is not None]
    complete = bool(known) and len(known) == len(walks)
    usage = source.usage() if source else None
    return {
        "calls": usage.calls if usage else 0,
        "budget_left": usage.budget_left if usage else None,
        "refused": usage.refused if usage else None,
        "waits_until": format_ms(now_ms + round(usage.paused_seconds * 1000))
        if usage and usage.paused_seconds
        else None,
        "calls_per_hour": _rounded(rates.live) if rates else None,
        "calls_per_hour_estimate": {
            "total": _rounded(sum(rates.parts.values())),
            **{part: _rounded(calls) for part, calls in rates.parts.items()},
        }
        if rates and rates.parts
        else None,
        "last_complete_walk": _time(min(known)) if complete else None,
        "last_insights": _time(insights_ms),
        "gone": {one.slug: format_ms(one.missing_ms) for one in found.projects.values() if one.gone},
    }


def _rounded(calls: float | None) -> float | None:
    return None if calls is None else round(calls, 1)


def gap_hints(gaps: Sequence[GapRow], now_ms: int) -> list[str]:
    """What was lost to damage or a full disk in the last week, newest first; chosen purges are left out."""
    found = [gap for gap in gaps if gap.reason.startswith(_FOUND_LOSSES) and now_ms - gap.at_ms < 7 * DAY_MS]
    return [
        f"{format_ms(gap.at_ms)}: {gap.reason}"
        + (f", {gap.count} of them" if gap.count else "")
        + (f", of sink {gap.sink}" if gap.sink else "")
        for gap in found[:_GAP_HINTS]
    ]


def signal_hints(sinks: Mapping[str, Mapping[str, SignalStatus]]) -> list[str]:
    """Signals that do not deliver now: why, and when they try again."""
    signals = {f"{sink}.{name}": one for sink, signals in sinks.items() for name, one in signals.items()}
    hints = []
    for key, one in sorted(signals.items()):
        if one.state == "held":
            hints.append(f"Signal {key} is held: {one.reason}")
        elif one.state in {"open", "retrying"}:
            next_try = "a try is under way" if one.next_try_ms is None else f"next try {format_ms(one.next_try_ms)}"
            hints.append(f"Signal {key} is {one.state}: {one.reason or 'the sink did not answer'}; {next_try}")
        elif one.ahead_until_ms is not None:
            hints.append(f"Signal {key} waits until {format_ms(one.ahead_until_ms)}: its next record is dated ahead")
    return hints


def file_hints(files: Mapping[str, Json]) -> list[str]:
    """Scheduled exports and reports that cannot be written, and when they are tried again."""
    return [
        f"{key} is not written: {one['problem']}; next try {one['next_at']}"
        for key, one in files.items()
        if one["problem"]
    ]


def parked_hints(parked: Mapping[str, int]) -> list[str]:
    """Webhooks of sources that are not configured, and what to do about them."""
    return [
        f"{count} webhooks are waiting for source {name}: configure it again, or give them up with"
        f" `headgate deadletters purge --webhooks --source {name}`."
        for name, count in parked.items()
    ]


def status_view(
    figures: StoreFigures,
    sinks: Mapping[str, Mapping[str, Json]],
    sources: Mapping[str, Json],
    audit: Mapping[str, int | None],
    *,
    records: Mapping[str, Mapping[str, Any]],
    notifiers: Mapping[str, Json],
) -> Json:
    """`headgate status --json`. The figures of `audit`, over 24 hours, are null until an audit has run.

    `records`: sink -> what its section of that name says; empty where it has none.
    """
    return {
        "sinks": {
            name: {"signals": dict(signals), "records": dict(records.get(name, {}))} for name, signals in sinks.items()
        },
        "inbox": {
            "waiting": figures.inbox_waiting,
            "dead": figures.inbox_dead,
            "waiting_for_source": dict(figures.inbox_parked),
        },
        "sources": dict(sources),
        "notifiers": dict(notifiers),
        "audit": dict(audit),
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


def ways_of(
    found: Explained,
    counts: Mapping[str, OutcomeCounts],
    gaps: Sequence[GapRow],
    signals: Mapping[str, Signal],
    shapers: Mapping[str, Shaper],
) -> dict[str, str]:
    """Signal -> what became of the record there: one word, and after a colon what is known beside it.

    Purged dead letters, and skips that nobody can name, are counted and not noted by record, so where there are any and
    the record itself does not tell, the word is `settled`, with all that it may be. `signals`: those that are
    configured, by key; `shapers`: by sink. A filter is told as it is configured now.
    """
    ways = {}
    for key, word in found.path.items():
        signal, sink, noted = signals.get(key), key.partition(".")[0], found.noted.get(key, ())
        skipped = counts[key].skipped if key in counts else {}
        skips = {reason: n for reason, n in skipped.items() if n and reason not in noted}
        purged = sum(gap.count for gap in gaps if gap.sink == sink and gap.reason.startswith("dead_letters:"))
        ways[key] = _filtered(word, found, sink, shapers) or _way(word, found, signal, skips, purged)
    return ways


def _filtered(word: str, found: Explained, sink: str, shapers: Mapping[str, Shaper]) -> str | None:
    """Which filter of the sink holds the record back, in words; None where none does."""
    if word not in ("accepted", "waiting") or found.record is None or sink not in shapers:
        return None
    by = shapers[sink].filtered_by(found.record)
    return None if by is None else filtered_words(sink, by)


def _way(word: str, found: Explained, signal: Signal | None, skips: Mapping[str, int], purged: int) -> str:
    """`skips`: reason -> how many were skipped for it, of those that are not noted by record."""
    if signal is not None and signal.kinds is not None and found.kind not in signal.kinds and word != "before_start":
        return f"passed over: {signal.name} does not take records of kind {found.kind}"
    if word != "accepted":
        return word
    limit = signal.limits.max_age_ms if signal else None
    if "too_old" in skips and limit is not None and found.record is not None and _age_ms(found.record) > limit:
        return f"skipped: too_old, it was {_age_ms(found.record) // 1000} s old when it was released"
    others = [f"one of {n} skipped as {reason}" for reason, n in sorted(skips.items())]
    others += [f"one of {purged} purged dead letters"] if purged else []
    return f"settled: accepted, or {', or '.join(others)}" if others else "accepted"


def _age_ms(body: bytes) -> int:
    """How old a record was when it was released."""
    record = _data(body)
    return (parse_ms(record["observed_at"]) or 0) - (parse_ms(record["occurred_at"]) or 0)


def explained_view(found: Explained, ways: Mapping[str, str]) -> Json:
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
        "path": dict(ways),
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


def trail_view(entry: TrailEntry) -> Json:
    """One entry of the trail."""
    rest = {name: value for name, value in asdict(entry).items() if name != "at_ms"}
    return {"at": format_ms(entry.at_ms), **rest}
