"""Where a list goes on: an opaque text that says which question it belongs to and what the last page ended with. Pure.

Invariant: a cursor is good for its own list and question alone, and one of a ranking has the window that was ranked, so
a page never silently begins at the wrong place. What is told late of that window may still move rows of a ranking.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

import msgspec

from headgate.core.times import HOUR_MS
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import LONGEST_MS, Window

__all__ = ["Cursors"]

T = TypeVar("T")
_Count = Annotated[int, msgspec.Meta(ge=0)]
_DIGEST_BYTES = 6


@dataclass(frozen=True, slots=True)
class Cursors:
    """Those of one question. `question`: its digest."""

    kind: str
    question: str

    @classmethod
    def of(cls, kind: str, *asked: object) -> Cursors:
        """Those of a list of that kind, and of what was asked of it: whatever decides on rows and their order.

        `asked` is what was written, not the moment that it was read at: a window that moves on is the same question.
        """
        digest = hashlib.blake2b(msgspec.json.encode(asked), digest_size=_DIGEST_BYTES)
        return cls(kind, digest.hexdigest())

    def write(self, place: object) -> str:
        """A place in the list."""
        raw = msgspec.json.encode([self.kind, self.question, place])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def read(self, text: str, form: type[T]) -> T:
        """The place that was written. Raises Refused."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            kind, question, place = msgspec.json.decode(raw, type=tuple[str, str, msgspec.Raw])
            found = msgspec.json.decode(place, type=form)
        except (binascii.Error, ValueError) as error:
            raise self._refused() from error
        if kind != self.kind:
            raise self._refused()
        if question != self.question:
            detail = "this cursor belongs to another question: leave it out to begin again"
            raise Refused("bad-cursor", detail, parameter="cursor")
        return found

    def write_rank(self, rows: int, window: Window) -> str:
        """A place in a list that is ranked: after so many rows of what was ranked over that window."""
        return self.write((rows, window.since_ms, window.until_ms))

    def read_rank(self, text: str | None, window: Window) -> tuple[int, Window]:
        """How many rows were before, and the window to rank over: the first page's. Raises Refused.

        Without a cursor no rows, and `window`, which is that of the question as it is read now.
        """
        if not text:
            return 0, window
        rows, since_ms, until_ms = self.read(text, tuple[_Count, _Count, _Count])
        # A window moves forward, or shrinks where only its begin does; its begin is rounded to the hour.
        if not 0 < until_ms - since_ms <= LONGEST_MS + HOUR_MS or until_ms > window.until_ms:
            raise self._refused()
        return rows, replace(window, since_ms=since_ms, until_ms=until_ms)

    def _refused(self) -> Refused:
        detail = f"this is no cursor of {self.kind}: take `next` of the page before as it is, or leave it out"
        return Refused("bad-cursor", detail, parameter="cursor")
