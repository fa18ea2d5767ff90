"""What is granted to whom, as the configuration says. Data and pure checks.

Invariant: a secret is kept as its digest or its hash alone, and two grants are equal only if they open the same with
the same secret.
"""

from __future__ import annotations

import fnmatch
import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headgate.web.access.limits import Limits
from headgate.web.access.passwords import PasswordHash
from headgate.web.access.who import ROLES, Role

__all__ = ["OPEN", "SCOPES", "Access", "Network", "ProxyGrant", "TokenGrant", "UserGrant", "digest_of"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Words for what a token may be limited to, and the paths that each means.
SCOPES: Final[Mapping[str, tuple[str, ...]]] = {
    "metrics": ("/metrics", "/metrics/*"),
    "api": ("/api/v1/*",),
    "badges": ("/badge/*",),
}


def digest_of(secret: str) -> bytes:
    """What of a token is kept and compared; tokens are long and random, so it needs no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """A token. `only`: scopes and path patterns that it is limited to, for reading; empty: everything of its role."""

    name: str
    role: Role
    digest: bytes = field(repr=False)
    only: tuple[str, ...] = ()

    @property
    def limited(self) -> bool:
        """Whether it opens some addresses alone, and those for reading."""
        return bool(self.only)

    def reaches(self, path: str) -> bool:
        """Whether it opens this path."""
        patterns = [pattern for one in self.only for pattern in SCOPES.get(one, (one,))]
        return not self.only or any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class UserGrant:
    """A user with a password: its hash; None: `mark` is its digest, because the configuration has it in plain text.

    `mark` is otherwise the digest of that hash, so that a changed password is another grant.
    """

    name: str
    role: Role
    mark: bytes = field(repr=False)
    password: PasswordHash | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProxyGrant:
    """A reverse proxy that says where a request comes from, and who somebody is.

    `header`: with the user's name, empty: it says nobody's; `groups_header`: with their groups, which `groups` gives
    roles to; `role`: of who is in none of these, None: nobody. Header names are lower case. `trusted`: where the proxy
    asks from.
    """

    header: str
    role: Role | None
    groups_header: str
    groups: Mapping[str, Role]
    trusted: tuple[Network, ...]

    @property
    def headers(self) -> frozenset[bytes]:
        """Headers that nobody else may set."""
        return frozenset(one.encode("latin-1") for one in (self.header, self.groups_header) if one)

    def trusts(self, peer: str) -> bool:
        """Whether a connection from this address is the proxy's."""
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.trusted)

    def role_of(self, groups: str) -> Role | None:
        """The highest role that any of the groups gives, separated by commas; else that of everybody."""
        named = {one.strip() for one in groups.split(",")}
        given = [role for group, role in self.groups.items() if group in named]
        if self.role is not None:
            given.append(self.role)
        return max(given, key=ROLES.index, default=None)


@dataclass(frozen=True, slots=True)
class Access:
    """All that is granted, and within which limits. No grant: the listener is open, which only loopback may be."""

    tokens: tuple[TokenGrant, ...] = ()
    users: tuple[UserGrant, ...] = ()
    proxy: ProxyGrant | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def is_open(self) -> bool:
        """Whether nobody needs to say who they are."""
        return not self.tokens and not self.users and (self.proxy is None or not self.proxy.header)


OPEN: Final = Access()
