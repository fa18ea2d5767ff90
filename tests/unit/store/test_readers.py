"""Questions for which nobody waits any more are ended, and harm no other."""

from __future__ import annotations

import asyncio
import time

import apsw
import pytest

from headgate.core.errors import StoreError, TookTooLong
from headgate.core.patience import patience
from headgate.store.readers import Readers

# More steps than any machine does in minutes.
_ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT sum(i) FROM n"


@pytest.fixture
def readers(tmp_path):
    apsw.Connection(str(tmp_path / "a.db")).close()
    made = Readers(lambda: apsw.Connection(str(tmp_path / "a.db")), size=1)
    yield made
    made.close()


async def ask(readers, statement):
    return await readers.ask(lambda db: db.execute(statement).get)


async def test_a_question_is_ended_when_nobody_waits_for_it(readers):
    """Within a moment of its time; the thread and its connection go on with the next one."""
    began = time.monotonic()
    with pytest.raises(TookTooLong), patience(0.2):
        await ask(readers, _ENDLESS)
    assert 0.2 <= time.monotonic() - began < 5
    assert 7 == await ask(readers, "SELECT 7")


async def test_who_has_time_waits(readers):
    """Whoever said nothing is not bound by what another said, on the same thread."""
    with patience(0.05):
        assert 1 == await ask(readers, "SELECT 1")
    some = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2e6) SELECT count(*) FROM n"
    assert 2_000_000 == await ask(readers, some)


async def test_a_question_that_waits_for_others_too_long_is_not_begun(readers):
    """Its time is that of the whole answer, and the shortest holds."""
    asked = []
    with patience(0.1), patience(60):
        await asyncio.sleep(0.15)
        with pytest.raises(TookTooLong):
            await readers.ask(asked.append)
    assert [] == asked
    assert 1 == await ask(readers, "SELECT 1")


async def test_time_is_that_of_one_task(readers):
    """Of two that ask at once each waits as long as it said."""

    async def hurried():
        with patience(0.1):
            await ask(readers, _ENDLESS)

    results = await asyncio.gather(hurried(), ask(readers, "SELECT 2"), return_exceptions=True)
    assert isinstance(results[0], TookTooLong)
    assert 2 == results[1]
    readers.close()
    with pytest.raises(StoreError, match="closed"):
        await ask(readers, "SELECT 1")
