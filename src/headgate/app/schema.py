"""JSON Schema of the whole configuration file, each plugin's options included, for editors. Pure."""

from __future__ import annotations

from typing import Any

from headgate.app.records import RecordsConfig
from headgate.app.settings import Settings
from headgate.core.ports import PluginKind
from headgate.plugins import Registry

__all__ = ["config_schema"]

_START = {
    "description": "Where a new sink begins: now, retained (all that is kept), or a time.",
    "anyOf": [{"enum": ["now", "retained"]}, {"type": "string", "format": "date-time"}, {"type": "integer"}],
    "default": "now",
}
_OVERFLOW = {
    "description": "When the store is full: keep what this sink has not got, or drop its oldest and record a gap.",
    "enum": ["keep", "drop_oldest"],
    "default": "keep",
}


def config_schema(registry: Registry) -> dict[str, Any]:
    """Draft 2020-12. Strings may hold `${...}` references wherever a value is expected."""
    schema = Settings.model_json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    records = RecordsConfig.model_json_schema(ref_template="#/$defs/records_{model}")
    definitions |= {f"records_{model}": definition for model, definition in records.pop("$defs", {}).items()}
    definitions["records"] = records
    properties = schema["properties"]
    properties["sources"]["additionalProperties"] = _choices(registry, "source", definitions)
    properties["sinks"]["additionalProperties"] = _choices(registry, "sink", definitions)
    notifiers = definitions["AlertSettings"]["properties"]["notifiers"]
    notifiers["additionalProperties"] = _choices(registry, "notifier", definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Headgate configuration"}


def _choices(registry: Registry, kind: PluginKind, definitions: dict[str, Any]) -> dict[str, Any]:
    choices = []
    for name in registry.names(kind):
        key = f"{kind}_{name}"
        own = registry.find(kind, name).config.model_json_schema(ref_template=f"#/$defs/{key}_{{model}}")
        for model, definition in own.pop("$defs", {}).items():
            definitions[f"{key}_{model}"] = definition
        own["properties"] = {"type": {"const": name}, **own.get("properties", {})}
        if kind == "sink":
            own["properties"]["start"] = _START
            own["properties"]["overflow"] = _OVERFLOW
            own["properties"]["records"] = {"$ref": "#/$defs/records"}
        own["required"] = ["type", *own.get("required", [])]
        definitions[key] = own
        choices.append({"$ref": f"#/$defs/{key}"})
    return {"oneOf": choices} if choices else {"type": "object"}
