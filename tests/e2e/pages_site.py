"""The pages on a port of their own, over a store of a made-up history with hostile names, for tests in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from tests.e2e.hostile import hostile
from tests.unit.insights import world
from tests.unit.web.test_api import Answers, Health

from headgate.app.servers import Listener, Server, bind, url_of
from headgate.app.telemetry import Telemetry
from headgate.core.clock import SystemClock
from headgate.core.merge import Observation
from headgate.core.storeport import Store
from headgate.insights.owners import Owners
from headgate.insights.views.lens import Lens
from headgate.store import SqliteStore
from headgate.web.access.gate import Gate
from headgate.web.access.grants import OPEN, Access
from headgate.web.access.login import add_login
from headgate.web.api import build_app
from headgate.web.exports import add_exports
from headgate.web.guard import Guard
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages
from headgate.web.operations import Operations
from headgate.web.site.routes import add_pages


async def quiet(_store: SqliteStore) -> Operations:
    """Operations that know nothing but names."""
    return Answers()


class PagesSite:
    """Use as a context; `address` is where it answers. `runs`: of the made-up history; `access`: who may come in.

    `owners`: whose projects are; `prepare`: adds to the store and makes the operations.
    """

    def __init__(
        self,
        folder: Path,
        *,
        runs: int = 400,
        odd: bool = True,
        access: Access = OPEN,
        owners: Owners | None = None,
        prepare: Callable[[SqliteStore], Awaitable[Operations]] = quiet,
    ) -> None:
        self._prepare, self._owners = prepare, owners or Owners()
        self.folder = folder
        self.gate = Gate(SystemClock(), access)
        self.address = ""
        self._told = [*world.World(runs).told(), *(hostile() if odd else ())] if runs else []
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._store: Store | None = None

    async def _run(self) -> None:
        store = world.sqlite(self.folder)
        await store.open()
        await world.tell(store, self._told)
        self._loop, self._store = asyncio.get_running_loop(), store
        telemetry, answers = Telemetry(), await self._prepare(store)
        app = build_app(answers, Health(), MetricPages(telemetry.page, lambda _: b""), version="0.0")

        def lens() -> Lens:
            return Lens(store, world.NOW, owners=self._owners)

        add_insights(app, lens)
        add_exports(app, answers, lens)
        add_pages(app, answers, lens, "0.0")
        add_login(app, self.gate, "0.0")
        socket = bind("127.0.0.1:0", "test")
        self.address = url_of(socket)
        self._server = Server(Guard(app, gate=self.gate), socket, Listener(lambda: None, lambda _: None, most=100))
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        self._started.set()
        await serving
        # Browsers leave connections open, on which an answer may wait to be read: the loop ends without them.
        for left in tuple(self._server._server.server_state.connections):
            left.transport.abort()
        await store.close()
        socket.close()

    def tell(self, *told: Observation) -> None:
        """Let the store learn something while the pages are looked at."""
        assert self._loop is not None
        assert self._store is not None
        asyncio.run_coroutine_threadsafe(world.tell(self._store, list(told)), self._loop).result(20)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.stop(force=True)
        self._thread.join(20)
