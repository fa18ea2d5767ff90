"""What can be configured, and how it is read: one YAML file, the environment over it, secrets by reference.

Owns the sections of the file; plugins own their part of it. Invariant: whatever leaves here is complete and valid, and
no text of an error holds a value. The only module beside core.clock that reads the environment.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from headgate.app.access import access_of, command_token_of
from headgate.app.configfile import (
    KeyPath,
    Origins,
    interpolate,
    overlay_environment,
    read_text,
    read_yaml,
    references_in,
)
from headgate.app.filesections import ExportConfig, FileName, ReportConfig
from headgate.app.listeners import contexts_of, lacks_access, listener_problems, readable_access
from headgate.app.measuring import Kpis, OwnerConfig, ResourceClassConfig
from headgate.app.nofile import demand_token, set_orgs, without_file
from headgate.app.problems import nearest, problems_of
from headgate.app.records import RecordsConfig
from headgate.app.sections import (
    AlertSettings,
    HttpSettings,
    LogSettings,
    StoreSettings,
    WebhookSettings,
)
from headgate.core.errors import ConfigError
from headgate.core.ports import Plugin, PluginKind
from headgate.plugins import Registry
from headgate.web.access.grants import Access

__all__ = ["Configuration", "PluginSettings", "Settings", "default_file", "load"]

_Model = TypeVar("_Model", bound=BaseModel)
_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,39}$")


class _Tree(PydanticBaseSettingsSource):
    """Hands pydantic-settings the data that `configfile` has read, overlaid and interpolated, with its origins."""

    data: dict[str, Any]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self.data.get(field.alias or field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.data


class Settings(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    version: Literal[1] = Field(description="Version of this file's form.")
    store: StoreSettings = Field(default_factory=StoreSettings, description="Where everything is kept.")
    http: HttpSettings = Field(default_factory=HttpSettings, description="Page, API, health, metrics.")
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings, description="The webhook listener.")
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False, description="Name -> {type, ...}.")
    sinks: dict[str, dict[str, Any]] = Field(default={}, repr=False, description="Name -> {type, start, ...}.")
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="Rules, notifiers, routes.")
    owners: tuple[OwnerConfig, ...] = Field(default=(), description="Whose something is: {match: ..., team: ...}.")
    resource_classes: tuple[ResourceClassConfig, ...] = Field(default=(), description="Sizes of machines of your own.")
    kpis: Kpis = Field(default={}, description="Metrics of your own: name -> {formula: ...}.")
    exports: dict[FileName, ExportConfig] = Field(default={}, description="Name -> {table, at, to, ...}.")
    reports: dict[FileName, ReportConfig] = Field(default={}, description="Name -> {every, to, mail, ...}: reviews.")
    log: LogSettings = Field(default_factory=LogSettings, description="Headgate's own log.")

    @field_validator("version", mode="before")
    @classmethod
    def _known_version(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            raise ValueError("this Headgate reads version 1; update Headgate, or write the file as `version: 1`")
        if value != 1:
            raise ValueError("write `version: 1`")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # joined before, with its origins
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # not read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # `${file:...}` instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """One source: file and environment are joined before, so that each value still knows where it came from."""
        tree = _Tree(settings_cls)
        tree.data = dict(init_settings())
        return (tree,)


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """One configured plugin. `config`: its validated model.

    Of sinks only, `start`: where a new one begins; `overflow`: what may become of its records when the store is full;
    `records`: which it gets, and what of them.
    """

    name: str
    plugin: Plugin
    config: Any
    start: Literal["now", "retained"] | int = "now"
    overflow: Literal["keep", "drop_oldest"] = "keep"
    records: RecordsConfig = field(default_factory=RecordsConfig)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that was configured. `file`: None without one; `base`: where relative paths begin.

    `unread`: problems of secrets that could not be read, by the key of the part that is left out for it; only where
    the work needs no secrets. `references`: key path -> where its value comes from, such as `${env:NAME}`.
    """

    settings: Settings
    sources: Mapping[str, PluginSettings]
    sinks: Mapping[str, PluginSettings]
    notifiers: Mapping[str, PluginSettings]
    file: Path | None
    base: Path
    unread: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[KeyPath, str] = field(default_factory=dict)

    @property
    def access(self) -> Access:
        """Who may use page and API."""
        return access_of(self.settings.http.access)

    @property
    def command_token(self) -> str | None:
        """The token that may most, as text, or None. Never log it."""
        return command_token_of(self.settings.http.access)

    def tls(self) -> dict[str, ssl.SSLContext]:
        """What listeners speak TLS with, by section; none for plain ones. Reads files. Raises ConfigError."""
        return contexts_of(self.settings.http, self.settings.webhooks, self.base)

    def polled(self) -> Mapping[str, int]:
        """Sources that can be asked for history -> how far back facts are kept, milliseconds."""
        kept = self.settings.store.retention.facts
        return {name: kept for name, part in self.sources.items() if part.config.poll.enabled}

    def records(self) -> dict[str, RecordsConfig]:
        """Sink -> which records it gets, and what of them."""
        return {name: part.records for name, part in self.sinks.items()}

    @property
    def idle(self) -> dict[str, str]:
        """Sources that poll nothing, with what to set."""
        return {name: text for name, part in self.sources.items() if (text := part.config.idle())}


