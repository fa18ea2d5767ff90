"""Running a fake vendor: inside a test in a thread of its own, or as a process.

Invariant: everything the event loop owns is touched on the event loop alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import pkgutil
import threading
from functools import cache
from time import time_ns as real_time_ns  # the fake judges ages; it must not borrow the product's clock
from typing import TYPE_CHECKING, Any, Self, TypeVar

from headgate.testing.sinks import vendors
from headgate.testing.sinks.answers import Script
from headgate.testing.sinks.ledger import ClockMs, Keep, Ledger
from headgate.testing.sinks.vendor import Fake, FrontDoor
from headgate.testing.sinks.wire import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")
START_SECONDS = 10.0  # for the thread to listen; a busy test machine needs a fraction of it


def real_clock_ms() -> int:
    """Return the wall clock as milliseconds since the epoch."""
    return real_time_ns() // 1_000_000


@cache
def fakes() -> dict[str, Fake]:
    """Return every fake by name: each module of `vendors` whose name has no leading underscore."""
    modules = (
        importlib.import_module(f"{vendors.__name__}.{info.name}")
        for info in pkgutil.iter_modules(vendors.__path__)
        if not info.name.startswith("_")
    )
    return {module.FAKE.name: module.FAKE for module in modules}


def front_door(
    name: str,
    *,
    keep: Keep | str = Keep.ALL,
    delay_ms: float = 0,
    seed: int = 0,
    clock_ms: ClockMs = real_clock_ms,
    **options: Any,
) -> FrontDoor:
    """Build a fake without a socket; `options` are the fields of its options class.

    `delay_ms` is added to every answer, `seed` drives the draws of an order's `rate`. Raises KeyError for
    an unknown name and TypeError for an unknown option.
    """
    fake = fakes()[name]
    ledger = Ledger(clock_ms, Keep(keep))
    vendor = fake.build(fake.options(**options), ledger)
    return FrontDoor(vendor, ledger, Script(name, seed), delay_ms / 1000)


class FakeVendor:
    """A fake vendor on a free port of loopback, for `with` or `start()` and `stop()`.

    Takes the arguments of `front_door`. All methods may be called from any thread while it runs.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self._door = front_door(name, **options)
        self._server = HttpServer(self._door)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"fake-{name}", daemon=True)

    @property
    def url(self) -> str:
        """The base address, without a trailing slash; valid after the start."""
        return f"http://127.0.0.1:{self._server.port}"

    def start(self) -> Self:
        """Listen; returns when requests are taken. Raises OSError when that fails."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(START_SECONDS)
        return self

    def stop(self) -> None:
        """Drop all connections and end the thread; may be called once."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stored(self) -> list[dict[str, Any]]:
        """Return what is stored, in order of arrival: the lines of `/_fake/stored`."""
        return self._call(lambda: [row.as_json() for row in self._door.ledger.rows()])

    def record_ids(self) -> list[str | None]:
        """Return the ids of what is stored, in order of arrival."""
        return self._call(lambda: [row.record_id for row in self._door.ledger.rows()])

    def requests(self) -> list[dict[str, Any]]:
        """Return the latest requests, oldest first: the lines of `/_fake/requests`."""
        return self._call(self._door.ledger.requests)

    def stats(self) -> dict[str, int]:
        """Return the counts of `/_fake/stats`."""
        return self._call(lambda: dataclasses.asdict(self._door.ledger.stats))

    def answer(self, *orders: dict[str, Any], **order: Any) -> None:
        """Replace the orders in force: keywords for one, dictionaries for several (see `Order`).

        No argument drops all orders. Raises ValueError for an order that makes no sense.
        """
        wanted = [*orders, order] if order else list(orders)
        self._call(lambda: self._door.script.put(wanted))

    def clear(self) -> None:
        """Forget orders, rows, requests and counts."""

        def forget() -> None:
            self._door.script.clear()
            self._door.ledger.clear()
            self._door.vendor.clear()

        self._call(forget)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, function: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(START_SECONDS)
