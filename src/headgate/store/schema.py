"""The tables: how a connection is set up, how migrations are applied, how field values become columns and back.

Invariant: a migration that was released is never edited; the next one is added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec

from headgate.core.errors import StoreError
from headgate.core.facts import FIELDS, FactKind, FieldType, Value
from headgate.store import lanes, percents, sketches
from headgate.store.sql import Database
from headgate.store.upgrade import AFTER

__all__ = [
    "COLUMNS",
    "ENDS",
    "IN_KEYS",
    "KINDS",
    "KIND_NUMBER",
    "LANES",
    "OWN_COLUMNS",
    "decode_key",
    "encode_key",
    "keys_json",
    "migrate",
    "migrations",
    "quote",
    "set_up",
    "type_of",
]

KINDS: tuple[FactKind, ...] = tuple(FIELDS)
KIND_NUMBER: dict[FactKind, int] = {kind: number for number, kind in enumerate(KINDS)}
LANES: tuple[str, str] = ("live", "backfill")
# What the store keeps about each fact beside its fields, in the order of the table.
OWN_COLUMNS = (
    "_id",
    "_key",
    "_host",
    "_project",
    "_source",
    "_terminal",
    "_enriched",
    "_gone",
    "_released",
    "_due_ms",
    "_class",
    "_run",
    "_seen_ms",
    "_stamps",
)
COLUMNS: dict[FactKind, tuple[str, ...]] = {
    kind: (*OWN_COLUMNS, *(field.name for field in fields)) for kind, fields in FIELDS.items()
}
# Which column says when a fact ended; facts that never end go by when they were first seen.
ENDS: dict[FactKind, str] = {
    "pipeline": "created_at",
    "workflow": "stopped_at",
    "job": "stopped_at",
    "step": "stopped_at",
    "test_result": "stopped_at",
    "usage": "stopped_at",
    "platform_event": "occurred_at",
    "deployment": "stopped_at",
    "insight": "_seen_ms",
    "flaky_test": "_seen_ms",
    "audit": "_seen_ms",
}
_TYPES: dict[FactKind, dict[str, FieldType]] = {
    kind: {field.name: field.type for field in fields} for kind, fields in FIELDS.items()
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def type_of(kind: FactKind, field: str) -> FieldType:
    """The declared type of a field."""
    return _TYPES[kind][field]


def quote(name: str) -> str:
    """A column name as SQL writes it; names come from core.facts only."""
    return f'"{name}"'


@lru_cache(maxsize=16_384)
def encode_key(text: str) -> bytes | str:
    """A provider's id: 16 bytes if it is a UUID in canonical form, else the text itself."""
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else text


def decode_key(value: bytes | str) -> str:
    """What `encode_key` was given."""
    if isinstance(value, str):
        return value
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# What follows a column with keys of which some are wanted, bound as `keys_json`: variables would be too few for many.
IN_KEYS = "IN (SELECT CASE type WHEN 'array' THEN unhex(value ->> 0) ELSE value END FROM json_each(?))"


def keys_json(keys: Iterable[bytes | str]) -> str:
    """See `IN_KEYS`."""
    return _encode_json([[key.hex()] if isinstance(key, bytes) else key for key in keys])


_json = msgspec.json.Encoder()


def _encode_json(value: Any) -> str:
    return _json.encode(value).decode()


def _same(value: Any) -> Any:
    return value


# Dimensions are not here: only the session that knows their numbers can turn them into text.
ENCODERS: dict[FieldType, Callable[[Any], Any]] = {
    "text": _same,
    "uuid": encode_key,
    "int": _same,
    "real": float,
    "ms": _same,
    "bool": int,
    "json": _encode_json,
}
DECODERS: dict[FieldType, Callable[[Any], Value]] = {
    "text": _same,
    "uuid": decode_key,
    "int": _same,
    "real": _same,
    "ms": _same,
    "bool": bool,
    "json": msgspec.json.decode,
}


def set_up(db: Database, *, writer: bool) -> None:
    """Settings of every connection. Memory is bounded: 8 MB of cache for the writer, 2 MB for a reader, no mapping."""
    db.set_busy_timeout(5_000)
    db.execute("PRAGMA mmap_size=0")
    db.execute(f"PRAGMA cache_size={-8_000 if writer else -2_000}")
    db.execute("PRAGMA temp_store=MEMORY")
    if not writer:
        db.execute("PRAGMA query_only=1")
        return
    sketches.register(db)
    lanes.register(db)
    percents.register(db)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA journal_size_limit=67108864")
    db.execute("PRAGMA foreign_keys=OFF")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("PRAGMA analysis_limit=400")


def migrations() -> list[tuple[int, str]]:
    """Every migration: its number and its SQL, in order."""
    folder = resources.files("headgate.store") / "migrations"
    found = [
        (int(entry.name[:4]), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if re.fullmatch(r"\d{4}_\w+\.sql", entry.name)
    ]
    return sorted(found)


def _nothing(_db: Database) -> None:
    """Most migrations are SQL alone."""


def migrate(db: Database, upto: int | None = None) -> int:
    """Bring the file to the newest schema (or to `upto`), one transaction for each step; returns its version.

    Raises StoreError for a file that a newer Headgate wrote.
    """
    version = int(db.pragma("user_version"))
    steps = migrations()
    sketches.register(db)
    lanes.register(db)
    newest = steps[-1][0]
    if version > newest:
        raise StoreError(f"the store has schema {version}, this Headgate knows {newest}: install the newer version")
    for number, sql in steps:
        if version < number <= (upto or newest):
            db.execute("BEGIN IMMEDIATE")
            try:
                db.execute(sql)
                AFTER.get(number, _nothing)(db)
                db.execute(f"PRAGMA user_version={number}")
                db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (number,))
                db.execute("COMMIT")
            except BaseException:  # raised on; whatever it was, half a migration must not stay
                db.execute("ROLLBACK")
                raise
    return newest
