"""Kibana's rules of alerting: one by its id, read, created and changed, of the type `.es-query` alone.

Source: elastic.co "Create a rule", "Update a rule", "Elasticsearch query rule", read November 2026.
Invariant: a body that names what the request does not take is refused, and nothing of it is kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.vendor import json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Reply, Request

ROUTE = re.compile(r"(?:/s/(?P<space>[^/]+))?/api/alerting/rule/(?P<id>[^/]+)\Z")
# Objects with secrets in them have ids that nobody guesses.
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[14][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_INTERVAL = re.compile(r"[1-9][0-9]*[smhd]\Z")
_CHANGEABLE = {"name", "tags", "schedule", "params", "actions", "throttle", "notify_when", "alert_delay", "flapping"}
_CREATED_WITH = {"rule_type_id", "consumer", "enabled"}
_ACTION = {"group", "id", "params", "frequency", "uuid", "alerts_filter", "use_alert_data_for_template"}
_MOST_HITS = 10_000
_COMMON_PARAMS: dict[str, type | tuple[type, ...]] = {
    "size": int,
    "timeWindowSize": int,
    "timeWindowUnit": str,
    "threshold": list,
    "thresholdComparator": str,
}
_OPTIONAL_PARAMS = {"searchType", "excludeHitsFromPreviousRun", "aggType", "aggField", "groupBy", "termField"}
_OPTIONAL_PARAMS |= {"termSize", "timeField", "sourceFields"}
_OF_TYPE = {"esqlQuery": {"esqlQuery"}, "esQuery": {"esQuery", "index"}, "searchSource": {"searchConfiguration"}}


class RefusedError(Exception):
    """The whole request is refused with a status and words."""

    def __init__(self, status: int, message: str, more: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.more = more or {}


class Rules:
    """Keeps rules by space and id, beside saved objects."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def handle(self, space: str, id_: str, request: Request) -> Reply:
        """Answer one request."""
        answers: dict[str, Callable[[tuple[str, str, str], Request], Reply]] = {
            "GET": self._show,
            "POST": self._create,
            "PUT": self._change,
        }
        if request.method not in answers:
            raise RefusedError(404, "Not Found")
        return answers[request.method]((space, "alert", id_), request)

    def _show(self, key: tuple[str, str, str], request: Request) -> Reply:
        del request
        row = self._ledger.get(key)
        if row is None:
            raise RefusedError(404, f"Saved object [alert/{key[2]}] not found")
        return json_reply(200, row.native["shown"])

    def _create(self, key: tuple[str, str, str], request: Request) -> Reply:
        rule = _read(request, _CHANGEABLE | _CREATED_WITH)
        if rule.get("rule_type_id") != ".es-query":
            raise RefusedError(400, f'Rule type "{rule.get("rule_type_id")}" is not registered.')
        if not isinstance(rule.get("consumer"), str):
            raise RefusedError(400, "[request body.consumer]: expected value of type [string]")
        if not _ID.match(key[2]):
            raise RefusedError(400, "Predefined IDs are not allowed for saved objects unless the ID is a UUID.")
        if self._ledger.get(key) is not None:
            raise RefusedError(409, f"Saved object [alert/{key[2]}] conflict")
        return self._keep(key, {"enabled": True, "tags": [], "throttle": None, "notify_when": None, **rule})

    def _change(self, key: tuple[str, str, str], request: Request) -> Reply:
        rule = _read(request, _CHANGEABLE)
        row = self._ledger.get(key)
        if row is None:
            raise RefusedError(404, f"Saved object [alert/{key[2]}] not found")
        fixed = {name: row.native["shown"][name] for name in _CREATED_WITH}
        # What a change leaves out goes back to its default, it does not stay.
        return self._keep(key, {**fixed, "tags": [], "throttle": None, "notify_when": None, **rule})

    def _keep(self, key: tuple[str, str, str], rule: dict[str, Any]) -> Reply:
        actions = [{**one, "connector_type_id": ".server-log"} for one in rule.get("actions", [])]
        shown = {**rule, "id": key[2], "actions": actions, "mute_all": False, "revision": 0}
        self._ledger.replace(key, key[2], {"space": key[0], "type": "alert", "shown": shown})
        return json_reply(200, shown)


def _read(request: Request, known: set[str]) -> dict[str, Any]:
    try:
        rule = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"Invalid request payload JSON format: {error}") from error
    if not isinstance(rule, dict):
        raise RefusedError(400, "[request body]: expected a plain object value")
    _closed("request body", rule, known)
    if not isinstance(rule.get("name"), str):
        raise RefusedError(400, "[request body.name]: expected value of type [string] but got [undefined]")
    interval = rule["schedule"].get("interval") if isinstance(rule.get("schedule"), dict) else None
    if not _INTERVAL.match(str(interval)):
        raise RefusedError(400, "[request body.schedule.interval]: string is not a valid duration")
    for action in rule.get("actions", []):
        _closed("request body.actions", action, _ACTION)
    problem = _problem(rule.get("params"))
    if problem:
        raise RefusedError(400, f"params invalid: {problem}")
    return rule


def _closed(what: str, found: dict[str, Any], known: set[str]) -> None:
    for name in found:
        if name not in known:
            raise RefusedError(400, f"[{what}.{name}]: definition for this key is missing")


def _problem(params: object) -> str | None:
    """What the rule type refuses of its parameters."""
    if not isinstance(params, dict):
        return "expected a plain object value"
    for name, type_ in _COMMON_PARAMS.items():
        if not isinstance(params.get(name), type_):
            return f"[{name}]: expected a value of another type"
    if not 0 <= params["size"] <= _MOST_HITS or params["timeWindowSize"] < 1:
        return "[size]: out of bounds"
    return _query_problem(params)


def _query_problem(params: dict[str, Any]) -> str | None:
    """Each type of query has parameters of its own and takes none of the others'."""
    search = params.get("searchType", "esQuery")
    own = _OF_TYPE.get(search)
    if own is None:
        return "[searchType]: types that failed validation"
    if unknown := params.keys() - _COMMON_PARAMS.keys() - _OPTIONAL_PARAMS - own:
        return f"[{min(unknown)}]: a value wasn't expected to be present"
    if missing := own - params.keys():
        return f"[{min(missing)}]: expected a value"
    return _esql_problem(params) if search == "esqlQuery" else None


def _esql_problem(params: dict[str, Any]) -> str | None:
    if not params.get("timeField"):
        return "[timeField]: is required"
    if params["thresholdComparator"] != ">":
        return "[thresholdComparator]: is required to be greater than"
    if params["threshold"][:1] != [0]:
        return "[threshold]: is required to be 0"
    query = params["esqlQuery"]
    if not isinstance(query, dict) or not query.get("esql") or query.keys() != {"esql"}:
        return "[esqlQuery.esql]: expected a value"
    return None
