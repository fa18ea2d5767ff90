"""Where a list goes on: an opaque text that says what the last page ended with. Pure.

Invariant: a cursor of one list is refused by another, so a page never silently begins at the wrong place.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from headgate.insights.views.refusal import Refused

__all__ = ["read_cursor", "write_cursor"]

T = TypeVar("T")


def write_cursor(kind: str, place: object) -> str:
    """A place in a list of that kind."""
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, place])).decode().rstrip("=")


def read_cursor(kind: str, text: str, form: type[T]) -> T:
    """The place that was written. Raises Refused."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        written, place = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        found = msgspec.json.decode(place, type=form)
    except (binascii.Error, ValueError) as error:
        raise _refused(kind) from error
    if written != kind:
        raise _refused(kind)
    return found


def _refused(kind: str) -> Refused:
    detail = f"this is no cursor of {kind}: take `next` of the page before as it is, or leave it out"
    return Refused("bad-cursor", detail, parameter="cursor")