def default_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """HEADGATE_CONFIG, else /etc/headgate/headgate.yaml where it exists, else None."""
    named = (os.environ if environ is None else environ).get("HEADGATE_CONFIG")
    if named:
        return Path(named)
    usual = Path("/etc/headgate/headgate.yaml")
    return usual if usual.is_file() else None


def load(
    registry: Registry,
    *,
    file: Path | None,
    orgs: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    secrets: bool = True,
) -> Configuration:
    """Read, overlay, interpolate, validate. Raises ConfigError with every problem found, a line each.

    `orgs`: from the command line; they replace those of the only CircleCI source. `secrets`: without, plugins and
    access tokens whose references cannot be read are left out, and the rest can be used.
    """
    env = os.environ if environ is None else environ
    base = Path.cwd() if file is None else file.resolve().parent
    lines: dict[KeyPath, int] = {}
    if file is None:
        data, shown = without_file(env), "environment"
    else:
        shown = str(file)
        data, lines = read_yaml(read_text(file), shown)
    references = references_in(data)
    may_miss = _is_secret if not secrets else (lambda _path: False)
    data, missing = interpolate(data, env, Origins(shown, lines), base, may_miss)
    data, variables = overlay_environment(data, env)
    references |= {path: f"${{env:{name}}}" for path, name in variables.items()}
    unread = {_part_of(path): problem for path, problem in missing.items() if path not in variables}
    if orgs:
        set_orgs(data, orgs)
    if file is None and secrets:
        demand_token(data)
    origins = Origins(shown, lines, variables)
    made = _validated(data, origins, registry, file=file, base=base, unread=unread, references=references)
    if secrets:
        made.tls()  # what cannot be used is better known now
    return made


def _part_of(path: KeyPath) -> str:
    """Key of the plugin that a value belongs to, or of the part of access."""
    return ".".join(str(part) for part in path[: 2 if path[0] in ("sources", "sinks") else 3])


def _is_secret(path: KeyPath) -> bool:
    """Whether asking the store or the daemon can do without the value: those of plugins, and of access."""
    return path[0] in ("sources", "sinks") or path[:2] in (("alerts", "notifiers"), ("http", "access"))


def _validated(
    data: dict[str, Any],
    origins: Origins,
    registry: Registry,
    *,
    file: Path | None,
    base: Path,
    unread: Mapping[str, str],
    references: Mapping[KeyPath, str],
) -> Configuration:
    problems: list[str] = []
    if lacks_access(unread):
        data["http"] = {**data["http"], "access": readable_access(data["http"]["access"])}
    settings: Settings | None = None
    try:
        settings = Settings(**data)
    except ValidationError as exc:
        problems += problems_of(exc, Settings, (), origins)
    alerts = data.get("alerts")
    channels = alerts.get("notifiers") if isinstance(alerts, dict) else None
    plugins = partial(_plugins, origins=origins, registry=registry, problems=problems, unread=unread)
    sources = plugins("source", ("sources",), data.get("sources"))
    sinks = plugins("sink", ("sinks",), data.get("sinks"))
    notifiers = plugins("notifier", ("alerts", "notifiers"), channels)
    if settings is not None:
        problems += _across(settings, origins, unread)
    if problems or settings is None:
        raise ConfigError(*problems)
    return Configuration(settings, sources, sinks, notifiers, file, base, unread, references)


