"""Whether a token, or a name and a password, is one that is granted; and how often somebody may be wrong.

Invariants: what is wrong costs the same whatever is wrong about it; a password is looked at beside the event loop, and
few at once; who fails too often is not even looked at.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from headgate.core.clock import Clock
from headgate.web.access.grants import Access, TokenGrant, UserGrant, digest_of
from headgate.web.access.limits import Failures
from headgate.web.access.passwords import PasswordHash, decoy, is_right

__all__ = ["Credentials", "Wait"]

# Each look at a password takes 32 MiB or more.
_AT_ONCE = 2
_MOST_PROVEN = 1000


@dataclass(frozen=True, slots=True)
class Wait:
    """Not looked at: whole seconds until the peer may try again."""

    seconds: int


class Credentials:
    """Checks secrets against what is granted; `configure` changes that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = Failures()
        self._key = secrets.token_bytes(32)
        # Digests of what was right under this configuration: asked again at once, and also while its peer has to wait.
        self._proven: OrderedDict[bytes, TokenGrant | UserGrant] = OrderedDict()
        self._looking = asyncio.Semaphore(_AT_ONCE)
        self._tokens: tuple[TokenGrant, ...] = ()
        self._users: dict[str, UserGrant] = {}
        self._decoy: PasswordHash = decoy(())

    def configure(self, access: Access) -> None:
        """Check against this from now on."""
        self._tokens = access.tokens
        self._users = {user.name: user for user in access.users}
        self._decoy = decoy(user.password for user in access.users if user.password is not None)
        self._failures.free = access.limits.wrong
        self._proven.clear()

    async def check(self, name: str, secret: str, peer: str) -> TokenGrant | UserGrant | Wait | None:
        """Whose secret it is: a token's under any name, or the password of the user of that name; None: nobody's."""
        proof = hmac.digest(self._key, f"{name}\0{secret}".encode("utf-8", "surrogatepass"), "sha256")
        proven = self._proven.get(proof)
        if proven is not None:
            self._proven.move_to_end(proof)
            return proven
        if wait := self._wait(peer):
            return wait
        found = self._token(secret) or await self._user(name, secret, peer)
        if isinstance(found, Wait):
            return found
        if found is None:
            self._failures.failed(peer, self._clock.monotonic())
            return None
        if found in self._tokens or found in self._users.values():  # not if the configuration changed meanwhile
            self._proven[proof] = found
            while len(self._proven) > _MOST_PROVEN:
                self._proven.popitem(last=False)
        return found

    def _wait(self, peer: str) -> Wait | None:
        seconds = self._failures.wait_seconds(peer, self._clock.monotonic())
        return Wait(math.ceil(seconds)) if seconds else None

    def _token(self, secret: str) -> TokenGrant | None:
        offered = digest_of(secret)
        matching = [one for one in self._tokens if hmac.compare_digest(offered, one.digest)]  # all, whichever matches
        return matching[0] if matching else None

    async def _user(self, name: str, secret: str, peer: str) -> UserGrant | Wait | None:
        if not self._users or not name:
            return None
        async with self._looking:
            if wait := self._wait(peer):  # many at once do not get around it
                return wait
            user = self._users.get(name)
            kept = user.password if user is not None else None
            right = await asyncio.to_thread(is_right, secret, kept or self._decoy)
            if user is not None and kept is None:
                right = hmac.compare_digest(digest_of(secret), user.mark)
        return user if right and user is not None else None
