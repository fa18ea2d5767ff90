"""New Relic dashboards and alert conditions in NRQL, over the events of a `newrelic` sink.

Source: New Relic dashboard JSON, NerdGraph `dashboardCreate`, `dashboardUpdate` and `alertsNrqlConditionStaticCreate`,
read November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from headgate.core.errors import ConfigError
from headgate.core.ports import HttpReply, HttpRequest
from headgate.dashboards.questions import DASHBOARDS, EVIDENCE, FAILURES, MONITORS, Dashboard, Monitor, Panel, Question
from headgate.dashboards.target import Asked, Files, Talk, Target, failed

__all__ = ["TARGETS", "nrql"]

_TITLE = "CircleCI by Headgate"
_COLUMNS = 12
_TOP = 20
_EVENTS = {
    "workflow": "CircleCIWorkflow",
    "job": "CircleCIJob",
    "test_result": "CircleCITest",
    "flaky_test": "CircleCIFlakyTest",
    "usage": "CircleCIUsage",
    "deployment": "CircleCIDeployment",
    "alert": "CircleCIAlert",
}
_SHAPES = {"stat": ("viz.billboard", 3, 2), "series": ("viz.line", 6, 3), "table": ("viz.table", 6, 3)}
# Events are resent after a lost answer, so runs are counted by id.
_RUNS = "uniqueCount(id)"
# What a success rate is shown and compared as.
_PERCENT = 100
_UNITS = {"ratio": "PERCENTAGE", "ms": "MS"}
# Seconds. Windows overlap: each limit is looked at every five minutes, once late events have had two to come.
_SLIDE_BY = 300
_DELAY = 120
_ANY_ACCOUNT = b'"accountId": 0'
_OPERATORS = {"above": "ABOVE", "below": "BELOW"}


def nrql(question: Question, *, over: str = "", limit: bool = True, at_least: int = 0) -> str:
    """The query. `over`: `TIMESERIES`, or blank for one value a group.

    A success rate is a percentage; of fewer than `at_least` runs it is 100 too much, which is below no limit. A
    percentile of fewer is 0, which is above none.
    """
    where = "".join(f" WHERE {_name(name)} = '{value}'" for name, value in question.where)
    facet = f" FACET {', '.join(map(_name, question.by))}" if question.by else ""
    bounded = f" LIMIT {_TOP}" if question.by and limit else ""
    series = f" {over}" if over else ""
    value = _what(question) + _guard(question, at_least)
    return f"FROM {_EVENTS[question.of]} SELECT {value}{where}{facet}{bounded}{series}"


def _what(question: Question) -> str:
    if question.what == "count":
        return _RUNS
    if question.what == "failures":
        return _ended(*FAILURES)
    if question.what == "success_rate":
        return f"{_PERCENT} * {_ended('success')} / {_ended(*EVIDENCE)}"
    if question.what == "sum":
        return f"sum({_name(question.field)})"
    return f"percentile({_name(question.field)}, {question.what[1:]})"


def _guard(question: Question, at_least: int) -> str:
    """What keeps too few runs from being beyond a limit; a condition takes one value and knows no HAVING."""
    if not at_least:
        return ""
    if question.what == "success_rate":
        return f" + {_PERCENT} * clamp_min(clamp_max({at_least} - {_ended(*EVIDENCE)}, 1), 0)"
    having = f"filter({_RUNS}, WHERE {_name(question.field)} IS NOT NULL)"
    return f" * clamp_min(clamp_max({having} - {at_least - 1}, 1), 0)"


def _ended(*words: str) -> str:
    listed = ", ".join(f"'{word}'" for word in words)
    return f"filter({_RUNS}, WHERE {_name('headgate.status')} IN ({listed}))"


def _name(attribute: str) -> str:
    return f"`{attribute}`"


def _page(dashboard: Dashboard) -> dict[str, Any]:
    widgets: list[dict[str, Any]] = []
    column, row, height = 1, 1, 0
    for panel in dashboard.panels:
        shape, width, tall = _SHAPES[panel.shape]
        if column + width > _COLUMNS + 1:
            column, row, height = 1, row + height, 0
        layout = {"column": column, "row": row, "width": width, "height": tall}
        widgets.append(_widget(panel, shape, layout))
        column, height = column + width, max(height, tall)
    return {"name": dashboard.title, "description": dashboard.about, "widgets": widgets}


def _asked(panel: Panel) -> str:
    return nrql(panel.question, over="TIMESERIES" if panel.shape == "series" else "")


def _widget(panel: Panel, shape: str, layout: dict[str, int]) -> dict[str, Any]:
    # 0 stands for the account that the file is imported into.
    shown: dict[str, Any] = {"nrqlQueries": [{"accountId": 0, "query": _asked(panel)}]}
    if panel.unit in _UNITS:
        shown["units"] = {"unit": _UNITS[panel.unit]}
    return {"title": panel.title, "layout": layout, "visualization": {"id": shape}, "rawConfiguration": shown}


def _watched(monitor: Monitor) -> str:
    return nrql(monitor.question, limit=False, at_least=monitor.at_least)


def _condition(monitor: Monitor) -> dict[str, Any]:
    """The input of `alertsNrqlConditionStaticCreate`."""
    limit = monitor.limit * _PERCENT if monitor.question.what == "success_rate" else monitor.limit
    return {
        "name": monitor.title,
        "description": monitor.about,
        "enabled": True,
        "nrql": {"query": _watched(monitor)},
        "signal": {
            "aggregationWindow": monitor.minutes * 60,
            "aggregationMethod": "EVENT_FLOW",
            "aggregationDelay": _DELAY,
            "slideBy": _SLIDE_BY,
        },
        "terms": [
            {
                "operator": _OPERATORS[monitor.beyond],
                "priority": "WARNING",
                "threshold": limit,
                "thresholdDuration": monitor.minutes * 60,
                "thresholdOccurrences": "AT_LEAST_ONCE",
            }
        ],
    }


def _render() -> Files:
    board = {
        "name": _TITLE,
        "description": "What Headgate collected from CircleCI.",
        "permissions": "PUBLIC_READ_WRITE",
        "pages": [_page(dashboard) for dashboard in DASHBOARDS],
    }
    conditions = [_condition(monitor) for monitor in MONITORS]
    return {
        "conditions.json": orjson.dumps(conditions, option=orjson.OPT_INDENT_2) + b"\n",
        "dashboard.json": orjson.dumps(board, option=orjson.OPT_INDENT_2) + b"\n",
    }


def _queries() -> list[Asked]:
    found = [Asked(panel.title, _asked(panel)) for dashboard in DASHBOARDS for panel in dashboard.panels]
    return [*found, *(Asked(monitor.title, _watched(monitor)) for monitor in MONITORS)]


_FIND = """query($query: String!) {
  actor { entitySearch(query: $query) { results { entities { guid name } } } }
}"""
_CREATE = """mutation($account: Int!, $dashboard: DashboardInput!) {
  dashboardCreate(accountId: $account, dashboard: $dashboard) { errors { description } }
}"""
_UPDATE = """mutation($guid: EntityGuid!, $dashboard: DashboardInput!) {
  dashboardUpdate(guid: $guid, dashboard: $dashboard) { errors { description } }
}"""


def _push(url: str, credentials: Mapping[str, str], name: str, contents: bytes) -> Talk | None:
    """The dashboard over NerdGraph, found by its name; conditions belong into a policy of your choice, by hand."""
    if name != "dashboard.json":
        return None
    account = _account(credentials)
    dashboard = orjson.loads(contents.replace(_ANY_ACCOUNT, f'"accountIds": [{account}]'.encode()))

    def ask(text: str, **variables: object) -> HttpRequest:
        headers = (("content-type", "application/json"), ("api-key", credentials["NEW_RELIC_USER_KEY"]))
        return HttpRequest("POST", f"{url}/graphql", headers, orjson.dumps({"query": text, "variables": variables}))

    def talk() -> Talk:
        found = yield ask(_FIND, query=f"name = '{_TITLE}' AND type = 'DASHBOARD' AND accountId = {account}")
        if problem := _problem(found):
            return problem
        entities = orjson.loads(found.body)["data"]["actor"]["entitySearch"]["results"]["entities"]
        same = [one["guid"] for one in entities if one["name"] == _TITLE]
        if same:
            return _problem((yield ask(_UPDATE, guid=same[0], dashboard=dashboard)))
        return _problem((yield ask(_CREATE, account=account, dashboard=dashboard)))

    return talk()


def _account(environment: Mapping[str, str]) -> int:
    """The number of the account; 0 where none is set, which no account has."""
    told = environment.get("NEW_RELIC_ACCOUNT_ID") or "0"
    if not told.isdecimal():
        raise ConfigError("NEW_RELIC_ACCOUNT_ID: not a number")
    return int(told)


def _localise(files: Files, environment: Mapping[str, str]) -> Files:
    account = f'"accountId": {_account(environment)}'.encode()
    return {name: contents.replace(_ANY_ACCOUNT, account) for name, contents in files.items()}


def _problem(reply: HttpReply) -> str:
    """GraphQL answers 200 to nearly everything; what went wrong stands in the body."""
    if problem := failed(reply):
        return problem
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return f"answered no JSON: {reply.text(300)}"
    told = list(body.get("errors") or ())
    for result in (body.get("data") or {}).values():
        told += (result or {}).get("errors") or ()
    return "; ".join(str(one.get("message") or one.get("description")) for one in told)


TARGETS = (
    Target(
        "newrelic",
        "newrelic",
        _render,
        _queries,
        ("NEW_RELIC_USER_KEY", "NEW_RELIC_ACCOUNT_ID"),
        _push,
        _localise,
    ),
)
