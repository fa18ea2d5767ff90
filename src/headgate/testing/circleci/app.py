"""The ASGI application: counts, misbehaves, checks the token and the limit, then lets a handler answer.

Invariant: every answer carries the twin's own `Date`.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from headgate.testing.circleci.access import Limiter, token_of
from headgate.testing.circleci.api_artifacts import ApiArtifacts
from headgate.testing.circleci.api_export import ApiExport
from headgate.testing.circleci.api_insights import ApiInsights
from headgate.testing.circleci.api_v2 import ApiV2
from headgate.testing.circleci.api_v11 import ApiV11
from headgate.testing.circleci.control import Control
from headgate.testing.circleci.deliver import Dispatcher
from headgate.testing.circleci.faults import Faults, early_answer, rate_limited, spoil
from headgate.testing.circleci.hooks_v2 import HooksV2, Webhooks
from headgate.testing.circleci.http import Answer, Request, Route, Router, read_query, refuse
from headgate.testing.circleci.knobs import Options
from headgate.testing.circleci.rights import Tokens
from headgate.testing.circleci.times import http_date
from headgate.testing.circleci.world import World

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SLOW_SECONDS = 2.0
_BODY_MAX = 16 * 1024 * 1024


class TwinApp:
    """One twin as an ASGI application."""

    def __init__(self, options: Options) -> None:
        self.world = World(options)
        self.faults = Faults(options.seed, self.world.ids)
        webhooks = Webhooks(options.webhook_url, options.webhook_secret)
        self.dispatcher = Dispatcher(self.world, self.faults, webhooks)
        self.calls: Counter[str] = Counter()
        self._tokens = Tokens(self.world)
        self._limiter = Limiter(options.rate_burst)
        control = Control(self.world, self.faults, self.dispatcher, self.calls)
        v2, v11 = ApiV2(self.world, self.faults), ApiV11(self.world, self.faults)
        export, artifacts = ApiExport(self.world, self.faults), ApiArtifacts(self.world, self.faults)
        insights, hooks = ApiInsights(self.world, self.faults), HooksV2(self.world, webhooks)
        parts = (v2, insights, hooks, v11, export, artifacts, self._tokens, control)
        self._router = Router([route for part in parts for route in part.routes()])

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as ASGI has it; websockets are ignored."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._send(await self._answer(await _read(scope, receive)), send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.dispatcher.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request) -> Answer:
        found = self._router.match(request.method, request.path)
        if found is None:
            known = self._router.knows(request.path)
            return refuse(405, "Method not allowed") if known else refuse(404, "Not found")
        route, parts = found
        if route.group == "control":
            return await _handled(route, request, parts)
        self.calls[route.template] += 1
        slow = self.faults.strike("slow", route.name)
        if slow:
            await asyncio.sleep(float(slow.options.get("seconds", _SLOW_SECONDS)))
        early = early_answer(self.faults, route.name)
        if early:
            return early
        return await self._allowed(route, request, parts)

    async def _allowed(self, route: Route, request: Request, parts: Mapping[str, str]) -> Answer:
        """Answer an API request that no fault took."""
        if route.group == "download":
            return spoil(self.faults, route.name, await _handled(route, request, parts), None)
        token = token_of(request)
        refused = self._tokens.refusal(token, route.group, request, parts)
        if refused:
            return refused
        limits: dict[str, str] = {}
        per_second = self._tokens.limit(token or "")
        if per_second:
            passed, limits = self._limiter.take(token or "", per_second)
            if not passed:
                return replace(rate_limited("none", 0), headers=limits)
        answer = await _handled(route, replace(request, orgs=self._tokens.orgs(token)), parts)
        answer = spoil(self.faults, route.name, answer, request.one("page-token"))
        return replace(answer, headers={**answer.headers, **limits}) if limits else answer

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = {"date": http_date(self.world.clock.now_ms()), "content-type": answer.content_type}
        if answer.stream is None and answer.status != 204:
            headers["content-length"] = str(len(answer.body))
        raw = [(name.encode(), value.encode("latin-1")) for name, value in {**headers, **answer.headers}.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if answer.stream is not None:
            async for chunk in answer.stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if answer.cut_at is not None:  # the server breaks the connection of an answer that is not finished
            await send({"type": "http.response.body", "body": answer.body[: answer.cut_at], "more_body": True})
            return
        await send({"type": "http.response.body", "body": b"" if answer.stream else answer.body})


async def _handled(route: Route, request: Request, parts: Mapping[str, str]) -> Answer:
    given = route.handler(request, parts)
    return await given if inspect.isawaitable(given) else given


async def _read(scope: Message, receive: Receive) -> Request:
    """Read the whole request; a body beyond 16 MiB is cut."""
    body = bytearray()
    while True:
        message = await receive()
        if len(body) < _BODY_MAX:
            body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"].rstrip("/") or "/"
    return Request(scope["method"], path, read_query(scope["query_string"]), headers, bytes(body))
