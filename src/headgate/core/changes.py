"""What a detector must do, and the change that it reports; adapters and engines take both from `core.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

__all__ = ["Change", "ChangeKind", "Detector"]

ChangeKind = Literal["level", "tail"]  # all runs moved; or only the slow ones did


@dataclass(frozen=True, slots=True)
class Change:
    """One lasting change of a series. `index`: the first value after it, counted from 0 at the oldest value given.

    `before`, `after`: what the values were between the neighbouring changes and are now, in their own unit: the median
    for a level, the 90th percentile for a tail, nearest rank.
    """

    index: int
    before: float
    after: float
    kind: ChangeKind


@runtime_checkable
class Detector(Protocol):
    """Says where a series changed for good. Built from its configuration, which has direction and sensitivity.

    Both methods are pure, the same values give the same answer, and any thread may call. Values are oldest first, one a
    run, of any length; a series too short to judge has no change. Whoever reads the runs drops those without a value: a
    value that is not finite raises ValueError.
    """

    name: str

    def changes(self, values: Sequence[float]) -> Sequence[Change]:
        """Every change in hindsight, by rising index, however long the series is."""
        ...

    def newest(self, values: Sequence[float]) -> Change | None:
        """The newest change if it is recent enough to tell somebody, judged from the newest values alone.

        Asked again after each run: the same change comes back while it is recent, and its index may still settle by a
        few runs.
        """
        ...
