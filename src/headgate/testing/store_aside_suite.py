"""What every store must do with deliveries that are set aside, and with facts whose release goes wrong or is orphaned.

Part of `headgate.testing.store_suite.StoreSuite`.
"""

from __future__ import annotations

from headgate.core.release import ReleasePolicy
from headgate.core.storeport import NO_SOURCE, AlertChange, MergeWork, Store
from headgate.testing.store_data import DAY, JOB, NOW, delivery, job, merge, workflow

__all__ = ["AsideSuite"]

_WAITS = ReleasePolicy("batch", 60_000)


async def _ids(store: Store) -> list[int]:
    return [row.id for row in await store.inbox(100)]


class AsideSuite:
    """Deliveries without a source, dead ones, and facts of a source that is gone."""

    async def _park(self, store: Store, n: int) -> None:
        await store.accept([delivery(number) for number in range(n)])
        assert await store.park_inbox(await _ids(store), now_ms=NOW) == n

    async def test_parked_deliveries_are_in_nobodys_way(self, store: Store) -> None:
        """Out of the inbox and not dead, counted by source; what comes later is read as if they were not there."""
        await self._park(store, 2)
        await store.accept([delivery(7)])
        assert await _ids(store) == [3]
        figures = await store.figures()
        assert (figures.inbox_waiting, figures.inbox_dead, dict(figures.inbox_parked)) == (1, 0, {"ci": 2})
        assert [(row.id, row.reason) for row in await store.inbox_dead(9)] == [(2, NO_SOURCE), (1, NO_SOURCE)]
        assert await store.park_inbox([1, 2, 99], now_ms=NOW) == 0

    async def test_deliveries_set_aside_are_read_in_pages(self, store: Store) -> None:
        """Newest first, those before a number, or these alone; what waits is not among them."""
        await self._park(store, 7)
        await store.accept([delivery(8)])

        async def read(limit: int, *ids: int, before: int | None = None) -> list[int]:
            return [row.id for row in await store.inbox_dead(limit, ids=ids, before=before)]

        assert (await read(3), await read(3, before=5), await read(9, before=2)) == ([7, 6, 5], [4, 3, 2], [1])
        assert (await read(9, before=1), await read(9, 2, 5, 8, 99), await read(9, 2, 5, before=5)) == ([], [5, 2], [2])

    async def test_deliveries_set_aside_are_merged_again(self, store: Store) -> None:
        """Dead or parked, they wait again under new numbers, with their bytes; what is not set aside stays."""
        await self._park(store, 1)
        await store.accept([delivery(5), delivery(6)])
        await merge(store, inbox_dead=[(2, "not_json")])
        assert list(await store.inbox_dead_ids(limit=9)) == [1, 2]
        assert list(await store.inbox_dead_ids(after=1, limit=9)) == [2]
        assert list(await store.inbox_dead_ids(source="ci", reason=NO_SOURCE, limit=9)) == [1]
        assert list(await store.inbox_dead_ids(source="other", limit=9)) == []
        assert await store.requeue_inbox([2, 1, 3, 99]) == 2
        again = await store.inbox(100)
        assert [(row.id, row.delivery) for row in again] == [(3, delivery(6)), (4, delivery(5)), (5, delivery(0))]
        figures = await store.figures()
        assert (figures.inbox_waiting, figures.inbox_dead, dict(figures.inbox_parked)) == (3, 0, {})
        await merge(store, inbox_done=[3, 4, 5])
        assert (await store.figures()).inbox_waiting == 0

    async def test_deliveries_given_up_are_counted(self, store: Store) -> None:
        """A gap row for each source, and figures that still add up."""
        await store.accept([delivery(number) for number in range(3)])
        await store.park_inbox([2, 3], now_ms=NOW)
        assert await store.purge_inbox([1, 2, 3]) == 2
        (gap,) = await store.gaps(9)
        assert (gap.count, gap.reason) == (2, "deliveries: of source ci, purged")
        figures = await store.figures()
        assert (figures.inbox_waiting, figures.inbox_dead, dict(figures.inbox_parked)) == (1, 0, {})
        assert await _ids(store) == [1]
        await store.accept([delivery(9)])
        assert await _ids(store) == [1, 4]

    async def test_parked_deliveries_go_by_their_own_retention(self, store: Store) -> None:
        """Not with merged or dead ones; when space is short the ladder lets them go, with a gap row."""
        await self._park(store, 2)
        deleted = await store.trim({"inbox": 1, "inbox_dead": 1}, now_ms=NOW + DAY)
        assert (dict(deleted), len(await store.inbox_dead(9))) == ({"inbox": 0, "inbox_dead": 0}, 2)
        assert dict(await store.trim({"inbox_parked": 2 * DAY}, now_ms=NOW + DAY)) == {"inbox_parked": 0}
        assert dict(await store.trim({"inbox_parked": 1}, now_ms=NOW + DAY)) == {"inbox_parked": 2}
        (gap,) = await store.gaps(9)
        assert (gap.count, gap.reason) == (2, "deliveries: of source ci, which was not configured")
        assert dict((await store.figures()).inbox_parked) == {}

    async def test_sources_with_waiting_facts_are_known(self, store: Store) -> None:
        """So that what a removed source left is released when its time has come."""
        assert list(await store.due_sources()) == []
        await store.merge_and_release(MergeWork("old", [workflow()], _WAITS, NOW, 0))
        await merge(store, job(), policy=_WAITS)
        assert list(await store.due_sources()) == ["ci", "old"]
        policy = ReleasePolicy("none")
        result = await store.release_due(policy, "old", now_ms=NOW + 60_000, live_after_ms=0)
        assert dict(result.released) == {("workflow", "live"): 1}
        assert list(await store.due_sources()) == ["ci"]

    async def test_parts_reach_from_when_to_when(self, store: Store) -> None:
        """By the end of runs, the arrival of webhooks, the time of lines; what is empty has no times."""
        empty = {one.part: (one.oldest_ms, one.newest_ms) for one in await store.parts()}
        assert set(empty.values()) == {(None, None)}
        await store.accept([delivery(1), delivery(2)])
        await merge(store, workflow(stopped_at=NOW - DAY), workflow(key=JOB, stopped_at=NOW - 5))
        await store.transition(AlertChange(history=[("f", 7, b"{}"), ("f", 9, b"{}")]))
        spans = {one.part: (one.oldest_ms, one.newest_ms) for one in await store.parts()}
        arrived = delivery(1).arrived_ms, delivery(2).arrived_ms
        assert ((NOW - DAY, NOW - 5), (7, 9), arrived) == (spans["facts"], spans["alerts"], spans["inbox"])
        assert spans["dead_letters"] == (None, None)
