"""What a daemon tells of itself on its pages and in the API: who is told, what is proven, what is kept."""

from __future__ import annotations

from typing import Any, Protocol

from headgate.core.audits import PROVEN_WINDOWS, ProvenWindow

__all__ = ["PROVEN_WINDOWS", "ProvenWindow", "Workings"]

Json = dict[str, Any]


class Workings(Protocol):
    """Answers are plain JSON data with times as RFC 3339 text, and hold no secret."""

    async def routing(self) -> Json:
        """Who is told of alerts: `{"default", "routes", "mute_times", "digests"}`.

        `routes`: from top to bottom, with `depth`; `mute_times`: with `holds`, whether it is quiet now.
        """
        ...

    async def completeness(self, window: ProvenWindow = "24h") -> Json:
        """What audits have proven by project and hour, or day.

        `{"window", "step", "hours": [begin], "projects": [...]}`. Each project has its figures and `cells`, one for
        each hour or day, oldest first: None where nothing was audited, else the figures and `state`: complete,
        repaired, missing or nothing.
        """
        ...

    async def data(self) -> Json:
        """What is kept: `{"store", "parts", "sources", "files", "versions", "plugins"}`."""
        ...

    async def configuration(self) -> Json:
        """The configuration as loaded. A secret is its reference, such as `${env:CIRCLECI_TOKEN}`, or `set`."""
        ...
