"""Series of run durations with and without a known change: real histories resampled, and made-up ones.

The recipe for real histories (tests/data/regression/README.md): successes only; a random stretch of 150 runs, resampled
in blocks of 5 to 300, which makes it stationary and keeps skew, outliers and modes; then everything after a random
point is multiplied, or a random 30 % of the runs after it is doubled ("tail"). Made-up families get the same changes.
Equal seeds give equal series.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

__all__ = ["FAMILIES", "KINDS", "Case", "histories", "made_up", "resampled"]

LENGTH = 300
STRETCH = 150
BLOCK = 5
KINDS = ("none", "1.15", "1.3", "1.5", "2.0", "tail")


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled series. `at`: the first changed run, None where nothing changed."""

    source: str
    kind: str
    values: Sequence[float]
    at: int | None


def histories(folder: Path) -> Mapping[str, Sequence[float]]:
    """Durations of the successful runs of every CSV file of a folder, oldest first, by name of file."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as lines:
            rows = [row["duration_s"] for row in csv.DictReader(lines) if row["conclusion"] == "success"]
        found[path.stem] = [float(cell) for cell in rows if cell]
    return found


def resampled(
    found: Mapping[str, Sequence[float]], seed: int, repeats: int, kinds: Sequence[str] = KINDS
) -> Iterator[Case]:
    """`repeats` cases of each kind from each history."""
    for source, values in found.items():
        yield from _cases(source, lambda rng, values=values: _blocks(values, rng), seed, repeats, kinds)


def made_up(seed: int, repeats: int, families: Sequence[str]) -> Iterator[Case]:
    """`repeats` cases of each kind from each of these made-up families."""
    for source in families:
        yield from _cases(source, FAMILIES[source], seed, repeats, KINDS)


def _cases(
    source: str, make: Callable[[Random], list[float]], seed: int, repeats: int, kinds: Sequence[str]
) -> Iterator[Case]:
    for kind in kinds:
        for repeat in range(repeats):
            rng = Random(f"{seed}/{source}/{kind}/{repeat}")
            yield _injected(source, kind, make(rng), rng)


def _blocks(values: Sequence[float], rng: Random) -> list[float]:
    start = rng.randrange(len(values) - STRETCH + 1)
    made: list[float] = []
    while len(made) < LENGTH:
        block = start + rng.randrange(STRETCH - BLOCK + 1)
        made += values[block : block + BLOCK]
    return made[:LENGTH]


def _injected(source: str, kind: str, values: list[float], rng: Random) -> Case:
    if kind == "none":
        return Case(source, kind, values, None)
    at = rng.randint(100, 240)
    if kind == "tail":
        return Case(source, kind, values[:at] + [v * 2 if rng.random() < 0.3 else v for v in values[at:]], at)
    return Case(source, kind, values[:at] + [v * float(kind) for v in values[at:]], at)


# --- Made-up families: stationary histories, or ones that move less than anybody would call a change ---------------


def _log_normal(sigma: float) -> Callable[[Random], list[float]]:
    return lambda rng: [300 * math.exp(rng.gauss(0, sigma)) for _ in range(LENGTH)]


def _skewed(rng: Random) -> list[float]:
    return [200 + 60 * rng.gammavariate(0.8, 1) for _ in range(LENGTH)]


def _outliers(rng: Random) -> list[float]:
    """One run in a hundred took a thousand times as long: it was run again a day later."""
    return [v * 1000 if rng.random() < 0.01 else v for v in _log_normal(0.1)(rng)]


def _caches(rng: Random) -> list[float]:
    """Fast with a cache, which two of three runs have, slow without."""
    return [(180 if rng.random() < 0.66 else 420) * math.exp(rng.gauss(0, 0.05)) for _ in range(LENGTH)]


def _regimes(rng: Random) -> list[float]:
    """Two modes that last: the next run is in the same one four times of five."""
    slow, made = False, []
    for _ in range(LENGTH):
        slow = slow if rng.random() < 0.8 else not slow
        made.append((500 if slow else 330) * math.exp(rng.gauss(0, 0.06)))
    return made


def _autocorrelated(rng: Random) -> list[float]:
    level, made = 0.0, []
    for _ in range(LENGTH):
        level = 0.5 * level + rng.gauss(0, 0.1)
        made.append(300 * math.exp(level))
    return made


def _drift(rng: Random) -> list[float]:
    """Six percent slower over the whole length, evenly."""
    return [v * (1 + 0.06 * i / LENGTH) for i, v in enumerate(_log_normal(0.08)(rng))]


def _week(rng: Random) -> list[float]:
    """About twelve runs a weekday and four a day at weekends, when runners are idle and a tenth faster."""
    made: list[float] = []
    day = rng.randrange(7)
    while len(made) < LENGTH:
        rest = day % 7 > 4
        base = 270 if rest else 300
        made += [base * math.exp(rng.gauss(0, 0.08)) for _ in range(rng.randint(2, 6) if rest else rng.randint(8, 16))]
        day += 1
    return made[:LENGTH]


def _ties(rng: Random) -> list[float]:
    """Whole seconds of a short job: few distinct values."""
    return [float(max(1, round(rng.gauss(9, 1.2)))) for _ in range(LENGTH)]


def _minutes(rng: Random) -> list[float]:
    """Rounded to whole minutes."""
    return [60.0 * max(1, round(v / 60)) for v in _log_normal(0.2)(rng)]


def _paths(rng: Random) -> list[float]:
    """Half of the runs skip most of the work, as path filters do."""
    return [rng.choice((25, 700)) * math.exp(rng.gauss(0, 0.12)) for _ in range(LENGTH)]


FAMILIES: Mapping[str, Callable[[Random], list[float]]] = {
    "narrow": _log_normal(0.03),
    "usual": _log_normal(0.1),
    "wide": _log_normal(0.35),
    "skewed": _skewed,
    "outliers": _outliers,
    "caches": _caches,
    "regimes": _regimes,
    "autocorrelated": _autocorrelated,
    "drift": _drift,
    "week": _week,
    "ties": _ties,
    "minutes": _minutes,
    "paths": _paths,
}
