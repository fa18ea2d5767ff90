"""What alerts did, as their history tells it."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.insights.world import NOW, sqlite

from headgate.core.clock import ManualClock
from headgate.core.storeport import AlertChange
from headgate.insights.views.alertlines import history
from headgate.store import MemoryStore

LINE = {
    "who": "headgate",
    "rule": "Slow",
    "labels": {"project": "p"},
    "from": "pending",
    "to": "firing",
    "why": "breach",
}


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    made = MemoryStore(clock=ManualClock(NOW)) if request.param == "memory" else sqlite(tmp_path)
    await made.open()
    yield made
    await made.close()


async def tell(store, *lines):
    """In the order in which they happened."""
    await store.transition(AlertChange(history=lines))


def line(**more):
    return msgspec.json.encode(LINE | more)


async def test_lines_are_read_newest_first(store):
    """By rule where one is asked for."""
    await tell(store, ("a", 1, line()), ("b", 3, line(rule="Red", told=["pager"], value=0.5, later=1)))
    newest, oldest = await history(store)
    assert (3, "Red", "pending", "firing", ("pager",), 0.5) == (
        newest.occurred_ms,
        newest.rule,
        newest.was,
        newest.became,
        newest.told,
        newest.value,
    )
    assert [oldest] == await history(store, "Slow")


@pytest.mark.parametrize("others", [150, 999, 1000, 2500])
async def test_lines_of_a_rule_are_found_behind_any_number_of_others(store, others):
    """And no more of it than are shown of all."""
    await tell(store, *(("a", at, line()) for at in range(3)))
    await tell(store, *(("b", 3 + at, line(rule="Loud")) for at in range(others)), ("c", 9_000, b"{oh"))
    assert [2, 1, 0] == [one.occurred_ms for one in await history(store, "Slow")]
    assert (100, 100) == (len(await history(store, "Loud")), len(await history(store)))
    assert [] == await history(store, "None")


async def test_a_line_that_cannot_be_read_is_shown_as_it_is(store):
    """Another version wrote it."""
    await tell(store, ("a", 1, b"{oh"))
    [one] = await history(store)
    assert ("{oh", "a") == (one.why, one.fingerprint)
