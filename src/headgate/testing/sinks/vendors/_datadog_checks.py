"""What Datadog's intakes ask of a body: required fields, types, closed sets, lengths. Pure.

Invariant: a check returns nothing or raises Wrong with words that name the field. Source: the type tables of
datadog-api-client 2.62 (`required`, `validations`, `allowed_values`) and Datadog's API reference, read November 2026.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

JOB_STATUSES = frozenset({"success", "error", "canceled", "skipped", "running"})
PIPELINE_STATUSES = JOB_STATUSES | {"blocked"}
DOMAINS = frozenset({"provider", "user", "unknown"})
ALERT_TYPES = frozenset({"error", "warning", "info", "success", "user_update", "recommendation", "snapshot"})
METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,199}\Z")
SHA = re.compile(r"[0-9a-f]{40}\Z")
DORA_ID = re.compile(r"[A-Za-z0-9_.:-]{16,128}\Z")
YEAR_MS = 366 * 86_400_000


class Wrong(ValueError):
    """The body is not what the intake takes."""


def text(value: Any, name: str, most: int | None = None) -> str:
    """A text that is not blank, at most `most` characters."""
    if not isinstance(value, str) or not value:
        raise Wrong(f"{name} must be a text that is not blank")
    if most is not None and len(value) > most:
        raise Wrong(f"{name} has {len(value)} characters, at most {most}")
    return value


def whole(value: Any, name: str, least: int | None = None) -> int:
    """An integer, at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Wrong(f"{name} must be an integer")
    if least is not None and value < least:
        raise Wrong(f"{name} is below {least}")
    return value


def number(value: Any, name: str) -> float:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong(f"{name} must be a number")
    return float(value)


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise Wrong(f"{name} must be an object")
    return value


def listed(value: Any, name: str, most: int | None = None) -> list[Any]:
    """A list that is not empty."""
    if not isinstance(value, list) or not value:
        raise Wrong(f"{name} must be a list that is not empty")
    if most is not None and len(value) > most:
        raise Wrong(f"{name} has {len(value)} elements, at most {most}")
    return value


def tags(holder: dict[str, Any], name: str = "tags", most: int | None = None) -> tuple[str, ...]:
    """The texts of an optional list of `key:value`, sorted."""
    found = holder.get(name, [])
    if not isinstance(found, list):
        raise Wrong(f"{name} must be a list")
    if most is not None and len(found) > most:
        raise Wrong(f"{name} has {len(found)} elements, at most {most}")
    for one in found:
        if ":" not in text(one, name):
            raise Wrong(f"{name}: {one!r} is not of the form key:value")
    return tuple(sorted(found))


def moment(value: Any, name: str) -> int:
    """An RFC 3339 time as milliseconds since the epoch."""
    try:
        found = datetime.fromisoformat(text(value, name))
    except ValueError as error:
        raise Wrong(f"{name} is not RFC 3339: {value!r}") from error
    if found.tzinfo is None:
        raise Wrong(f"{name} has no zone")
    return round(found.timestamp() * 1000)


def log_time(value: Any) -> int:
    """Milliseconds, as a number or as text, or an RFC 3339 time."""
    if isinstance(value, str):
        return int(value) if value.isdigit() else moment(value, "timestamp")
    return whole(value, "timestamp", 0)


def series(value: Any) -> tuple[str, tuple[str, ...], int, list[tuple[int, float]]]:
    """Name, tags, type and points of one v2 series."""
    one = mapping(value, "series")
    name = text(one.get("metric"), "metric")
    if not METRIC.match(name):
        raise Wrong(f"metric {name!r} is not a metric name")
    kind = whole(one.get("type", 0), "type")
    if kind not in (0, 1, 2, 3):
        raise Wrong(f"type {kind} is not one of 0 to 3")
    if kind in (1, 2):
        whole(one.get("interval"), "interval", 1)
    points = [mapping(point, "point") for point in listed(one.get("points"), "points")]
    read = [(whole(p.get("timestamp"), "timestamp"), number(p.get("value"), "value")) for p in points]
    return name, tags(one), kind, read


def distribution(value: Any) -> tuple[str, tuple[str, ...], list[tuple[int, list[float]]]]:
    """Name, tags and points of one distribution."""
    one = mapping(value, "series")
    name = text(one.get("metric"), "metric")
    if not METRIC.match(name):
        raise Wrong(f"metric {name!r} is not a metric name")
    if one.get("type", "distribution") != "distribution":
        raise Wrong("type must be distribution")
    points = []
    for point in listed(one.get("points"), "points"):
        if not isinstance(point, list) or len(point) != 2:
            raise Wrong("a point is a list of a time and a list of values")
        values = [number(one, "value") for one in listed(point[1], "values")]
        points.append((whole(point[0], "timestamp"), values))
    return name, tags(one), points


