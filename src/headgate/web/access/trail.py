"""What of a request is kept in the trail: every change, every read of personal data, every export.

Invariant: nobody has to remember a change: the guard notes what a handler did not.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.web.asgi import Asking, Scope

__all__ = ["Note", "note", "notes"]

_KEY = "headgate.notes"


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody did (`acknowledge`, `export`, `read`) and about what. Never a secret, never personal data."""

    action: str
    about: str


def note(request: Asking, action: str, about: str) -> None:
    """Keep in the trail that this request does this; it is written with the status of the answer."""
    noted = request.scope.get(_KEY)
    if isinstance(noted, list):
        noted.append(Note(action, about))


def notes(scope: Scope) -> list[Note]:
    """Begin the notes of a request; the guard alone calls this."""
    made: list[Note] = []
    scope[_KEY] = made
    return made
