"""The ways in which somebody can be known. Each looks at one kind of thing that a request presents.

Another way is another `Authenticator`. OpenID Connect needs none: it would end its code flow in `Sessions.begin`, as
the login page does (docs/access.md).
Invariant: no way believes what another has not checked; nothing presented is nobody.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from headgate.web.access.credentials import Credentials, Wait
from headgate.web.access.grants import ProxyGrant, TokenGrant, UserGrant, digest_of
from headgate.web.access.presented import Presented
from headgate.web.access.sessions import Sessions
from headgate.web.access.who import Role, Who

__all__ = [
    "Authenticator",
    "ByCommand",
    "ByProxy",
    "BySecret",
    "BySession",
    "Known",
    "Outcome",
    "cookie_name",
]

_COMMAND_USER = "x-headgate-user"


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody. `grant`: what it came from, None where that is not one of our secrets."""

    who: Who
    grant: TokenGrant | UserGrant | None = None


# Known; presented and wrong; to be asked again later; nothing presented.
Outcome = Known | Literal["wrong"] | Wait | None


class Authenticator(Protocol):
    """One way to be known. Called for every request, so what it remembers must be bounded."""

    async def identify(self, asked: Presented) -> Outcome:
        """Who asks, as far as this way can tell."""
        ...


def cookie_name(secure: bool) -> str:
    """Of the session's cookie: over TLS a name that no other host and no plain connection can set (RFC 6265bis)."""
    return "__Host-headgate" if secure else "headgate"


@dataclass(frozen=True, slots=True)
class BySession:
    """The cookie that the login page gave."""

    sessions: Sessions
    now: Callable[[], float]

    async def identify(self, asked: Presented) -> Outcome:
        """A cookie that is not known (any more) is as good as none."""
        cookie = asked.cookie(cookie_name(asked.secure))
        session = self.sessions.find(cookie, self.now()) if cookie else None
        return Known(session.who, session.grant) if session is not None else None


@dataclass(frozen=True, slots=True)
class BySecret:
    """`Authorization: Bearer TOKEN`; or `Basic`, with a user's password, or with a token as password of any name.

    In the address of a badge, `token=TOKEN`: one that is limited.
    """

    credentials: Credentials
    csrf: Callable[[str, str], str]

    async def identify(self, asked: Presented) -> Outcome:
        """Another scheme is wrong: somebody wants to be known and is not."""
        given = asked.header("authorization")
        pair = _pair(given) if given else ("", asked.token)
        if pair is None:
            return "wrong"
        if pair == ("", ""):
            return "wrong" if given else None
        found = await self.credentials.check(*pair, asked.peer)
        if found is None or isinstance(found, Wait):
            return found or "wrong"
        if not given and not (isinstance(found, TokenGrant) and found.limited):
            return "wrong"  # addresses end up in logs and in histories
        via = "token" if isinstance(found, TokenGrant) else "password"
        return Known(Who(found.name, found.role, via, self.csrf(via, found.name)), found)


def _pair(given: str) -> tuple[str, str] | None:
    """Name and secret of an Authorization header; None where it cannot be read."""
    scheme, _, rest = given.partition(" ")
    if scheme.lower() == "bearer":
        return "", rest.strip()
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, secret) if colon else None


@dataclass(frozen=True, slots=True)
class ByProxy:
    """What a trusted reverse proxy says; `read_presented` has looked whether it is one."""

    proxy: ProxyGrant
    csrf: Callable[[str, str], str]

    async def identify(self, asked: Presented) -> Outcome:
        """A user without a role is wrong: the proxy knows them, we do not."""
        name, groups = asked.proxied
        if not name:
            return None
        role: Role | None = self.proxy.role_of(groups)
        return Known(Who(name, role, "proxy", self.csrf("proxy", name))) if role is not None else "wrong"


@dataclass(frozen=True, slots=True)
class ByCommand:
    """The token of this process, which commands find beside the store; who reads it could read the store."""

    digest: bytes
    csrf: Callable[[str, str], str]

    async def identify(self, asked: Presented) -> Outcome:
        """Another token is another way's. The name is what the command says, which its user may do anyway."""
        scheme, _, token = asked.header("authorization").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(digest_of(token.strip()), self.digest):
            return None
        name = asked.header(_COMMAND_USER)
        name = name if name.isprintable() and 0 < len(name) <= 100 else "command"
        return Known(Who(name, "admin", "command", self.csrf("command", name)))
