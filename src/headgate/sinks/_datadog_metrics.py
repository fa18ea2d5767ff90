"""From records to Datadog series and distributions. Pure.

Datadog keeps one value for a name, its tags and a second: the last. So whatever has a length is a distribution, whose
values add up; gauges are states, of which the last is right; and each record's counts have a place of their own, made
of its sequence number: the second within its minute, and a tag `headgate.shard`. Invariant: no two of any
60 x `shards` consecutive records of a lane share a place, and a record has the same place whenever and with whatever it
is sent (docs/decisions/0018).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import orjson

from headgate.core.ports import LogEntry
from headgate.core.record import Record, decode_record
from headgate.core.times import MINUTE_MS, parse_ms
from headgate.plugins.datadog import tag
from headgate.sinks._measures import MEASURES, TAG_PREFIX, Labels, Measure, Point, points

__all__ = ["COUNT_KINDS", "DISTRIBUTION_KINDS", "SECONDS", "SHARD", "DistributionForm", "SeriesForm"]

COUNT_KINDS = frozenset(one.kind for one in MEASURES if one.instrument == "counter") | {"insight"}
DISTRIBUTION_KINDS = frozenset(one.kind for one in MEASURES if one.instrument == "histogram")
SECONDS = 60
SHARD = "headgate.shard"
_COUNT, _GAUGE, _DISTRIBUTION = 1, 3, 0
_TILE_LABELS = ("cicd.pipeline.name", "cicd.pipeline.task.name", "circleci.project")
# Names of the vendor's own integration, for its dashboards.
_FINISHED = Measure("circleci.finished_builds.count", "{build}", "counter", "Jobs that ended.", "job", _TILE_LABELS)
_COMPLETED = Measure("circleci.completed_builds.count", "{build}", "counter", "Jobs that ran.", "job", _TILE_LABELS)
_TIME_SUM = Measure("circleci.completed_build_time.sum", "ms", "counter", "Their time.", "job", _TILE_LABELS)
_TIME_AVG = Measure("circleci.completed_build_time.avg", "ms", "histogram", "Their time.", "job", _TILE_LABELS)
_DID_NOT_RUN = frozenset({"canceled", "skipped"})


class _Form:
    """What both forms share. `tags`: of the operator, normalized already; `compat`: the old tile's names too."""

    def __init__(self, env: str, tags: tuple[str, ...], *, compat: bool) -> None:
        self._tags = (*((tag("env", env),) if env else ()), *tags)
        self._compat = compat
        # The same few heads come again and again: each is a function of its arguments.
        self._head = lru_cache(maxsize=20_000)(self._make_head)

    def measured(self, entry: LogEntry) -> Sequence[Point]:
        """Every point of a record."""
        record = decode_record(entry.body)
        found = points(record, entry.occurred_ms)
        return [*found, *_tile_points(record)] if self._compat else found

    def _make_head(self, name: str, kind: int, labels: Labels, place: str) -> bytes:
        """A series as the beginning of a JSON object, up to its points."""
        named = dict(labels)
        service = named.get("service") or named.get("circleci.project")
        pairs = [*labels, *((("service", service),) if service and "service" not in named else ())]
        tags = [*self._tags, *(tag(*pair) for pair in pairs), *((tag(SHARD, place),) if place else ())]
        head: dict[str, object] = {"metric": name, "tags": list(dict.fromkeys(tags))}
        head |= {"type": "distribution"} if kind == _DISTRIBUTION else {"type": kind}
        if kind == _COUNT:
            head["interval"] = SECONDS
        return orjson.dumps(head)[:-1] + b',"points":['


class SeriesForm(_Form):
    """Counts and gauges. `shards`: how many places a second has for the counts of one lane."""

    def __init__(self, env: str, tags: tuple[str, ...], *, compat: bool, shards: int) -> None:
        super().__init__(env, tags, compat=compat)
        self._shards = shards

    def __call__(self, batch: Sequence[LogEntry]) -> bytes | None:
        """The body, None when nothing was counted. Counts of one place, which lie far apart, are added."""
        series: dict[bytes, dict[int, float]] = {}
        for entry in batch:
            second, place = self._place(entry)
            for measure, value, labels, at_ms in self.measured(entry):
                if measure.instrument == "counter":
                    values = series.setdefault(self._head(measure.name, _COUNT, labels, place), {})
                    values[second] = values.get(second, 0.0) + value
                elif measure.instrument == "gauge":
                    series.setdefault(self._head(measure.name, _GAUGE, labels, ""), {})[at_ms // 1000] = value
        if not series:
            return None
        parts = (
            head
            + b",".join([b'{"timestamp":%d,"value":%b}' % (at, repr(value).encode()) for at, value in values.items()])
            for head, values in series.items()
        )
        return b'{"series":[' + b"]},".join(parts) + b"]}]}"

    def _place(self, entry: LogEntry) -> tuple[int, str]:
        """The second and the shard of a record's counts. Lanes number by themselves, so each has shards of its own."""
        turn, second = divmod(entry.seq, SECONDS)
        shard = str(turn % self._shards)
        minute = entry.occurred_ms // MINUTE_MS * SECONDS
        return minute + second, shard if entry.lane == "live" else f"{entry.lane}-{shard}"


class DistributionForm(_Form):
    """Durations and waits, all values of a second together."""

    def __call__(self, batch: Sequence[LogEntry]) -> bytes | None:
        """The body, None when nothing was measured."""
        series: dict[bytes, dict[int, list[float]]] = {}
        for entry in batch:
            for measure, value, labels, at_ms in self.measured(entry):
                if measure.instrument == "histogram":
                    values = series.setdefault(self._head(measure.name, _DISTRIBUTION, labels, ""), {})
                    values.setdefault(at_ms // 1000, []).append(value)
        if not series:
            return None
        parts = (head + orjson.dumps(list(values.items()))[1:-1] for head, values in series.items())
        return b'{"series":[' + b"]},".join(parts) + b"]}]}"


def _tile_points(record: Record) -> Iterator[Point]:
    """What the old tile counted of a job; nothing of other kinds and of approvals."""
    attributes = record.attributes
    if record.kind != "job" or attributes.get("circleci.job.type") == "approval":
        return
    named = (*((name, attributes.get(name)) for name in _TILE_LABELS[:2]), (_TILE_LABELS[2], record.project))
    tags = ((name[len(TAG_PREFIX) :], value) for name, value in attributes.items() if name.startswith(TAG_PREFIX))
    labels = tuple((name, str(value)) for name, value in (*named, *tags) if value)
    at_ms = parse_ms(record.occurred_at) or 0
    yield Point(_FINISHED, 1.0, labels, at_ms)
    duration = attributes.get("circleci.duration_ms")
    if isinstance(duration, int) and attributes.get("headgate.status") not in _DID_NOT_RUN:
        yield Point(_COMPLETED, 1.0, labels, at_ms)
        yield Point(_TIME_SUM, float(duration), labels, at_ms)
        yield Point(_TIME_AVG, float(duration), labels, at_ms)
