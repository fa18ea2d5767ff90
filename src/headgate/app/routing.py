"""Who is told of alerts, as it is configured and as it holds now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headgate.alerting.routes import RouteConfig
from headgate.app.sections import AlertSettings
from headgate.web.operations import Json

__all__ = ["routing_view"]


def routing_view(alerts: AlertSettings, notifiers: Sequence[str], now_ms: int) -> Json:
    """What `/api/v1/routing` answers. `notifiers`: names of all."""
    return {
        "default": list(notifiers if alerts.default is None else alerts.default),
        "mute": list(alerts.mute or ()),
        "routes": list(_routes(alerts.routes, 0)),
        "mute_times": [
            {
                "name": name,
                "holds": one.built(name).holds(now_ms),
                "time_zone": one.time_zone,
                "weekdays": list(one.weekdays),
                "times": list(one.times),
                "holidays": list(one.holidays),
            }
            for name, one in sorted(alerts.mute_times.items())
        ],
        "digests": [{"name": name, "to": list(one.to)} for name, one in sorted(alerts.digests.items())],
    }


def _routes(configs: Sequence[RouteConfig], depth: int) -> Iterator[dict[str, Any]]:
    """Each route before those inside it."""
    for one in configs:
        match = one.match
        yield {
            "depth": depth,
            "match": [f"{name}={value}" for name, value in match.items()]
            if isinstance(match, Mapping)
            else list(match),
            "to": None if one.to is None else list(one.to),
            "continue": one.continue_,
            "mute": list(one.mute or ()),
        }
        yield from _routes(one.routes, depth + 1)
