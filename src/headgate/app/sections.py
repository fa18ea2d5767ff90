"""The sections of the configuration file that are Headgate's own. Invariant: frozen, unknown keys refused."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from headgate.alerting.digestplan import DigestConfig
from headgate.alerting.mutetimes import MuteTimeConfig
from headgate.alerting.routes import RouteConfig, RouteOptions, route_notifiers
from headgate.app.access import AccessSettings, TlsSettings
from headgate.core.errors import ConfigError
from headgate.core.times import HOUR_MS
from headgate.plugins import Duration, duration_field

__all__ = [
    "Address",
    "AlertSettings",
    "HttpSettings",
    "LogSettings",
    "StoreSettings",
    "WebhookSettings",
    "is_loopback",
    "split_address",
]

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B?\s*$")
_SIZE_UNITS = {
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "ki": 2**10,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def _read_size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if match is None:
        raise ValueError("not a size: write bytes, or a number and a unit, such as 500MB or 20GiB")
    return round(float(match[1]) * _SIZE_UNITS.get(match[2] or "", 1))


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8080`, `[::1]:8080` or `:8080` (all interfaces). Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("write host:port, such as 127.0.0.1:8080")
    if int(port) > 65535:
        raise ValueError(f"there is no port {port}: the highest is 65535")
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
    inbox_dead: Duration = duration_field("30d", "Webhooks that could not be parsed, or that wait for a source.")
    log: Duration = duration_field("7d", "Records after the slowest sink has them.")
    dead_letters: Duration = duration_field("30d", "Records that a sink will never take.")
    test_results: Duration = duration_field("30d", "Results of single tests.")
    alerts: Duration = duration_field("90d", "History of alerts.")
    trail: Duration = duration_field("400d", "Who changed something, read what is about a person, or exported.")
    facts: Duration = duration_field("400d", "Workflows, jobs and what belongs to them.")
    rollups: Duration | None = Field(
        default=None, description="Sums by day, as long as `facts` at least; for ever unless said. Hours: 200 days."
    )

    @model_validator(mode="after")
    def _sums_outlive_facts(self) -> Self:
        if self.rollups is not None and self.rollups < self.facts:
            raise ValueError("rollups: sums by day are kept as long as facts at least; raise it, or lower facts")
        return self

    def by_part(self, *, tight: bool) -> dict[str, int]:
        """Part of the store -> milliseconds.

        `tight`: space is short, so what is done with, and what waits for a removed source, goes after an hour.
        """
        kept: dict[str, int] = {name: ms for name, ms in self if ms is not None} | {"inbox_parked": self.inbox_dead}
        if tight:
            kept |= {name: min(kept[name], HOUR_MS) for name in ("inbox", "inbox_parked", "log")}
        return kept


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


class HttpSettings(_Section):
    """Page, API, health and metrics."""

    listen: Address = Field(default="127.0.0.1:8080", description="Address and port; port 0 takes a free one.")
    access: AccessSettings = Field(default_factory=AccessSettings, description="Needed beyond loopback.")
    hosts: tuple[str, ...] = Field(
        default=(), description="Further names under which the page is asked for, such as a reverse proxy's."
    )
    tls: TlsSettings | None = Field(default=None, description="Speak HTTPS with this certificate.")


class WebhookSettings(_Section):
    """The listener that CircleCI sends to. Signatures protect it; it may listen anywhere."""

    listen: Address = Field(default="127.0.0.1:8081", description="May be the same as http.listen.")
    tls: TlsSettings | None = Field(
        default=None, description="Speak HTTPS with this certificate; the same as http.tls where the address is."
    )


class AlertSettings(_Section, RouteOptions):
    """Rules and who hears of them."""

    rules: tuple[str, ...] = Field(default=(), description="Rule files; patterns relative to this file.")
    notifiers: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False, description="Name -> {type, ...}.")
    routes: tuple[RouteConfig, ...] = Field(
        default=(), description="From top to bottom, the first match: {match: {label: value}, to: [notifier]}."
    )
    default: tuple[str, ...] | None = Field(
        default=None, description="Notifiers of what no route takes; unless given: all of them."
    )
    mute_times: dict[str, MuteTimeConfig] = Field(
        default_factory=dict, description="Name -> when it is quiet, for mute of routes."
    )
    digests: dict[str, DigestConfig] = Field(
        default_factory=dict, description="Name -> a report of a day or week and who gets it."
    )

    def notified(self) -> list[tuple[tuple[str | int, ...], tuple[str, ...]]]:
        """Notifiers wherever some are named, with the key path from here."""
        routes = [(("routes", *path), names) for path, names in route_notifiers(self.routes)]
        digests = [(("digests", name, "to"), digest.to) for name, digest in self.digests.items()]
        return [*routes, *digests, (("default",), self.default or ())]


class LogSettings(_Section):
    """Headgate's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level written.")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else one JSON object a line."
    )
