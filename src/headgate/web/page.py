"""Renders the page of delivery from one `overview` of operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.web.operations import Operations
from headgate.web.rendering import Templates

__all__ = ["Page"]


class Page:
    """The page whole, and the part of it that is fetched again every two seconds."""

    def __init__(self, operations: Operations, templates: Templates) -> None:
        self._operations = operations
        self._templates = templates

    async def whole(self, **frame: Any) -> str:
        """The page with its current figures. `frame`: what its layout wants."""
        return self._templates.render("delivery.html", **frame, **await self._values())

    async def live(self) -> str:
        """The figures alone."""
        return self._templates.render("live.html", **await self._values())

    async def _values(self) -> Mapping[str, Any]:
        overview = await self._operations.overview()
        return {"overview": overview, "status": overview["status"]}
