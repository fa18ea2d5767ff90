"""Fetches what CircleCI only gives an address of: outputs of steps, and artifacts.

Invariant: our token goes to CircleCI's own hosts alone; an address is a secret and is in no error and no log line; no
address leads to a host inside our own network unless the configuration names it: a name is resolved once, and what was
looked at is what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from headgate.core.errors import SourceError, SourceUnavailable

__all__ = ["FetchOptions", "FetchRefused", "Fetcher"]

# IPv6 that stands for IPv4 addresses, private ones too: NAT64 (RFC 6052, 8215), 6to4 (3056), Teredo (4380).
_TUNNELS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))

_HOPS = 4  # an artifact is answered with a redirection or two
# Where the cloud serves artifacts; private ones need the token (CircleCI docs, "Storing build artifacts", 2026-11).
_ARTIFACT_HOST = ".circle-artifacts.com"
_GONE = frozenset({400, 401, 403, 404, 410})  # stores answer expired and unknown addresses with any of these


class FetchRefused(SourceError):
    """This address will never give what we want. `reason`: address, expired, too_large, redirects."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not fetched: {reason}")
        self.reason = reason


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


@dataclass(frozen=True, slots=True)
class _Way:
    """How to reach a host. `proxy`: it resolves the name. `addresses`: without a proxy, the only ones; empty: any."""

    proxy: str | None
    addresses: tuple[str, ...] = ()


class Fetcher:
    """GET requests to addresses that CircleCI told us. Safe to use from many tasks of one event loop."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._own = _origin(urlsplit(options.base_url))
        self._clients: dict[str | None, httpx.AsyncClient] = {}

    async def get(self, url: str, *, max_bytes: int, artifact: bool) -> bytes:
        """What is there, uncompressed. `artifact`: CircleCI's own hosts get our token, for private artifacts need it.

        Raises FetchRefused where trying again is useless, SourceUnavailable otherwise; neither names the address.
        """
        for _ in range(_HOPS):
            parts = _parts(url)
            way = await self._allowed(parts)
            found = await self._one(parts, way, max_bytes, with_token=artifact and self._is_circleci(parts))
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise FetchRefused("redirects")

    async def _one(self, parts: SplitResult, way: _Way, max_bytes: int, *, with_token: bool) -> bytes | str:
        """The body, or where to look instead. A host that has several addresses is asked at the first that answers."""
        headers = {"Circle-Token": self._options.token} if with_token and self._options.token else {}
        client = self._open(way.proxy)
        *others, last = [_pinned(parts, address) for address in way.addresses] or [(parts.geturl(), {}, {})]
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
        return _origin(parts) == self._own or (parts.scheme == "https" and host.endswith(_ARTIFACT_HOST))

    async def _allowed(self, parts: SplitResult) -> _Way:
        """How an address may be asked. Raises FetchRefused for one that is none of ours to ask."""
        host = parts.hostname or ""
        proxy = self._options.proxy or _proxy_of_environment(parts)
        if _origin(parts) == self._own or (host in self._options.hosts and parts.scheme in ("http", "https")):
            return _Way(proxy)
        if parts.scheme != "https" or not host or parts.username is not None or parts.password is not None:
            raise FetchRefused("address")
        if proxy is not None:
            if not _may_be_public(host):
                raise FetchRefused("address")
            return _Way(proxy)  # it resolves names, and stands where it may go
        addresses = await _addresses(host, parts.port or 443)
        if not all(map(_is_public, addresses)):
            raise FetchRefused("address")
        return _Way(None, tuple(addresses))

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


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise FetchRefused("address") from None
    return parts


def _pinned(parts: SplitResult, address: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The URL with this address in place of the name, and the header and extension that still say the name."""
    host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    there = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=there + port).geturl(), {"Host": parts.netloc}, {"sni_hostname": host}


def _proxy_of_environment(parts: SplitResult) -> str | None:
    """HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, as everything else that leaves obeys them."""
    known = getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise SourceUnavailable("the host of an output or artifact has no address") from None
    return [str(entry[4][0]) for entry in found]


def _is_public(address: str) -> bool:
    """Whether an address is one of the open network: not private, not a group, and no tunnel to something that is."""
    found = ipaddress.ip_address(address.partition("%")[0])
    tunneled = any(found.version == net.version and found in net for net in _TUNNELS)
    return found.is_global and not found.is_multicast and not tunneled


def _may_be_public(host: str) -> bool:
    """Whether a name that we do not resolve ourselves could be public."""
    try:
        return _is_public(host)
    except ValueError:
        return host != "localhost" and not host.endswith((".localhost", ".local", ".internal"))
