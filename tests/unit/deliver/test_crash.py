"""A process that dies at any await point loses nothing and repeats only what was not recorded."""

from __future__ import annotations

import asyncio

from tests.unit.deliver.driving import make_engine, running, until_drained
from tests.unit.deliver.fakes import FakeSink, FakeStore, ScriptedSignal, VirtualLoop, entry, unavailable

from headgate.core.errors import BatchRejected, StoreFailed
from headgate.core.ports import Limits
from headgate.core.verdicts import Reject, SendResult

RECORDS = 60
POISON = 23


def script(batch, call):
    """Sometimes away, sometimes partial, never takes number 23."""
    if call % 5 == 2:
        raise unavailable()
    if any(one.seq == POISON for one in batch):
        raise BatchRejected("no", status=400, reason="refused")
    if call % 5 == 4:
        return SendResult(rejected={}, retry=frozenset({len(batch) - 1}))
    if batch[0].seq == 41:
        return SendResult(rejected={0: Reject("mapper", 400)})
    return None


def make_store():
    """Two lanes, several records a key."""
    return FakeStore(
        live=[entry(seq, key=seq // 3) for seq in range(1, RECORDS + 1)],
        backfill=[entry(seq, lane="backfill", key=1000 + seq) for seq in range(1, 11)],
    )


class CountingLoop(VirtualLoop):
    """Dies at the given iteration: the callback is called and the store is dead."""

    def __init__(self):
        super().__init__()
        self.left = -1
        self.die = lambda: None

    def _run_once(self):
        if self.left == 0:
            self.die()
        self.left -= 1
        super()._run_once()


def recorded(store, lane, signal):
    """Records that the store knows to be settled."""
    acked, holes = store.cursor.get((signal, lane), (0, ()))
    return {one.record_id for one in store.log[lane] if one.seq <= acked or one.seq in holes}


def one_life(store, signal, *, dies_at):
    """Run until drained or dead; returns the virtual time of death, None when it lived."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        dead_at = []

        async def live():
            engine = make_engine(store, FakeSink("a", signal))
            async with running(engine):
                await until_drained(engine)

        def die():
            dead_at.append(loop.now)
            store.before = dead
            task.cancel()

        def dead(unit, argument):
            raise StoreFailed("the process is dead")

        loop.die, loop.left = die, dies_at
        task = loop.create_task(live())
        try:
            loop.run_until_complete(task)
        except (asyncio.CancelledError, BaseExceptionGroup, StoreFailed):
            if not dead_at:
                raise
        return dead_at[0] if dead_at else None


def test_death_at_every_await_point():
    """For each iteration of the event loop: die there, start again, compare."""
    point, most_repeats = 0, 0
    while True:
        store, first, second = make_store(), ScriptedSignal(script=script), ScriptedSignal(script=script)
        first.limits = second.limits = Limits(max_records=8)
        died = one_life(store, first, dies_at=point)
        if died is None:
            break
        known = recorded(store, "live", "a.main") | recorded(store, "backfill", "a.main")
        in_doubt = {one: at for one, at in zip(first.ids, first.accepted_at, strict=True) if one not in known}
        assert all(died - at <= 0.25 for at in in_doubt.values()), point
        store.before = lambda unit, argument: None
        assert one_life(store, second, dies_at=-1) is None
        everything = {one.record_id for rows in store.log.values() for one in rows}
        dead = {one.record_id for _, one, _, _ in store.dead}
        assert everything == {*first.ids, *second.ids} | dead, point
        repeats = set(first.ids) & set(second.ids)
        assert repeats == set(in_doubt), point
        most_repeats = max(most_repeats, len(repeats))
        assert dead <= {f"live-{POISON}", "live-41"}
        assert len(second.ids) == len(set(second.ids))
        point += 1
    assert point > 100
    assert most_repeats > 10
