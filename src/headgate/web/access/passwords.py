"""Passwords: how they are kept, and whether one is right. Pure; takes some tenths of a second and 32 MiB on purpose.

Invariant: what is kept cannot be turned back into a password, and two equal passwords look different.

A hash is text in the PHC string format: `$scrypt$ln=15,r=8,p=3$SALT$KEY`, where 2^ln is scrypt's N, and SALT and KEY
are Base64 without padding (RFC 7914 section 2; OWASP Password Storage Cheat Sheet, read 2026-11-21, for the cost).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

__all__ = ["MIN_PASSWORD", "PasswordHash", "decoy", "hash_password", "is_right", "parse_hash"]

# NIST SP 800-63B section 5.1.1.2: no shorter secret, and no rule beside the length.
MIN_PASSWORD = 8
_FORM = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})")
_LN, _R, _P = 15, 8, 3
_SALT_BYTES, _KEY_BYTES = 16, 32
# A hash may cost more than ours, within what a small machine can do for each login.
_MOST_BYTES = 256 << 20
_MOST_P = 16
_LEAST_LN = 14


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """What is kept of a password. `ln`, `r`, `p`: its cost."""

    ln: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def memory(self) -> int:
        """Bytes that one look takes."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    def __str__(self) -> str:
        return f"$scrypt$ln={self.ln},r={self.r},p={self.p}${_text(self.salt)}${_text(self.key)}"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def parse_hash(text: str) -> PasswordHash:
    """Read a hash. Raises ValueError saying what to do; never repeats the text."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError("is no hash of a password; `headgate access hash` makes one: $scrypt$ln=15,r=8,p=3$...$...")
    ln, r, p = (int(one) for one in found.groups()[:3])
    try:
        made = PasswordHash(ln, r, p, _bytes(found[4]), _bytes(found[5]))
    except binascii.Error as exc:
        raise ValueError("is cut short; copy the whole line that `headgate access hash` printed") from exc
    if ln < _LEAST_LN or not 1 <= p <= _MOST_P or r < 8 or made.memory > _MOST_BYTES:
        raise ValueError("costs too little or too much; `headgate access hash` makes one that does not")
    return made


def _derive(password: str, cost: PasswordHash, length: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=cost.salt,
        n=1 << cost.ln,
        r=cost.r,
        p=cost.p,
        maxmem=2 * _MOST_BYTES,
        dklen=length,
    )


def hash_password(password: str) -> PasswordHash:
    """What to keep of a password."""
    cost = PasswordHash(_LN, _R, _P, secrets.token_bytes(_SALT_BYTES), b"")
    return replace(cost, key=_derive(password, cost, _KEY_BYTES))


def is_right(password: str, kept: PasswordHash) -> bool:
    """Whether it is the password that was hashed; takes as long for a wrong one."""
    return hmac.compare_digest(_derive(password, kept, len(kept.key)), kept.key)


def decoy(known: Iterable[PasswordHash]) -> PasswordHash:
    """Nobody's password: looked at for names that are unknown, so that they cost what the dearest known one costs."""
    dearest = max(known, key=lambda one: (one.memory * one.p, one.p), default=None)
    ln, r, p = (_LN, _R, _P) if dearest is None else (dearest.ln, dearest.r, dearest.p)
    return PasswordHash(ln, r, p, bytes(_SALT_BYTES), bytes(_KEY_BYTES))
