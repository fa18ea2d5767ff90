"""Which part of the store each table is counted with."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from headgate.store.schema import migrate, set_up
from headgate.store.sizes import PARTS, parts
from headgate.store.sql import Database

# Names, cursors and notes of what was lost.
_OTHER = {
    *("counter", "cursor", "dim", "dim_project", "dim_project_slug", "gap", "meta", "replay", "replay_item"),
    *("signal", "skip", "skipped", "source_cursor", "source_mark"),
}


def test_every_table_is_of_one_part(tmp_path: Path) -> None:
    """What is added up is a part of its own; a new table is given its place."""
    placed = [table for tables in PARTS.values() for table in tables]
    with closing(Database(str(tmp_path / "s.db"))) as db:
        set_up(db, writer=True)
        migrate(db)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert len(placed) == len(set(placed))
    assert tables == {*placed, *_OTHER}


def test_what_is_added_up_takes_room_of_its_own(tmp_path: Path) -> None:
    """Of the part `sums`, whichever table it is in, and of no other."""
    with closing(Database(str(tmp_path / "s.db"))) as db:
        set_up(db, writer=True)
        migrate(db)
        before = {one.part: one.bytes for one in parts(db)}
        db.executemany("INSERT INTO usage_whole VALUES (1, ?, 1)", ((number,) for number in range(5_000)))
        after = {one.part: one.bytes for one in parts(db)}
    assert {"sums"} == {part for part, size in after.items() if size > before[part]}
