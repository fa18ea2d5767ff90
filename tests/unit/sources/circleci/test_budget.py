"""The request budget: never exceeded over any window, obedient to the server, cancellable."""

import asyncio
import gc
import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.clock import ManualClock
from headgate.sources.circleci.budget import MAX_PAUSE_SECONDS, Budget, shared_budget
from headgate.sources.circleci.limits import RateHint


def _budget(per_second=10.0, burst=20, clock=None):
    clock = clock or ManualClock()

    async def sleep(seconds):
        clock.advance(seconds)
        await asyncio.sleep(0)

    return Budget(per_second, burst, clock=clock, sleep=sleep), clock


class _User:
    """Whoever shares a budget."""


def _ignore(reason, seconds):
    """Nobody counts."""


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.just(0.0)),
        st.tuples(st.just("pass"), st.floats(0, 5)),
        st.tuples(st.just("pause"), st.floats(0, 10)),
        st.tuples(st.just("slower"), st.floats(0.5, 50)),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(rate=st.floats(0.5, 50), burst=st.integers(1, 20), steps=_STEPS)
def test_no_window_holds_more_calls_than_the_budget(rate, burst, steps):
    """In every window of T seconds at most burst + rate * T calls pass, whatever happens in between."""
    budget, clock = _budget(rate, burst)
    calls = []

    async def run():
        for step, value in steps:
            if step == "call":
                await budget.acquire(_ignore)
                calls.append(clock.monotonic())
            elif step == "pass":
                clock.advance(value)
            elif step == "pause":
                budget.pause(value, "retry_after")
            else:
                budget.obey(RateHint(per_second=value))

    asyncio.run(run())
    for first, start in enumerate(calls):
        for last in range(first, len(calls)):
            assert last - first + 1 <= burst + rate * (calls[last] - start) + 1e-6


_ASKERS = st.lists(
    st.tuples(st.floats(0, 20), st.booleans(), st.one_of(st.none(), st.floats(0, 5))),  # when, patient, given up after
    min_size=1,
    max_size=60,
)


class _Alarms:
    """Sleeping without waiting: the clock goes to the next alarm when nobody has anything left to do."""

    def __init__(self, clock):
        self._clock, self._alarms, self._count = clock, [], 0

    async def sleep(self, seconds):
        """Until the clock was moved so far."""
        waiting = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._alarms, (self._clock.monotonic() + seconds, self._count, waiting))
        await waiting

    async def run(self, *tasks):
        """Until all tasks have ended."""
        while not all(task.done() for task in tasks):
            for _ in range(12):
                await asyncio.sleep(0)
            if self._alarms:
                at, _, waiting = heapq.heappop(self._alarms)
                self._clock.advance(max(0.0, at - self._clock.monotonic()))
                if not waiting.done():
                    waiting.set_result(None)


