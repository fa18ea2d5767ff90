"""Skipped records are noted in few rows, however long an outage was, and never in more than so many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.core.storeport import Skip
from headgate.store import skips
from headgate.store.schema import migrate
from headgate.store.skips import note, skipped_as
from headgate.store.sql import Database

OLD = "too_old"


@pytest.fixture
def db() -> Iterator[Database]:
    """The tables of a store."""
    made = Database(":memory:")
    migrate(made)
    yield made
    made.close()


def stretches(db: Database) -> list[tuple[int, int]]:
    """What is noted of signal a."""
    return list(db.execute("SELECT first, last FROM skip WHERE signal = 'a' ORDER BY first"))


def test_what_follows_makes_a_stretch_longer(db: Database) -> None:
    """Told in pieces, or told again: one row; another signal, lane or reason is apart."""
    for first, last in ((1, 5), (6, 9), (6, 9), (4, 10)):
        note(db, "a", 0, [Skip(first, last, OLD)])
    assert stretches(db) == [(1, 10)]
    note(db, "a", 0, [Skip(11, 11, "another"), Skip(13, 13, OLD)])
    note(db, "b", 0, [Skip(12, 12, OLD)])
    note(db, "a", 1, [Skip(12, 12, OLD)])
    found = [skipped_as(db, "a", 0, seq) for seq in (0, 1, 10, 11, 12, 13, 14)]
    assert found == [None, OLD, OLD, "another", None, OLD, None]


def test_the_oldest_are_forgotten(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scattered skips take no more room than so many stretches."""
    monkeypatch.setattr(skips, "MAX_STRETCHES", 3)
    note(db, "a", 0, [Skip(seq, seq, OLD) for seq in range(1, 20, 2)])
    assert stretches(db) == [(15, 15), (17, 17), (19, 19)]
