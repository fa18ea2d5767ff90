"""What can be configured, and how it is read: one YAML file, the environment over it, secrets by reference.

Owns the sections of the file; plugins own their part of it. Invariant: whatever leaves here is complete and valid, and
no text of an error holds a value. The only module beside core.clock that reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from headgate.alerting.routes import RouteConfig
from headgate.app.configfile import KeyPath, Origins, interpolate, overlay_environment, read_yaml
from headgate.app.problems import nearest, problems_of
from headgate.core.errors import ConfigError
from headgate.core.ports import Plugin, PluginKind
from headgate.plugins import Duration, Registry, Secret, duration_field, reveal

__all__ = [
    "Address",
    "Configuration",
    "HttpSettings",
    "PluginSettings",
    "Settings",
    "StoreSettings",
    "default_file",
    "is_loopback",
    "load",
    "split_address",
]

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kMGT]i?)?B?\s*$")
_SIZE_UNITS = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,39}$")


def _read_size(value: object) -> object:
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        return value
    return round(float(match[1]) * _SIZE_UNITS.get(match[2] or "", 1))


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `[::1]:8080` or `:8080` (all interfaces). Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError("write host:port, such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # what `:8080` asks for


def _check_address(text: str) -> str:
    split_address(text)
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Address = Annotated[str, AfterValidator(_check_address)]
_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _SIZE.pattern}]}
Size = Annotated[int, BeforeValidator(_read_size), Field(ge=1), WithJsonSchema(_SIZE_SCHEMA)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RetentionSettings(_Section):
    """How long each part of the store is kept. Facts bound how far back collection reaches."""

    inbox: Duration = duration_field("7d", "Raw webhooks after they were merged.")
    inbox_dead: Duration = duration_field("30d", "Webhooks that could not be parsed.")
    log: Duration = duration_field("7d", "Records after the slowest sink has them.")
    dead_letters: Duration = duration_field("30d", "Records that a sink will never take.")
    test_results: Duration = duration_field("30d", "Results of single tests.")
    alerts: Duration = duration_field("90d", "History of alerts.")
    facts: Duration = duration_field("400d", "Workflows, jobs and what belongs to them.")


class StoreSettings(_Section):
    """Where everything is kept."""

    url: str = Field(
        default="sqlite:///var/lib/headgate/headgate.db",
        description="Database: `sqlite:///var/lib/headgate/headgate.db` is the file /var/lib/headgate/headgate.db.",
    )
    max_bytes: Size | None = Field(
        default=None, description="Quota over database, WAL and dead letters (`20GiB`); none: the disk's size."
    )
    retention: RetentionSettings = Field(default_factory=RetentionSettings, description="How long things are kept.")

    @property
    def path(self) -> Path:
        """The database file. Raises ConfigError for another kind of store."""
        kind, _, rest = self.url.partition("://")
        if kind != "sqlite" or not rest.startswith("/") or not rest.strip("/"):
            raise ConfigError("store.url: write sqlite:///absolute/path/to/headgate.db")
        return Path(rest)


class AccessSettings(_Section):
    """Who may use page and API."""

    tokens: tuple[Secret, ...] = Field(default=(), description="Any of these opens; sent as Bearer or as password.")


class HttpSettings(_Section):
    """Page, API, health and metrics."""

    listen: Address = Field(default="127.0.0.1:8080", description="Address and port; port 0 takes a free one.")
    access: AccessSettings = Field(default_factory=AccessSettings, description="Needed beyond loopback.")
    hosts: tuple[str, ...] = Field(
        default=(), description="Further names under which the page is asked for, such as a reverse proxy's."
    )


class WebhookSettings(_Section):
    """The listener that CircleCI sends to. Signatures protect it; it may listen anywhere."""

    listen: Address = Field(default="127.0.0.1:8081", description="May be the same as http.listen.")


class AlertSettings(_Section):
    """Rules and who hears of them."""

    rules: tuple[str, ...] = Field(default=(), description="Rule files; patterns relative to this file.")
    notifiers: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False, description="Name -> {type, ...}.")
    routes: tuple[RouteConfig, ...] = Field(
        default=(), description="From top to bottom, the first match: {match: {label: value}, to: [notifier]}."
    )
    default: tuple[str, ...] | None = Field(
        default=None, description="Notifiers of what no route takes; unless given: all of them."
    )


class LogSettings(_Section):
    """Headgate's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level written.")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else one JSON object a line."
    )


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
    sinks: dict[str, dict[str, Any]] = Field(
        default_factory=dict, repr=False, description="Name -> {type, start, ...}."
    )
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="Rules, notifiers, routes.")
    log: LogSettings = Field(default_factory=LogSettings, description="Headgate's own log.")

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
    """One configured plugin. `config`: its validated model; `start`: where a new sink begins."""

    name: str
    plugin: Plugin
    config: Any
    start: Literal["now", "retained"] | int = "now"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that was configured. `file`: None without one; `base`: where relative paths begin."""

    settings: Settings
    sources: Mapping[str, PluginSettings]
    sinks: Mapping[str, PluginSettings]
    notifiers: Mapping[str, PluginSettings]
    file: Path | None
    base: Path

    @property
    def tokens(self) -> tuple[str, ...]:
        """Access tokens as text. Never log them."""
        return tuple(reveal(token) for token in self.settings.http.access.tokens)


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
) -> Configuration:
    """Read, overlay, interpolate, validate. Raises ConfigError with every problem found, a line each.

    `orgs`: from the command line; they replace those of the only CircleCI source.
    """
    env = os.environ if environ is None else environ
    base = Path.cwd() if file is None else file.resolve().parent
    lines: dict[KeyPath, int] = {}
    if file is None:
        data, shown = _without_file(env), "environment"
    else:
        shown = str(file)
        data, lines = read_yaml(_read_text(file), shown)
    data = interpolate(data, env, Origins(shown, lines), base)
    data, variables = overlay_environment(data, env)
    if orgs:
        _set_orgs(data, orgs)
    if file is None:
        _demand_token(data)
    return _validated(data, Origins(shown, lines, variables), registry, file, base)


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file}: not UTF-8 text at byte {exc.start}") from exc
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be read: {exc.strerror}") from exc


def _without_file(env: Mapping[str, str]) -> dict[str, Any]:
    """The configuration that a token alone gives: poll CircleCI, keep in the state directory, print records."""
    state = Path(env.get("XDG_STATE_HOME") or Path(env.get("HOME") or "~").expanduser() / ".local" / "state")
    source: dict[str, Any] = {"type": "circleci"}
    if env.get("CIRCLECI_TOKEN"):
        source["token"] = env["CIRCLECI_TOKEN"]
    if env.get("CIRCLECI_ORGS"):
        source["orgs"] = [org.strip() for org in env["CIRCLECI_ORGS"].split(",") if org.strip()]
    if env.get("CIRCLECI_WEBHOOK_SECRET"):
        source["webhook"] = {"secrets": [env["CIRCLECI_WEBHOOK_SECRET"]]}
    return {
        "version": 1,
        "store": {"url": f"sqlite://{(state / 'headgate' / 'headgate.db').absolute()}"},
        "sources": {"circleci": source},
        "sinks": {"stdout": {"type": "jsonl", "path": "-"}},
    }


def _set_orgs(data: dict[str, Any], orgs: Sequence[str]) -> None:
    sources = data.get("sources")
    found = [
        name for name, value in (sources or {}).items() if isinstance(value, dict) and value.get("type") == "circleci"
    ]
    if not isinstance(sources, dict) or len(found) != 1:
        raise ConfigError("--org: needs exactly one source of type circleci; write orgs: into the file instead")
    data["sources"] = {**sources, found[0]: {**sources[found[0]], "orgs": list(orgs)}}


def _demand_token(data: Mapping[str, Any]) -> None:
    if not data["sources"]["circleci"].get("token"):
        raise ConfigError(
            "environment: CIRCLECI_TOKEN is not set, and there is no configuration file; "
            "set CIRCLECI_TOKEN and CIRCLECI_ORGS, or pass a file with -c, or try `headgate demo`"
        )


def _validated(
    data: dict[str, Any], origins: Origins, registry: Registry, file: Path | None, base: Path
) -> Configuration:
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings(**data)
    except ValidationError as exc:
        problems += problems_of(exc, Settings, (), origins)
    alerts = data.get("alerts")
    channels = alerts.get("notifiers") if isinstance(alerts, dict) else None
    sources = _plugins("source", ("sources",), data.get("sources"), origins, registry=registry, problems=problems)
    sinks = _plugins("sink", ("sinks",), data.get("sinks"), origins, registry=registry, problems=problems)
    notifiers = _plugins("notifier", ("alerts", "notifiers"), channels, origins, registry=registry, problems=problems)
    if settings is not None:
        problems += _across(settings, origins)
    if problems or settings is None:
        raise ConfigError(*problems)
    return Configuration(settings, sources, sinks, notifiers, file, base)


def _across(settings: Settings, origins: Origins) -> list[str]:
    """What no single section can see."""
    problems: list[str] = []
    host, _ = split_address(settings.http.listen)
    if not is_loopback(host) and not settings.http.access.tokens:
        where = origins.where(("http", "listen"))
        problems.append(
            f"{where}: http.listen: {host} is reachable from other machines; "
            "set http.access.tokens, or listen on 127.0.0.1"
        )
    try:
        _ = settings.store.path
    except ConfigError as exc:
        problems += [f"{origins.where(('store', 'url'))}: {problem}" for problem in exc.problems]
    names = set(settings.alerts.notifiers)
    for index, route in enumerate(settings.alerts.routes):
        problems += _unknown_notifiers(route.to, names, ("alerts", "routes", index, "to"), origins)
    return problems + _unknown_notifiers(settings.alerts.default or (), names, ("alerts", "default"), origins)


def _unknown_notifiers(wanted: Sequence[str], names: set[str], path: KeyPath, origins: Origins) -> list[str]:
    dotted = ".".join(str(part) for part in path)
    return [
        f"{origins.where(path)}: {dotted}: no notifier called {name}{nearest(name, names)}"
        for name in wanted
        if name not in names
    ]


def _plugins(
    kind: PluginKind, path: KeyPath, section: Any, origins: Origins, *, registry: Registry, problems: list[str]
) -> dict[str, PluginSettings]:
    chosen: dict[str, PluginSettings] = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        here = (*path, name)
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
        raise ConfigError(
            f"{origins.where(path)}: {dotted}: a name has lower-case letters, digits, _ and -, 40 at most"
        )
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        known = ", ".join(registry.names(kind))
        raise ConfigError(f"{origins.where(path)}: {dotted}.type: required, and missing; one of: {known}")
    try:
        plugin = registry.find(kind, value["type"])
    except ConfigError as exc:
        raise ConfigError(f"{origins.where((*path, 'type'))}: {dotted}.type: {exc}") from exc
    own = {key: item for key, item in value.items() if key not in _KEYS[kind]}
    start = _start(value.get("start", "now"), origins.where((*path, "start")), dotted) if kind == "sink" else "now"
    try:
        config = plugin.config.model_validate(own)
    except ValidationError as exc:
        raise ConfigError(*problems_of(exc, plugin.config, path, origins, _KEYS[kind])) from exc
    return PluginSettings(name, plugin, config, start)


# Keys of a plugin's section that are ours, not the plugin's.
_KEYS: dict[PluginKind, frozenset[str]] = {
    "source": frozenset({"type"}),
    "sink": frozenset({"type", "start"}),
    "notifier": frozenset({"type"}),
    "detector": frozenset({"type"}),
}


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
