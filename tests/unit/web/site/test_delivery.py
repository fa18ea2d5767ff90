"""The page of delivery: what was set aside is there however much came after it."""

from __future__ import annotations

import pytest
from tests.unit.web.site.test_files_of_pages import Files

from headgate.app.operations import StoreOperations
from headgate.core.clock import ManualClock
from headgate.testing.store_data import NOW, delivery


@pytest.fixture
async def bench():
    made = Files()
    await made.store.open()
    async with made.http:
        yield made


async def test_a_webhook_is_found_among_any_number(bench):
    """By its number, while it is there; the file has all of them."""
    store = bench.store
    await store.accept([delivery(number) for number in range(1_500)])
    await store.park_inbox([row.id for row in await store.inbox(2_000)], now_ms=NOW)
    bench.answers.dead_deliveries = StoreOperations(store, ManualClock(NOW)).dead_deliveries
    page = await bench.text("/delivery/webhook/1")
    assert "Webhook 1" in page
    assert "no_source" in page
    assert "404 It is not here any more no webhook 1501 is set aside" in await bench.text("/delivery/webhook/1501", 404)
    _, files = await bench.page("/delivery")
    assert list(range(1_500, 0, -1)) == [one["id"] for one in files["Webhooks set aside"]]
