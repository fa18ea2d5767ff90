"""Datadog dashboards and monitors, over the metrics, distributions and logs of a `datadog` sink.

A dashboard is known there by its title, a monitor by its tag `headgate.monitor`. Source: Datadog API reference v1
(dashboards, monitors) and the models of datadog-api-client 2.62, read November 2026.
"""

from __future__ import annotations

from typing import Any

import orjson

from headgate.dashboards._datadog_push import MONITOR_TAG, push
from headgate.dashboards._datadog_queries import Scope, answer, failure_share, metric_query
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Dashboard, Monitor, Panel
from headgate.dashboards.target import Asked, Files, Target

__all__ = ["TARGETS"]

_COLUMNS = 12
_TOP = 20
# Type of widget, width and height in the grid.
_SHAPES = {"stat": ("query_value", 3, 2), "series": ("timeseries", 6, 4), "table": ("query_table", 6, 4)}
# One variable serves both: metrics know the project as another tag than logs do.
_BOARD = Scope("$project", "project:$project.value", 100)
# A monitor takes up to 1,000 groups.
_WATCH = Scope("*", "", 1_000)
_SIGNS = {"above": ">", "below": "<"}
_OPPOSITES = {"above": "<", "below": ">"}


def _title(dashboard: Dashboard) -> str:
    """Told apart from dashboards that people made: a push replaces the one of this title."""
    return f"{dashboard.title} (Headgate)"


def _format(unit: str) -> dict[str, Any]:
    if not unit:
        return {}
    if unit == "credit":
        return {"number_format": {"unit": {"type": "custom_unit_label", "label": "credits"}}}
    return {"number_format": {"unit": {"type": "canonical_unit", "unit_name": unit}}}


def _request(panel: Panel) -> dict[str, Any]:
    asked = answer(panel.question, _BOARD)
    formula: dict[str, Any] = {"formula": asked.formula, **_format(asked.unit)}
    if panel.question.by:
        # The worst: rates are bad when low, all else when high.
        formula["limit"] = {"count": _TOP, "order": "asc" if panel.unit == "ratio" else "desc"}
    series = panel.shape == "series"
    request: dict[str, Any] = {
        "response_format": "timeseries" if series else "scalar",
        "queries": list(asked.queries),
        "formulas": [formula],
    }
    if series:
        request["display_type"] = "bars" if panel.unit in ("runs", "credits") else "line"
    return request


def _widget(panel: Panel, layout: dict[str, int]) -> dict[str, Any]:
    kind = _SHAPES[panel.shape][0]
    definition: dict[str, Any] = {"type": kind, "title": panel.title, "requests": [_request(panel)]}
    if kind == "query_value":
        definition |= {"autoscale": True, "precision": 0 if panel.unit == "runs" else 1}
    elif kind == "timeseries":
        definition |= {"show_legend": True, "legend_layout": "auto"}
    return {"definition": definition, "layout": layout}


def _board(dashboard: Dashboard) -> dict[str, Any]:
    """The body of `POST /api/v1/dashboard`."""
    widgets: list[dict[str, Any]] = []
    x = y = row = 0
    for panel in dashboard.panels:
        _, width, height = _SHAPES[panel.shape]
        if x + width > _COLUMNS:
            x, y, row = 0, y + row, 0
        widgets.append(_widget(panel, {"x": x, "y": y, "width": width, "height": height}))
        x, row = x + width, max(row, height)
    return {
        "title": _title(dashboard),
        "description": dashboard.about,
        "layout_type": "ordered",
        "reflow_type": "fixed",
        "template_variables": [{"name": "project", "prefix": "circleci.project", "defaults": ["*"]}],
        "widgets": widgets,
    }


def _watched(monitor: Monitor) -> dict[str, Any]:
    """The body of `POST /api/v1/monitor`. Distributions are in seconds; of a success rate the complement is watched."""
    question = monitor.question
    window = f"{monitor.minutes // 60}h" if monitor.minutes % 60 == 0 else f"{monitor.minutes}m"
    options: dict[str, Any] = {"include_tags": True, "on_missing_data": "resolve", "require_full_window": False}
    if question.what == "success_rate":
        share = failure_share(question, _WATCH, monitor.at_least)
        limit = round(1 - monitor.limit, 10)
        kind, asked, sign = "log alert", f'formula("{share.formula}").last("{window}")', _OPPOSITES[monitor.beyond]
        options["variables"] = list(share.queries)
    else:
        query = metric_query(question, _WATCH.metrics)
        assert query is not None, f"{monitor.key} cannot be asked"  # noqa: S101  # a fault of the catalogue; tested
        limit = monitor.limit / 1000
        kind, asked, sign = "query alert", f"percentile(last_{window}):{query}", _SIGNS[monitor.beyond]
    return {
        "name": monitor.title,
        "type": kind,
        "query": f"{asked} {sign} {limit:.10g}",
        "message": f"{monitor.about}\n\nAdd the @-handles of those to be told: a push leaves this text as it is.",
        "tags": ["headgate", f"{MONITOR_TAG}:{monitor.key}"],
        "options": {**options, "thresholds": {"critical": limit}},
    }


def _json(body: object) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n"


def _render() -> Files:
    files = {f"{dashboard.key}.json": _json(_board(dashboard)) for dashboard in DASHBOARDS}
    files |= {f"monitor-{monitor.key}.json": _json(_watched(monitor)) for monitor in MONITORS}
    return dict(sorted(files.items()))


def _queries() -> list[Asked]:
    """Queries of dashboards as JSON, one for each; monitors with their variables."""
    found = [
        Asked(panel.title, orjson.dumps(query).decode())
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in answer(panel.question, _BOARD).queries
    ]
    for monitor in MONITORS:
        watched = _watched(monitor)
        asked = {"query": watched["query"], "variables": watched["options"].get("variables", [])}
        found.append(Asked(monitor.title, orjson.dumps(asked).decode()))
    return found


TARGETS = (Target("datadog", "datadog", _render, _queries, ("DD_API_KEY", "DD_APP_KEY"), push),)
