"""What a request says of itself and of who asks, read once and strictly. Pure.

Invariant: a header that decides who somebody is counts only if it is there once; what only a trusted proxy may say is
taken away from everybody, so that nothing behind the guard can believe it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from headgate.web.access.grants import ProxyGrant
from headgate.web.asgi import Scope

__all__ = ["SAFE", "Doubled", "Presented", "read_presented"]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ONCE = frozenset({b"authorization", b"host", b"origin", b"sec-fetch-site", b"x-headgate-request", b"x-headgate-user"})
# What proxies say of whom they ask for.
_FORWARDED_FOR, _FORWARDED_PROTO = b"x-forwarded-for", b"x-forwarded-proto"
_BADGES = "/badge/"
_LONGEST_NAME, _LONGEST_GROUPS = 200, 8192


class Doubled(Exception):
    """A header that may be there once is there twice; nobody can say which one counts."""


@dataclass(frozen=True, slots=True)
class Presented:
    """`peer`: address of who asks, as a trusted proxy says it where there is one. `secure`: asked over TLS.

    `headers`: by lower-case name, without those that only a proxy may set. `proxied`: name and groups that a trusted
    proxy says; name empty where it says none. `token`: in the address of a badge, whose readers can send no header.
    """

    method: str
    path: str
    peer: str
    secure: bool
    headers: Mapping[bytes, bytes]
    proxied: tuple[str, str] = ("", "")
    token: str = ""

    @property
    def is_safe(self) -> bool:
        """Whether the method changes nothing."""
        return self.method in SAFE

    def header(self, name: str) -> str:
        """Text of a header; empty where it is missing."""
        return self.headers.get(name.encode(), b"").decode("latin-1").strip()

    def cookie(self, name: str) -> str:
        """Value of a cookie; empty where it is missing, or there are several, one of which somebody else set."""
        pairs = (part.strip().partition("=") for part in self.header("cookie").split(";"))
        found = [value for key, _, value in pairs if key == name]
        return found[0] if len(found) == 1 else ""


def read_presented(scope: Scope, proxy: ProxyGrant | None) -> Presented:
    """Read a request, and take out of it what only a trusted proxy may say. Raises Doubled."""
    peer = (scope.get("client") or ("", 0))[0]
    trusted = proxy is not None and proxy.trusts(peer)
    spoken = proxy.headers if proxy is not None else frozenset[bytes]()
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and (name in _ONCE or name in spoken):
            raise Doubled(name.decode("latin-1"))
        # Proxies that add their own line come last; cookies may come in several lines.
        headers[name] = headers[name] + b"; " + value if name == b"cookie" and name in headers else value
    secure = scope.get("scheme") == "https"
    proxied = ("", "")
    if trusted and proxy is not None:
        proxied = (
            _words(headers, proxy.header, _LONGEST_NAME),
            _words(headers, proxy.groups_header, _LONGEST_GROUPS),
        )
        peer = _asking(headers.get(_FORWARDED_FOR, b"")) or peer
        secure = secure or headers.get(_FORWARDED_PROTO, b"").strip().lower() == b"https"
    scope["headers"] = [one for one in scope["headers"] if one[0] not in spoken]
    kept = {name: value for name, value in headers.items() if name not in spoken}
    token = _token(scope) if scope["path"].startswith(_BADGES) else ""
    return Presented(scope["method"], scope["path"], peer, secure, kept, proxied, token)


def _token(scope: Scope) -> str:
    """What an address says as `token`; empty where it says none or several."""
    found = [value for key, value in parse_qsl(scope.get("query_string", b"").decode("latin-1")) if key == "token"]
    return found[0] if len(found) == 1 else ""


def _words(headers: Mapping[bytes, bytes], header: str, longest: int) -> str:
    """What a header says in words that can be shown; empty where it says nothing, or what are no words."""
    raw = headers.get(header.encode("latin-1"), b"") if header else b""
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(text) <= longest else ""


def _asking(forwarded: bytes) -> str:
    """The last address of a list: the one that the proxy itself saw."""
    last = forwarded.decode("latin-1").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return ""
