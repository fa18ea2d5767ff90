"""What is kept of things that the far side lists, for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.core.audits import Kept, ListedKind
from headgate.core.merge import decode_stamps
from headgate.core.times import DAY_MS
from headgate.store.schema import encode_key
from headgate.store.sql import Database

__all__ = ["kept"]

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


def kept(db: Database, kind: ListedKind, keys: Sequence[str]) -> dict[str, Kept]:
    """What is known of each key; a job is also found by its other name."""
    found: dict[str, Kept] = {}
    for key in keys:
        encoded = encode_key(key)
        row = db.execute(_ASKED[kind], (encoded, encoded) if kind == "job" else (encoded,)).fetchone()
        if row is not None:
            found[key] = Kept(bool(row[0]), _announced(kind, row[1]), bool(row[2]), row[3])
    return found


def _announced(kind: ListedKind, packed: bytes) -> bool:
    """Whether a webhook told of the end; those of jobs mention their workflow, which goes on then."""
    return any(one.source == "webhook" and one.terminal for one in decode_stamps(kind, packed).values())
