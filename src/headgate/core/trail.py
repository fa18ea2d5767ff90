"""The trail: who changed something, read what is about a person, or took data out. `web.access` writes it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrailEntry"]


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """One thing that somebody did. No field holds a secret.

    `at_ms`: when first; `times`: how often within the same few seconds. `who`: a name, `via`: how it is known, `peer`:
    address that asked. `action`: a word (`read`, `export`, `login`) or the method of a request; `about`: its path, or
    what the word is about. `status`: of the answer. `id`: 0 until it is stored; grows.
    """

    at_ms: int
    who: str
    via: str
    peer: str
    action: str
    about: str
    status: int
    times: int = 1
    id: int = 0
