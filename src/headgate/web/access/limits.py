"""How often somebody may fail to log in, and how often somebody may ask. Pure; time is given.

Invariant: memory is bounded whoever asks: what is not remembered any more is who has been quiet for longest.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["Failures", "Limits", "Rate", "network_of"]

_MOST_PEERS = 10_000
_MOST_WAIT_SECONDS = 300.0
# Who has not failed for so long begins anew.
_FORGET_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Limits:
    """`known`, `unknown`: requests a second in the long run, of somebody who is known and of a network where nobody is.

    `wrong`: so many wrong secrets at once, since mistyped passwords happen; each further one doubles the wait, up to
    five minutes. `idle`, `longest`: seconds after which a session ends that nobody used, and whoever used it.
    """

    # A page of the dashboard is some ten requests; nobody who is not a loop asks more often.
    known: float = 100.0
    unknown: float = 10.0
    wrong: int = 5
    # A working day; a dashboard that a wall screen shows asks all the time, so that only the second one ends it.
    idle: float = 8 * 3600.0
    longest: float = 7 * 86_400.0


def network_of(peer: str) -> str:
    """The peer as limits count it: an IPv6 customer has a /64 at least, so that all of it is one."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


@dataclass(slots=True)
class _Tries:
    failed: int
    last: float


class Failures:
    """Failed logins by peer. `now`: seconds of a monotonic clock. `free`: failures after which nobody waits."""

    def __init__(self, most: int = _MOST_PEERS) -> None:
        self._most = most
        self.free = Limits().wrong
        self._peers: OrderedDict[str, _Tries] = OrderedDict()

    def wait_seconds(self, peer: str, now: float) -> float:
        """How long the peer has to wait before it may try again; 0: not at all."""
        tries = self._peers.get(network_of(peer))
        if tries is None or tries.failed < self.free or now - tries.last > _FORGET_SECONDS:
            return 0.0
        wait = min(_MOST_WAIT_SECONDS, 2.0 ** min(tries.failed - self.free, 20))
        return max(0.0, tries.last + wait - now)

    def failed(self, peer: str, now: float) -> None:
        """Count a failure."""
        key = network_of(peer)
        tries = self._peers.pop(key, None)
        if tries is None or now - tries.last > _FORGET_SECONDS:
            tries = _Tries(0, now)
        tries.failed += 1
        tries.last = now
        self._peers[key] = tries
        while len(self._peers) > self._most:
            self._peers.popitem(last=False)


class Rate:
    """Requests by identity: `burst` at once, `per_second` in the long run."""

    def __init__(self, per_second: float, burst: float, most: int = _MOST_PEERS) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, key: str, now: float) -> float:
        """Take one request; 0: it may go on, else how long to wait, and nothing was taken."""
        left, since = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._left[key] = (left if wait else left - 1, now)
        while len(self._left) > self._most:
            self._left.popitem(last=False)
        return wait
