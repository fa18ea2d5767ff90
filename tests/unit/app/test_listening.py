"""Since when webhooks are listened to, over restarts and gaps."""

from headgate.app.listening import Listening
from headgate.core.clock import ManualClock
from headgate.core.times import HOUR_MS, MINUTE_MS
from headgate.store import MemoryStore

NOW = 1_795_000_000_000


async def test_a_gap_begins_a_new_stretch_and_a_restart_does_not():
    """Before the first time, and after a longer gap, it is listened to since now."""
    clock = ManualClock(NOW)
    store = MemoryStore(clock=clock)
    await store.open()

    def started():
        return Listening(store, clock, {"heard": "https://ci.example.com"})

    assert await started().since("heard") == NOW
    await started().beat()
    clock.advance(5 * 60)
    assert await started().since("heard") == NOW
    await started().beat()
    clock.advance(3600)
    assert await started().since("heard") == NOW + 5 * MINUTE_MS + HOUR_MS
    await started().beat()
    clock.advance(60)
    assert await started().since("heard") == NOW + 5 * MINUTE_MS + HOUR_MS
