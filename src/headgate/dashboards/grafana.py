"""Grafana dashboards over Prometheus or Loki, and alert rules that Prometheus, Mimir and Loki's ruler load.

Source: Grafana dashboard JSON model, schema version 39, and `POST /api/dashboards/db`; Prometheus alerting rules. Read
November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import yaml

from headgate.core.ports import HttpRequest
from headgate.dashboards import _logql, _promql
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Dashboard, Monitor, Panel, Question
from headgate.dashboards.target import Asked, Files, Talk, Target, failed

__all__ = ["TARGETS", "push_dashboard"]

_SCHEMA = 39
_WIDTH = 24
_TALL = 8
_LOW = 4
_UNITS = {"runs": "short", "ratio": "percentunit", "ms": "ms", "credits": "short"}
_TYPES = {"stat": "stat", "series": "timeseries", "table": "table"}
_TOP = 20

_Ask = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class _Flavour:
    """A data source of Grafana's. `ran`: runs that a success rate rests on. `step`: window of a graph's point."""

    kind: str
    ask: _Ask
    ran: Callable[[Question, str], str]
    step: str
    projects: object


def _query(ask: _Ask, panel: Panel, step: str) -> str | None:
    """What one panel asks. Lines over time look back over one step of the graph, all else over the chosen range."""
    query = ask(panel.question, step if panel.shape == "series" else "$__range", project="$project")
    if query is not None and panel.shape == "table":
        return f"topk({_TOP}, {query})"
    return query


def _panels(flavour: _Flavour, dashboard: Dashboard) -> Iterator[tuple[Panel, str]]:
    for panel in dashboard.panels:
        query = _query(flavour.ask, panel, flavour.step)
        if query is not None:
            yield panel, query


def _board(flavour: _Flavour, dashboard: Dashboard) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    kind = flavour.kind
    x = y = row = 0
    for panel, query in _panels(flavour, dashboard):
        width, height = (6, _LOW) if panel.shape == "stat" else (12, _TALL)
        if x + width > _WIDTH:
            x, y, row = 0, y + row, 0
        panels.append(_panel(len(panels) + 1, panel, query, kind, {"x": x, "y": y, "w": width, "h": height}))
        x, row = x + width, max(row, height)
    return {
        "uid": f"headgate-{kind}-{dashboard.key}",
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["circleci", "headgate"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": _variables(flavour)},
        "panels": panels,
    }


def _variables(flavour: _Flavour) -> list[dict[str, Any]]:
    source = {"type": flavour.kind, "uid": "${datasource}"}
    project: dict[str, Any] = {
        "name": "project",
        "label": "Project",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "type": "query",
        "datasource": source,
        "refresh": 2,
        "query": flavour.projects,
    }
    return [{"name": "datasource", "label": "Data source", "type": "datasource", "query": flavour.kind}, project]


def _panel(number: int, panel: Panel, query: str, kind: str, place: dict[str, int]) -> dict[str, Any]:
    asked: dict[str, Any] = {"refId": "A", "expr": query, "datasource": {"type": kind, "uid": "${datasource}"}}
    if panel.shape != "series":
        asked["instant"] = True
        asked["queryType"] = "instant"
    if panel.shape == "table":
        asked["format"] = "table"
    return {
        "id": number,
        "title": panel.title,
        "type": _TYPES[panel.shape],
        "datasource": {"type": kind, "uid": "${datasource}"},
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": _UNITS[panel.unit]}, "overrides": []},
        "targets": [asked],
    }


def _threshold(flavour: _Flavour, monitor: Monitor) -> str:
    window = f"{monitor.minutes}m"
    query = flavour.ask(monitor.question, window)
    assert query is not None, f"monitor {monitor.key} cannot be asked"  # noqa: S101  # a fault of the catalogue; tested
    sign = "<" if monitor.beyond == "below" else ">"
    return f"{query} {sign} {monitor.limit:g} and {flavour.ran(monitor.question, window)} >= {monitor.at_least}"


def _rules(flavour: _Flavour) -> bytes:
    rules = [
        {
            "alert": monitor.title,
            "expr": _threshold(flavour, monitor),
            "for": "5m",
            "labels": {"severity": "warning", "headgate_monitor": monitor.key},
            "annotations": {"summary": monitor.about},
        }
        for monitor in MONITORS
    ]
    text = yaml.safe_dump({"groups": [{"name": "headgate", "rules": rules}]}, sort_keys=False, width=4096)
    return text.encode()


def _render(flavour: _Flavour) -> Files:
    files = {
        f"{dashboard.key}.json": orjson.dumps(_board(flavour, dashboard), option=orjson.OPT_INDENT_2) + b"\n"
        for dashboard in DASHBOARDS
        if any(_panels(flavour, dashboard))
    }
    return dict(sorted({**files, "rules.yaml": _rules(flavour)}.items()))


def _queries(flavour: _Flavour) -> list[Asked]:
    found = [Asked(panel.title, query) for dashboard in DASHBOARDS for panel, query in _panels(flavour, dashboard)]
    return [*found, *(Asked(monitor.title, _threshold(flavour, monitor)) for monitor in MONITORS)]


def push_dashboard(url: str, credentials: Mapping[str, str], name: str, contents: bytes) -> Talk | None:
    """Dashboards over Grafana's API; rules are loaded by the ruler, from the file."""
    if not name.endswith(".json"):
        return None

    def talk() -> Talk:
        body = orjson.dumps({"dashboard": orjson.loads(contents), "overwrite": True, "message": "headgate"})
        headers = (("content-type", "application/json"), ("authorization", f"Bearer {credentials['GRAFANA_TOKEN']}"))
        return failed((yield HttpRequest("POST", f"{url}/api/dashboards/db", headers, body)))

    return talk()


def _target(flavour: _Flavour) -> Target:
    return Target(
        f"grafana-{flavour.kind}",
        flavour.kind,
        partial(_render, flavour),
        partial(_queries, flavour),
        ("GRAFANA_TOKEN",),
        push_dashboard,
    )


_PROMETHEUS = _Flavour(
    "prometheus",
    _promql.promql,
    _promql.evidence,
    "$__rate_interval",
    "label_values(cicd_pipeline_run_duration_seconds_count, circleci_project)",
)
_LOKI = _Flavour(
    "loki",
    _logql.logql,
    _logql.evidence,
    "$__interval",
    {"type": 1, "label": "project", "stream": '{service_name="circleci"}', "refId": "project"},
)
TARGETS = (_target(_PROMETHEUS), _target(_LOKI))
