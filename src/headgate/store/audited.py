"""What audits have proven, by day. Every function gets a connection of a reader."""

from __future__ import annotations

from headgate.core.detailrows import AuditedDay
from headgate.core.times import DAY_MS
from headgate.store.sql import Database

__all__ = ["audited_days"]

# No index leads here: a year of a hundred projects is a million small rows.
_DAYS = """
SELECT p.slug, a.hour / :day * :day, sum(a.expected), sum(a.present), sum(a.repaired), sum(a.unrepairable),
  sum(a.unannounced)
FROM audit a JOIN dim_project p ON p.id = a._project
WHERE a.hour >= :since AND a.hour < :until AND a.expected > 0
GROUP BY 1, 2 ORDER BY 1, 2
"""


def audited_days(db: Database, since_ms: int, until_ms: int) -> list[AuditedDay]:
    """Of every project."""
    words = {"day": DAY_MS, "since": since_ms, "until": until_ms}
    return [AuditedDay(*row) for row in db.execute(_DAYS, words)]
