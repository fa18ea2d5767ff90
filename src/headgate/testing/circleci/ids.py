"""Ids of the twin: random to look at, computed from the seed and the place of the thing they name.

Invariant: `locate(make(place)) == place` for one seed, and None for an id of any other origin. Nothing is
stored, so an id costs no memory and looking one up costs two hashes.
"""

from hashlib import blake2b, sha1
from typing import NamedTuple
from uuid import UUID

_HALF = 61  # bits: 128 minus 4 of version and 2 of variant, divided by two
_MASK = (1 << _HALF) - 1
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Place(NamedTuple):
    """Where a thing is: kind (1 pipeline, 2 workflow, 3 job), project, place in its list, job in workflow."""

    kind: int
    project: int
    position: int
    job: int = 0


class Ids:
    """Makes and reads the ids of one seed."""

    def __init__(self, seed: int) -> None:
        self._key = blake2b(f"headgate-twin:{seed}".encode(), digest_size=16).digest()

    def _mix(self, value: int, side: bytes) -> int:
        digest = blake2b(value.to_bytes(8, "big"), digest_size=8, key=self._key, person=side).digest()
        return int.from_bytes(digest, "big") & _MASK

    def make(self, place: Place) -> str:
        """Give the UUID (version 4 in form) of a place."""
        left = (place.kind << 56) | (place.project << 44) | (place.position << 8) | place.job
        right = self._mix(left, b"r")
        return _uuid(left ^ self._mix(right, b"l"), right)

    def locate(self, text: str) -> Place | None:
        """Give the place an id names, or None if this seed never made it."""
        try:
            value = UUID(text).int
        except ValueError:
            return None
        hidden, right = _halves(value)
        left = hidden ^ self._mix(right, b"l")
        if right != self._mix(left, b"r"):
            return None
        return Place(left >> 56, (left >> 44) & 0xFFF, (left >> 8) & 0xFFFFFFFFF, left & 0xFF)

    def named(self, *parts: object) -> str:
        """Give the UUID of anything else (an organization, a person), by its name."""
        text = ":".join(str(part) for part in parts)
        digest = blake2b(text.encode(), digest_size=16, key=self._key).digest()
        number = int.from_bytes(digest, "big")
        return _uuid((number >> _HALF) & _MASK, number & _MASK)

    def event(self, *parts: object) -> str:
        """Give the id of a delivery: a version 3 UUID, as real deliveries carry."""
        named = self.named("event", *parts)
        return f"{named[:14]}3{named[15:]}"

    def number(self, *parts: object) -> int:
        """Give a stable 61-bit number for a name: a coin that always falls the same way."""
        return int.from_bytes(bytes.fromhex(self.named(*parts).replace("-", ""))[8:], "big") & _MASK

    def revision(self, *parts: object) -> str:
        """Give a commit hash for a name."""
        text = ":".join(str(part) for part in parts)
        return sha1(self._key + text.encode(), usedforsecurity=False).hexdigest()

    def opaque(self, *parts: object) -> str:
        """Give the 22 letters CircleCI shows for an organization or project without a VCS slug."""
        value = int(self.named(*parts).replace("-", ""), 16)
        letters = []
        for _ in range(22):
            value, rest = divmod(value, 58)
            letters.append(_BASE58[rest])
        return "".join(letters)


def _uuid(high: int, low: int) -> str:
    joined = (high << _HALF) | low  # 122 bits
    value = (joined >> 74) << 80 | 0x4 << 76 | ((joined >> 62) & 0xFFF) << 64 | 0b10 << 62
    text = f"{value | (joined & ((1 << 62) - 1)):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _halves(value: int) -> tuple[int, int]:
    joined = (value >> 80) << 74 | ((value >> 64) & 0xFFF) << 62 | (value & ((1 << 62) - 1))
    return joined >> _HALF, joined & _MASK
