"""What an Elasticsearch or OpenSearch should have before the first document: mapping, templates, lifecycle, data views.

Pure. Mappings are generated from `core.fieldlist` and `_ecs.ECS_TYPES`. Invariant: everything has a name of our own,
so nothing of anybody else is touched; what users add goes into the component template `circleci@custom`.
Sources: elastic.co "Index templates", "ILM"; opensearch.org "Index State Management policies", read November 2026.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from headgate.core.fieldlist import ATTRIBUTES, AttributeType
from headgate.core.record import KINDS
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.sinks._ecs import ECS_TYPES, data_stream

__all__ = ["DYNAMIC_TEMPLATES", "Layout", "Product", "Thing", "data_views", "mapping_types", "things"]

Json = dict[str, Any]
_FAMILIES = ("logs", "metrics")  # of data streams
Product = Literal["elasticsearch", "opensearch"]
_TYPES: dict[AttributeType, str] = {
    "text": "keyword",
    "time": "date",
    "integer": "long",
    "number": "double",
    "bool": "boolean",
    "list": "keyword",
}
# Sentences: searched by their words. Everything else is searched and grouped as it is.
_PROSE = frozenset(
    {
        "circleci.commit.subject",
        "circleci.step.output_tail",
        "circleci.test.message",
        "headgate.alert.summary",
    }
)
_RENAMED = {"circleci.credits": "circleci.credits.used"}
# Longer words are kept and shown, and cannot be searched for; Lucene refuses one of 32,766 bytes.
_WORD = 1_024
_PRIORITY = 200  # above the built-in templates' 100
# Types of names that are data themselves. A number must not get its type from the first document, whose 1 is no 1.5.
DYNAMIC_TEMPLATES: list[Json] = [
    *(
        {
            f"circleci_insight_{found}": {
                "path_match": "circleci.insight.*",
                "match_mapping_type": found,
                "mapping": {"type": "double"},
            }
        }
        for found in ("long", "double")  # by themselves fractions would be floats
    ),
    {"circleci_words": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": _WORD}}},
]


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the configuration decides. `retention_ms`: age at which indices are deleted, 0: never."""

    target: Literal["data_stream", "month"]
    namespace: str
    index_prefix: str
    retention_ms: int


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing to have: `path` takes it by PUT and shows it by GET, under the keys of `shown`."""

    what: str
    path: str
    body: Json
    shown: tuple[str | int, ...]


def mapping_types() -> dict[str, str]:
    """Type of every field that has a name of its own, sorted by name."""
    types = dict(ECS_TYPES)
    for listed in ATTRIBUTES.values():
        # Under a name that ends in `.*` stands data, which the dynamic templates type.
        for one in (one for one in listed.values() if not one.name.endswith(".*")):
            name = _RENAMED.get(one.name, one.name)
            types[name] = "text" if name in _PROSE else _TYPES[one.type]
    return dict(sorted(types.items()))


def things(product: Product, layout: Layout) -> tuple[Thing, ...]:
    """Everything, in the order in which one needs another: lifecycle, mapping, templates."""
    return (_policy(product, layout), _component(), *_index_templates(product, layout))


def data_views(layout: Layout) -> list[Json]:
    """Kibana's views of the documents as saved objects; dashboards refer to these ids."""

    def view(suffix: str, name: str, title: str) -> Json:
        attributes = {"title": title, "name": name, "timeFieldName": "@timestamp"}
        return {"type": "index-pattern", "id": f"headgate-circleci{suffix}", "attributes": attributes, "references": []}

    named = {"workflow": "workflows", "job": "jobs", "test_result": "tests"}
    if layout.target == "month":
        titles = {kind: f"{layout.index_prefix}-{kind}-*" for kind in named}
        everything = ",".join(_month_patterns(layout))
    else:
        titles = {kind: data_stream(kind, "*").name for kind in named}
        everything = "logs-circleci.*-*,metrics-circleci.*-*"
    views = [view(f"-{word}", f"CircleCI {word}", titles[kind]) for kind, word in named.items()]
    return [view("", "CircleCI", everything), *views]


def _component() -> Thing:
    mappings = {
        "date_detection": False,
        "dynamic_templates": DYNAMIC_TEMPLATES,
        "properties": _nested({name: type_ for name, type_ in mapping_types().items() if type_ != "constant_keyword"}),
    }
    name = "circleci@mappings"
    body = _stamped({"template": {"mappings": mappings}})
    shown = ("component_templates", 0, "component_template")
    return Thing(f"component template {name}", f"/_component_template/{name}", body, shown)


