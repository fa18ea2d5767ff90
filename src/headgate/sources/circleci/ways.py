"""Where what CircleCI gives an address of may be fetched: outputs, artifacts, files of usage exports.

Invariant: no address leads to a host inside our own network unless the configuration names it: a name is resolved once,
and what was looked at is what is asked. An address is a secret and is in no error.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from headgate.core.errors import SourceError, SourceUnavailable

__all__ = ["AddressRequest", "FetchRefused", "Way", "Ways", "parts_of"]

# URL, headers, and extensions as httpx takes them.
AddressRequest = tuple[str, dict[str, str], dict[str, Any]]

# IPv6 that stands for IPv4 addresses, private ones too: NAT64 (RFC 6052, 8215), 6to4 (3056), Teredo (4380).
_TUNNELS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class FetchRefused(SourceError):
    """This address will never give what we want. `reason`: address, expired, too_large, redirects."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not fetched: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a host. `proxy`: it resolves the name. `addresses`: without a proxy, the only ones; empty: any."""

    proxy: str | None
    addresses: tuple[str, ...] = ()

    def requests(self, parts: SplitResult) -> list[AddressRequest]:
        """Each request that may be made, to be tried in order; never empty."""
        return [_pinned(parts, address) for address in self.addresses] or [(parts.geturl(), {}, {})]


@dataclass(frozen=True, slots=True)
class Ways:
    """The rule. `base_url`: of the API. `hosts`: may be private or speak http. `proxy`: else the environment's."""

    base_url: str
    hosts: Collection[str] = ()
    proxy: str | None = None

    async def to(self, parts: SplitResult) -> Way:
        """How an address may be asked. Raises FetchRefused for one that is none of ours to ask."""
        host = parts.hostname or ""
        proxy = self.proxy or _proxy_of_environment(parts)
        if self.is_own(parts) or (host in self.hosts and parts.scheme in ("http", "https")):
            return Way(proxy)
        if parts.scheme != "https" or not host or parts.username is not None or parts.password is not None:
            raise FetchRefused("address")
        if proxy is not None:
            if not _may_be_public(host):
                raise FetchRefused("address")
            return Way(proxy)  # it resolves names, and stands where it may go
        addresses = await _addresses(host, parts.port or 443)
        if not all(map(_is_public, addresses)):
            raise FetchRefused("address")
        return Way(None, tuple(addresses))

    def is_own(self, parts: SplitResult) -> bool:
        """Whether it is the API's own scheme, host and port."""
        return _origin(parts) == _origin(urlsplit(self.base_url))


def parts_of(url: str) -> SplitResult:
    """The parts of an address. Raises FetchRefused for what is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise FetchRefused("address") from None
    return parts


def _pinned(parts: SplitResult, address: str) -> AddressRequest:
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
        raise SourceUnavailable("the host of an output, artifact or export file has no address") from None
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
