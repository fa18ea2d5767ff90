"""When work on commits began, found through indexes. Every function gets a connection of a reader."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headgate.store.schema import encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids

__all__ = ["first_created"]

# The revision of a workflow is its own, else that of its pipeline.
_FIRST = """
SELECT min(at) FROM (
  SELECT w.created_at AS at FROM workflow w INDEXED BY workflow_revision
  WHERE substr(w.revision, 1, 8) = substr(:name, 1, 8) AND w.revision = :name AND w._project IN ({projects})
    AND w._terminal AND w.stopped_at IS NOT NULL
  UNION ALL
  SELECT w.created_at FROM pipeline pl INDEXED BY pipeline_revision
  CROSS JOIN workflow w INDEXED BY workflow_pipeline ON w.pipeline_id = pl._key AND w._host = pl._host
  WHERE substr(pl.revision, 1, 8) = substr(:name, 1, 8) AND pl.revision = :name AND w.revision IS NULL
    AND w._project IN ({projects}) AND w._terminal AND w.stopped_at IS NOT NULL
  UNION ALL
  SELECT w.created_at FROM workflow w INDEXED BY workflow_key
  WHERE w._key = :key AND w._project IN ({projects}) AND w._terminal AND w.stopped_at IS NOT NULL
)
"""


def first_created(db: Database, names: Mapping[str, Collection[str]]) -> dict[tuple[str, str], int]:
    """(project, commit or workflow id) -> creation of the first ended workflow of it."""
    found: dict[tuple[str, str], int] = {}
    for slug, wanted in names.items():
        query = _FIRST.format(projects=", ".join(map(str, project_ids(db, slug) or [0])))
        for name in wanted:
            at = db.execute(query, {"name": name, "key": encode_key(name)}).get
            if at is not None:
                found[slug, name] = at
    return found
