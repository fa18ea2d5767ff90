"""When the store is trimmed and adds up: soon at first and after history, then seldom."""

import asyncio

import pytest

from headgate.app.trimming import Pace, keep_trimmed
from headgate.core.clock import ManualClock

LOOKS = 60  # half an hour


def trimmings(history=(), tight=(), reading=()):
    """Seconds since the start at which a trimming is due; `history`: looks at which some had been read anew.

    `reading`: looks at which it was being read.
    """
    pace, found, read = Pace(), [], 0
    for look in range(1, LOOKS + 1):
        read += look in history
        if pace.due(read, reading=look in reading, tight=look in tight):
            found.append(30 * look)
    return found


def test_what_is_there_at_the_start_is_added_up_at_once_and_then_ever_more_seldom():
    """At last every ten minutes."""
    assert [30, 90, 210, 450, 930, 1530] == trimmings()


def test_history_is_added_up_as_soon_as_it_was_read():
    """And soon again, as details of it come later."""
    assert [30, 90, 210, 450, 930, 1200, 1230, 1290, 1410, 1650] == trimmings(history={40})


def test_history_is_not_added_up_while_it_is_read():
    """That would be for nothing; but after ten minutes it is, since it may be long."""
    assert [120, 150, 210, 330, 570] == trimmings(history={4}, reading={1, 2, 3})[:5]
    assert [600, 1200, 1290] == trimmings(history={43}, reading=range(1, 43))[:3]


def test_short_space_does_not_wait():
    """Each look trims."""
    assert {600, 630, 660} < set(trimmings(tight={20, 21, 22}))


class Store:
    """Says what it was asked."""

    def __init__(self, level):
        self.level, self.asked = level, []

    def space_level(self):
        return self.level

    async def trim(self, retention, *, now_ms):
        self.asked.append((retention, now_ms))
        return {"log": 1}


@pytest.mark.parametrize(("level", "tight"), [("warn", False), ("tight", True)])
async def test_the_store_is_told_what_to_keep(level, tight):
    """As configured at that time, and less of it while space is short."""
    store, slept = Store(level), []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) > 1:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_trimmed(
            store, lambda short: {"log": int(short)}, lambda: (0, False), clock=ManualClock(5), sleep=sleep
        )
    assert [({"log": int(tight)}, 5)] == store.asked
