"""From points to the metric lines of a Sumo Logic source, as Prometheus text or as Carbon 2.0. Pure.

Invariant: each line keeps the source's limits (dimensions, lengths, no NaN), and no two lines of a body that count
something have one series and time: they are added up. Source: Sumo Logic documentation, "Upload Metrics to an HTTP
Source" and "Data Limits for Metrics", read November 2026.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from headgate.core.ports import LogEntry
from headgate.core.record import decode_record
from headgate.sinks._measures import MEASURES, Labels, Measure, Point, points
from headgate.sinks._tally import family_name

__all__ = ["CONTENT_TYPES", "KINDS", "MetricsFormat", "metrics_body"]

MetricsFormat = Literal["prometheus", "carbon2"]
CONTENT_TYPES: dict[MetricsFormat, str] = {
    "prometheus": "application/vnd.sumologic.prometheus",
    "carbon2": "application/vnd.sumologic.carbon2",
}
# All tests of a job end in one millisecond and are one series here, of which Sumo would keep what it likes: their run
# times are in the log lines.
KINDS = frozenset({measure.kind for measure in MEASURES} - {"test_result"} | {"insight"})

# The source takes 100 dimensions a metric, of which the `tags` of the section may be 30, and 4,000 characters of them.
_MOST_LABELS = 64
_MOST_CHARACTERS = 3_000
_LONGEST_NAME = 255
_LONGEST_VALUE = 400
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]|^(?=[0-9])")
# Carbon 2.0 ends a value at a blank and a name at the first sign of equality; it has no quotes.
_NO_CARBON = re.compile(r"[\s=]+")
_CARBON_OWN = frozenset({"metric", "unit"})
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
# The same series come again and again; the text of this many is kept.
_MOST_SERIES = 10_000
_Key = tuple[str, Labels, int]


def metrics_body(batch: Sequence[LogEntry], form: MetricsFormat) -> bytes:
    """What the records of a batch measure, a line each; empty when they measure nothing."""
    line = _prometheus if form == "prometheus" else _carbon2
    found = _folded(point for entry in batch for point in points(decode_record(entry.body)))
    return "".join(map(line, found)).encode()


def _folded(given: Iterable[Point]) -> Iterable[Point]:
    """The points that can be sent, in order; those that count one thing in one millisecond are one."""
    counted: dict[_Key, Point] = {}
    others: list[Point] = []
    for point in given:
        if not math.isfinite(point.value):
            continue
        if point.measure.instrument != "counter":
            others.append(point)
            continue
        key = (point.measure.name, point.labels, point.at_ms)
        before = counted.get(key)
        counted[key] = point if before is None else point._replace(value=before.value + point.value)
    return (*others, *counted.values())


def _labels(labels: Labels, no_name: re.Pattern[str], taken: frozenset[str] = frozenset()) -> Labels:
    """As many labels as the source takes, each cut to its length, under names of the format that are told apart."""
    kept: dict[str, str] = {}
    left = _MOST_CHARACTERS
    for given, value in labels[:_MOST_LABELS]:
        name = no_name.sub("_", given)[:_LONGEST_NAME]
        if name in kept or name in taken:
            name = f"tag_{name}"[:_LONGEST_NAME]
        left -= len(name) + min(len(value), _LONGEST_VALUE)
        if left < 0:
            break
        kept.setdefault(name, value[:_LONGEST_VALUE])
    return tuple(kept.items())


def _number(value: float) -> str:
    whole = int(value)
    return str(whole) if whole == value else repr(value)


def _prometheus(point: Point) -> str:
    """`cicd_pipeline_run_duration_seconds{cicd_pipeline_name="build"} 130 1795236521000`."""
    return f"{_prometheus_series(point.measure, point.labels)} {_number(point.value)} {point.at_ms}\n"


@lru_cache(maxsize=_MOST_SERIES)
def _prometheus_series(measure: Measure, labels: Labels) -> str:
    pairs = ",".join(f'{label}="{value.translate(_ESCAPED)}"' for label, value in _labels(labels, _NO_NAME))
    return f"{family_name(measure)}{{{pairs}}}"


def _carbon2(point: Point) -> str:
    """`metric=cicd.pipeline.run.duration unit=s cicd.pipeline.name=build  130 1795236521000`, two blanks and all."""
    return f"{_carbon2_series(point.measure, point.labels)}  {_number(point.value)} {point.at_ms}\n"


@lru_cache(maxsize=_MOST_SERIES)
def _carbon2_series(measure: Measure, labels: Labels) -> str:
    found = _labels(labels, _NO_CARBON, _CARBON_OWN)
    pairs = "".join(f" {label}={_NO_CARBON.sub('_', value)}" for label, value in found)
    return f"metric={measure.name} unit={measure.unit.strip('{}')}{pairs}"
