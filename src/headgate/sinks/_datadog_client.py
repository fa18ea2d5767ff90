"""What is taken from the vendor's client: its tables of sites and endpoints, its authentication, `validate`.

Imported only when a Datadog sink is built. Bodies are ours and the engine's transport sends them: the client's model
layer is slow and loses CI events in a list, and its transport blocks a thread for each request (docs/decisions/0018).
Invariant: nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.api_client import Endpoint
from datadog_api_client.v1.api.authentication_api import AuthenticationApi
from datadog_api_client.v1.api.events_api import EventsApi
from datadog_api_client.v1.api.metrics_api import MetricsApi as DistributionsApi
from datadog_api_client.v2.api.ci_visibility_pipelines_api import CIVisibilityPipelinesApi
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.api.metrics_api import MetricsApi

__all__ = ["Route", "routes"]

# Signal -> family of its address, and where the client keeps the endpoint. Tests hold the paths against the client's.
_ENDPOINTS: Mapping[str, tuple[str, type, str]] = {
    "logs": ("logs", LogsApi, "_submit_log_endpoint"),
    "metrics": ("api", MetricsApi, "_submit_metrics_endpoint"),
    "distributions": ("api", DistributionsApi, "_submit_distribution_points_endpoint"),
    "events": ("events", EventsApi, "_create_event_endpoint"),
    "ci": ("api", CIVisibilityPipelinesApi, "_create_ci_app_pipeline_event_endpoint"),
    "dora": ("api", DORAMetricsApi, "_create_dora_deployment_endpoint"),
    "validate": ("api", AuthenticationApi, "_validate_endpoint"),
}


@dataclass(frozen=True, slots=True)
class Route:
    """Where one kind of request goes. `family` of addresses, `base`: its address; `headers` hold the key."""

    family: str
    base: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]


def routes(site: str, api_key: str, bases: Mapping[str, str], headers: tuple[tuple[str, str], ...]) -> dict[str, Route]:
    """The route of each signal and of `validate`.

    `bases`: addresses of families that are not the site's own. `headers`: beside the client's. Raises ValueError for a
    site that the client does not know.
    """
    configuration = Configuration(  # type: ignore[no-untyped-call]  # the client has no types here
        api_key={"apiKeyAuth": api_key}, server_variables={"site": site}
    )
    found: dict[str, Route] = {}
    with ApiClient(configuration) as client:
        for name, (family, api, attribute) in _ENDPOINTS.items():
            endpoint: Endpoint = getattr(api(client), attribute)
            found[name] = _route(configuration, endpoint, family, bases.get(family), headers)
    return found


def _route(
    configuration: Configuration,
    endpoint: Endpoint,
    family: str,
    base: str | None,
    headers: tuple[tuple[str, str], ...],
) -> Route:
    settings = endpoint.settings
    variables, servers = configuration.server_variables, settings.get("servers")
    host = base or configuration.get_host_from_settings(0, variables, servers)  # type: ignore[no-untyped-call]  # as above
    params = endpoint.gather_params({})  # type: ignore[no-untyped-call]  # as above
    named = tuple((name.lower(), value) for name, value in params["header"].items())
    url = f"{host}{settings['endpoint_path']}"
    return Route(family, host, settings["http_method"], url, (*headers, *named))
