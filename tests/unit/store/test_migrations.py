"""What an older store holds is found again after its tables were rearranged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.core.clock import ManualClock
from headgate.core.facts import FactKind
from headgate.core.merge import encode_stamps
from headgate.core.metrics import NullMetrics
from headgate.core.rollup import MEASURES, SUMS, contribution
from headgate.core.tally import Tally, TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import Quota, SqliteStore
from headgate.store.cover import KEPT_FACTS
from headgate.store.delivery import read_log
from headgate.store.files import Files
from headgate.store.releases import block_of, with_record_id
from headgate.store.rollups import Rollups
from headgate.store.salvage import damage_of
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


_HEADS = {
    "workflow": "name, status, created_at, stopped_at, rerun_of",
    "usage": "job_name, stopped_at, total_credits",
}


def _older(path: str, upto: int) -> None:
    """A file as an earlier release left it: jobs with their sums by hour and day, runs and bills."""
    with closing(Database(path)) as db:
        migrate(db, upto=upto)
        db.execute("INSERT INTO dim_project VALUES (1, 'circleci.com', NULL, 'gh/a/b', 0, 'gh/a', NULL, 'main')")
        words = {**_WORDS, "circleci.com": 1, "ci": 2, "build": _RUN}
        db.executemany("INSERT INTO dim VALUES (?, 0, ?)", [(number, text) for text, number in words.items()])
        rollups = Rollups()
        nothing_noted = SimpleNamespace(outdated=lambda *_: None)
        session = SimpleNamespace(db=db, spans=nothing_noted, cuts=nothing_noted)
        for number in range(200):
            at = 20_000 * DAY_MS + number * 4 * HOUR_MS
            values: dict[str, Any] = {"name": "test", "status": "failed" if number % 4 else "success"}
            values |= {"started_at": at - 100 * number, "stopped_at": at, "credits": number}
            columns = {name: _WORDS.get(value, value) for name, value in values.items()}
            own = (number + 1, str(number), 1, _PROJECT, 2, 1, 0, 0, 0, 1, _RUN, 0)
            _insert(db, "job", ", ".join(columns), (*own, *columns.values()))
            part = contribution("job", values, terminal=True)
            assert part is not None
            rollups.add((2, _PROJECT, _RUN, _WORDS["test"], 1), part, 1)
            run = (_RUN, columns["status"], at - 9, at, str(number - 1) if number % 5 == 0 and number else None)
            _insert(db, "workflow", _HEADS["workflow"], (*own, *run))
            _insert(db, "usage", _HEADS["usage"], (*own, _WORDS["test"], at, number))
        rollups.flush(session)  # type: ignore[arg-type]  # what of a session it uses


def _insert(db: Database, table: FactKind, columns: str, row: tuple[Any, ...]) -> None:
    own = _HEAD.count(",")
    row = (*row[:own], encode_stamps(table, {}), *row[own:])
    db.execute(f"INSERT INTO {table} ({_HEAD}, {columns}) VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608  # our own names


@pytest.mark.parametrize("upto", [11, 12, 13])
async def test_an_older_store_tells_the_same_before_and_after_sums_are_added_up(tmp_path: Path, upto: int) -> None:
    """Of any stretch: from hours and days at once, and from longer stretches once those are there."""
    _older(str(tmp_path / "s.db"), upto)
    assert damage_of(Files(tmp_path / "s.db", 0), None) is None
    store = SqliteStore(tmp_path / "s.db", clock=ManualClock(0), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    begin, end = 20_000 * DAY_MS, 20_000 * DAY_MS + 200 * 4 * HOUR_MS
    stretches = [(begin, end), (begin + 5 * HOUR_MS + 1, end - 30 * DAY_MS), (begin + 9 * DAY_MS, begin + 27 * DAY_MS)]

    async def told() -> list[object]:
        found: list[object] = []
        for span in stretches:
            bounds = {"gh/a/b": span}
            query = TallyQuery("job", bounds, ("project",), frozenset(MEASURES))
            found += [
                await store.tallies(query),
                await store.tallies(replace(query, by=("trigger",))),
                await store.usage_sums(bounds),
                await store.repeat_sums(bounds, by=()),
            ]
        return found

    first = await told()
    ends = [begin + number * 4 * HOUR_MS for number in range(200)]
    for place, (since_ms, until_ms) in enumerate(stretches):
        inside = [number for number, at in enumerate(ends) if since_ms <= at < until_ms]
        tallies, _, bills, repeats = first[4 * place : 4 * place + 4]
        assert sum(inside) == tallies[("gh/a/b",)].credits == bills[0].total  # type: ignore[index]  # as asked
        again = [number for number in inside if number and number % 5 == 0 and (number - 1) % 4]
        assert len(again) == repeats[0].runs  # type: ignore[index]  # as asked
    await store.trim({}, now_ms=end + DAY_MS)
    with closing(Database(str(tmp_path / "s.db"))) as db:
        assert db.execute("SELECT count(DISTINCT hours) FROM span_built").get == 5
        assert db.execute("SELECT count(DISTINCT hours) FROM cut_built").get == 5
        assert db.execute("SELECT count(DISTINCT units) FROM usage_whole").get == 4
    assert first == await told()
    await store.close()


@pytest.mark.parametrize(("kept", "now"), [(30, 0), (0, 0), (-3, -3)])
def test_results_of_tests_no_longer_say_from_when_runs_are_kept(tmp_path: Path, kept: int, now: int) -> None:
    """What they moved goes back to the oldest run; what lies before that stays (days after that run)."""
    path = str(tmp_path / "s.db")
    _older(path, 13)
    with closing(Database(path)) as db:
        db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (KEPT_FACTS, (20_000 + kept) * DAY_MS))
        migrate(db)
        assert (20_000 + now) * DAY_MS == db.execute("SELECT n FROM counter WHERE name = ?", (KEPT_FACTS,)).get


def test_stretches_with_long_sketches_are_added_up_again(tmp_path: Path) -> None:
    """And quarters by cut, which have workflows now; others are whole as they were."""
    path = str(tmp_path / "s.db")
    _older(path, 18)
    with closing(Database(path)) as db:
        for table in ("span_built", "cut_built"):
            db.executemany(f"INSERT INTO {table} VALUES (?, 1, 9)", [(hours,) for hours in (1, 6, 24, 96)])  # noqa: S608  # our own names
        migrate(db)
        assert db.execute("SELECT hours FROM span_built").fetchall() == [(1,)]
        assert db.execute("SELECT hours FROM cut_built").fetchall() == [(24,)]
