"""What came of tests in stretches that are over, added up bit by bit, one project at a time.

Invariant: a stretch that is there is what its results say today: triggers take it away with any change of one, or of
what its job, workflow or pipeline says of it. What is not there is read result by result, so nothing is lost meanwhile
but speed.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.store.session import TESTS_PUT, Session
from headgate.store.sql import Database, insert
from headgate.store.testgather import Collected, Gatherer, stretch_of
from headgate.store.testpacks import Form, Stretch, pack

__all__ = ["LENGTHS", "QUARTER", "add_up", "forget"]

# Hours of a stretch, the longest first. A quarter of a day has its hours in it; those by themselves come before it.
QUARTER = 6
LENGTHS = (96, 24, QUARTER, 1)
# Most of what comes late has come by then.
_SETTLED_MS: Mapping[int, int] = {96: 2 * HOUR_MS, 24: 2 * HOUR_MS, QUARTER: 2 * HOUR_MS, 1: 10 * MINUTE_MS}
# Results of one slice, some milliseconds of the writer; of one project's stretch all are in one.
_RESULTS = 5_000
_MISSING = """
WITH RECURSIVE stretches (bucket) AS (SELECT :last UNION ALL SELECT bucket - 1 FROM stretches WHERE bucket > :first)
SELECT s.bucket, p.id, (SELECT count(*) FROM test_result t INDEXED BY test_result_end WHERE t._project = p.id
  AND t.stopped_at >= s.bucket * :length AND t.stopped_at < (s.bucket + 1) * :length) AS n
FROM stretches s CROSS JOIN dim_project p WHERE NOT EXISTS
  (SELECT 1 FROM test_part d WHERE d.project = p.id AND d.hours = :hours AND d.bucket = s.bucket) AND n
"""
_INSERT = f"""
INSERT INTO test_part (rowid, project, hours, bucket, {", ".join(Stretch._fields)}, parts)
VALUES ({", ".join("?" * (len(Stretch._fields) + 5))})
"""
_OLDEST = """
SELECT min((SELECT min(t.stopped_at) FROM test_result t INDEXED BY test_result_end WHERE t._project = p.id))
FROM dim_project p
"""
_FORM = "SELECT id, day FROM test_form WHERE project = ? AND (test_id, name, suite, class_name, file) = (?, ?, ?, ?, ?)"


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up some more stretches that are over, the newest first; 0 deleted, and whether there may be more to do."""
    db, left = session.db, _RESULTS
    oldest = db.execute(_OLDEST).get
    if oldest is None:
        return 0, False
    for hours in LENGTHS:
        length = hours * HOUR_MS
        since_ms = oldest if hours > 1 else _last(QUARTER, now_ms)
        bound = {"first": since_ms // length, "last": _last(hours, now_ms) // length - 1}
        _drop(db, hours, bound["first"])
        if bound["last"] < bound["first"]:
            continue
        chosen = []
        for bucket, project, results in db.execute(_MISSING, {**bound, "length": length, "hours": hours}):
            chosen.append((bucket, project))
            left -= results * (2 if hours == QUARTER else 1)  # by hour too
            if left <= 0:
                break
        gatherer = Gatherer(db)
        for bucket, project in chosen:
            _add(session, gatherer, project, hours, bucket)
        if left <= 0:
            return 0, True
    return 0, False


def _last(hours: int, now_ms: int) -> int:
    """Up to when stretches of a length are added up."""
    return (now_ms - _SETTLED_MS[hours]) // (hours * HOUR_MS) * hours * HOUR_MS


def _drop(db: Database, hours: int, first: int) -> None:
    """Stretches before the first one go, and what only they needed."""
    db.execute("DELETE FROM test_part WHERE hours = ? AND bucket < ?", (hours, first))
    if db.changes():
        db.execute("DELETE FROM test_job WHERE hours = ? AND bucket < ?", (hours, first))
        if hours > 1:  # an hour goes once its quarter of a day is there
            db.execute("DELETE FROM test_form WHERE day < ?", (first * hours * HOUR_MS // DAY_MS,))


def _add(session: Session, gatherer: Gatherer, project: int, hours: int, bucket: int) -> None:
    db = session.db
    begin_ms = bucket * hours * HOUR_MS
    end_ms = begin_ms + hours * HOUR_MS
    known: dict[Form, int] = {}

    def number(form: Form) -> int:
        if form not in known:
            known[form] = _form(db, project, form, (end_ms - 1) // DAY_MS)
        return known[form]

    collected = gatherer.commits(project, begin_ms, end_ms) or Collected()
    parts = [
        stretch_of(gatherer.commits(project, at, at + HOUR_MS) or Collected(), at, number)
        for at in range(begin_ms, end_ms, HOUR_MS)
        if hours == QUARTER
    ]
    row = (*stretch_of(collected, begin_ms, number), pack(parts) if parts else b"")
    db.execute(_INSERT, (session.number(TESTS_PUT), project, hours, bucket, *row))
    insert(db, "INSERT OR IGNORE INTO test_job", [(job, project, hours, bucket) for job in collected.jobs])


def _form(db: Database, project: int, form: Form, day: int) -> int:
    """The number of a test's names, given out if they are new."""
    known = db.execute(_FORM, (project, *form)).fetchone()
    if known is None:
        db.execute(
            "INSERT INTO test_form (project, test_id, name, suite, class_name, file, day) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (project, *form, day),
        )
        return db.last_insert_rowid()
    if known[1] < day:
        db.execute("UPDATE test_form SET day = ? WHERE id = ?", (day, known[0]))
    number: int = known[0]
    return number


def forget(db: Database) -> None:
    """Nothing that was added up holds any more."""
    for table in ("test_part", "test_job", "test_form"):
        db.execute(f"DELETE FROM {table}")