def _across(settings: Settings, origins: Origins, unread: Mapping[str, str]) -> list[str]:
    """What no single section can see."""
    problems = listener_problems(settings.http, settings.webhooks, origins, unread)
    try:
        _ = settings.store.path
    except ConfigError as exc:
        problems += [f"{origins.where(('store', 'url'))}: {problem}" for problem in exc.problems]
    names = set(settings.alerts.notifiers)
    for name, report in settings.reports.items():
        problems += _unknown_notifiers(report.mail, names, ("reports", name, "mail"), origins)
    for path, wanted in settings.alerts.notified():
        problems += _unknown_notifiers(wanted, names, ("alerts", *path), origins)
    return problems


def _unknown_notifiers(wanted: Sequence[str], names: set[str], path: KeyPath, origins: Origins) -> list[str]:
    dotted = ".".join(str(part) for part in path)
    return [
        f"{origins.where(path)}: {dotted}: no notifier called {name}{nearest(name, names)}"
        for name in wanted
        if name not in names
    ]


def _plugins(
    kind: PluginKind,
    path: KeyPath,
    section: Any,
    *,
    origins: Origins,
    registry: Registry,
    problems: list[str],
    unread: Mapping[str, str],
) -> dict[str, PluginSettings]:
    chosen: dict[str, PluginSettings] = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        here = (*path, name)
        if _part_of(here) in unread:
            continue
        try:
            chosen[name] = _plugin(kind, name, value, here, origins, registry=registry)
        except ConfigError as exc:
            problems += exc.problems
    return chosen


def _plugin(
    kind: PluginKind, name: str, value: Any, path: KeyPath, origins: Origins, *, registry: Registry
) -> PluginSettings:
    dotted = ".".join(str(part) for part in path)
    if not _NAME.fullmatch(name):
        text = "a name has lower-case letters, digits, _ and -, 40 at most"
        raise ConfigError(f"{origins.where(path)}: {dotted}: {text}")
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        known = ", ".join(registry.names(kind))
        raise ConfigError(f"{origins.where(path)}: {dotted}.type: required, and missing; one of: {known}")
    try:
        plugin = registry.find(kind, value["type"])
    except ConfigError as exc:
        raise ConfigError(f"{origins.where((*path, 'type'))}: {dotted}.type: {exc}") from exc
    own = {key: item for key, item in value.items() if key not in _KEYS[kind]}
    if kind != "sink":
        return PluginSettings(name, plugin, _model(plugin.config, own, path, origins, _KEYS[kind]))
    start = _start(value.get("start", "now"), origins.where((*path, "start")), dotted)
    overflow = _overflow(value.get("overflow", "keep"), origins.where((*path, "overflow")), dotted)
    problems: list[str] = []
    records = RecordsConfig()
    try:
        records = _model(RecordsConfig, value.get("records", {}), (*path, "records"), origins)
    except ConfigError as exc:
        problems += exc.problems
    try:
        config = _model(plugin.config, own, path, origins, _KEYS[kind])
    except ConfigError as exc:
        raise ConfigError(*exc.problems, *problems) from exc
    if problems:
        raise ConfigError(*problems)
    return PluginSettings(name, plugin, config, start, overflow, records)


def _model(
    model: type[_Model], value: Any, path: KeyPath, origins: Origins, extra: frozenset[str] = frozenset()
) -> _Model:
    """The valid model. Raises ConfigError with every problem; `extra`: keys known beside the model's own."""
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise ConfigError(*problems_of(exc, model, path, origins, extra)) from exc


# Keys of a plugin's section that are ours, not the plugin's.
_KEYS: dict[PluginKind, frozenset[str]] = {
    "source": frozenset({"type"}),
    "sink": frozenset({"type", "start", "overflow", "records"}),
    "notifier": frozenset({"type"}),
    "detector": frozenset({"type"}),
}


def _overflow(value: object, where: str, dotted: str) -> Literal["keep", "drop_oldest"]:
    if value == "keep":
        return "keep"
    if value == "drop_oldest":
        return "drop_oldest"
    raise ConfigError(f"{where}: {dotted}.overflow: write keep or drop_oldest")


def _start(value: object, where: str, dotted: str) -> Literal["now", "retained"] | int:
    if value == "now":
        return "now"
    if value == "retained":
        return "retained"
    stamp = getattr(value, "timestamp", None)
    if stamp is not None:
        return round(stamp() * 1000)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConfigError(f"{where}: {dotted}.start: write now, retained, or a time such as 2026-11-20T00:00:00Z")
