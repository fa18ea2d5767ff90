"""What is read of the inbox at once."""

from __future__ import annotations

from headgate.core.ports import Delivery
from headgate.store import SqliteStore
from headgate.testing.store_data import NOW

_MEGABYTE = 1024 * 1024


async def test_large_webhooks_that_were_set_aside_are_read_by_few(store: SqliteStore) -> None:
    """Some megabytes at once, and all of them page by page, to the end."""
    large = [Delivery("ci", NOW, "x", "application/json", b" " * 3 * _MEGABYTE) for _ in range(7)]
    await store.accept(large)
    await store.park_inbox(range(1, 8), now_ms=NOW)
    sizes, seen, before = [], [], None
    while page := await store.inbox_dead(500, before=before):
        before = page[-1].id
        sizes.append(len(page))
        seen += [row.id for row in page]
    assert ([3, 3, 1], [7, 6, 5, 4, 3, 2, 1]) == (sizes, seen)
