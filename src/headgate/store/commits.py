"""When work on commits began, found through indexes. Every function gets a connection of a reader."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

from headgate.store.schema import encode_key
from headgate.store.sql import Database
from headgate.store.words import project_ids

__all__ = ["first_created"]

# A commit in full is no workflow's id, which is a UUID.
_COMMIT = re.compile(r"[0-9a-f]{40}")
# The revision of a workflow is its own, else that of its pipeline.
_FIRST = """
WITH names (name) AS MATERIALIZED (SELECT value FROM json_each(:names)) SELECT name, min(at) FROM (
  SELECT n.name, w.created_at AS at FROM names n CROSS JOIN workflow w INDEXED BY workflow_revision
    ON substr(w.revision, 1, 8) = substr(n.name, 1, 8) AND w.revision = n.name
  WHERE w._project IN ({projects}) AND w._terminal AND w.stopped_at IS NOT NULL
  UNION ALL
  SELECT n.name, w.created_at FROM names n CROSS JOIN pipeline pl INDEXED BY pipeline_revision
    ON substr(pl.revision, 1, 8) = substr(n.name, 1, 8) AND pl.revision = n.name
  CROSS JOIN workflow w INDEXED BY workflow_pipeline ON w.pipeline_id = pl._key AND w._host = pl._host
  WHERE w.revision IS NULL AND w._project IN ({projects}) AND w._terminal AND w.stopped_at IS NOT NULL
) WHERE at IS NOT NULL GROUP BY 1
"""
_OF_RUN = """
SELECT min(w.created_at) FROM workflow w INDEXED BY workflow_key
WHERE w._key = ? AND w._project IN ({projects}) AND w._terminal AND w.stopped_at IS NOT NULL
"""


def first_created(db: Database, names: Mapping[str, Collection[str]]) -> dict[tuple[str, str], int]:
    """(project, commit or workflow id) -> creation of the first ended workflow of it."""
    found: dict[tuple[str, str], int] = {}
    for slug, wanted in names.items():
        projects = ", ".join(map(str, project_ids(db, slug) or [0]))
        listed = {"names": msgspec.json.encode(list(wanted)).decode()}
        for name, at in db.execute(_FIRST.format(projects=projects), listed):
            found[slug, name] = at
        for name in wanted:
            at = (
                None
                if _COMMIT.fullmatch(name)
                else db.execute(_OF_RUN.format(projects=projects), (encode_key(name),)).get
            )
            if at is not None:
                found[slug, name] = min(at, found.get((slug, name), at))
    return found
