"""Questions as Lens visualizations: KQL for which documents, operations and formulas for what of them. Pure.

Documents are counted, not ids: a document is created under its record's id, so a resend adds none. Source: Kibana's
Lens "Formula reference" and saved objects of Kibana 8.9 to 8.17, read November 2026.
"""

from __future__ import annotations

from typing import Any

from headgate.dashboards.questions import EVIDENCE, FAILURES, Panel, Question

__all__ = ["field_of", "formula", "kql", "lens_object"]

Json = dict[str, Any]
_TOP = 20
_LAYER = "layer"
_VALUE, _TIME = "value", "time"
_RECORDS = "___records___"
_FORMATS: dict[str, Json] = {
    "runs": {"id": "number", "params": {"decimals": 0}},
    "credits": {"id": "number", "params": {"decimals": 0}},
    "ratio": {"id": "percent", "params": {"decimals": 1}},
    "ms": {"id": "duration", "params": {"decimals": 1, "fromUnit": "milliseconds", "toUnit": "humanizePrecise"}},
}
# Objects say which version of their type they are, else Kibana takes them through every migration since the first.
_VERSIONS = {"coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.9.0"}


def field_of(attribute: str) -> str:
    """The field of a document that holds an attribute. A project is the service, as everywhere in ECS."""
    return "service.name" if attribute == "project" else attribute


def kql(question: Question) -> str:
    """Which documents the question is about, in Kibana's query language."""
    parts = [f'headgate.kind : "{question.of}"', *(f'{field_of(name)} : "{word}"' for name, word in question.where)]
    if question.what == "failures":
        parts.append(_ended(*FAILURES))
    return " and ".join(parts)


def formula(question: Question) -> str:
    """What of those documents, as a Lens formula."""
    if question.what in ("count", "failures"):
        return "count()"
    if question.what == "success_rate":
        return f"count(kql='{_ended('success')}') / count(kql='{_ended(*EVIDENCE)}')"
    if question.what == "sum":
        return f"sum({field_of(question.field)})"
    return f"percentile({field_of(question.field)}, percentile={question.what[1:]})"


def lens_object(id_: str, panel: Panel, view: str) -> Json:
    """The panel as a saved object over the data view with the id `view`."""
    kind, visualization = _visualization(panel)
    columns = _columns(panel)
    state = {
        "visualization": visualization,
        "query": {"language": "kuery", "query": kql(panel.question)},
        "filters": [],
        "datasourceStates": {
            "formBased": {
                "layers": {_LAYER: {"columns": columns, "columnOrder": list(columns), "incompleteColumns": {}}},
            }
        },
        "internalReferences": [],
        "adHocDataViews": {},
    }
    return {
        "type": "lens",
        "id": id_,
        **_VERSIONS,
        "attributes": {"title": panel.title, "description": "", "visualizationType": kind, "state": state},
        "references": [{"type": "index-pattern", "id": view, "name": f"indexpattern-datasource-layer-{_LAYER}"}],
    }


def _ended(*words: str) -> str:
    listed = " or ".join(f'"{word}"' for word in words)
    return f"headgate.status : ({listed})" if len(words) > 1 else f"headgate.status : {listed}"


def _visualization(panel: Panel) -> tuple[str, Json]:
    groups = _groups(panel.question)
    if panel.shape == "stat":
        return "lnsMetric", {"layerId": _LAYER, "layerType": "data", "metricAccessor": _VALUE}
    if panel.shape == "table":
        columns = [{"columnId": name} for name in (*groups, _VALUE)]
        sorting = {"columnId": _VALUE, "direction": "desc"}
        return "lnsDatatable", {"layerId": _LAYER, "layerType": "data", "columns": columns, "sorting": sorting}
    layer: Json = {
        "layerId": _LAYER,
        "layerType": "data",
        "seriesType": "line",
        "xAccessor": _TIME,
        "accessors": [_VALUE],
    }
    if groups:
        layer["splitAccessor"] = next(iter(groups))
    legend = {"isVisible": bool(groups), "position": "right"}
    # Buckets without a run have no success rate and no duration; a line between their neighbours shows the trend.
    fitting = "None" if panel.unit in ("runs", "credits") else "Linear"
    return "lnsXY", {
        "legend": legend,
        "valueLabels": "hide",
        "fittingFunction": fitting,
        "preferredSeriesType": "line",
        "layers": [layer],
    }


def _groups(question: Question) -> dict[str, str]:
    """Id of a column -> the field that it groups by."""
    return {f"group{number}": field_of(name) for number, name in enumerate(question.by)}


def _columns(panel: Panel) -> dict[str, Json]:
    """Groups first, then time, then values: the order in which buckets nest."""
    question = panel.question
    columns = {name: _terms(field, question) for name, field in _groups(question).items()}
    if panel.shape == "series":
        columns[_TIME] = {
            "label": "@timestamp",
            "dataType": "date",
            "operationType": "date_histogram",
            "sourceField": "@timestamp",
            "isBucketed": True,
            "scale": "interval",
            "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
        }
    value = {**_number(panel.title), "params": {"format": _FORMATS[panel.unit]}}
    if question.what == "success_rate":
        return columns | _ratio(value, formula(question))
    operation, params = _operation(question)
    source = field_of(question.field) if question.field else _RECORDS
    own = {"operationType": operation, "sourceField": source, "params": {**params, **value["params"]}}
    return columns | {_VALUE: {**value, **own}}


def _operation(question: Question) -> tuple[str, Json]:
    if question.what in ("count", "failures"):
        return "count", {"emptyAsNull": False}
    if question.what == "sum":
        return "sum", {"emptyAsNull": False}
    return "percentile", {"percentile": int(question.what[1:])}


def _number(label: str) -> Json:
    return {"label": label, "customLabel": True, "dataType": "number", "isBucketed": False, "scale": "ratio"}


def _ratio(value: Json, text: str) -> dict[str, Json]:
    """A formula and the columns that Kibana takes it apart into, which it wants to find beside it."""
    parts = [f"{_VALUE}X{number}" for number in range(3)]
    part = _number(f"Part of {value['label']}")
    counts = {
        name: {
            **part,
            "operationType": "count",
            "sourceField": _RECORDS,
            "filter": {"language": "kuery", "query": query},
            "params": {"emptyAsNull": False},
        }
        for name, query in zip(parts[:2], (_ended("success"), _ended(*EVIDENCE)), strict=True)
    }
    divided = {
        "type": "function",
        "name": "divide",
        "args": parts[:2],
        "location": {"min": 0, "max": len(text)},
        "text": text,
    }
    math = {**part, "operationType": "math", "params": {"tinymathAst": divided}, "references": parts[:2]}
    params = {"formula": text, "isFormulaBroken": False, **value["params"]}
    whole = {**value, "operationType": "formula", "params": params, "references": [parts[2]]}
    return {_VALUE: whole, **counts, parts[2]: math}


def _terms(field: str, question: Question) -> Json:
    """The largest groups. Kibana cannot rank by a formula, so there the groups with the most documents are taken."""
    by: Json = {"orderBy": {"type": "column", "columnId": _VALUE}}
    if question.what == "success_rate":
        count = {"operationType": "count", "sourceField": _RECORDS, "params": {"emptyAsNull": True}}
        by = {"orderBy": {"type": "custom"}, "orderAgg": {**_number("Count of records"), **count}}
    return {
        "label": field,
        "customLabel": True,
        "dataType": "string",
        "operationType": "terms",
        "sourceField": field,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": _TOP,
            **by,
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        },
    }
