"""Sumo Logic dashboards and monitors in its query language, over the log lines of a `sumologic` sink.

A dashboard is known there by its title, which comes from its key and so never changes. Source: Sumo Logic
documentation, "Filtering with Template Variables", "Create a Monitor", "Monitors Settings"; API `dashboardManagement`
and `monitorsLibraryManagement` (`MonitorsLibraryFolderExport`); the vendor's Terraform provider; read November 2026.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from headgate.core.ports import HttpRequest
from headgate.dashboards._sumoql import field, sumo, value_of
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Dashboard, Monitor, Panel
from headgate.dashboards.target import Asked, Files, Talk, Target, failed

__all__ = ["TARGETS"]

_TITLE = "CircleCI by Headgate"
_MONITORS = "monitors.json"
# What the example of the sink sends; the default of each dashboard's variable. Monitors have no variables.
_CATEGORY = "ci/circleci"
_COLUMNS = 24
_TOP = 20
# Seconds; one of those that the API takes.
_REFRESH = 300
# Visual settings, width and height in the grid.
_SHAPES: dict[str, tuple[dict[str, str], int, int]] = {
    "stat": ({"mode": "singleValueMetrics", "type": "svp"}, 6, 5),
    "series": ({"mode": "timeSeries", "type": "line"}, 12, 8),
    "table": ({"mode": "distribution", "type": "table"}, 12, 8),
}
_UNITS = {"runs": "runs", "ratio": "%", "ms": "ms", "credits": "credits"}
_SIGNS = {"above": ">", "below": "<"}


def _asked(panel: Panel) -> str:
    if panel.shape == "series":
        return sumo(panel.question, over="100 buckets")
    query = sumo(panel.question)
    return f"{query}\n| sort by {value_of(panel.question)}\n| limit {_TOP}" if panel.shape == "table" else query


def _watched(monitor: Monitor) -> str:
    """A query with a row for each group that is beyond the limit; a success rate is a percentage."""
    limit = monitor.limit * 100 if monitor.question.what == "success_rate" else monitor.limit
    query = sumo(monitor.question, category=_CATEGORY, runs=True)
    beyond = f"{value_of(monitor.question)} {_SIGNS[monitor.beyond]} {limit:.10g}"
    return f"{query}\n| where {beyond} and runs >= {monitor.at_least}"


def _title(dashboard: Dashboard) -> str:
    return f"{_TITLE} - {dashboard.key}"


def _board(dashboard: Dashboard) -> dict[str, Any]:
    """The body of `POST /api/v2/dashboards`."""
    panels: list[dict[str, Any]] = []
    layout: list[dict[str, str]] = []
    x = y = row = 0
    for number, panel in enumerate(dashboard.panels, 1):
        visual, width, height = _SHAPES[panel.shape]
        if x + width > _COLUMNS:
            x, y, row = 0, y + row, 0
        key = f"{dashboard.key}-{number}"
        panels.append(_panel(key, panel, visual))
        layout.append({"key": key, "structure": _json({"height": height, "width": width, "x": x, "y": y})})
        x, row = x + width, max(row, height)
    return {
        "title": _title(dashboard),
        "description": dashboard.about,
        "refreshInterval": _REFRESH,
        "theme": "Light",
        "timeRange": {
            "type": "BeginBoundedTimeRange",
            "from": {"type": "RelativeTimeRangeBoundary", "relativeTime": "-7d"},
        },
        "panels": panels,
        "layout": {"layoutType": "Grid", "layoutStructures": layout},
        "variables": [_variable()],
    }


def _panel(key: str, panel: Panel, visual: dict[str, str]) -> dict[str, Any]:
    unit = _UNITS[panel.unit]
    settings: dict[str, Any] = {"general": visual, "title": {"fontSize": 14}}
    if panel.shape == "stat":
        settings["svp"] = {"label": unit}
    elif panel.shape == "series":
        settings["axes"] = {"axisY": {"title": unit}}
    query = {"queryString": _asked(panel), "queryType": "Logs", "queryKey": "A"}
    return {
        "key": key,
        "title": panel.title,
        "panelType": "SumoSearchPanel",
        "visualSettings": _json(settings),
        "keepVisualSettingsConsistentWithParent": True,
        "queries": [{**query, "parseMode": "Manual", "timeSource": "Message"}],
    }


def _variable() -> dict[str, Any]:
    return {
        "name": "category",
        "defaultValue": _CATEGORY,
        "sourceDefinition": {"variableSourceType": "CsvVariableSourceDefinition", "values": _CATEGORY},
        "allowMultiSelect": False,
        "includeAllOption": True,
        "hideFromUI": False,
    }


def _monitor(monitor: Monitor) -> dict[str, Any]:
    """As the product exports one. The limit is in the query, because a threshold is at most 1,000."""
    span = f"-{monitor.minutes // 60}h"
    return {
        "type": "MonitorsLibraryMonitorExport",
        # Names are alphanumeric.
        "name": monitor.title.replace(":", " -"),
        "description": monitor.about,
        "monitorType": "Logs",
        "evaluationDelay": "0m",
        "queries": [{"rowId": "A", "query": _watched(monitor)}],
        "triggers": [
            _trigger("Warning", span, "GreaterThan"),
            _trigger("ResolvedWarning", span, "LessThanOrEqual"),
        ],
        "notifications": [],
        "isDisabled": False,
        "groupNotifications": True,
        "notificationGroupFields": [field(name) for name in monitor.question.by],
    }


def _trigger(kind: str, span: str, comparison: str) -> dict[str, Any]:
    """Without a field, the number of rows is compared."""
    return {
        "detectionMethod": "LogsStaticCondition",
        "triggerType": kind,
        "timeRange": span,
        "threshold": 0,
        "thresholdType": comparison,
    }


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _render() -> Files:
    folder = {
        "type": "MonitorsLibraryFolderExport",
        "name": _TITLE,
        "description": "Alerts on what Headgate collected from CircleCI.",
        "children": [_monitor(monitor) for monitor in MONITORS],
    }
    made = {f"{one.key}.json": _board(one) for one in DASHBOARDS} | {_MONITORS: folder}
    return {name: orjson.dumps(made[name], option=orjson.OPT_INDENT_2) + b"\n" for name in sorted(made)}


def _queries() -> list[Asked]:
    found = [Asked(panel.title, _asked(panel)) for dashboard in DASHBOARDS for panel in dashboard.panels]
    return [*found, *(Asked(monitor.title, _watched(monitor)) for monitor in MONITORS)]


class _There(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a dashboard that is there."""

    id: str
    title: str
    folder_id: str | None = None
    variables: list[dict[str, Any]] | None = None


