"""What New Relic takes: one item of an event, log, metric or span body judged by the documented limits.

Pure. A rule gives None for a good item, else the reason for which New Relic drops it. Source: docs.newrelic.com, "Data
requirements and limits for custom event data", "Log API", "Metric API limits", "Trace API general requirements and
limits", read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

Item = Mapping[str, Any]
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
NAME_CHARACTERS = 255
RESERVED = frozenset(
    {
        *("accountId", "appId", "eventType", "timestamp", "interval.ms", "value", "common", "min", "max", "count"),
        *("sum", "metrics", "metricName", "endTimestamp", "newrelic.source", "entity.guid", "entity.name"),
        *("entity.type", "entityGuid", "guid"),
    }
)
EVENT_TYPE = re.compile(r"[A-Za-z0-9_: ]{1,255}")
HEX_SPAN = re.compile(r"[0-9a-f]{16}")
HEX_TRACE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Window:
    """Which times are taken, milliseconds before and after now."""

    oldest_ms: int
    newest_ms: int

    def refuses(self, at_ms: float, now_ms: int) -> str | None:
        """Why this time is not taken."""
        if at_ms < now_ms - self.oldest_ms:
            return "timestamp too old"
        if at_ms > now_ms + self.newest_ms:
            return "timestamp in the future"
        return None


# A minute ahead stands for the clocks' difference that every server bears.
EVENT_WINDOW = Window(24 * HOUR_MS, MINUTE_MS)
LOG_WINDOW = Window(48 * HOUR_MS, MINUTE_MS)
METRIC_WINDOW = Window(48 * HOUR_MS, 24 * HOUR_MS)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _attributes(
    found: Any, most: int, value_bytes: int, *, scalars: tuple[type, ...] = (str, int, float, bool)
) -> str | None:
    """Judge the attributes of an item: their number, names, types and lengths."""
    if not isinstance(found, dict):
        return "attributes are not an object"
    if len(found) > most:
        return f"{len(found)} attributes, limit {most}"
    for name, value in found.items():
        if not name or len(name) > NAME_CHARACTERS:
            return f"attribute name of {len(name)} characters"
        if not isinstance(value, scalars) or (isinstance(value, bool) and bool not in scalars):
            return f"attribute {name} is a {type(value).__name__}"
        if isinstance(value, str) and len(value.encode()) > value_bytes:
            return f"value of {name} is over {value_bytes} bytes"
    return None


def event(item: Item, now_ms: int) -> str | None:
    """Judge a custom event: flat, text and numbers."""
    kind = item.get("eventType")
    if not isinstance(kind, str) or not EVENT_TYPE.fullmatch(kind):
        return f"eventType {kind!r} is not a name"
    at_ms = item.get("timestamp", now_ms)
    if not _number(at_ms):
        return "timestamp is not a number"
    rest = {name: value for name, value in item.items() if name not in ("eventType", "timestamp")}
    reserved = RESERVED & rest.keys()
    if reserved:
        return f"reserved attribute {min(reserved)}"
    return _attributes(rest, 253, 4_096, scalars=(str, int, float)) or EVENT_WINDOW.refuses(at_ms, now_ms)


def log(item: Item, now_ms: int) -> str | None:
    """Judge a log line."""
    if not isinstance(item.get("message"), str):
        return "message is not text"
    at_ms = item.get("timestamp", now_ms)
    if not _number(at_ms):
        return "timestamp is not a number"
    return _attributes(item.get("attributes", {}), 255, 128_000) or LOG_WINDOW.refuses(at_ms, now_ms)


def metric(item: Item, now_ms: int) -> str | None:
    """Judge a metric data point."""
    name = item.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
        return "a metric needs a name"
    kind = item.get("type", "gauge")
    if kind not in _METRIC_VALUES:
        return f"unknown metric type {kind!r}"
    if kind != "gauge" and not (_number(item.get("interval.ms")) and item["interval.ms"] > 0):
        return f"a {kind} needs interval.ms"
    if not _METRIC_VALUES[kind](item.get("value")):
        return f"the value is not that of a {kind}"
    attributes = item.get("attributes", {})
    at_ms = item.get("timestamp", now_ms)
    if not _number(at_ms):
        return "timestamp is not a number"
    fault = _attributes(attributes, 100, 4_096)
    if fault is None and (taken := (RESERVED | {name}) & attributes.keys()):
        fault = f"reserved attribute {min(taken)}"
    return fault or METRIC_WINDOW.refuses(at_ms, now_ms)


def _summary(value: Any) -> bool:
    """Return whether a value is a summary whose figures agree."""
    names = ("count", "sum", "min", "max")
    if not isinstance(value, dict) or set(value) != set(names) or not all(_number(value[name]) for name in names):
        return False
    return bool(value["count"] >= 1 and value["min"] <= value["max"])


_METRIC_VALUES: Mapping[str, Callable[[Any], bool]] = {
    "gauge": _number,
    "count": lambda value: _number(value) and value >= 0,
    "summary": _summary,
}


def span(item: Item) -> str | None:
    """Judge a span, but for its age."""
    fault = _span_ids(item) or _attributes(item.get("attributes", {}), 200, 4_000)
    if fault is not None:
        return fault
    attributes = item.get("attributes", {})
    if not _number(attributes.get("duration.ms", 0)) or attributes.get("duration.ms", 0) < 0:
        return "duration.ms is not a duration"
    return None if _number(item.get("timestamp", 0)) else "timestamp is not a number"


def _span_ids(item: Item) -> str | None:
    own, trace = item.get("id"), item.get("trace.id")
    if not isinstance(own, str) or not HEX_SPAN.fullmatch(own) or not own.strip("0"):
        return "id is not that of a span"
    if not isinstance(trace, str) or not HEX_TRACE.fullmatch(trace) or not trace.strip("0"):
        return "trace.id is not that of a trace"
    attributes = item.get("attributes", {})
    if isinstance(attributes, dict) and attributes.get("parent.id") == own:
        return "a span is not its own parent"
    return None
