"""Which jobs of a run decided when it ended, and how long each ran alone. Pure.

A path goes back from the job that ended last, each time to the required job that ended last. Where it is not known what
a job requires, it is taken to have waited for the job that ended last before it began to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Bar", "Path", "critical_path", "exclusive_ms"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One job. `wait_ms`: when it began to wait for a machine or a person; `start_ms`, `stop_ms`: when it ran."""

    id: str
    wait_ms: int
    start_ms: int
    stop_ms: int
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """`jobs`: ids on the path, first one first. `share_ms`: id -> by how much it moved the end of the run.

    `known`: every step of the path follows what jobs require, none was told by time alone. `gap_ms`: where one was, how
    long nothing waited or ran between a job's begin and the end of the one before, of which no job is the cause.
    """

    jobs: tuple[str, ...]
    share_ms: Mapping[str, int]
    known: bool
    gap_ms: int


def critical_path(bars: Sequence[Bar]) -> Path:
    """The path of the jobs that have begun; an empty one where none has. Cycles end it."""
    by_id = {bar.id: bar for bar in bars}
    guessed: set[str] = set()
    path: list[Bar] = []
    at = max(bars, key=_end, default=None)
    while at is not None and at not in path:
        path.append(at)
        required = [by_id[name] for name in at.requires if name in by_id]
        if not required and not any(bar.requires for bar in bars):
            wait_ms, here = at.wait_ms, at
            required = [bar for bar in bars if bar.stop_ms <= wait_ms and bar is not here]
            guessed |= {here.id} if required else set()
        at = max(required, key=_end, default=None)
    path.reverse()
    share: dict[str, int] = {}
    gap_ms = 0
    before = min((bar.wait_ms for bar in path), default=0)
    for bar in path:
        if bar.id in guessed:
            gap_ms += bar.wait_ms - before
            before = bar.wait_ms
        share[bar.id] = max(0, bar.stop_ms - before)
        before = max(before, bar.stop_ms)
    return Path(tuple(bar.id for bar in path), share, not guessed, gap_ms)


def _end(bar: Bar) -> tuple[int, str]:
    return bar.stop_ms, bar.id


def exclusive_ms(bars: Sequence[Bar]) -> Mapping[str, int]:
    """Id -> how long it ran while no other job did; one sweep over all begins and ends."""
    edges = sorted(
        [(bar.start_ms, 1, bar.id) for bar in bars if bar.start_ms < bar.stop_ms]
        + [(bar.stop_ms, 0, bar.id) for bar in bars if bar.start_ms < bar.stop_ms]
    )
    found = dict.fromkeys((bar.id for bar in bars), 0)
    running: set[str] = set()
    before = 0
    for at, begins, name in edges:
        if len(running) == 1:
            found[next(iter(running))] += at - before
        before = at
        if begins:
            running.add(name)
        else:
            running.discard(name)
    return found
