"""What an older store holds is found again after its tables were rearranged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from headgate.store.delivery import read_log
from headgate.store.releases import block_of, with_record_id
from headgate.store.schema import migrate
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
