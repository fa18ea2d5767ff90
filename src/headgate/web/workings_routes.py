"""`/api/v1/routing`, `completeness`, `data` and `configuration`. Thin: `Workings` answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from headgate.web.documented import documented
from headgate.web.operations import Json
from headgate.web.workings import ProvenWindow, Workings
from headgate.web.workings_answers import CompletenessAnswer, DataAnswer, RoutingAnswer

__all__ = ["add_workings"]


def add_workings(app: FastAPI, workings: Workings) -> None:
    """Add the routes."""

    @app.get("/api/v1/routing", **documented(RoutingAnswer))
    async def routing() -> Json:
        """Routes, mute times and digests: who is told of alerts."""
        return await workings.routing()

    @app.get("/api/v1/completeness", **documented(CompletenessAnswer))
    async def completeness(window: ProvenWindow = "24h") -> Json:
        """What audits have proven by project: by the hour of a day, or by the day."""
        return await workings.completeness(window)

    @app.get("/api/v1/data", **documented(DataAnswer))
    async def data() -> Json:
        """What is kept, how much and how long; scheduled files, versions and plugins."""
        return await workings.data()

    @app.get("/api/v1/configuration", **documented(dict[str, Any]))
    async def configuration() -> Json:
        """The configuration as loaded, without secrets."""
        return await workings.configuration()
