"""What is kept of things that the far side lists, for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.core.audits import Kept, ListedKind
from headgate.core.merge import decode_stamps
from headgate.core.times import DAY_MS
from headgate.store.schema import decode_key, encode_key
from headgate.store.sql import Database

__all__ = ["jobs_of", "kept"]

_RERUN = f"coalesce(w.created_at - p.created_at > {DAY_MS}, 0)"
_ASKED: Mapping[ListedKind, str] = {
    "pipeline": (
        "SELECT p._gone OR p.errors IS NOT NULL OR EXISTS (SELECT 1 FROM workflow w WHERE w.pipeline_id = p._key),"
        " p._stamps, 0, NULL FROM pipeline p WHERE p._key = ?"
    ),
    "workflow": (
        f"SELECT w._terminal, w._stamps, {_RERUN}, w.stopped_at FROM workflow w"
        " LEFT JOIN pipeline p ON p._key = w.pipeline_id WHERE w._key = ?"
    ),
    "job": (
        f"SELECT j._terminal, j._stamps, {_RERUN}, j.stopped_at FROM job j"
        " LEFT JOIN workflow w ON w._key = j.workflow_id LEFT JOIN pipeline p ON p._key = w.pipeline_id"
        " WHERE j._key = ? OR j._id = (SELECT fact FROM job_alias WHERE key = ?)"
    ),
}
# A job of which the number alone is known has a text as its key.
_JOBS = (
    f"SELECT j._key, j._stamps, {_RERUN}, j.stopped_at FROM workflow w JOIN job j ON j.workflow_id = w._key"
    " LEFT JOIN pipeline p ON p._key = w.pipeline_id WHERE (w._key = ? OR w.pipeline_id = ?)"
    " AND j._terminal AND j.started_at IS NOT NULL AND typeof(j._key) = 'blob'"
    " AND j.type IS NOT (SELECT id FROM dim WHERE family = 0 AND text = 'approval')"
)


def kept(db: Database, kind: ListedKind, keys: Sequence[str]) -> dict[str, Kept]:
    """What is known of each key; a job is also found by its other name."""
    found: dict[str, Kept] = {}
    for key in keys:
        encoded = encode_key(key)
        row = db.execute(_ASKED[kind], (encoded, encoded) if kind == "job" else (encoded,)).fetchone()
        if row is not None:
            found[key] = Kept(bool(row[0]), _announced(kind, row[1]), bool(row[2]), row[3])
    return found


def jobs_of(db: Database, runs: Sequence[str]) -> dict[str, Kept]:
    """Ended jobs of pipelines or workflows, by key."""
    found: dict[str, Kept] = {}
    for run in map(encode_key, runs):
        for key, stamps, rerun, stopped_ms in db.execute(_JOBS, (run, run)):
            found[decode_key(key)] = Kept(True, _announced("job", stamps), bool(rerun), stopped_ms)
    return found


def _announced(kind: ListedKind, packed: bytes) -> bool:
    """Whether a webhook told of the end; those of jobs mention their workflow, which goes on then."""
    return any(one.source == "webhook" and one.terminal for one in decode_stamps(kind, packed).values())
