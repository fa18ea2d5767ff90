"""Which ended workflows are asked about once, because webhooks tell neither approvals nor jobs that never ran.

Invariant: a name of which nothing is known is asked about; what was asked is never given again.
"""

from __future__ import annotations

from headgate.core.ports import RunRef
from headgate.core.times import DAY_MS
from headgate.store.schema import decode_key
from headgate.store.sql import Database

__all__ = ["ASKED_MS", "unasked"]

# What was learnt of workflows of a name counts so long: then one of them is asked about again.
ASKED_MS = 7 * DAY_MS
# Names of inputs are in the packed provenance as they are.
_ASKED = "instr(w._stamps, CAST('v2' AS BLOB)) > 0"
_TOLD = "instr({table}._stamps, CAST('webhook' AS BLOB)) > 0"
# Approvals, and jobs that never began.
_UNTOLD = "(j.type = (SELECT id FROM dim WHERE family = 0 AND text = 'approval') OR j.started_at IS NULL)"
_SUCCESS = "w.status = (SELECT id FROM dim WHERE family = 0 AND text = 'success')"
_SQL = (
    "WITH learnt AS (SELECT w._project AS project, w.name AS name, w._class AS class,"
    " max(EXISTS (SELECT 1 FROM job j"
    f" WHERE j.workflow_id = w._key AND {_UNTOLD})) AS more FROM workflow w"
    f" WHERE w._terminal AND w.stopped_at > ? AND {_ASKED} AND {_SUCCESS}"
    f" AND EXISTS (SELECT 1 FROM job j WHERE j.workflow_id = w._key AND {_TOLD.format(table='j')}) GROUP BY 1, 2, 3)"
    " SELECT p.slug, coalesce(p.provider_id, p.slug), w.pipeline_id, w._key, w.stopped_at FROM workflow w"
    " JOIN dim_project p ON p.id = w._project"
    " LEFT JOIN learnt l ON l.project = w._project AND l.name = w.name AND l.class = w._class"
    " WHERE w._terminal AND w.stopped_at > ? AND w._gone = 0"
    " AND w._source = (SELECT id FROM dim WHERE family = 0 AND text = ?)"
    f" AND NOT {_ASKED} AND {_TOLD.format(table='w')} AND (NOT {_SUCCESS} OR coalesce(l.more, 1))"
    " ORDER BY w.stopped_at DESC LIMIT ?"
)


def unasked(db: Database, source: str, now_ms: int, since_ms: int, limit: int) -> list[RunRef]:
    """Runs to ask about; newest first."""
    rows = db.execute(_SQL, (now_ms - ASKED_MS, since_ms, source, limit))
    return [
        RunRef(slug, key, decode_key(pipeline) if pipeline else None, decode_key(run), at, ended=True)
        for slug, key, pipeline, run, at in rows
    ]