def ci_resource(value: Any) -> tuple[str, str, int | None, dict[str, Any]]:
    """Level, id, end and the resource of one CI event."""
    data = mapping(value, "data")
    if data.get("type") != "cipipeline_resource_request":
        raise Wrong("type must be cipipeline_resource_request")
    resource = mapping(mapping(data.get("attributes"), "attributes").get("resource"), "resource")
    level = resource.get("level")
    if level not in ("pipeline", "job"):
        raise Wrong(f"level {level!r} is not pipeline or job")
    names = ("unique_id", "name", "url") if level == "pipeline" else _JOB_TEXTS
    for name in names:
        text(resource.get(name), name)
    if level == "pipeline" and not isinstance(resource.get("partial_retry"), bool):
        raise Wrong("partial_retry must be true or false")
    status = resource.get("status")
    if status not in (PIPELINE_STATUSES if level == "pipeline" else JOB_STATUSES):
        raise Wrong(f"status {status!r} is not one of this level")
    end = _span(resource, running=status == "running")
    _optional(resource)
    return level, resource["unique_id" if level == "pipeline" else "id"], end, resource


_JOB_TEXTS = ("id", "name", "pipeline_unique_id", "pipeline_name", "url")


def _span(resource: dict[str, Any], *, running: bool) -> int | None:
    start = moment(resource.get("start"), "start")
    if running:
        if "end" in resource:
            raise Wrong("end of a running one")
        return None
    end = moment(resource.get("end"), "end")
    if not 0 <= end - start <= YEAR_MS:
        raise Wrong("end is before start or more than a year after it")
    return end


def _optional(resource: dict[str, Any]) -> None:
    if resource.get("queue_time") is not None:
        whole(resource["queue_time"], "queue_time", 0)
    tags(resource)
    for one in tags(resource, "metrics"):
        number(_float(one.rpartition(":")[2]), f"metrics: {one}")
    if "previous_attempt" in resource:
        text(mapping(resource["previous_attempt"], "previous_attempt").get("id"), "previous_attempt.id")
    if "node" in resource:
        node = mapping(resource["node"], "node")
        if not isinstance(node.get("labels", []), list):
            raise Wrong("node.labels must be a list")
    if "error" in resource:
        error = mapping(resource["error"], "error")
        for name, most in (("type", 100), ("message", 5_000)):
            text(error.get(name), f"error.{name}", most)
        if error.get("domain") not in DOMAINS:
            raise Wrong(f"error.domain {error.get('domain')!r}")
    if "git" in resource:
        _git(mapping(resource["git"], "git"))


def _float(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return None


def _git(git: dict[str, Any]) -> None:
    """Whole: commit, repository, e-mail, and a branch or a tag."""
    for name in ("repository_url", "author_email", "sha"):
        text(git.get(name), f"git.{name}")
    if not SHA.match(git["sha"]):
        raise Wrong("git.sha is not 40 hexadecimal digits")
    if bool(git.get("branch")) == bool(git.get("tag")):
        raise Wrong("git needs exactly one of branch and tag")


def v1_event(value: Any) -> tuple[int, dict[str, Any]]:
    """Time in seconds and the event itself."""
    event = mapping(value, "event")
    text(event.get("title"), "title", 500)
    text(event.get("text"), "text", 4_000)
    if "aggregation_key" in event:
        text(event["aggregation_key"], "aggregation_key", 100)
    if event.get("alert_type", "info") not in ALERT_TYPES:
        raise Wrong(f"alert_type {event.get('alert_type')!r}")
    if event.get("priority") not in (None, "normal", "low"):
        raise Wrong(f"priority {event.get('priority')!r}")
    tags(event, most=100)
    return whole(event.get("date_happened"), "date_happened", 0), event


def dora(value: Any) -> dict[str, Any]:
    """The attributes of one DORA deployment."""
    attributes = mapping(mapping(mapping(value, "body").get("data"), "data").get("attributes"), "attributes")
    text(attributes.get("service"), "service")
    started = whole(attributes.get("started_at"), "started_at", 0)
    if whole(attributes.get("finished_at"), "finished_at", 0) < started:
        raise Wrong("finished_at is before started_at")
    if "id" in attributes and not DORA_ID.match(text(attributes["id"], "id")):
        raise Wrong("id is 16 to 128 characters of letters, digits and -_.:")
    if "git" in attributes:
        git = mapping(attributes["git"], "git")
        for name in ("commit_sha", "repository_url"):
            text(git.get(name), f"git.{name}")
        if not SHA.match(git["commit_sha"]):
            raise Wrong("git.commit_sha is not 40 hexadecimal digits")
    tags(attributes, "custom_tags", 100)
    return attributes
