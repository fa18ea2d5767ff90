"""Templates and policies of the fake Elasticsearch: what is refused, and how they are shown again.

Source: elastic.co "Create or update an index template", opensearch.org "ISM API" (general knowledge, not re-read).
Invariant: what is shown differs from what was sent as a real server's answer does: numbers are texts, things are added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.vendors._elastic_bulk import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.testing.sinks.wire import Request

POLICIES = ("_ilm/policy", "_plugins/_ism/policies")
BUILT_IN_PARTS = frozenset({"ecs@mappings", "logs@mappings", "logs@settings", "metrics@settings"})
TEMPLATE_KEYS = frozenset(
    {"index_patterns", "priority", "template", "composed_of", "data_stream", "version", "_meta", "allow_auto_create"}
)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; raises RequestError."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "parse_exception", f"body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(400, "parse_exception", "body must be an object")
    return value


def kept_thing(family: str, body: bytes) -> dict[str, Any]:
    """What is kept of a PUT; raises RequestError where a required part lacks."""
    value = read_object(body)
    patterns = value.get("index_patterns")
    named = isinstance(patterns, list) and patterns and all(isinstance(one, str) for one in patterns)
    if family == "_index_template" and not (named and isinstance(value.get("priority", 0), int)):
        text = "Required one of fields [index_patterns], but none were specified"
        raise RequestError(400, "illegal_argument_exception", text)
    if family in POLICIES and not isinstance(value.get("policy"), dict):
        raise RequestError(400, "x_content_parse_exception", "Required [policy]")
    if family == "_component_template" and not isinstance(value.get("template"), dict):
        raise RequestError(400, "x_content_parse_exception", "Required [template]")
    return value


def check_parts(name: str, template: Mapping[str, Any], components: Mapping[str, Any], *, opensearch: bool) -> None:
    """Refuse unknown keys, and component templates that are not there and may not be missing."""
    known = TEMPLATE_KEYS if opensearch else TEMPLATE_KEYS | {"ignore_missing_component_templates", "deprecated"}
    unknown = sorted(template.keys() - known)
    if unknown:
        raise RequestError(400, "x_content_parse_exception", f"[index_template] unknown field [{unknown[0]}]")
    there = components.keys() | (frozenset() if opensearch else BUILT_IN_PARTS)
    may_lack = set(template.get("ignore_missing_component_templates", ()))
    missing = [part for part in template.get("composed_of", ()) if part not in there | may_lack]
    if missing:
        text = f"index template [{name}] invalid, cause [index template [{name}] specifies component templates "
        raise RequestError(400, "invalid_index_template_exception", f"{text}{missing} that do not exist]")


def check_turn(request: Request, kept: Mapping[str, Any] | None) -> None:
    """An ISM policy that is there is replaced only by who names the one that is there."""
    if kept is not None and request.query.get("if_seq_no") != str(kept["seq_no"]):
        text = "version conflict, document already exists or another sequence number is required"
        raise RequestError(409, "version_conflict_engine_exception", text)


def shown_thing(family: str, name: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to GET."""
    thing = {key: value for key, value in kept.items() if key != "seq_no"}
    if family == "_index_template":
        shown = {"composed_of": [], **thing, "template": _with_texts(thing.get("template", {}))}
        return {"index_templates": [{"name": name, "index_template": shown}]}
    if family == "_component_template":
        shown = {**thing, "template": _with_texts(thing["template"])}
        return {"component_templates": [{"name": name, "component_template": shown}]}
    if family == "_ilm/policy":
        dated = {"version": kept["seq_no"] + 1, "modified_date": "2026-11-20T10:00:00.000Z"}
        return {name: {**dated, **thing, "in_use_by": {"indices": [], "data_streams": [], "composable_templates": []}}}
    policy = {"policy_id": name, "last_updated_time": 1_795_168_800_000, "schema_version": 21, **thing["policy"]}
    policy["ism_template"] = [{**one, "last_updated_time": 1_795_168_800_000} for one in policy.get("ism_template", [])]
    return {
        "_id": name,
        "_version": kept["seq_no"] + 1,
        "_seq_no": kept["seq_no"],
        "_primary_term": 1,
        "policy": policy,
    }


def _with_texts(template: Mapping[str, Any]) -> dict[str, Any]:
    """Settings come back as texts."""
    shown = dict(template)
    if "settings" in template:
        shown["settings"] = _texts(template["settings"])
    return shown


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value
