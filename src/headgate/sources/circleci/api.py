"""The HTTP client of one CircleCI: authentication, budget, retries, limits, and errors that name their cause.

Invariant: an answer is given whole and decoded, or an error is raised; nothing is given half. A POST that may have been
carried out is never sent again. No error and no log line holds the token, a proxy's password or a signing secret.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.clock import Clock
from headgate.core.errors import NotFound, SourceError, SourceRefused, SourceUnavailable
from headgate.core.metrics import Metrics
from headgate.sources.circleci.budget import Budget, Sleep
from headgate.sources.circleci.calls import Call, Params, Trouble, path_of
from headgate.sources.circleci.limits import date_ms, rate_hint, retry_after_seconds
from headgate.sources.circleci.reading import Json, objects, text

__all__ = ["Api", "ApiOptions", "Page", "Params"]

_BAD_TOKEN_FIX = "make a new personal API token at User Settings > Personal API Tokens and set it as token"  # noqa: S105  # advice, not a token
_OWN_USER = "/api/v2/me"  # every personal token may read it
_RESOLUTION_MS = 1000  # the Date header has whole seconds: a smaller skew cannot be told from none
_SKEW_JUMP_MS = 5000  # a skew this far off the estimate means that a clock was set: believe it at once


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How to reach one CircleCI. `attempts`: of one call, the first included. `timeout_seconds`: of each attempt.

    `secrets`: further texts that no message may hold.
    """

    base_url: str
    user_agent: str
    timeout_seconds: float = 30.0
    ca_file: str | None = None
    proxy: str | None = None
    http2: bool = False
    attempts: int = 6
    back_off: BackOff = BackOff(base=0.5, cap=30.0)  # noqa: RUF009  # frozen itself
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a v2 list. `more`: another page follows. `token`, `next`: of this page and of that one."""

    items: list[Json]
    more: bool
    token: str | None = None
    next: str | None = None


class Api:
    """Requests to one CircleCI with one token. Safe to use from many tasks of one event loop."""

    def __init__(
        self,
        name: str,
        token: str,
        options: ApiOptions,
        *,
        budget: Budget,
        clock: Clock,
        metrics: Metrics,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.calls = 0
        self.refused: str | None = None
        # A project that is known to exist: asked through v1.1 to tell a project token from a dead one.
        self.probe_slug = ""
        self._name = name
        self._token = token
        self.options = options
        self._budget = budget
        self._clock = clock
        self._metrics = metrics
        self._sleep = sleep
        self._skew_ms: float | None = None
        self._client: httpx.AsyncClient | None = None

    @property
    def skew_ms(self) -> int:
        """The far side's clock minus ours; 0 where it is within the resolution of the Date header."""
        skew = self._skew_ms or 0.0
        return round(skew) if abs(skew) >= _RESOLUTION_MS else 0

    def paused_seconds(self) -> float:
        """How long the far side still has us wait."""
        return self._budget.paused_seconds()

    def budget_left(self) -> float:
        """Calls that the budget would let through at once."""
        return self._budget.left()

    def budget_rate(self) -> float:
        """Calls per second that the budget lets through in the long run."""
        return self._budget.rate

    async def get(
        self,
        route: str,
        *,
        params: Params | None = None,
        patient: bool = False,
        apart: bool = False,
        attempts: int | None = None,
        **parts: str,
    ) -> Any:
        """The decoded answer. `route`: a template such as /api/v2/project/{slug}; `parts` fill it, escaped here.

        `patient`: everything live goes first. `apart`: the route has a limit of its own, which must not hold up the
        rest: a 429 raises SourceUnavailable at once, with the seconds that it asks for. `attempts`: fewer or more than
        the options say.

        Raises NotFound, SourceRefused, and SourceUnavailable once all attempts are used up.
        """
        path = path_of(route, parts)
        return await self._ask(Call("GET", route, path, params, None, patient, apart, attempts), parts)

    async def change(
        self,
        method: str,
        route: str,
        body: Mapping[str, Any] | None = None,
        *,
        patient: bool = False,
        apart: bool = False,
        **parts: str,
    ) -> Any:
        """Carry out a POST, PUT or DELETE with this JSON and give the answer; None where there is none.

        `patient`, `apart`: as of `get`. Raises as `get` does, SourceRefused also for a bad body.

        SourceUnavailable of a POST leaves open whether it was carried out: look before asking again.
        """
        encoded = None if body is None else msgspec.json.encode(body)
        return await self._ask(
            Call(method, route, path_of(route, parts), body=encoded, patient=patient, apart=apart), parts
        )

    async def _ask(self, call: Call, parts: Mapping[str, str]) -> Any:
        attempts = call.attempts or self.options.attempts
        for attempt in range(1, attempts + 1):
            await self._budget.acquire(self._waited, patient=call.patient)
            answer = await self._attempt(call, attempt)
            if isinstance(answer, httpx.Response):
                raise await self._refusal(answer, call, parts)
            if not isinstance(answer, Trouble):
                self.refused = None
                return answer
            if not call.may_repeat(answer):
                break
            if attempt < attempts and not answer.held:
                await self._back_off(attempt, answer.retry_after)
        what = f"{call.method} {self._hide(call.path)}"
        raise SourceUnavailable(f"{what}: {answer.why}, {attempt} attempts", retry_after=answer.retry_after)

    async def _attempt(self, call: Call, attempt: int) -> Any:
        """What was asked for, decoded; a Trouble worth another attempt; or the answer that refuses."""
        try:
            reply = await self._send(call)
        except httpx.RequestError as exc:
            untouched = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            return Trouble(f"{type(exc).__name__} {self._hide(str(exc))}".rstrip(), untouched=untouched)
        if reply.status_code in (200, 201, 204):
            return _decoded(reply)
        why = f"{reply.status_code} {self._message(reply)}".rstrip()
        if reply.status_code == 429 and call.apart:
            asked = retry_after_seconds(_headers(reply), self._clock.now_ms() + self.skew_ms)
            return Trouble(why, asked, held=True, untouched=True)
        if reply.status_code == 429:
            return Trouble(why, self._limited(reply, attempt), held=True, untouched=True)
        if reply.status_code >= 500 or reply.status_code == 408:
            return Trouble(why, retry_after_seconds(_headers(reply), self._clock.now_ms() + self.skew_ms))
        return reply

    async def pages(
        self, route: str, *, params: Params | None = None, patient: bool = False, **parts: str
    ) -> AsyncIterator[Page]:
        """The pages of a v2 list until its end; `params` may hold the `page-token` to begin with.

        A page token seen before raises SourceUnavailable: no end was found.
        """
        query, seen = dict(params or {}), set[str]()
        while True:
            body = await self.get(route, params=query, patient=patient, apart=False, attempts=None, **parts)
            items = body.get("items") if isinstance(body, dict) else None
            if not isinstance(items, list):
                raise SourceUnavailable(f"GET {route}: the answer has no items")
            token = text(body.get("next_page_token"))
            if token is not None and token in seen:
                raise SourceUnavailable(
                    f"GET {route}: CircleCI repeated a page token, so the list has no end; asked again next round"
                )
            yield Page(objects(items), more=token is not None, token=text(query.get("page-token")), next=token)
            if token is None:
                return
            seen.add(token)
            query["page-token"] = token

    async def items(
        self, route: str, *, params: Params | None = None, patient: bool = False, **parts: str
    ) -> list[Json]:
        """All items of a v2 list."""
        pages = self.pages(route, params=params, patient=patient, **parts)
        return [item async for page in pages for item in page.items]

    async def aclose(self) -> None:
        """Close connections and leave the budget to others. Safe twice; a later call opens new ones."""
        self._budget.leave(self)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # -- sending

    async def _send(self, call: Call) -> httpx.Response:
        client, route = self._open(), call.route
        json = {"Content-Type": "application/json"} if call.body is not None else None
        started = self._clock.now_ms()
        self.calls += 1
        try:
            # httpx bounds each read; an answer that drips would never end.
            async with asyncio.timeout(self.options.timeout_seconds):
                params = dict(call.params) if call.params else None
                reply = await client.request(call.method, call.path, params=params, content=call.body, headers=json)
        except TimeoutError as exc:
            self._count(route, "ReadTimeout")
            raise httpx.ReadTimeout(f"no whole answer within {self.options.timeout_seconds:g} s") from exc
        except httpx.RequestError as exc:
            self._count(route, type(exc).__name__)
            raise
        self._count(route, str(reply.status_code))
        self._see_time(reply, started)
        if not call.apart:
            self._budget.obey(rate_hint(_headers(reply), self._clock.now_ms() + self.skew_ms))
        self._metrics.set("headgate_source_budget_left", self._budget.left(), source=self._name)
        return reply

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            options = self.options
            try:
                verify: ssl.SSLContext | bool = True
                if options.ca_file:
                    verify = ssl.create_default_context(cafile=options.ca_file)
            except OSError as exc:
                raise SourceUnavailable(f"ca_file {options.ca_file} cannot be read: {exc}") from exc
            self._client = httpx.AsyncClient(
                base_url=options.base_url,
                headers={"Circle-Token": self._token, "Accept": "application/json", "User-Agent": options.user_agent},
                timeout=options.timeout_seconds,
                http2=options.http2,
                verify=verify,
                proxy=options.proxy,
            )
        return self._client

    def _see_time(self, reply: httpx.Response, started_ms: int) -> None:
        """Estimate the skew. The Date header is cut to seconds; an answer from a cache tells an old time."""
        far = date_ms(reply.headers.get("date", ""))
        if far is None or reply.headers.get("age", "0").strip() not in ("", "0"):
            return
        sample = far + _RESOLUTION_MS / 2 - (started_ms + self._clock.now_ms()) / 2
        if self._skew_ms is None or abs(sample - self._skew_ms) > _SKEW_JUMP_MS:
            self._skew_ms = sample
        else:
            self._skew_ms += (sample - self._skew_ms) / 8
        self._metrics.set("headgate_source_clock_skew_seconds", self.skew_ms / 1000, source=self._name)

    # -- what is not a 200

    def _limited(self, reply: httpx.Response, attempt: int) -> float:
        """Hold the whole budget as long as a 429 asks, jittered; by back-off where it does not say."""
        asked = retry_after_seconds(_headers(reply), self._clock.now_ms() + self.skew_ms)
        seconds = wait_seconds(self.options.back_off, attempt, self._clock.jitter(), retry_after=asked)
        self._budget.pause(seconds, "rate_limit" if asked is None else "retry_after")
        return seconds

    async def _back_off(self, attempt: int, retry_after: float | None) -> None:
        seconds = wait_seconds(self.options.back_off, attempt, self._clock.jitter(), retry_after=retry_after)
        seconds = min(seconds, self.options.back_off.cap)
        self._waited("back_off" if retry_after is None else "retry_after", seconds)
        await self._sleep(seconds)

    async def _refusal(self, reply: httpx.Response, call: Call, parts: Mapping[str, str]) -> SourceError:
        """The error for an answer that trying again will not change."""
        status, route = reply.status_code, call.route
        line = f"{call.method} {self._hide(call.path)}: {status} {self._message(reply)}".rstrip()
        slug = parts.get("slug") or parts.get("project") or ""
        about_project = "{slug}" in route and route.count("{") == 1
        if status == 404:
            fix = f"check that {slug} exists and that the token's user may see it"
            return SourceRefused(line, reason="project_not_found", fix=fix) if about_project else NotFound(line)
        if status in (401, 403) and "/api/v2/" in route and await self._project_token(status, route, slug):
            self.refused = "wrong_token_type"
            fix = "the token is a project token, which API v2 never takes; set a personal API token"
            return SourceRefused(line, reason="wrong_token_type", fix=fix)
        if status == 401:
            self.refused = "token_expired"
            return SourceRefused(f"{line}: token expired or revoked", reason="token_expired", fix=_BAD_TOKEN_FIX)
        if status == 403:
            fix = f"give the token's user access to {slug or 'this organisation'}"
            return SourceRefused(line, reason="no_access", fix=fix)
        if call.body is not None and 400 <= status < 500:
            return SourceRefused(line, reason="rejected", fix="CircleCI does not take this; its words say why")
        return SourceUnavailable(f"{line}; an answer nobody foresaw")

    async def _project_token(self, status: int, route: str, slug: str) -> bool:
        """Whether the token is a project token: API v1.1 takes it, or API v2 forbids it even its own user."""
        if status == 403:
            # A personal token that lacks a right is forbidden one route, and v1.1 may take it all the same.
            return route == _OWN_USER or await self._status(_OWN_USER) in (401, 403)
        probe = slug or self.probe_slug
        if probe.count("/") != 2:
            return False
        return await self._status("/api/v1.1/project/{slug}", {"limit": "1", "shallow": "true"}, probe) == 200

    async def _status(self, route: str, params: Params | None = None, slug: str = "") -> int | None:
        """What a single attempt is answered; None where nothing came."""
        await self._budget.acquire(self._waited)
        try:
            reply = await self._send(Call("GET", route, path_of(route, {"slug": slug}), params))
        except httpx.RequestError:
            return None
        return reply.status_code

    # -- words and figures

    def _message(self, reply: httpx.Response) -> str:
        """The far side's words, at most 200 characters; v1.1 wraps GitHub's own JSON as text into its message."""
        said = reply.text
        for _ in range(2):
            try:
                inner = msgspec.json.decode(said)
            except (msgspec.DecodeError, RecursionError):
                break
            message = inner.get("message") if isinstance(inner, dict) else None
            if not isinstance(message, str):
                break
            said = message
        return self._hide(" ".join(said.split())[:200])

    def _hide(self, words: str) -> str:
        for secret in (self._token, self.options.proxy or "", *self.options.secrets):
            if secret:
                words = words.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return words

    def _count(self, route: str, status: str) -> None:
        self._metrics.count("headgate_source_calls_total", source=self._name, route=route, status=status)

    def _waited(self, reason: str, seconds: float) -> None:
        self._metrics.count("headgate_source_wait_seconds_total", seconds, source=self._name, reason=reason)


def _decoded(reply: httpx.Response) -> Any:
    """The JSON of an answer; None where it has none on purpose."""
    if reply.status_code == 204:
        return None
    try:
        return msgspec.json.decode(reply.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Trouble("the answer is cut or no JSON")


def _headers(reply: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in reply.headers.items()}
