"""Sessions of browsers: made at a login, found by a cookie, gone with a restart.

Invariant: what the cookie says is known here as its digest alone; a session never outlives the grant that it came from.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from headgate.web.access.grants import TokenGrant, UserGrant, digest_of
from headgate.web.access.limits import Limits
from headgate.web.access.who import Who

__all__ = ["Session", "Sessions"]

_MOST = 10_000


@dataclass(slots=True)
class Session:
    """Somebody who logged in. `grant`: what it came from; `began`, `seen`: seconds of a monotonic clock."""

    who: Who
    grant: TokenGrant | UserGrant
    began: float
    seen: float


class Sessions:
    """All sessions of this process. `now`: seconds of a monotonic clock.

    `idle`, `longest`: seconds after which one ends that nobody used, and whoever used it; each look goes by what
    they are then.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self.idle, self.longest = Limits().idle, Limits().longest
        self._known: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def begin(self, grant: TokenGrant | UserGrant, via: str, now: float) -> tuple[str, Session]:
        """Begin one; returns what its cookie says."""
        for key in [key for key, one in self._known.items() if self._over(one, now)]:
            del self._known[key]
        cookie = secrets.token_urlsafe(32)
        who = Who(grant.name, grant.role, via, secrets.token_urlsafe(32))
        session = Session(who, grant, now, now)
        self._known[digest_of(cookie)] = session
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return cookie, session

    def find(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie, which counts as seen."""
        key = digest_of(cookie)
        session = self._known.get(key)
        if session is None:
            return None
        if self._over(session, now):
            del self._known[key]
            return None
        session.seen = now
        self._known.move_to_end(key)
        return session

    def _over(self, session: Session, now: float) -> bool:
        """Whether it has ended by itself."""
        return now - session.seen > self.idle or now - session.began > self.longest

    def end(self, cookie: str) -> None:
        """End one, if it is there."""
        self._known.pop(digest_of(cookie), None)

    def keep(self, wanted: Callable[[TokenGrant | UserGrant], bool]) -> None:
        """End all whose grant is not wanted any more."""
        self._known = OrderedDict((key, one) for key, one in self._known.items() if wanted(one.grant))
