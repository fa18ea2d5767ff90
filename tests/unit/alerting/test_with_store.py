"""The engine over SQLite: the same rows, history and messages as over the dictionary of the other tests."""

from tests.unit.alerting.fake_store import ASKED
from tests.unit.alerting.world import World

from headgate.core.metrics import NullMetrics
from headgate.store.sqlite import SqliteStore


class WithRuns:
    """A real store for alerts, with the runs of a fake one."""

    def __init__(self, store, runs) -> None:
        self._store, self._runs = store, runs

    def __getattr__(self, name):
        return getattr(self._runs if name in ASKED else self._store, name)


async def play(world: World, fake_store) -> None:
    """A drop and its end, with a new engine before every pass."""
    for status, count in (("success", 60), ("failure", 60), ("success", 180)):
        for _ in range(count // 5):
            engine_store, world.store = world.store, fake_store
            await world.pass_time(5, status)
            world.store = engine_store
            world.engine = world.started()


async def test_a_real_store_keeps_what_the_engine_says(tmp_path):
    """Alerts, history, outbox and records read back as they were given, over a restart at every pass."""
    wanted = World()
    await play(wanted, wanted.store)
    world = World()
    fake = world.store
    real = SqliteStore(tmp_path / "h.db", clock=world.clock, metrics=NullMetrics())
    await real.open()
    try:
        world.store = WithRuns(real, fake)
        world.engine = world.started()
        await play(world, fake)
        assert {row.fingerprint: row for row in await real.alerts()} == wanted.store.rows
        due = await real.outbox_due(now_ms=world.clock.now_ms(), limit=10)
        assert [row.payload for row in due] == list(wanted.store.outbox.values())
        assert list(reversed(await real.alert_history(None, 100))) == wanted.store.history
        assert [entry.record_id for entry in await real.tail({}, 10)] == list(wanted.store.records)
    finally:
        await real.close()
