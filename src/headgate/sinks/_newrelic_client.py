"""Where New Relic's own client would send to, and with what headers. Imported only when a New Relic sink is built.

Hosts, paths and the header that authenticates are the client's; it knows one region and no account, so those are added
here. Its transport, harvester and batches are not used (docs/decisions/0019-newrelic-transport.md). Source of the
other hosts: docs.newrelic.com "New Relic network traffic" and "FedRAMP-compliant endpoints", read November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from newrelic_telemetry_sdk import EventClient, LogClient, MetricClient, SpanClient

__all__ = ["Address", "Api", "Region", "address"]

Api = Literal["events", "logs", "metrics", "traces"]
Region = Literal["us", "eu", "fedramp"]

_CLIENTS = {"events": EventClient, "logs": LogClient, "metrics": MetricClient, "traces": SpanClient}
_HOSTS: Mapping[tuple[Region, Api], str] = {
    ("eu", "events"): "insights-collector.eu01.nr-data.net",
    ("eu", "logs"): "log-api.eu.newrelic.com",
    ("eu", "metrics"): "metric-api.eu.newrelic.com",
    ("eu", "traces"): "trace-api.eu.newrelic.com",
    ("fedramp", "events"): "gov-insights-collector.newrelic.com",
    ("fedramp", "logs"): "gov-log-api.newrelic.com",
    ("fedramp", "metrics"): "gov-metric-api.newrelic.com",
}
# Of the client's headers, those that are not about its own connection and compression.
_KEPT = ("api-key", "content-type")
_FORMAT = (("data-format", "newrelic"), ("data-format-version", "1"))


@dataclass(frozen=True, slots=True)
class Address:
    """Where one kind of data goes. `headers`: lower-case names; one of them is the key."""

    url: str
    headers: tuple[tuple[str, str], ...]


def address(api: Api, region: Region, base: str | None, license_key: str, account_id: int | None) -> Address:
    """The address of an API. `base`: scheme and host (and a path before the API's own) instead of the region's.

    Raises KeyError for the traces of FedRAMP without a base: no such host is known.
    """
    client = _CLIENTS[api](license_key)
    try:
        given = {name.lower(): value for name, value in client._headers.items()}  # noqa: SLF001  # it has no reader
    finally:
        client.close()
    if base is None:
        base = f"https://{client.HOST if region == 'us' else _HOSTS[region, api]}"
    path = client.PATH
    if api == "events":
        path = path.replace("/accounts/", f"/accounts/{account_id}/")
    headers = tuple((name, given[name]) for name in _KEPT)
    return Address(base + path, headers + (_FORMAT if api == "traces" else ()))
