"""Builds as bars: one for each, as high as it took long, coloured by its end, in the order of time. Pure.

Invariant: every bar is seen, and none is higher than the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.insights.views.runs import RunView

__all__ = ["HEIGHT", "Bars", "BuildBar", "bars"]

HEIGHT = 120
_WIDTH = 960
_LEAST = 3.0


@dataclass(frozen=True, slots=True)
class BuildBar:
    """One build. `x`, `y`, `width`, `height`: in the frame's units, y downwards."""

    run: RunView
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bars:
    """`bars`: the oldest first. `longest`: seconds that the highest bar stands for; None where no duration is known."""

    bars: tuple[BuildBar, ...]
    longest: float | None
    width: int = _WIDTH
    height: int = HEIGHT


def bars(runs: Sequence[RunView], room: int) -> Bars:
    """`runs`: newest first; `room`: how many there could be, so that few bars are not wide."""
    longest = max((run.duration for run in runs if run.duration is not None), default=None)
    step = _WIDTH / max(room, len(runs), 1)
    found = []
    for place, run in enumerate(reversed(runs)):
        share = (run.duration or 0.0) / longest if longest else 0.0
        height = round(max(_LEAST, share * HEIGHT), 1)
        found.append(BuildBar(run, round(place * step, 1), round(HEIGHT - height, 1), round(step * 0.8, 1), height))
    return Bars(tuple(found), longest)
