"""A Grafana dashboard over Headgate's own API, through the Infinity data source: no sink is needed.

Source: Grafana, "Infinity data source" (JSON; query editor), read November 2026. Addresses are relative: the data
source has the base URL and the token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import orjson

from headgate.dashboards.grafana import push_dashboard
from headgate.dashboards.target import Asked, Files, Target

__all__ = ["TARGETS"]

_TYPE = "yesoreyeram-infinity-datasource"
_SOURCE = {"type": _TYPE, "uid": "${datasource}"}
_SCHEMA = 39
_WINDOW = "since=${__from:date:iso}&until=${__to:date:iso}"
_FILE = "headgate.json"
_WIDE, _HIGH, _LOW = 12, 8, 4
_Column = tuple[str, str, Literal["string", "number", "timestamp"]]


@dataclass(frozen=True, slots=True)
class _Panel:
    """`path`, `query`: what is asked; `root`: where its rows are; `columns`: selector, title and type of each."""

    title: str
    shape: Literal["stat", "timeseries", "table"]
    unit: str
    path: str
    query: Sequence[tuple[str, str]]
    root: str
    columns: tuple[_Column, ...]

    @property
    def url(self) -> str:
        """Path and query, the window as Grafana fills it in."""
        pairs = f"{urlencode(self.query)}&{_WINDOW}" if self.query else _WINDOW
        return f"{self.path}?{pairs}"


def _figure(title: str, metric: str, unit: str) -> _Panel:
    return _Panel(title, "stat", unit, "/api/v1/query", (("metric", metric),), "groups", (("value", title, "number"),))


def _line(title: str, metric: str, unit: str) -> _Panel:
    columns: tuple[_Column, ...] = (
        ("at", "Time", "timestamp"),
        ("labels.project", "Project", "string"),
        ("value", title, "number"),
    )
    query = (("metric", metric), ("by", "project"), ("step", "1d"))
    return _Panel(title, "timeseries", unit, "/api/v1/series", query, "rows", columns)


_PANELS = (
    _figure("Runs", "runs", "short"),
    _figure("Success rate", "success_rate", "percentunit"),
    _figure("Duration p95", "duration_p95", "s"),
    _figure("Credits", "credits", "short"),
    _line("Success rate by project", "success_rate", "percentunit"),
    _line("Duration p95 by project", "duration_p95", "s"),
    _line("Queue p95 by project", "queue_p95", "s"),
    _line("Credits by project", "credits", "short"),
    _Panel(
        "Builds",
        "table",
        "s",
        "/api/v1/insights/builds",
        (),
        "projects",
        (
            ("project", "Project", "string"),
            ("running", "Running", "number"),
            ("queued", "Queued", "number"),
            ("on_hold", "On hold", "number"),
            ("last_build.status", "Last build", "string"),
            ("build_time.value", "Median build", "number"),
            ("queue_time.value", "Median queue", "number"),
        ),
    ),
    _Panel(
        "Deployments by project",
        "table",
        "short",
        "/api/v1/insights/dora",
        (),
        "projects",
        (
            ("name", "Project", "string"),
            ("figures.deployments.value", "Deployments", "number"),
            ("figures.dora_change_failure_rate.value", "Change failure rate", "number"),
            ("figures.dora_lead_time.value", "Lead time", "number"),
        ),
    ),
)


def _target(panel: _Panel) -> Mapping[str, Any]:
    columns = [{"selector": selector, "text": title, "type": kind} for selector, title, kind in panel.columns]
    return {
        "refId": "A",
        "datasource": _SOURCE,
        "type": "json",
        "source": "url",
        "parser": "backend",
        "format": "timeseries" if panel.shape == "timeseries" else "table",
        "url": panel.url,
        "url_options": {"method": "GET", "data": ""},
        "root_selector": panel.root,
        "columns": columns,
        "filters": [],
    }


def _board() -> Mapping[str, Any]:
    panels: list[Mapping[str, Any]] = []
    x = y = row = 0
    for number, panel in enumerate(_PANELS, 1):
        width, height = (6, _LOW) if panel.shape == "stat" else (_WIDE, _HIGH)
        if x + width > 2 * _WIDE:
            x, y, row = 0, y + row, 0
        panels.append(
            {
                "id": number,
                "title": panel.title,
                "type": panel.shape,
                "datasource": _SOURCE,
                "gridPos": {"x": x, "y": y, "w": width, "h": height},
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [_target(panel)],
            }
        )
        x, row = x + width, max(row, height)
    return {
        "uid": "headgate-infinity",
        "title": "Headgate",
        "description": "CircleCI as Headgate's own API tells of it.",
        "tags": ["circleci", "headgate"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": _TYPE}]},
        "panels": panels,
    }


def _render() -> Files:
    return {_FILE: orjson.dumps(_board(), option=orjson.OPT_INDENT_2) + b"\n"}


def _queries() -> list[Asked]:
    return [Asked(panel.title, panel.url) for panel in _PANELS]


TARGETS = (Target("infinity", "", _render, _queries, ("GRAFANA_TOKEN",), push_dashboard),)
