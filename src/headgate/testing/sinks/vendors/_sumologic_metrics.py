"""Reading metric lines as strictly as a Sumo Logic source: Prometheus text and Carbon 2.0.

Invariant: a line that the product would drop, or read otherwise than it was meant, raises ValueError.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROMETHEUS = "application/vnd.sumologic.prometheus"
CARBON2 = "application/vnd.sumologic.carbon2"
GRAPHITE = "application/vnd.sumologic.graphite"
MAX_DIMENSIONS = 100
MAX_CHARACTERS = 4_000
MAX_NAME = 255
MAX_VALUE = 400
SECONDS_DIGITS = 10  # of a time of this century; milliseconds have 13
LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+) ([0-9]{13})")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|\Z)')
ESCAPE = re.compile(r'\\(["\\n])')


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value at a time in milliseconds."""

    name: str
    dimensions: dict[str, str]
    value: float
    at_ms: int


def read_metrics(kind: str, text: str, more: int = 0) -> list[MetricPoint]:
    """Return the points of a body; `more`: dimensions that a header adds. Raises ValueError."""
    readers: dict[str, Callable[[str], MetricPoint]] = {PROMETHEUS: _prometheus, CARBON2: _carbon2}
    reader = readers.get(kind)
    if reader is None:
        raise ValueError(f"this fake does not read {kind}")
    if text and not text.endswith("\n"):
        raise ValueError("the last line has no end")
    found = [reader(line) for line in text.split("\n")[:-1]]
    for point in found:
        _check(point, more)
    return found


def _check(point: MetricPoint, more: int) -> None:
    if not math.isfinite(point.value):
        raise ValueError(f"{point.name}: the value is not finite")
    if len(point.dimensions) + more > MAX_DIMENSIONS:
        raise ValueError(f"{point.name}: {len(point.dimensions) + more} dimensions; {MAX_DIMENSIONS} are taken")
    if sum(len(name) + len(value) for name, value in point.dimensions.items()) > MAX_CHARACTERS:
        raise ValueError(f"{point.name}: more than {MAX_CHARACTERS} characters of dimensions")
    for name, value in point.dimensions.items():
        if not 0 < len(name) <= MAX_NAME or not 0 < len(value) <= MAX_VALUE:
            raise ValueError(f"{point.name}: length of dimension {name[:50]!r}")


def _prometheus(line: str) -> MetricPoint:
    found = LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a Prometheus line: {line[:80]!r}")
    labels, rest = {}, found[2] or ""
    while rest:
        label = LABEL.match(rest)
        if label is None or label[1] in labels:
            raise ValueError(f"labels cannot be read at {rest[:40]!r}")
        labels[label[1]] = ESCAPE.sub(lambda sign: {"n": "\n"}.get(sign[1], sign[1]), label[2])
        rest = rest[label.end() :]
    return MetricPoint(found[1], labels, float(found[3]), int(found[4]))


def _carbon2(line: str) -> MetricPoint:
    tags, blanks, rest = line.partition("  ")
    more, _, numbers = rest.rpartition("  ") if "  " in rest else ("", "", rest)
    parts = f"{more} {numbers}".split()
    if not blanks or len(parts) < 2:  # value and time
        raise ValueError(f"two blanks must stand before the value: {line[:80]!r}")
    *extra, value, at = parts
    dimensions: dict[str, str] = {}
    for tag in (*tags.split(" "), *extra):
        name, equals, text = tag.partition("=")
        if not equals or "=" in text or name in dimensions:
            raise ValueError(f"not a tag: {tag[:40]!r}")
        dimensions[name] = text
    if "metric" not in dimensions or "unit" not in dimensions:
        raise ValueError("a line needs the tags metric and unit")
    at_ms = int(at) * (1000 if len(at) == SECONDS_DIGITS else 1)
    return MetricPoint(dimensions["metric"], dimensions, float(value), at_ms)
