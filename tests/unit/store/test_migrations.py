"""What an older store holds is found again after its tables were rearranged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from headgate.core.rollup import MEASURES, SUMS, contribution
from headgate.core.tally import Tally
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.delivery import read_log
from headgate.store.releases import block_of, with_record_id
from headgate.store.schema import migrate
from headgate.store.sketches import unpack
from headgate.store.sql import Database


@pytest.fixture
def db() -> Iterator[Database]:
    """An empty store of the second schema."""
    with closing(Database(":memory:")) as made:
        migrate(made, upto=2)
        yield made


def test_records_of_an_older_store_are_found_by_id(db: Database) -> None:
    """Wherever a record stands, its id leads to it; an id that never left leads nowhere."""
    seqs = {bytes([number]) * 16: seq for number, seq in enumerate((1, 8_191, 8_192, 50_000))}
    for fact, (identity, seq) in enumerate(seqs.items(), start=1):
        db.execute("INSERT INTO released VALUES (?, 2, ?, 1, ?, 3, 4)", (identity, fact, seq))
    migrate(db)
    assert [with_record_id(db, identity) for identity in seqs] == [(2, 1), (2, 2), (2, 3), (2, 4)]
    assert with_record_id(db, b"\xff" * 16) is None
    for identity, seq in seqs.items():
        at = (block_of(seq * 2 + 1), identity)
        row = db.execute("SELECT lane, seq, revision, digest FROM released WHERE block = ? AND record_id = ?", at)
        assert row.fetchone() == (1, seq, 3, 4)


def test_no_record_is_found_in_an_empty_store(db: Database) -> None:
    """Before anything was released, every id is unknown."""
    migrate(db)
    assert with_record_id(db, b"\x01" * 16) is None


def test_entries_of_an_older_store_are_read_as_they_were_written(db: Database) -> None:
    """A log that was written before bodies were packed sends the same bytes."""
    db.execute("INSERT INTO log_live VALUES (1, 'id', 'job', 5, 'gh/acme/web', 6, 7, ?)", (b'{"id":"id"}',))
    migrate(db)
    assert [entry.body for entry in read_log(db, "live", 0, 10, 1000)] == [b'{"id":"id"}']


_RUN, _PROJECT, _WORDS = 40, 1, {"success": 10, "failed": 11, "errored": 12, "not_run": 13, "approval": 14, "test": 15}
_HEAD = "_id, _key, _host, _project, _source, _terminal, _enriched, _gone, _released, _class, _run, _seen_ms, _stamps"
_OLD = ("n", "ok", "failed", "canceled", "credits", "duration_ms", "queue_ms")


def _old_job(db: Database, number: int, values: dict[str, Any]) -> None:
    """A job as the sixth schema kept it, with its sums."""
    columns = {name: _WORDS.get(value, value) for name, value in values.items()}
    row = (number, str(number), 1, _PROJECT, 1, 1, 0, 0, 0, 1, _RUN, 0, b"", *columns.values())
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO job ({_HEAD}, {', '.join(columns)}) VALUES ({places})", row)  # noqa: S608  # our own names
    part = contribution("job", values, terminal=True)
    if part is None or part.held:
        return
    for table, length in (("hour", HOUR_MS), ("day", DAY_MS)):
        place = (part.at_ms // length, 2, _PROJECT, _RUN, _WORDS["test"], 1)
        sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in _OLD)
        row = (*place, *(getattr(part, name) for name in _OLD))
        statement = f"INSERT INTO rollup_{table} VALUES ({', '.join('?' * 13)}) ON CONFLICT DO UPDATE SET {sums}"  # noqa: S608  # as above
        db.execute(statement, row)
        for measure, index in part.bins:
            db.execute(
                f"INSERT INTO sketch_{table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1",  # noqa: S608  # as above
                (*place, MEASURES.index(measure), index),
            )


def test_sums_of_an_older_store_are_what_its_facts_tell() -> None:
    """Hourly and daily, sketches too; what was not kept before is filled in, for what is still there."""
    with closing(Database(":memory:")) as db:
        migrate(db, upto=6)
        db.executemany("INSERT INTO dim VALUES (?, 0, ?)", [(number, text) for text, number in _WORDS.items()])
        expected: dict[tuple[str, int], Tally] = {}
        for number in range(60):
            at = 20_000 * DAY_MS + number * 2_777_777
            values: dict[str, Any] = {"name": "test", "status": ("success", "failed", "errored", "not_run")[number % 4]}
            values |= {"queued_at": at - 9_000, "started_at": at - 100 * number, "stopped_at": at, "credits": number}
            if number % 7 == 0:
                values |= {"type": "approval"}
            if number % 5 == 0:
                values |= {"rerun_of": number}
            _old_job(db, number, values)
            part = contribution("job", values, terminal=True)
            if part is None:  # an approval that nobody gave
                continue
            for table, length in (("hour", HOUR_MS), ("day", DAY_MS)):
                expected.setdefault((table, at // length), Tally()).count(part, frozenset(MEASURES))
        migrate(db)
        found = {}
        for table in ("hour", "day"):
            for row in db.execute(f"SELECT bucket, {', '.join((*SUMS, *MEASURES))} FROM rollup_{table}"):  # noqa: S608  # as above
                bins = {name: unpack(packed) for name, packed in zip(MEASURES, row[-4:], strict=True) if packed}
                found[table, row[0]] = Tally(*row[1:-4], bins)
        assert found == expected
        assert db.execute("SELECT count(*) FROM counter WHERE name GLOB 'kept:*'").get == 0


def test_what_an_older_store_no_longer_has_is_known(db: Database) -> None:
    """Days of which hours or facts were deleted are told from the sums of the days."""
    for table, bucket, n, span in (("day", 5, 3, 30), ("day", 6, 1, 5), ("hour", 120, 2, 9), ("hour", 144, 1, 5)):
        row = (bucket, 1, 1, 1, 0, 1, n, n, 0, 0, 0, span, 0)
        db.execute(f"INSERT INTO rollup_{table} VALUES ({', '.join('?' * 13)})", row)  # noqa: S608  # our own names
    migrate(db)
    kept = dict(db.execute("SELECT name, n FROM counter WHERE name GLOB 'kept:*'").fetchall())
    assert kept == {"kept:hours": 144, "kept:facts": 7 * DAY_MS}
    assert db.execute("SELECT bucket, duration_ms, timed FROM rollup_hour").fetchall() == [(144, 5, 0)]
    assert db.execute("SELECT sum(n) FROM rollup_day").get == 4
