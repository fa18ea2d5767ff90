"""What a sink may want at its far side before the first record, and who makes it. Part of the sink port.

Invariant: setting up never deletes, and doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

__all__ = ["SetUpOutcome", "SetUpStep", "SetsUp"]

SetUpOutcome = Literal["done", "changed", "unchanged", "failed"]


@dataclass(frozen=True, slots=True)
class SetUpStep:
    """One thing that a sink wants at the far side, such as an index template, and what came of it.

    `outcome`: done: it was not there and is made; changed: it was there and differed; unchanged; failed, with `fix`.
    In a dry run what would be. `diff`: lines that begin with `+ ` or `- `, empty where nothing differs.
    """

    what: str
    outcome: SetUpOutcome
    diff: tuple[str, ...] = ()
    fix: str = ""


@runtime_checkable
class SetsUp(Protocol):
    """A sink that wants something at the far side before the first record: templates, policies, dashboards."""

    def set_up(self, *, dry_run: bool) -> AsyncIterator[SetUpStep]:
        """Make or correct each thing, in the order in which they need one another. Repeating it changes nothing.

        It never deletes anything, touches only what has this sink's own names, and raises nothing: what fails is a
        step. `dry_run`: look and compare alone.
        """
        ...
