"""Kibana: Lens panels on dashboards, and query rules in ES|QL, over the documents of an `elasticsearch` sink.

Invariant: a data view that is there is not replaced, because `headgate sinks setup` knows where the documents are.
Source: elastic.co "Saved objects", "Create a rule", "Update a rule", "Elasticsearch query rule", read November 2026.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, HttpRequest
from headgate.dashboards._lens import field_of, formula, kql, lens_object
from headgate.dashboards.questions import DASHBOARDS, EVIDENCE, MONITORS, Dashboard, Monitor, Panel
from headgate.dashboards.target import Asked, Files, Talk, Target, failed
from headgate.sinks._ecs import data_stream
from headgate.sinks._elasticsearch_templates import Layout, data_views
from headgate.sinks._endpoint import Redactor
from headgate.sinks._saved_objects import NO_FORGERY, Place, as_ndjson, read_ndjson, wanted_there

__all__ = ["TARGETS", "esql"]

Json = dict[str, Any]
_KEY = "KIBANA_API_KEY"
_OBJECTS = "objects.ndjson"
_COLUMNS = 48
_SIZES = {"stat": (12, 6), "series": (24, 12), "table": (24, 12)}
# The sink's defaults; where it has others, `sinks setup` has made the data view before.
_LAYOUT = Layout("data_stream", "default", "circleci", 0)
_VIEW = data_views(_LAYOUT)[0]
_MINUTES_BETWEEN_CHECKS = 5
# What a change of a rule may contain; the rest stays as it was created.
_CHANGEABLE = ("name", "tags", "schedule", "params")
# What an operator adds to a rule in Kibana; a change without it would take it away. Of an action what may be sent.
_OPERATORS_OWN = ("throttle", "notify_when", "alert_delay", "flapping")
_ACTION = ("group", "id", "params", "frequency", "uuid", "alerts_filter", "use_alert_data_for_template")


def esql(monitor: Monitor) -> str:
    """A query that has a row for each group beyond the limit. Rules add the range of time."""
    question = monitor.question
    kept = f'headgate.kind == "{question.of}"'
    if question.what == "success_rate":
        words = ", ".join(f'"{word}"' for word in EVIDENCE)
        kept += f" AND headgate.status IN ({words})"
        figure = '| EVAL succeeded = CASE(headgate.status == "success", 1.0, 0.0)'
        figure += " | STATS value = AVG(succeeded), runs = COUNT(*)"
    else:
        field = field_of(question.field)
        figure = f"| STATS value = PERCENTILE({field}, {question.what[1:]}), runs = COUNT({field})"
    groups = ", ".join(map(field_of, question.by))
    beyond = f"value {'<' if monitor.beyond == 'below' else '>'} {monitor.limit} AND runs >= {monitor.at_least}"
    # The names of data streams and of month indices; a pattern without an index is passed over.
    source = f"{data_stream(question.of, '*').name}, {_LAYOUT.index_prefix}-{question.of}-*"
    return f"FROM {source} | WHERE {kept} {figure} BY {groups} | WHERE {beyond}"


def _rule(monitor: Monitor) -> Json:
    """The body that creates a rule. ES|QL rules fire where the query has rows, so the limit is in the query."""
    return {
        "name": monitor.title,
        "rule_type_id": ".es-query",
        "consumer": "stackAlerts",
        "tags": ["circleci", "headgate"],
        "schedule": {"interval": f"{_MINUTES_BETWEEN_CHECKS}m"},
        "enabled": True,
        "params": {
            "searchType": "esqlQuery",
            "esqlQuery": {"esql": esql(monitor)},
            "timeField": "@timestamp",
            "timeWindowSize": monitor.minutes,
            "timeWindowUnit": "m",
            "size": 100,
            "threshold": [0],
            "thresholdComparator": ">",
            "aggType": "count",
            "groupBy": "all",
            "excludeHitsFromPreviousRun": False,
        },
        "actions": [],
    }


def _object_id(dashboard: Dashboard, panel: Panel) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", panel.title.lower()).strip("-")
    return f"headgate-{dashboard.key}-{slug}"


def _board(dashboard: Dashboard) -> Json:
    panels: list[Json] = []
    references: list[Json] = []
    x = y = row = 0
    for panel in dashboard.panels:
        width, height = _SIZES[panel.shape]
        if x + width > _COLUMNS:
            x, y, row = 0, y + row, 0
        key = f"p{len(panels) + 1}"
        panels.append(_placed(key, panel, {"x": x, "y": y, "w": width, "h": height, "i": key}))
        references.append({"type": "lens", "id": _object_id(dashboard, panel), "name": f"{key}:panel_{key}"})
        x, row = x + width, max(row, height)
    controls, reference = _controls()
    attributes = {
        "title": dashboard.title,
        "description": dashboard.about,
        "panelsJSON": _text(panels),
        "optionsJSON": _text({"useMargins": True, "syncColors": False, "hidePanelTitles": False}),
        "controlGroupInput": controls,
        "timeRestore": True,
        "timeFrom": "now-7d",
        "timeTo": "now",
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": _text({"query": {"query": "", "language": "kuery"}, "filter": []})
        },
    }
    return {
        "type": "dashboard",
        "id": f"headgate-{dashboard.key}",
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": "8.9.0",
        "attributes": attributes,
        "references": [*references, reference],
    }


def _placed(key: str, panel: Panel, place: Json) -> Json:
    # A metric shows its own title.
    shown = {"enhancements": {}, **({"hidePanelTitles": True} if panel.shape == "stat" else {})}
    return {
        "type": "lens",
        "gridData": place,
        "panelIndex": key,
        "panelRefName": f"panel_{key}",
        "embeddableConfig": shown,
    }


def _controls() -> tuple[Json, Json]:
    """A list of projects above the panels, and its reference."""
    chosen = {"id": "project", "fieldName": field_of("project"), "title": "Project"}
    panel = {"type": "optionsListControl", "order": 0, "width": "medium", "grow": True, "explicitInput": chosen}
    ignored = dict.fromkeys(("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"), False)
    group = {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": _text(ignored),
        "panelsJSON": _text({"project": panel}),
    }
    return group, {"type": "index-pattern", "id": _VIEW["id"], "name": "controlGroup_project:optionsListDataView"}


def _text(value: object) -> str:
    return orjson.dumps(value).decode()


def _render() -> Files:
    panels = [
        lens_object(_object_id(dashboard, panel), panel, _VIEW["id"])
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
    ]
    files = {_OBJECTS: as_ndjson([_VIEW, *panels, *map(_board, DASHBOARDS)])}
    for monitor in MONITORS:
        files[f"rule-{monitor.key}.json"] = orjson.dumps(_rule(monitor), option=orjson.OPT_INDENT_2) + b"\n"
    return dict(sorted(files.items()))


def _asked(panel: Panel) -> str:
    groups = ", ".join(map(field_of, panel.question.by))
    return f"{kql(panel.question)} | {formula(panel.question)}" + (f" by {groups}" if groups else "")


def _queries() -> list[Asked]:
    found = [Asked(panel.title, _asked(panel)) for dashboard in DASHBOARDS for panel in dashboard.panels]
    return [*found, *(Asked(monitor.title, esql(monitor)) for monitor in MONITORS)]


def _push(url: str, credentials: Mapping[str, str], name: str, contents: bytes) -> Talk | None:
    """Saved objects by import, under their ids; rules by their own API."""
    place = Place(url, (("authorization", f"ApiKey {credentials[_KEY]}"),), Redactor((credentials[_KEY],)))
    return _import(place, contents) if name == _OBJECTS else _put_rule(place, name, contents)


def _import(place: Place, contents: bytes) -> Talk:
    try:
        steps = yield from wanted_there(place, read_ndjson(contents), kept=("index-pattern",))
    except (SinkUnavailable, SinkRefused) as error:
        return str(error)
    return "; ".join(f"{step.what}: {step.fix}" for step in steps if step.outcome == "failed")


def _put_rule(place: Place, name: str, contents: bytes) -> Talk:
    """Create the rule, or change the one that is there; what an operator added to it, such as actions, stays."""
    wanted = orjson.loads(contents)
    address = f"{place.url}/api/alerting/rule/{_rule_id(name)}"

    def ask(method: str, body: object = None) -> HttpRequest:
        headers = (*place.headers, *NO_FORGERY, ("content-type", "application/json"))
        return HttpRequest(method, address, headers, b"" if body is None else orjson.dumps(body))

    found = yield ask("GET")
    if found.status == 404:
        return place.clean(failed((yield ask("POST", wanted))))
    if problem := failed(found):
        return place.clean(problem)
    try:
        change = _change(wanted, found)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return place.clean(f"answered what is no rule: {found.text(300)}")
    return place.clean(failed((yield ask("PUT", change))))


def _change(wanted: Json, found: HttpReply) -> Json:
    there = orjson.loads(found.body)
    actions = [{name: one[name] for name in _ACTION if name in one} for one in there.get("actions", ())]
    own = {name: there[name] for name in _OPERATORS_OWN if there.get(name) is not None}
    return {name: wanted[name] for name in _CHANGEABLE} | own | {"actions": actions}


def _rule_id(name: str) -> str:
    """The same for ever: Kibana takes only a UUID of version 1 or 4 as the id of a rule."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"headgate {name}".encode()).digest()[:16], version=4))


TARGETS = (Target("kibana", "elasticsearch", _render, _queries, (_KEY,), _push),)
