"""Outcomes of all signals, stored together."""

from __future__ import annotations

import asyncio

from tests.unit.deliver.fakes import LoopClock, run_virtual

from headgate.core.errors import StoreFull
from headgate.core.storeport import Outcomes
from headgate.deliver.outcomes import OutcomeWriter


class Source:
    """Has one accepted record for each `settle`."""

    def __init__(self, key):
        self.key = key
        self.waiting = 0
        self.acked = 0
        self.told = []

    def settle(self, writer):
        self.waiting += 1
        writer.mark(self)

    def take_outcomes(self, at_ms):
        count, self.waiting = self.waiting, 0
        self.acked += count
        return [Outcomes(self.key, "live", self.acked, accepted=count)] if count else []

    def outcomes_stored(self):
        self.told.append("stored")

    def outcomes_refused(self, error):
        self.told.append(type(error).__name__)


class Book:
    """A store that only records outcomes; `fail` may raise."""

    def __init__(self):
        self.commits = []
        self.fail = lambda outcomes: None

    async def record_outcomes(self, outcomes):
        await asyncio.sleep(0.01)
        self.fail(outcomes)
        self.commits.append((round(asyncio.get_running_loop().time(), 3), [(o.signal, o.accepted) for o in outcomes]))


def play(steps, **more):
    """Run a writer beside the steps; returns the book."""

    async def scenario():
        book = Book()
        writer = OutcomeWriter(book, LoopClock(), delay_seconds=0.2, **more)
        task = asyncio.create_task(writer.run())
        await steps(book, writer)
        await writer.halt(task)
        await writer.flush()
        return book

    return run_virtual(scenario())


def test_many_outcomes_are_one_transaction_within_the_delay():
    """Requests and signals share it."""

    async def steps(book, writer):
        one, two = Source("a"), Source("b")
        for _ in range(10):
            one.settle(writer)
            two.settle(writer)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert (one.told, two.told) == (["stored"], ["stored"])

    assert play(steps).commits == [(0.21, [("a", 10), ("b", 10)])]


def test_a_stop_never_stores_twice():
    """Halting waits for the transaction under way; what came after it is stored by the last flush."""

    async def steps(book, writer):
        source = Source("a")
        source.settle(writer)
        await asyncio.sleep(0.205)
        source.settle(writer)

    assert [what for _, what in play(steps).commits] == [[("a", 1)], [("a", 1)]]


def test_a_full_store_is_tried_again_and_blocks_meanwhile():
    """Outcomes are kept in order; whoever waits is told when it is over."""
    freed = []

    async def steps(book, writer):
        def fail(outcomes):
            if asyncio.get_running_loop().time() < 3:
                raise StoreFull("full")

        book.fail = fail
        source = Source("a")
        source.settle(writer)
        await asyncio.sleep(1)
        assert writer.blocked
        source.settle(writer)
        await asyncio.sleep(5)
        assert not writer.blocked
        assert source.told == ["stored"]

    assert [what for _, what in play(steps, on_unblocked=lambda: freed.append(1)).commits] == [[("a", 1), ("a", 1)]]
    assert freed == [1]


def test_one_bad_unit_does_not_keep_the_others():
    """The culprit is found and told; the rest is stored."""

    async def steps(book, writer):
        def fail(outcomes):
            if any(one.signal == "bad" for one in outcomes):
                raise KeyError("bad")

        book.fail = fail
        good, bad = Source("good"), Source("bad")
        good.settle(writer)
        bad.settle(writer)
        await asyncio.sleep(1)
        assert (good.told, bad.told) == (["stored"], ["KeyError"])

    assert [what for _, what in play(steps).commits] == [[("good", 1)]]
