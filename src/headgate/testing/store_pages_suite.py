"""The part of the store's contract about lists that are read whole, page by page: dead letters, history, records."""

from __future__ import annotations

from headgate.core.ports import Lane
from headgate.core.storeport import AlertChange, Outcomes, Store
from headgate.core.verdicts import Reject
from headgate.testing.store_data import DAY, LOGS, NOW, merge, pipeline, read, workflow

__all__ = ["PagesSuite"]


def _key(number: int) -> str:
    return f"33333333-3333-4333-8333-{number:012d}"


class PagesSuite:
    """Pages that follow one another give everything once."""

    async def test_dead_letters_are_read_page_by_page(self, store: Store) -> None:
        """Newest first; the next page begins before the last number of the one before."""
        await store.open_signals([LOGS], now_ms=NOW)
        await merge(store, pipeline())
        for number in range(5):
            await merge(store, workflow(_key(number)))
        entries = await read(store)
        dead = [(entry, Reject("bad"), 1) for entry in entries]
        await store.record_outcomes([Outcomes(LOGS.key, "live", 5, dead=dead, at_ms=NOW)])
        first = await store.dead_letters(limit=3)
        second = await store.dead_letters(before=first[-1].id, limit=3)
        assert [letter.id for letter in [*first, *second]] == [5, 4, 3, 2, 1]
        assert list(await store.dead_letters(before=1)) == []

    async def test_history_of_alerts_is_read_page_by_page(self, store: Store) -> None:
        """Of a time range, newest first, with numbers that grow."""
        lines = [(f"f{number}", NOW + number, b"%d" % number) for number in range(6)]
        await store.transition(AlertChange(history=lines))
        first = await store.alert_lines(NOW + 1, NOW + 5, limit=3)
        second = await store.alert_lines(NOW + 1, NOW + 5, before=first[-1][0], limit=3)
        assert [line[1:] for line in [*first, *second]] == lines[4:0:-1]
        assert list(await store.alert_lines(NOW + 6, NOW + 9, limit=3)) == []

    async def test_records_of_a_time_are_read_page_by_page(self, store: Store) -> None:
        """Live ones first, then those of history, each as it is in the log; others are not there."""
        await merge(store, pipeline())
        for number in range(4):
            await merge(store, workflow(_key(number), stopped_at=NOW + number))
        old = workflow(_key(9), stopped_at=NOW + 1)
        await merge(store, old, live_after=NOW + DAY)
        await merge(store, workflow(_key(10), stopped_at=NOW + 50))
        found: list[tuple[Lane, int, int]] = []
        after: tuple[Lane, int] | None = None
        while page := await store.records_between(NOW + 1, NOW + 50, after=after, limit=2):
            found += [(entry.lane, entry.seq, entry.occurred_ms) for entry in page]
            after = (page[-1].lane, page[-1].seq)
        expected = [("live", 2, NOW + 1), ("live", 3, NOW + 2), ("live", 4, NOW + 3), ("backfill", 1, NOW + 1)]
        assert expected == found
