"""Reading a damaged file row by row, around what cannot be read.

Invariant: it ends: every step goes forward, and a stretch that cannot be read is skipped in growing strides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import apsw
import msgspec

from headgate.core.facts import FIELDS
from headgate.core.merge import decode_stamps
from headgate.core.rollup import MEASURES
from headgate.store.delivery import decode_holes
from headgate.store.lanes import bins_of
from headgate.store.schema import DECODERS, KINDS, OWN_COLUMNS
from headgate.store.sketches import unpack
from headgate.store.sql import Database, insert

__all__ = ["check_of", "copy_rows", "tables_of"]

_UNREADABLE = (apsw.Error, UnicodeError, ValueError, TypeError, LookupError, OverflowError, MemoryError)
Row = tuple[Any, ...]
_Bins = Callable[[bytes | None], object]
_CHUNK = 200
# What reads the sketches of a table.
_SKETCHES: Mapping[str, _Bins] = {
    "rollup_hour": unpack,
    "rollup_day": unpack,
    "rollup_span": bins_of,
    "rollup_cut": bins_of,
}
# The longest stride over damage, as a power of two of row numbers.
_STRIDES = 40


def tables_of(db: Database) -> list[str]:
    """Names of the tables of a store, without SQLite's own."""
    rows = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name")
    return [row[0] for row in rows]


def copy_rows(old: Database, new: Database) -> dict[str, int]:
    """Copy every row that can be read and understood; returns how many are known to be missing, by table.

    0 for a table that could not be read to its end and does not say how many rows it had.
    """
    lost: dict[str, int] = {}
    known = set(tables_of(old))
    for table in tables_of(new):
        if table not in known:
            lost[table] = 0
            continue
        there = {row[0] for row in old.execute(f"SELECT name FROM pragma_table_info('{table}')")}
        wanted = new.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
        columns = [row[0] for row in wanted if row[0] in there]
        copied, missed = _copy_table(old, new, table, columns)
        if missed is not None:
            lost[table] = max(missed, 0)
        if not copied and missed:
            lost[table] = missed
    return lost


def _copy_table(old: Database, new: Database, table: str, columns: list[str]) -> tuple[int, int | None]:
    """Rows copied, and rows known to be missing (None where all were read)."""
    names = ", ".join(f'"{name}"' for name in columns)
    understood = check_of(table)
    head = f"INSERT OR IGNORE INTO {table} ({names})"
    with_rowid = "WITHOUT ROWID" not in str(new.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).get)
    damage: list[int] = []
    rows = _walk(old, table, names, damage) if with_rowid else _both_ends(old, table, names, damage)
    copied, waiting = 0, list[Row]()
    for row in rows:
        try:
            understood(row)
        except _UNREADABLE:
            damage.append(1)
            continue
        waiting.append(row)
        if len(waiting) >= 256:
            copied += _put(new, head, waiting, damage)
            waiting = []
    copied += _put(new, head, waiting, damage)
    return copied, sum(damage) if damage else None


def _put(new: Database, head: str, rows: list[Row], damage: list[int]) -> int:
    """Insert rows; where the table refuses one (a type that is not the column's), it alone is left out."""
    try:
        new.execute("SAVEPOINT rows")
        insert(new, head, rows)
    except apsw.ConstraintError:
        new.execute("ROLLBACK TO rows")
        kept = 0
        for row in rows:
            try:
                insert(new, head, [row])
                kept += 1
            except apsw.ConstraintError:
                damage.append(1)
        return kept
    finally:
        new.execute("RELEASE rows")
    return len(rows)


def _walk(old: Database, table: str, names: str, damage: list[int]) -> Iterator[Row]:
    """Rows by number upward; behind a stretch that cannot be read, it goes on in strides that double."""
    last, stride = -1, 0
    query = f"SELECT rowid, {names} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_CHUNK}"
    while stride < _STRIDES:
        found = 0
        try:
            for number, *row in old.execute(query, (last,)):
                if number <= last:
                    raise ValueError("rows out of order")  # damage that SQLite does not see
                last, found, stride = number, found + 1, 0
                yield tuple(row)
            if found == 0:
                return
        except _UNREADABLE:
            skipped = 1 << stride
            damage.append(skipped if stride == 0 else 0)
            last, stride = last + skipped, stride + 1


def _both_ends(old: Database, table: str, names: str, damage: list[int]) -> Iterator[Row]:
    """Rows in the order of the key from the front until damage, then from the back until damage."""
    keys = [row[0] for row in old.execute(f"SELECT name FROM pragma_table_info('{table}') WHERE pk ORDER BY pk")]
    for direction in ("ASC", "DESC"):
        order = ", ".join(f'"{key}" {direction}' for key in keys)
        try:
            yield from old.execute(f"SELECT {names} FROM {table} ORDER BY {order}")
        except _UNREADABLE:
            damage.append(0)
        else:
            return


def _nothing(_row: Row) -> None:
    """Any row of the right types will do."""


def check_of(table: str) -> Callable[[Row], None]:
    """What a row must survive so that nobody stumbles over it later."""
    if table == "cursor":
        return lambda row: _holes(row[3])
    if table == "counter":
        return _counter
    if table in _SKETCHES:
        return partial(_sketches, _SKETCHES[table])
    if table == "alert":
        return lambda row: _labels(row[2])
    if table not in KINDS:
        return _nothing
    kind = next(one for one in KINDS if one == table)
    stamps = OWN_COLUMNS.index("_stamps")
    readers = [
        (position, DECODERS[field.type])
        for position, field in enumerate(FIELDS[kind], len(OWN_COLUMNS))
        if field.type in ("json", "uuid")
    ]

    def check(row: Row) -> None:
        decode_stamps(kind, row[stamps])
        for position, read in readers:
            if row[position] is not None:
                read(row[position])

    return check


def _holes(packed: bytes) -> None:
    runs = msgspec.msgpack.decode(packed, type=list[int])
    if sum(runs[1::2]) > 1_000_000:
        raise ValueError("more holes than a signal can have")
    decode_holes(packed)


def _sketches(bins: _Bins, row: Row) -> None:
    for packed in row[-len(MEASURES) :]:
        bins(packed)


def _labels(text: str) -> None:
    msgspec.json.decode(text, type=dict[str, str])


def _counter(row: Row) -> None:
    if not 0 <= row[1] < 1 << 53:
        raise ValueError("a counter out of bounds")
