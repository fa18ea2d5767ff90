"""The routes under `/_twin`, with which a test looks behind the curtain and makes things happen.

Invariant: they need no token, count no call and meet no fault.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping

from headgate.testing.circleci import truth, truth_tests
from headgate.testing.circleci.deliver import Dispatcher
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.http import Answer, Request, Route, read_object, refuse, reply
from headgate.testing.circleci.plants import first_bad
from headgate.testing.circleci.stories import tell
from headgate.testing.circleci.times import parse, rfc3339_ms
from headgate.testing.circleci.world import World

_CHUNK_BYTES = 256 * 1024
_WAIT_SECONDS = 600.0  # how long an advance waits for its webhooks, unless told otherwise

Parts = Mapping[str, str]


class Control:
    """Answers the requests under `/_twin`."""

    def __init__(self, world: World, faults: Faults, dispatcher: Dispatcher, calls: Counter[str]) -> None:
        self._world, self._faults, self._dispatcher, self._calls = world, faults, dispatcher, calls

    def routes(self) -> list[Route]:
        """Give the routes."""
        table = (
            ("GET", "", self._about),
            ("GET", "/truth", self._truth),
            ("GET", "/tests", self._tests),
            ("GET", "/flaky", self._flaky),
            ("GET", "/stories", self._stories),
            ("GET", "/calls", self._get_calls),
            ("DELETE", "/calls", self._delete_calls),
            ("GET", "/faults", self._get_faults),
            ("PUT", "/faults", self._put_faults),
            ("DELETE", "/faults", self._delete_faults),
            ("POST", "/advance", self._advance),
            ("GET", "/deliveries", self._get_deliveries),
            ("DELETE", "/deliveries", self._delete_deliveries),
            ("POST", "/emit", self._emit),
            ("POST", "/rerun", self._rerun),
        )
        return [Route(method, f"/_twin{path}", handler, "control") for method, path, handler in table]

    def _about(self, _request: Request, _parts: Parts) -> Answer:
        options = self._world.options
        return reply(
            {
                "now": rfc3339_ms(self._world.now()),
                "started": rfc3339_ms(options.now_ms),
                "since": rfc3339_ms(options.start_ms),
                "seed": options.seed,
                "mode": options.mode,
                "live": options.live,
                "speed": options.speed,
                "projects": [history.project.slug for history in self._world.histories],
                "orgs": [org.slug for org in self._world.orgs()],
            }
        )

    def _truth(self, request: Request, _parts: Parts) -> Answer:
        since = request.one("since")
        try:
            start = parse(since) if since else 0
        except ValueError as exc:
            return refuse(400, f"since: {exc}")
        return Answer(200, content_type="application/x-ndjson", stream=self._chunks(truth.lines(self._world, start)))

    async def _chunks(self, lines: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Give lines in pieces, letting other requests pass in between."""
        chunk: list[bytes] = []
        size = 0
        for line in lines:
            chunk.append(line)
            size += len(line)
            if size >= _CHUNK_BYTES:
                yield b"".join(chunk)
                chunk, size = [], 0
                await asyncio.sleep(0)
        yield b"".join(chunk)

    def _tests(self, request: Request, _parts: Parts) -> Answer:
        slug = (request.one("project") or "").split("/")
        history = self._world.history(*slug) if len(slug) == 3 else None
        if history is None:
            return refuse(404, "project must be the slug of one of the projects")
        lines = truth_tests.lines(self._world, history)
        return Answer(200, content_type="application/x-ndjson", stream=self._chunks(lines))

    def _flaky(self, _request: Request, _parts: Parts) -> Answer:
        return reply(truth_tests.flaky_tests(self._world))

    def _stories(self, _request: Request, _parts: Parts) -> Answer:
        self._world.now()
        told = tell(self._world.stories, [history.project.slug for history in self._world.histories])
        for story, plant in zip(told, self._world.stories.plants.all, strict=False):
            run = first_bad(plant, self._world.histories[plant.project].workflows)
            story["first_bad"] = self._world.id_of(run) if run else None
        return reply(told)

    def _get_calls(self, _request: Request, _parts: Parts) -> Answer:
        return reply(dict(sorted(self._calls.items())))

    def _delete_calls(self, _request: Request, _parts: Parts) -> Answer:
        self._calls.clear()
        return Answer(204)

    def _get_faults(self, _request: Request, _parts: Parts) -> Answer:
        return reply(self._faults.told())

    def _put_faults(self, request: Request, _parts: Parts) -> Answer:
        wanted = read_object(request.body)
        if wanted is None or not all(isinstance(options, dict) for options in wanted.values()):
            return refuse(400, "the body must be an object of objects: {fault: {rate or count, options}}")
        try:
            self._faults.put(wanted)
        except (TypeError, ValueError) as exc:
            return refuse(400, str(exc))
        return reply(self._faults.told())

    def _delete_faults(self, _request: Request, _parts: Parts) -> Answer:
        self._faults.clear()
        return Answer(204)

    async def _advance(self, request: Request, _parts: Parts) -> Answer:
        wanted = read_object(request.body) or {}
        seconds, wait = wanted.get("seconds"), wanted.get("timeout_seconds", _WAIT_SECONDS)
        if not isinstance(seconds, int | float) or seconds < 0 or not isinstance(wait, int | float):
            return refuse(400, 'the body must be {"seconds": n}, n not negative')
        return reply(await self._dispatcher.advance(seconds, wait))

    def _rerun(self, request: Request, _parts: Parts) -> Answer:
        wanted = read_object(request.body) or {}
        try:
            made = self._world.rerun(str(wanted.get("pipeline")), from_failed=wanted.get("from_failed") is True)
        except ValueError as exc:
            return refuse(409, str(exc))
        return reply({"workflow": made})

    def _get_deliveries(self, _request: Request, _parts: Parts) -> Answer:
        return reply([delivery.told() for delivery in self._dispatcher.deliveries])

    def _delete_deliveries(self, _request: Request, _parts: Parts) -> Answer:
        self._dispatcher.deliveries.clear()
        return Answer(204)

    async def _emit(self, request: Request, _parts: Parts) -> Answer:
        body = read_object(request.body) or {}
        kind = request.one("type") or str(body.get("type", "ping"))
        try:
            signed = request.one("forged") != "true"
            return reply(await self._dispatcher.emit(request.body, kind, signed=signed))
        except ValueError as exc:
            return refuse(409, str(exc))
