"""The configuration as it may be shown: its structure, references, and no secret of any plugin."""

import json
import typing
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from headgate.app.configfile import references_in
from headgate.app.settings import Configuration, PluginSettings, load
from headgate.app.shown import shown_configuration
from headgate.plugins import load_plugins
from headgate.plugins.config import parse_duration

CANARY = "canary-of-4711-secret"
REGISTRY = load_plugins()
FILE = """
version: 1
store: {{url: "sqlite://{folder}/h.db", retention: {{facts: 90d}}}}
http: {{hosts: [ci.example]}}
sources:
  circleci: {{type: circleci, token: "${{TOKEN:-{canary}}}", webhook: {{secrets: ["${{file:hook}}", "{canary}"]}}}}
sinks:
  loki:
    {{type: loki, url: "https://loki.example/{canary}", headers: {{x-key: "Bearer {canary}"}}, start: retained}}
alerts:
  notifiers: {{hook: {{type: webhook, url: "https://hook.example/{canary}", secret: "${{HOOK_KEY}}"}}}}
  routes: [{{match: [severity=critical], to: [hook], continue: true}}]
"""


def configured(folder, **environ: str) -> Configuration:
    """The file above, read."""
    (folder / "hook").write_text(CANARY + "-of-a-file")
    file = folder / "headgate.yaml"
    file.write_text(FILE.format(folder=folder, canary=CANARY))
    return load(REGISTRY, file=file, environ={"HOOK_KEY": CANARY, **environ})


def test_the_structure_is_that_of_the_file_with_every_default(tmp_path):
    """Sections by their names, our keys of a sink beside its own, aliases as they are written."""
    shown = shown_configuration(configured(tmp_path))
    assert ["version", "store", "http", "webhooks", "sources", "sinks"] == list(shown)[:6]
    assert ("90d", "1w") == (shown["store"]["retention"]["facts"], shown["store"]["retention"]["log"])
    assert ("loki", "retained", "keep") == tuple(shown["sinks"]["loki"][key] for key in ("type", "start", "overflow"))
    assert shown["alerts"]["routes"][0]["continue"] is True
    assert shown["http"]["hosts"] == ["ci.example"]


def test_a_secret_is_its_reference_or_a_word(tmp_path):
    """A default in a reference is left out, and a text around one is no reference; addresses end with their host."""
    shown = shown_configuration(configured(tmp_path, HEADGATE__SINKS__LOKI__HEADERS__Z_KEY=CANARY))
    assert "${env:TOKEN}" == shown["sources"]["circleci"]["token"]
    assert ["${file:hook}", "set"] == shown["sources"]["circleci"]["webhook"]["secrets"]
    assert "${env:HOOK_KEY}" == shown["alerts"]["notifiers"]["hook"]["secret"]
    assert "set" == shown["alerts"]["notifiers"]["hook"]["url"]
    assert {"x-key": "set", "z_key": "${env:HEADGATE__SINKS__LOKI__HEADERS__Z_KEY}"} == shown["sinks"]["loki"][
        "headers"
    ]
    assert "https://loki.example/***" == shown["sinks"]["loki"]["url"]
    assert CANARY not in json.dumps(shown)


def test_references_are_whole_values_alone():
    """An escaped one is text."""
    told = {"a": "${A}", "b": ["x${B}", "$${C}", "${credential:d}"], "c": 1}
    assert {("a",): "${env:A}", ("b", 2): "${credential:d}"} == references_in(told)


def secret_values(annotation: Any) -> Any:
    """A value of this type that is made of canaries; None where it holds no secret."""
    inner = [found for part in typing.get_args(annotation) if (found := secret_values(part)) is not None]
    origin = typing.get_origin(annotation)
    if annotation is SecretStr:
        return SecretStr(CANARY)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return with_canaries(annotation)
    if not inner:
        return None
    if origin is dict:
        return {"key": inner[-1]}
    return [inner[0]] if origin in (list, tuple, set, frozenset) else inner[0]


def with_canaries(model: type[BaseModel]) -> BaseModel | None:
    """A model whose every secret is a canary; None where it has none."""
    fields = {name: secret_values(info.annotation) for name, info in model.model_fields.items()}
    known = {name: value for name, value in fields.items() if value is not None}
    lengths = {
        name: parse_duration(info.default)  # which nothing validates here
        for name, info in model.model_fields.items()
        if info.annotation is int and isinstance(info.default, str)
    }
    required = {name: "x" for name, info in model.model_fields.items() if info.is_required() and name not in known}
    return model.model_construct(**known, **lengths, **required) if known else None


SECRETIVE = {
    key: made for key, plugin in REGISTRY.plugins.items() if (made := with_canaries(plugin.config)) is not None
}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # a tuple is a list here
@pytest.mark.parametrize("key", SECRETIVE, ids=":".join)
def test_no_secret_of_any_plugin_is_shown(key, tmp_path):
    """Whatever field it is in, also in one that is added later."""
    part = PluginSettings("x", REGISTRY.plugins[key], SECRETIVE[key])
    base = configured(tmp_path)
    chosen = {f"{kind}s": {"x": part} if kind == key[0] else {} for kind in ("source", "sink", "notifier")}
    shown = shown_configuration(Configuration(base.settings, **chosen, file=None, base=tmp_path))
    section = shown["alerts"]["notifiers"] if key[0] == "notifier" else shown[f"{key[0]}s"]
    assert "set" in json.dumps(section)
    assert CANARY not in json.dumps(shown)


def test_the_canaries_are_in_many_plugins():
    """Nobody is tested by an empty list."""
    assert {"circleci", "loki", "datadog", "slack", "pagerduty", "email"} <= {name for _, name in SECRETIVE}