def _index_templates(product: Product, layout: Layout) -> tuple[Thing, ...]:
    if layout.target == "month":
        return (_index_template(product, layout.index_prefix, _month_patterns(layout), {}, layout),)
    return tuple(
        _index_template(
            product,
            f"{kind}-circleci-{layout.namespace}",
            [f"{kind}-circleci.*-{layout.namespace}"],
            {"data_stream": {}},
            layout,
        )
        for kind in _FAMILIES
    )


def _index_template(product: Product, name: str, patterns: list[str], more: Json, layout: Layout) -> Thing:
    elastic = product == "elasticsearch"
    index: Json = {"codec": "best_compression"}
    if elastic:
        index["lifecycle"] = {"name": _policy_name(layout)}
    template: Json = {"settings": {"index": index}}
    if more:
        template["mappings"] = {"properties": _nested(_stream_fields(elastic=elastic))}
    body: Json = {"index_patterns": patterns, "priority": _PRIORITY, **more, "template": template}
    body["composed_of"] = ["circleci@mappings"]
    if elastic:
        shared = ["ecs@mappings", *(["logs@settings"] if name.startswith("logs-") and more else [])]
        body["composed_of"] = [*shared, "circleci@mappings", "circleci@custom"]
        # The shared ones have these names since 8.12; the last is the user's own.
        body["ignore_missing_component_templates"] = [*shared, "circleci@custom"]
    shown = ("index_templates", 0, "index_template")
    return Thing(f"index template {name}", f"/_index_template/{name}", _stamped(body), shown)


def _stream_fields(*, elastic: bool) -> dict[str, str]:
    fixed = [name for name, type_ in ECS_TYPES.items() if type_ == "constant_keyword"]
    return dict.fromkeys(fixed, "constant_keyword" if elastic else "keyword")


def _policy_name(layout: Layout) -> str:
    return f"{layout.index_prefix}-months" if layout.target == "month" else f"circleci-{layout.namespace}"


def _month_patterns(layout: Layout) -> list[str]:
    return [f"{layout.index_prefix}-{kind}-*" for kind in KINDS]


def _policy(product: Product, layout: Layout) -> Thing:
    return _ilm(layout) if product == "elasticsearch" else _ism(layout)


def _ilm(layout: Layout) -> Thing:
    hot = {"rollover": {"max_age": "30d", "max_primary_shard_size": "50gb"}} if layout.target == "data_stream" else {}
    phases: Json = {"hot": {"min_age": "0ms", "actions": hot}}
    if layout.retention_ms:
        phases["delete"] = {"min_age": _age(layout.retention_ms), "actions": {"delete": {}}}
    name = _policy_name(layout)
    return Thing(f"ILM policy {name}", f"/_ilm/policy/{name}", {"policy": _stamped({"phases": phases})}, (name,))


def _ism(layout: Layout) -> Thing:
    months = layout.target == "month"
    live: Json = {"name": "live", "actions": [], "transitions": []}
    states = [live]
    if not months:
        live["actions"] = [{"rollover": {"min_index_age": "30d", "min_primary_shard_size": "50gb"}}]
    if layout.retention_ms:
        age = _age(layout.retention_ms)
        live["transitions"] = [
            {"state_name": "delete", "conditions": {"min_index_age" if months else "min_rollover_age": age}}
        ]
        states.append({"name": "delete", "actions": [{"delete": {}}], "transitions": []})
    patterns = _month_patterns(layout) if months else [f"{one}-circleci.*-{layout.namespace}" for one in _FAMILIES]
    policy: Json = {
        "default_state": "live",
        "states": states,
        "ism_template": [{"index_patterns": patterns, "priority": _PRIORITY}],
    }
    policy["description"] = f"Made by headgate, {_digest(policy)}."
    name = _policy_name(layout)
    return Thing(f"ISM policy {name}", f"/_plugins/_ism/policies/{name}", {"policy": policy}, ())


def _age(ms: int) -> str:
    """A duration as the servers write it and show it again; they know no weeks."""
    for unit, size in (("d", DAY_MS), ("h", HOUR_MS)):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms // 1000}s"


def _nested(types: Mapping[str, str]) -> Json:
    """Dotted names as the tree of `properties` that the server makes of them."""
    tree: Json = {}
    for name, type_ in types.items():
        *parents, leaf = name.split(".")
        here = tree
        for parent in parents:
            here = here.setdefault(parent, {}).setdefault("properties", {})
        here[leaf] = _field(type_)
    return tree


def _field(type_: str) -> Json:
    return {"type": type_, "ignore_above": _WORD} if type_ == "keyword" else {"type": type_}


def _stamped(body: Json) -> Json:
    """The body with a print of itself, which tells a newer version where the server shows more than was sent."""
    return {**body, "_meta": {"managed_by": "headgate", "digest": _digest(body)}}


def _digest(value: Json) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
