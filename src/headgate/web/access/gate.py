"""All that is known about who may come in: grants, sessions, limits. The guard asks it, the login page adds to it.

Invariant: whoever was let in by what is configured no more is not let in again.
"""

from __future__ import annotations

import hmac
import math
import secrets

from headgate.core.clock import Clock
from headgate.web.access.credentials import Credentials, Wait
from headgate.web.access.grants import OPEN, Access, ProxyGrant, TokenGrant, digest_of
from headgate.web.access.limits import Limits, Rate, network_of
from headgate.web.access.presented import Presented
from headgate.web.access.sessions import Session, Sessions
from headgate.web.access.ways import Authenticator, ByCommand, ByProxy, BySecret, BySession, Known, Outcome
from headgate.web.access.who import Who

__all__ = ["Gate"]

# Requests at once, of what may be asked in a second: a page is some ten of them, and people open several.
_BURST, _UNKNOWN_BURST = 10.0, 20.0


class Gate:
    """Who may come in. `command_token`: of this process, for commands on this machine; empty: there is none."""

    def __init__(self, clock: Clock, access: Access = OPEN, *, command_token: str = "") -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._command = ByCommand(digest_of(command_token), self.csrf) if command_token else None
        self._rates = (0.0, 0.0)
        self.sessions = Sessions()
        self._credentials = Credentials(clock)
        self._ways: tuple[Authenticator, ...] = ()
        self._access = OPEN
        self.configure(access)

    def configure(self, access: Access) -> None:
        """Let in what this grants, from now on; sessions of other grants end."""
        self._access = access
        self._credentials.configure(access)
        self._limit(access.limits)
        granted = {*access.tokens, *access.users}
        self.sessions.keep(lambda grant: grant in granted)
        self._ways = (
            *((self._command,) if self._command is not None else ()),
            *((ByProxy(access.proxy, self.csrf),) if access.proxy is not None else ()),
            BySecret(self._credentials, self.csrf),
            BySession(self.sessions, self._clock.monotonic),
        )

    def _limit(self, limits: Limits) -> None:
        """Who has asked how often is forgotten only where it may be asked more or less often from now on."""
        self.sessions.idle, self.sessions.longest = limits.idle, limits.longest
        if (rates := (limits.known, limits.unknown)) != self._rates:
            self._known_rate = Rate(limits.known, limits.known * _BURST)
            self._unknown_rate = Rate(limits.unknown, limits.unknown * _UNKNOWN_BURST)
            self._rates = rates

    @property
    def proxy(self) -> ProxyGrant | None:
        """The reverse proxy whose word counts."""
        return self._access.proxy

    @property
    def is_open(self) -> bool:
        """Whether nobody needs to say who they are."""
        return self._access.is_open

    @property
    def has_users(self) -> bool:
        """Whether somebody has a name and a password."""
        return bool(self._access.users)

    @property
    def takes_secrets(self) -> bool:
        """Whether there is anything to log in with."""
        return bool(self._access.users or self._access.tokens)

    def csrf(self, via: str, name: str) -> str:
        """What forms carry of who has no session: bound to them and to this process."""
        return hmac.new(self._key, f"{via}\0{name}".encode(), "sha256").hexdigest()

    async def identify(self, asked: Presented) -> Outcome:
        """Who asks. The first way that something is presented for decides."""
        if self._access.is_open:
            found = await self._command.identify(asked) if self._command is not None else None
            return found or Known(Who("local", "admin", "loopback", self.csrf("loopback", "local")))
        for way in self._ways:
            outcome = await way.identify(asked)
            if outcome is not None:
                return outcome
        return None

    def too_often(self, known: Who | None, asked: Presented) -> int:
        """Count a request; whole seconds to wait, 0: none. This machine's own may ask as often as they like."""
        if known is not None and known.via in ("loopback", "command"):
            return 0
        now = self._clock.monotonic()
        if known is None:
            return math.ceil(self._unknown_rate.wait_seconds(network_of(asked.peer), now))
        return math.ceil(self._known_rate.wait_seconds(f"{known.via}\0{known.name}", now))

    async def log_in(self, name: str, secret: str, peer: str) -> tuple[str, Session] | Wait | None:
        """Begin a session; returns its cookie with it. None: wrong; a token for some addresses alone is wrong here."""
        found = await self._credentials.check(name, secret, peer)
        if found is None or isinstance(found, Wait):
            return found
        if isinstance(found, TokenGrant) and found.limited:
            return None
        return self.sessions.begin(found, "session", self._clock.monotonic())