@settings(max_examples=60, deadline=None)
@given(rate=st.floats(0.5, 50), burst=st.integers(1, 20), askers=_ASKERS)
def test_no_window_holds_more_whoever_asks_and_gives_up(rate, burst, askers):
    """Urgent and patient callers at once, some canceled: the bound holds, and nobody waits for ever."""
    clock, calls, passed = ManualClock(), [], set()
    alarms = _Alarms(clock)

    async def ask(budget, number, at, patient):
        await alarms.sleep(at)
        await budget.acquire(_ignore, patient=patient)
        calls.append(clock.monotonic())
        passed.add(number)

    async def give_up(task, at):
        await alarms.sleep(at)
        task.cancel()

    async def run():
        budget = Budget(rate, burst, clock=clock, sleep=alarms.sleep)
        tasks = []
        for number, (at, patient, gone) in enumerate(askers):
            task = asyncio.create_task(ask(budget, number, at, patient))
            tasks.append(task)
            if gone is not None:
                tasks.append(asyncio.create_task(give_up(task, at + gone)))
        await alarms.run(*tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    assert {number for number, (_, _, gone) in enumerate(askers) if gone is None} <= passed
    for first, start in enumerate(calls):
        for last in range(first, len(calls)):
            assert last - first + 1 <= burst + rate * (calls[last] - start) + 1e-6


async def test_many_askers_share_it_in_order():
    """Tasks that ask at once pass in their order, and the whole takes as long as the rate says."""
    budget, clock = _budget(per_second=2, burst=1)
    passed = []

    async def ask(number):
        await budget.acquire(_ignore)
        passed.append((number, clock.monotonic()))

    await asyncio.gather(*(ask(number) for number in range(5)))
    assert [(number, pytest.approx(number / 2)) for number in range(5)] == passed


async def test_canceled_asker_costs_nothing():
    """A call that is given up while it waits takes no token and blocks nobody."""
    clock = ManualClock()
    asleep = asyncio.Event()

    async def sleep(seconds):
        asleep.set()
        await asyncio.get_running_loop().create_future()

    budget = Budget(1, 1, clock=clock, sleep=sleep)
    await budget.acquire(_ignore)
    waiting = asyncio.create_task(budget.acquire(_ignore))
    await asleep.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    clock.advance(1)
    await asyncio.wait_for(budget.acquire(_ignore), 1)
    assert budget.left() == 0


async def test_waits_are_told_with_their_reason():
    """Whoever waits learns why and how long."""
    budget, _ = _budget(per_second=4, burst=1)
    told = []
    await budget.acquire(lambda *wait: told.append(wait))
    await budget.acquire(lambda *wait: told.append(wait))
    budget.pause(3, "retry_after")
    await budget.acquire(lambda *wait: told.append(wait))
    assert [("budget", pytest.approx(0.25)), ("retry_after", pytest.approx(3))] == told


def test_pause_is_bounded_and_never_shortened():
    """An absurd Retry-After holds us a quarter of an hour at most; a shorter one later does not end it."""
    budget, clock = _budget()
    budget.pause(10**9, "retry_after")
    budget.pause(1, "retry_after")
    clock.advance(MAX_PAUSE_SECONDS - 1)
    assert budget.left() == 0
    clock.advance(2)
    assert budget.left() == 20


def test_nothing_left_means_waiting_for_the_reset():
    """`remaining: 0` with a reset holds everything; with calls left, nothing happens."""
    budget, clock = _budget()
    budget.obey(RateHint(remaining=3, reset_seconds=50))
    assert budget.left() == 20
    budget.obey(RateHint(remaining=0, reset_seconds=5))
    assert budget.left() == 0
    clock.advance(5)
    assert budget.left() == 20


def test_server_rate_lowers_ours_and_never_raises_it():
    """The lower of the two rules."""
    budget, _ = _budget(per_second=10)
    budget.obey(RateHint(per_second=2))
    assert budget.rate == 2
    budget.obey(RateHint(per_second=150))
    assert budget.rate == 10


def test_same_token_and_host_share_one_budget():
    """Two sources with one token share its budget, the lower settings rule; another token or host has its own."""
    clock = ManualClock()
    users = [_User(), _User()]
    one = shared_budget("t", "https://circleci.com", 10, 20, clock=clock)
    one.join(users[0], 10, 20)
    two = shared_budget("t", "https://circleci.com", 5, 50, clock=clock)
    two.join(users[1], 5, 50)
    assert one is two
    assert (one.rate, one.left()) == (5, 20)
    assert shared_budget("u", "https://circleci.com", 10, 20, clock=clock) is not one
    assert shared_budget("t", "https://ci.example", 10, 20, clock=clock) is not one


def test_a_budget_is_that_of_the_users_who_are_left():
    """Who leaves, or is forgotten, holds nobody; a higher burst fills at the rate, and never at once."""
    budget, clock = _budget(10, 20)
    first, second, third = (_User() for _ in range(3))
    budget.join(first, 10, 20)
    budget.join(second, 50, 100)
    budget.join(third, 1, 5)
    assert (budget.rate, budget.left()) == (1, 5)
    del third
    gc.collect()
    assert (budget.left(), budget.rate) == (5, 10)
    budget.leave(first)
    budget.leave(first)
    assert (budget.left(), budget.rate) == (5, 50)
    clock.advance(1)
    assert budget.left() == 55
    clock.advance(10)
    assert budget.left() == 100
    budget.leave(second)
    assert (budget.left(), budget.rate) == (100, 50)
