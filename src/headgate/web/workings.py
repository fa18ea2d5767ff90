"""What a daemon tells of itself on its pages and in the API: who is told, what is proven, what is kept."""

from __future__ import annotations

from typing import Any, Protocol

from fastapi import FastAPI

from headgate.web.answers import documented
from headgate.web.workings_answers import CompletenessAnswer, DataAnswer, RoutingAnswer

__all__ = ["Workings", "add_workings"]

Json = dict[str, Any]


class Workings(Protocol):
    """Answers are plain JSON data with times as RFC 3339 text, and hold no secret."""

    async def routing(self) -> Json:
        """Who is told of alerts: `{"default", "routes", "mute_times", "digests"}`.

        `routes`: from top to bottom, with `depth`; `mute_times`: with `holds`, whether it is quiet now.
        """
        ...

    async def completeness(self) -> Json:
        """What audits have proven by project and hour: `{"hours": [begin], "projects": [...]}`.

        Each project has `cells`, one for each hour, oldest first: None where nothing was audited, else the figures and
        `state`: complete, repaired, missing or nothing.
        """
        ...

    async def data(self) -> Json:
        """What is kept: `{"store", "parts", "sources", "backups", "versions", "plugins"}`."""
        ...

    async def configuration(self) -> Json:
        """The configuration as loaded. A secret is its reference, such as `${env:CIRCLECI_TOKEN}`, or `set`."""
        ...


def add_workings(app: FastAPI, workings: Workings) -> None:
    """Add the routes."""

    @app.get("/api/v1/routing", **documented(RoutingAnswer))
    async def routing() -> Json:
        """Routes, mute times and digests: who is told of alerts."""
        return await workings.routing()

    @app.get("/api/v1/completeness", **documented(CompletenessAnswer))
    async def completeness() -> Json:
        """What audits have proven by project and hour."""
        return await workings.completeness()

    @app.get("/api/v1/data", **documented(DataAnswer))
    async def data() -> Json:
        """What is kept, how much and how long; versions and plugins."""
        return await workings.data()

    @app.get("/api/v1/configuration", **documented(dict[str, Any]))
    async def configuration() -> Json:
        """The configuration as loaded, without secrets."""
        return await workings.configuration()
