"""When work on what was deployed began, and deployments with it, as figures need them.

Invariant: a note of `deployment_begun` is what `_found` finds: triggers take it away with any change of what it follows
from. What is not noted is found anew, so nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import replace

from headgate.core.deployed import Deployed, placed
from headgate.store.session import Session
from headgate.store.sql import Database, insert
from headgate.store.words import project_ids, texts_of, word

__all__ = ["deployment_ends", "forget", "note"]

# Numbers of deployments that one slice looks through, and how many it notes: a few milliseconds of the writer.
_WINDOW, _SLICE = 5_000, 200
_POSITION = "sweep:begun"
_json = msgspec.json.Encoder()
# The revision of a workflow is its own, else that of its pipeline.
_OF_COMMITS = """
WITH names (name) AS MATERIALIZED (SELECT value FROM json_each(:names)) SELECT name, min(at) FROM (
  SELECT n.name, w.created_at AS at FROM names n CROSS JOIN workflow w INDEXED BY workflow_revision
    ON substr(w.revision, 1, 8) = substr(n.name, 1, 8) AND w.revision = n.name
  WHERE w._project = :project AND w._terminal AND w.stopped_at IS NOT NULL
  UNION ALL
  SELECT n.name, w.created_at FROM names n CROSS JOIN pipeline pl INDEXED BY pipeline_revision
    ON substr(pl.revision, 1, 8) = substr(n.name, 1, 8) AND pl.revision = n.name
  CROSS JOIN workflow w INDEXED BY workflow_pipeline ON w.pipeline_id = pl._key AND w._host = pl._host
  WHERE w.revision IS NULL AND w._project = :project AND w._terminal AND w.stopped_at IS NOT NULL
) WHERE at IS NOT NULL GROUP BY 1
"""
_OF_RUN = """
SELECT min(w.created_at) FROM workflow w INDEXED BY workflow_key
WHERE w._key = ? AND w._project = ? AND w._terminal AND w.stopped_at IS NOT NULL
"""
# Lead time of a success; where that is not noted, less than nothing: the number of the deployment.
_LEAD = "iif(b.deployment IS NULL, -d._id, max(0, d.stopped_at - b.at_ms))"
_NOTES = "\nLEFT JOIN deployment_begun b ON b.deployment = d._id"
_ENDS = """
SELECT d.stopped_at, d._project, d.environment, d.name, d.status IS ?3, d.revision, {lead}
FROM deployment d INDEXED BY deployment_end{notes}
WHERE d.stopped_at >= ?1 AND d.stopped_at < ?2 AND (d.status = ?3 OR d.status = ?4){projects}
ORDER BY d.stopped_at, d._key
"""
_PLACES = """
SELECT d._id, d._project, nullif(d.revision, ''), d.workflow_id
FROM json_each(?) e CROSS JOIN deployment d ON d._id = e.value
"""
_MISSING = """
SELECT d._id FROM deployment d LEFT JOIN deployment_begun b ON b.deployment = d._id
WHERE d._id > ?1 AND d._id <= ?1 + ?2 AND b.deployment IS NULL AND d.stopped_at IS NOT NULL ORDER BY d._id LIMIT ?3
"""


def deployment_ends(db: Database, since_ms: int, until_ms: int, *, project: str | None, begun: bool) -> list[Deployed]:
    """Oldest first, of one project (slug) or all; `begun`: with lead times."""
    slugs: dict[int, str] = dict(db.execute("SELECT id, slug FROM dim_project").fetchall())
    projects = ""
    if project is not None:
        projects = f" AND d._project IN ({', '.join(map(str, project_ids(db, project)))})"
    statement = _ENDS.format(lead=_LEAD if begun else "NULL", notes=_NOTES if begun else "", projects=projects)
    ends = (word(db, "succeeded"), word(db, "failed"))
    text = cache(lambda number: texts_of(db, (number,))[number])
    # Row by row: tens of thousands kept at once would have the interpreter look for cycles among them.
    rows = db.execute(statement, (since_ms, until_ms, *ends))
    found = placed(rows, lambda place: (slugs[place[0]], text(place[1]), text(place[2])))
    missing = {at: -one.lead_ms for at, one in enumerate(found) if one.lead_ms is not None and one.lead_ms < 0}
    began = _found(db, list(missing.values())) if missing else {}
    for at, number in missing.items():
        found[at] = replace(found[at], lead_ms=_lead_ms(found[at].stopped_ms, began.get(number)))
    return found


def _lead_ms(stopped_ms: int, begun_ms: int | None) -> int | None:
    return None if begun_ms is None else max(0, stopped_ms - begun_ms)


def note(session: Session) -> tuple[int, bool]:
    """Note some more beginnings; 0 deleted, and whether there may be more to do."""
    db, at = session.db, session.counters.get(_POSITION, 0)
    missing = [row[0] for row in db.execute(_MISSING, (at, _WINDOW, _SLICE)).fetchall()]
    if missing:
        found = _found(db, missing)
        insert(db, "INSERT INTO deployment_begun", [(number, found.get(number)) for number in missing])
    following = missing[-1] if len(missing) == _SLICE else at + _WINDOW
    done = following >= (db.execute("SELECT max(_id) FROM deployment").get or 0)
    session.put(_POSITION, 0 if done else following)
    return 0, not done


def forget(db: Database) -> None:
    """Nothing that was noted holds any more."""
    db.execute("DELETE FROM deployment_begun")


def _found(db: Database, deployments: Sequence[int]) -> dict[int, int]:
    """Deployment -> creation of the first ended workflow of its commit, else of its workflow; absent if unknown."""
    commits: dict[int, dict[str, list[int]]] = {}
    found: dict[int, int] = {}
    listed = _json.encode(deployments).decode()
    for number, project, revision, run in db.execute(_PLACES, (listed,)).fetchall():
        if revision is not None:
            commits.setdefault(project, {}).setdefault(revision, []).append(number)
        elif (at := db.execute(_OF_RUN, (run, project)).get) is not None:
            found[number] = at
    for project, names in commits.items():
        asked: dict[str, Any] = {"names": _json.encode(list(names)).decode(), "project": project}
        for name, at in db.execute(_OF_COMMITS, asked):
            found |= dict.fromkeys(names[name], at)
    return found
