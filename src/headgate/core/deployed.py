"""Deployments that succeeded or failed, each beside those of its name and environment before it. Pure.

Invariant: deployments are given in the order of their end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

__all__ = ["NEVER", "Deployed", "placed"]

# Before all times.
NEVER = -(1 << 62)
_NO_FAILURES: Sequence[int] = ()
K = TypeVar("K")


class Deployed(msgspec.Struct, frozen=True, gc=False):
    """One of them; a struct, which is made fastest, since there are many. `place`: project (slug) and environment.

    `repeats_ms`: end of the one before where that ended the same with the same commit, else `NEVER`.
    `lead_ms`: since work on its commit began, of a success, None where that is not known. `down_ms`: of a success, ends
    of the failures since the success before it, oldest first.
    """

    stopped_ms: int
    place: tuple[str, str]
    ok: bool
    repeats_ms: int = NEVER
    lead_ms: int | None = None
    down_ms: Sequence[int] = _NO_FAILURES


class _Last:
    """What came last of a name in an environment, and the failures since the last success."""

    __slots__ = ("down_ms", "ok", "place", "revision", "stopped_ms")

    def __init__(self, place: tuple[str, str]) -> None:
        self.place = place
        self.stopped_ms = NEVER
        self.revision: str | None = None
        self.ok = False
        self.down_ms: list[int] = []


def placed(
    rows: Iterable[tuple[int, K, K, K, Any, str | None, int | None]],
    named: Callable[[tuple[K, K, K]], tuple[str, str, str]],
) -> list[Deployed]:
    """End, project, environment, name, whether it succeeded, commit, lead time. `named`: the texts of such names."""
    found: list[Deployed] = []
    known: dict[tuple[K, K, K], _Last] = {}
    # Names of one text are one.
    by_text: dict[tuple[str, str, str], _Last] = {}
    for stopped_ms, project, environment, name, ok, revision, lead_ms in rows:
        key = (project, environment, name)
        last = known.get(key)
        if last is None:
            texts = named(key)
            last = known[key] = by_text.setdefault(texts, _Last(texts[:2]))
        same = revision and last.revision == revision and last.ok == ok
        repeats_ms = last.stopped_ms if same else NEVER
        last.stopped_ms, last.revision, last.ok = stopped_ms, revision, ok
        if not ok:
            last.down_ms.append(stopped_ms)
            found.append(Deployed(stopped_ms, last.place, False, repeats_ms))  # as keywords it takes longer
        elif last.down_ms:
            found.append(Deployed(stopped_ms, last.place, True, repeats_ms, lead_ms, last.down_ms))
            last.down_ms = []
        else:
            found.append(Deployed(stopped_ms, last.place, True, repeats_ms, lead_ms))
    return found
