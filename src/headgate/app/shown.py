"""The configuration in force as it may be shown: its own structure, and a reference or a word for every secret.

Invariant: no text of a secret field leaves here, nor any text that is a secret elsewhere; of addresses only scheme and
host do, since a path or a query may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from headgate.app.configfile import KeyPath
from headgate.app.logs import Redactor, secrets_of
from headgate.app.settings import Configuration, PluginSettings
from headgate.deliver.transport import public_address

__all__ = ["SET", "shown_configuration"]

# Stands for a secret that is written out in the file or comes from elsewhere.
SET = "set"
_PLUGINS = ("sources", "sinks")


def shown_configuration(configuration: Configuration) -> dict[str, Any]:
    """Every section in the order of the file, defaults included, as plain JSON data."""
    settings, references = configuration.settings, configuration.references
    shown: dict[str, Any] = {}
    dumped = settings.model_dump(mode="json", by_alias=True, exclude={*_PLUGINS})
    for name, info in type(settings).model_fields.items():
        key = info.alias or name
        if name in _PLUGINS:
            shown[key] = _plugins(getattr(configuration, name), (key,), references)
        else:
            shown[key] = _shown(getattr(settings, name), dumped[key], (key,), references)
    shown["alerts"]["notifiers"] = _plugins(configuration.notifiers, ("alerts", "notifiers"), references)
    redactor = Redactor()
    for chosen in (configuration.sources, configuration.sinks, configuration.notifiers):
        for part in chosen.values():
            redactor.learn(secrets_of([part.config, part.records]))
    redactor.learn(secrets_of(settings))
    redacted: dict[str, Any] = redactor.value(shown)
    return redacted


def _plugins(
    chosen: Mapping[str, PluginSettings], path: KeyPath, references: Mapping[KeyPath, str]
) -> dict[str, dict[str, Any]]:
    """Plugins by name, each with its type and, of sinks, what is ours of it."""
    found: dict[str, dict[str, Any]] = {}
    for name, part in chosen.items():
        here = (*path, name)
        own = _shown(part.config, part.config.model_dump(mode="json", by_alias=True), here, references)
        found[name] = {"type": part.plugin.name, **own}
        if part.plugin.kind == "sink":
            records = _shown(
                part.records, part.records.model_dump(mode="json", by_alias=True), (*here, "records"), references
            )
            found[name] |= {"start": part.start, "overflow": part.overflow, "records": records}
    return found


def _shown(value: Any, dumped: Any, path: KeyPath, references: Mapping[KeyPath, str]) -> Any:
    """A value as it may be shown. `dumped`: the same as JSON data."""
    if isinstance(value, SecretStr):
        return references.get(path, SET) if value.get_secret_value() else ""
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        keys = {name: info.alias or name for name, info in type(value).model_fields.items()}
        return {
            key: _shown(getattr(value, name), dumped[key], (*path, key), references)
            for name, key in keys.items()
            if key in dumped
        }
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {
            str(key): _shown(item, dumped.get(str(key)), (*path, str(key)), references) for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and isinstance(dumped, list):
        pairs = zip(value, dumped, strict=True)
        return [_shown(item, one, (*path, index), references) for index, (item, one) in enumerate(pairs)]
    return _address(dumped)


def _address(value: Any) -> Any:
    """Plain data; an address as scheme and host alone."""
    if isinstance(value, dict):
        return {key: _address(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_address(item) for item in value]
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        return value
    public = public_address(value)
    return value if value.rstrip("/") == public else f"{public}/***"
