"""Renders the page from one `overview`. Everything that came from outside is escaped; there is no inline script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from headgate.web.operations import Operations

__all__ = ["Page"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def _number(value: float | None) -> str:
    """1234567 as 1,234,567; nothing as a dash."""
    return "-" if value is None else f"{value:,.0f}"


def _span(seconds: float | None) -> str:
    """Seconds in the largest fitting unit."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"


def _size(count: float) -> str:
    """Bytes in a readable unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _link(url: str | None) -> str:
    """An address that may be linked: http or https only; empty for everything else."""
    if not url:
        return ""
    return url if urlsplit(url).scheme in ("http", "https") else ""


def _clock(text: str | None) -> str:
    """`2026-11-20T10:02:10.000Z` as `11-20 10:02:10`."""
    return "-" if not text else text[5:19].replace("T", " ")


class Page:
    """The page whole, and the part of it that is fetched again every two seconds."""

    def __init__(self, operations: Operations, version: str) -> None:
        self._operations = operations
        self._version = version
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(number=_number, span=_span, size=_size, link=_link, clock=_clock)

    async def whole(self) -> str:
        """The page with its current figures."""
        return self._render("page.html", version=self._version, **await self._values())

    async def live(self) -> str:
        """The figures alone."""
        return self._render("live.html", **await self._values())

    async def _values(self) -> Mapping[str, Any]:
        overview = await self._operations.overview()
        return {"overview": overview, "status": overview["status"]}

    def _render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)
