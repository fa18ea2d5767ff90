"""Fetches what CircleCI only gives an address of: outputs of steps, and artifacts.

Invariant: our token goes to CircleCI's own hosts alone; an address is a secret and is in no error and no log line;
where one may lead is for `ways` to say, at every redirection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin

import httpx

from headgate.core.errors import SourceUnavailable
from headgate.sources.circleci.ways import FetchRefused, Way, Ways, parts_of

__all__ = ["FetchOptions", "FetchRefused", "Fetcher"]

_HOPS = 4  # an artifact is answered with a redirection or two
# Where the cloud serves artifacts; private ones need the token (CircleCI docs, "Storing build artifacts", 2026-11).
_ARTIFACT_HOST = ".circle-artifacts.com"
_GONE = frozenset({400, 401, 403, 404, 410})  # stores answer expired and unknown addresses with any of these


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """`base_url`: of the API. `hosts`: may be private or speak http. `timeout_seconds`: of a whole answer."""

    base_url: str
    token: str
    user_agent: str
    hosts: Collection[str] = ()
    timeout_seconds: float = 30.0
    ca_file: str | None = None
    proxy: str | None = None


class Fetcher:
    """GET requests to addresses that CircleCI told us. Safe to use from many tasks of one event loop."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._ways = Ways(options.base_url, options.hosts, options.proxy)
        self._clients: dict[str | None, httpx.AsyncClient] = {}

    async def get(self, url: str, *, max_bytes: int, artifact: bool) -> bytes:
        """What is there, uncompressed. `artifact`: CircleCI's own hosts get our token, for private artifacts need it.

        Raises FetchRefused where trying again is useless, SourceUnavailable otherwise; neither names the address.
        """
        for _ in range(_HOPS):
            parts = parts_of(url)
            way = await self._ways.to(parts)
            found = await self._one(parts, way, max_bytes, with_token=artifact and self._is_circleci(parts))
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise FetchRefused("redirects")

    async def _one(self, parts: SplitResult, way: Way, max_bytes: int, *, with_token: bool) -> bytes | str:
        """The body, or where to look instead. A host that has several addresses is asked at the first that answers."""
        headers = {"Circle-Token": self._options.token} if with_token and self._options.token else {}
        client = self._open(way.proxy)
        *others, last = way.requests(parts)
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                for url, host, extensions in others:
                    with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                        return await _answer(client, url, headers | host, extensions, max_bytes)
                url, host, extensions = last
                return await _answer(client, url, headers | host, extensions, max_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
            # The texts of these errors may hold the address.
            raise SourceUnavailable(f"an output or artifact could not be fetched: {type(exc).__name__}") from None

    def _is_circleci(self, parts: SplitResult) -> bool:
        host = parts.hostname or ""
        return self._ways.is_own(parts) or (parts.scheme == "https" and host.endswith(_ARTIFACT_HOST))

    def _open(self, proxy: str | None) -> httpx.AsyncClient:
        client = self._clients.get(proxy)
        if client is None:
            options = self._options
            try:
                verify = ssl.create_default_context(cafile=options.ca_file) if options.ca_file else True
            except OSError as exc:
                raise SourceUnavailable(f"ca_file {options.ca_file} cannot be read: {exc}") from exc
            client = self._clients[proxy] = httpx.AsyncClient(
                headers={"User-Agent": options.user_agent},
                timeout=httpx.Timeout(options.timeout_seconds, connect=options.timeout_seconds / 3),
                follow_redirects=False,
                verify=verify,
                proxy=proxy,
                trust_env=False,  # the way was chosen before
                # Kept connections go by address: one that was made for a host must not serve another there.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return client

    async def aclose(self) -> None:
        """Close connections. Safe twice."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()


async def _answer(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], extensions: dict[str, Any], max_bytes: int
) -> bytes | str:
    async with client.stream("GET", url, headers=headers, extensions=extensions) as reply:
        if reply.is_redirect:
            return str(reply.headers.get("location", ""))
        if reply.status_code in _GONE:
            raise FetchRefused("expired")
        if reply.status_code != 200:
            raise SourceUnavailable(f"an output or artifact: the answer was {reply.status_code}")
        return await _body(reply, max_bytes)


async def _body(reply: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for piece in reply.aiter_bytes(65_536):  # uncompressed, so a small answer cannot become a large one
        body += piece
        if len(body) > max_bytes:
            raise FetchRefused("too_large")
    return bytes(body)