class _Page(msgspec.Struct, frozen=True):
    dashboards: list[_There]
    next: str | None = None


def _push(url: str, credentials: Mapping[str, str], name: str, contents: bytes) -> Talk | None:
    """A dashboard over the API, found by its title; monitors are imported by hand, with a category of your choice."""
    if name == _MONITORS:
        return None
    board = orjson.loads(contents)
    pair = f"{credentials['SUMO_ACCESS_ID']}:{credentials['SUMO_ACCESS_KEY']}".encode()
    headers = (("content-type", "application/json"), ("authorization", f"Basic {base64.b64encode(pair).decode()}"))
    address = f"{url}/api/v2/dashboards"

    def talk() -> Talk:
        # Those of others too, so that a second user makes no second dashboard.
        first = next_page = f"{address}?limit=100&mode=allViewableByUser"
        while True:
            reply = yield HttpRequest("GET", next_page, headers, b"")
            if problem := failed(reply):
                return problem
            try:
                page = msgspec.json.decode(reply.body, type=_Page)
            except msgspec.DecodeError:
                return f"answered no list of dashboards: {reply.text(300)}"
            for there in page.dashboards:
                if there.title == board["title"]:
                    body = orjson.dumps(_replacing(there, board))
                    return failed((yield HttpRequest("PUT", f"{address}/{there.id}", headers, body)))
            if not page.next:
                return failed((yield HttpRequest("POST", address, headers, contents)))
            here, next_page = next_page, f"{first}&token={quote(page.next, safe='')}"
            if here == next_page:
                return "answered the same page of dashboards twice"

    return talk()


def _replacing(there: _There, board: dict[str, Any]) -> dict[str, Any]:
    """Our dashboard, in the folder and with the source category that were chosen there."""
    chosen = {one.get("name"): one for one in there.variables or ()}
    folder = {"folderId": there.folder_id} if there.folder_id else {}
    return {**board, **folder, "variables": [chosen.get(one["name"], one) for one in board["variables"]]}


TARGETS = (Target("sumologic", "sumologic", _render, _queries, ("SUMO_ACCESS_ID", "SUMO_ACCESS_KEY"), _push),)
