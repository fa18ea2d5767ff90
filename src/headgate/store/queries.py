"""Questions about facts, runs and figures. Every function gets a connection inside a read transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headgate.core.ports import JobRef, Lane, LogEntry, RunRef
from headgate.core.storeport import GapRow, SpaceLevel, StoreFigures
from headgate.store.schema import LANES, decode_key, encode_key
from headgate.store.setaside import PARKED
from headgate.store.sql import Database
from headgate.store.words import word

__all__ = [
    "due_sources",
    "figures",
    "gaps",
    "tail",
    "unended",
    "unfinished",
    "wanting_enrichment",
]


def figures(db: Database, size: int, level: SpaceLevel) -> StoreFigures:
    """Numbers from counters; nothing is counted row by row but the few dead deliveries."""
    counters: dict[str, int] = dict(db.execute("SELECT name, n FROM counter").fetchall())
    meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('store_id', 'epoch')").fetchall())
    low = counters.get("inbox:low", 0)
    highest = max(db.execute(f"SELECT max(id) FROM {table}").get or low for table in ("inbox", "inbox_settled"))
    settled = db.execute("SELECT count(*) FROM inbox_settled").get
    facts = {name.partition(":")[2]: n for name, n in counters.items() if name.startswith("fact:")}
    statuses: dict[str, dict[str, int]] = {}
    for name, n in sorted(counters.items()):
        if name.startswith("status:") and n:
            _, kind, status = name.split(":", 2)
            statuses.setdefault(kind, {})[status] = n
    parked = {name.removeprefix(PARKED): n for name, n in counters.items() if name.startswith(PARKED) and n}
    return StoreFigures(
        inbox_waiting=max(0, highest - low - settled),
        inbox_dead=db.execute("SELECT count(*) FROM inbox_dead").get - sum(parked.values()),
        inbox_oldest_ms=db.execute(
            "SELECT arrived_ms FROM inbox WHERE id > ? AND id NOT IN (SELECT id FROM inbox_settled)"
            " ORDER BY id LIMIT 1",
            (low,),
        ).get,
        facts=facts,
        statuses=statuses,
        log_head={lane: counters.get(f"head:{lane}", 0) for lane in LANES},
        unreleased=counters.get("unreleased", 0),
        outbox_waiting=counters.get("outbox", 0),
        bytes=size,
        level=level,
        schema=int(db.pragma("user_version")),
        store_id=str(meta.get("store_id", "")),
        epoch=int(meta.get("epoch", 0)),
        gaps=counters.get("gaps", 0),
        inbox_parked=dict(sorted(parked.items())),
    )


def due_sources(db: Database) -> list[str]:
    """Sources of workflows and jobs that wait to be released."""
    waits = "_released = 0 AND _due_ms IS NOT NULL"
    rows = db.execute(
        "SELECT text FROM dim WHERE id IN (SELECT DISTINCT _source FROM workflow INDEXED BY workflow_due"
        f" WHERE {waits} UNION SELECT DISTINCT _source FROM job INDEXED BY job_due WHERE {waits}) ORDER BY text"
    )
    return [row[0] for row in rows]


def gaps(db: Database, limit: int) -> list[GapRow]:
    """Losses, newest first."""
    rows = db.execute("SELECT at_ms, sink, first, last, count, reason FROM gap ORDER BY id DESC LIMIT ?", (limit,))
    return [GapRow(*row) for row in rows]


def tail(db: Database, after: Mapping[str, int], limit: int) -> list[LogEntry]:
    """The newest entries beyond the given seqs, in the order they were appended."""
    found: list[tuple[int, int, LogEntry]] = []
    for number, lane in enumerate(LANES):
        rows = db.execute(
            "SELECT seq, record_id, kind, occurred_ms, project, order_key, body, at_ms"
            f" FROM log_{lane} WHERE seq > ? ORDER BY seq DESC LIMIT ?",
            (after.get(lane, 0), limit),
        )
        for seq, record_id, kind, occurred, project, order, body, at_ms in rows:
            entry = LogEntry(seq, "backfill" if number else "live", record_id, kind, occurred, project, order, body)
            found.append((at_ms, number, entry))
    found.sort(key=lambda row: (row[0], row[1], row[2].seq))
    return [entry for _, _, entry in found[-limit:]]


def records_between(
    db: Database, since_ms: int, until_ms: int, after: tuple[Lane, int] | None, limit: int
) -> list[LogEntry]:
    """Records of a time range: lane live first, each lane by number."""
    found: list[LogEntry] = []
    lanes: tuple[Lane, ...] = ("live", "backfill")
    for lane in lanes[lanes.index(after[0]) if after else 0 :]:
        rows = db.execute(
            "SELECT seq, record_id, kind, occurred_ms, project, order_key, body"
            f" FROM log_{lane} WHERE seq > ? AND occurred_ms >= ? AND occurred_ms < ? ORDER BY seq LIMIT ?",
            (after[1] if after and after[0] == lane else 0, since_ms, until_ms, limit - len(found)),
        )
        found += [LogEntry(seq, lane, *rest) for seq, *rest in rows]
    return found


_UNENDED = """
SELECT p.slug, coalesce(p.provider_id, p.slug), w.pipeline_id, w._key, coalesce(w.created_at, w._seen_ms) AS at, 0
FROM workflow w JOIN dim_project p ON p.id = w._project
WHERE w._source = ? AND w._terminal = 0 AND w._gone = 0 {more} ORDER BY at DESC, w._key DESC LIMIT ?
"""


def unfinished(db: Database, source: str, ended_since_ms: int, empty_since_ms: int, limit: int) -> list[RunRef]:
    """Workflows that have not ended, lately ended ones with jobs that have not, young pipelines without any.

    Newest first. A webhook tells of a workflow's end, but none tells what became of its approvals and of the jobs that
    never ran: the workflow is asked for once more.
    """
    number = word(db, source)
    if number is None:
        return []
    rows = db.execute(_UNENDED.format(more=""), (number, limit)).fetchall()
    rows += db.execute(
        "SELECT p.slug, coalesce(p.provider_id, p.slug), w.pipeline_id, w._key,"
        " coalesce(w.created_at, w._seen_ms) AS at, 1"
        " FROM workflow w JOIN dim_project p ON p.id = w._project"
        " WHERE w._terminal AND w.stopped_at > ? AND w._source = ? AND w._gone = 0 AND EXISTS"
        " (SELECT 1 FROM job j WHERE j.workflow_id = w._key AND j._terminal = 0 AND j._gone = 0)"
        " ORDER BY at DESC LIMIT ?",
        (ended_since_ms, number, limit),
    ).fetchall()
    rows += db.execute(
        "SELECT p.slug, coalesce(p.provider_id, p.slug), l._key, NULL, l.created_at, 0"
        " FROM pipeline l JOIN dim_project p ON p.id = l._project"
        " WHERE l.created_at > ? AND l._source = ? AND l._gone = 0"
        " AND NOT EXISTS (SELECT 1 FROM workflow w WHERE w.pipeline_id = l._key)"
        " ORDER BY l.created_at DESC LIMIT ?",
        (empty_since_ms, number, limit),
    ).fetchall()
    rows.sort(key=lambda row: -row[4])
    return _refs(rows[:limit])


def unended(db: Database, source: str, before: tuple[int, str], limit: int) -> list[RunRef]:
    """Workflows that have not ended, after one by creation and id, newest first."""
    query = _UNENDED.format(more="AND (at, w._key) < (?, ?)")
    return _refs(db.execute(query, (word(db, source), before[0], encode_key(before[1]), limit)).fetchall())


def _refs(rows: Iterable[tuple[Any, ...]]) -> list[RunRef]:
    return [
        RunRef(slug, key, decode_key(pipeline) if pipeline else None, decode_key(run) if run else None, at, bool(ended))
        for slug, key, pipeline, run, at, ended in rows
    ]


def wanting_enrichment(db: Database, source: str, due_by_ms: int, limit: int) -> list[JobRef]:
    """Ended, unreleased jobs that wait for enrichment; oldest due first."""
    rows = db.execute(
        "SELECT p.slug, coalesce(p.provider_id, p.slug), j._key, j.number FROM job j"
        " JOIN dim_project p ON p.id = j._project"
        " WHERE j._released = 0 AND j._due_ms <= ? AND j._enriched = 0 AND j._gone = 0"
        " AND j._source = (SELECT id FROM dim WHERE family = 0 AND text = ?) AND j.number IS NOT NULL"
        " AND j.type IS NOT coalesce((SELECT id FROM dim WHERE family = 0 AND text = 'approval'), 0)"
        " ORDER BY j._due_ms, j._id LIMIT ?",
        (due_by_ms, source, limit),
    )
    return [JobRef(slug, key, decode_key(job), number) for slug, key, job, number in rows]
