"""The pages on a port of their own, over a store of a made-up history with hostile names, for tests in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from tests.unit.insights import world
from tests.unit.web.test_api import Answers, Health

from headgate.app.servers import Listener, Server, bind, url_of
from headgate.app.telemetry import Telemetry
from headgate.core.clock import SystemClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.storeport import Store
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

EVIL = "<img src=x onerror=\"alert(1)\"><script>alert('x')</script>"
RIGHT_TO_LEFT = "ענף/תיקון"
LONG_BRANCH = "feature/" + "very-long-" * 29 + "x"
RUN = world.key(7, 1)
PROJECT = "gh/acme/web"
_REF = ProjectRef("circleci.com", PROJECT, "gh/acme", world.key(9, world.PROJECTS.index(PROJECT)))


class Quiet(Answers):
    """Operations of a daemon without hints; its alerts have hostile names too."""

    async def alerts(self) -> list[dict[str, Any]]:
        """One that fires."""
        more = {"fingerprint": "f", "started_at": None, "evaluated_at": None, "value": 0.5, "baseline": None, "n": 30}
        labels = {"project": PROJECT, "workflow": EVIL}
        base = {"state": "firing", "rule": EVIL, "labels": labels, "since": "2026-11-20T10:02:10.000Z"}
        return [base | more | {"first_bad": {"workflow_id": RUN}, "flags": ["late"], "told": True}]


async def quiet(_store: SqliteStore) -> Operations:
    """Operations that know nothing but names."""
    return Quiet()


def seen(kind: Any, key: str, fields: dict[str, Any]) -> Observation:
    """An observation about the project."""
    return Observation(kind, key, _REF, "v2", 3, terminal=True, fields=fields)


def hostile() -> list[Observation]:
    """A run whose every name was made by somebody who means harm, and two with odd branches."""
    created, minute = world.NOW - 3_600_000, 60_000
    found: list[Observation] = []
    for number, (name, branch) in enumerate([(EVIL, EVIL), ("build", LONG_BRANCH), ("build", RIGHT_TO_LEFT)], 1):
        words = {"author_login": EVIL, "author_name": EVIL, "commit_subject": EVIL, "ref_name": branch}
        place = {"number": 900 + number, "created_at": created, "trigger_type": EVIL, "revision": EVIL}
        times = {"created_at": created, "stopped_at": created + 10 * minute}
        pipeline = {"pipeline_id": world.key(8, number), "name": name, "status": "failed"}
        found.append(seen("pipeline", world.key(8, number), place | words))
        found.append(seen("workflow", world.key(7, number), times | pipeline))
    of = {"workflow_id": RUN, "created_at": created, "type": "build", "resource_class": EVIL, "executor": EVIL}
    first = {"queued_at": created, "started_at": created + minute, "stopped_at": created + 4 * minute}
    held = {"started_at": created + 4 * minute, "stopped_at": created + 6 * minute, "type": "approval"}
    last = {"queued_at": created + 6 * minute, "started_at": created + 7 * minute, "stopped_at": created + 10 * minute}
    jobs = [
        (EVIL, {**first, "status": "success", "number": 1, "requires": []}),
        ("hold", {**held, "status": "success", "requires": [world.key(6, 1)]}),
        ("deploy", {**last, "status": "failed", "number": 2, "requires": [world.key(6, 2)]}),
    ]
    found += [seen("job", world.key(6, at), {**of, "name": name, **more}) for at, (name, more) in enumerate(jobs, 1)]
    step = {"job_id": world.key(6, 3), "index": 0, "name": EVIL, "status": "failed", "exit_code": 2}
    found.append(
        seen("step", world.key(5, 1), step | {"started_at": last["started_at"], "stopped_at": last["stopped_at"]})
    )
    test = {"job_id": world.key(6, 3), "name": EVIL, "suite": "s", "class_name": EVIL, "file": EVIL, "result": "fail"}
    found.append(seen("test_result", world.key(4, 1), test | {"test_id": world.key(4, 9), "stopped_at": world.NOW - 1}))
    return found


class PagesSite:
    """Use as a context; `address` is where it answers. `runs`: of the made-up history; `access`: who may come in.

    `prepare`: adds to the store and makes the operations.
    """

    def __init__(
        self,
        folder: Path,
        *,
        runs: int = 400,
        odd: bool = True,
        access: Access = OPEN,
        prepare: Callable[[SqliteStore], Awaitable[Operations]] = quiet,
    ) -> None:
        self._prepare = prepare
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
        add_insights(app, lambda: Lens(store, world.NOW))
        add_exports(app, answers, lambda: Lens(store, world.NOW))
        add_pages(app, answers, lambda: Lens(store, world.NOW), "0.0")
        add_login(app, self.gate, "0.0")
        socket = bind("127.0.0.1:0", "test")
        self.address = url_of(socket)
        self._server = Server(Guard(app, gate=self.gate), socket, Listener(lambda: None, lambda _: None, most=100))
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        self._started.set()
        await serving
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
