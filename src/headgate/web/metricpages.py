"""Pages in Prometheus' text format: about Headgate itself, and what a scraped sink counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Response

from headgate.core.ports import Scraped, Sink
from headgate.web.operations import Problem

__all__ = ["MetricPages", "add_metrics", "ci_page"]

_PAGE = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def ci_page(sinks: Mapping[str, Sink], name: str | None) -> bytes:
    """The page of the scraped sink of this name, or of the only one. Raises Problem."""
    pages = {
        key: page
        for key, sink in sinks.items()
        if isinstance(sink, Scraped) and name in (None, key) and (page := sink.exposition()) is not None
    }
    if len(pages) == 1:
        return next(iter(pages.values()))
    if pages:
        raise Problem("refused", f"say which, as ?sink=NAME: {', '.join(sorted(pages))}")
    which = f"no sink called {name} is scraped" if name else "no sink is scraped"
    raise Problem("unknown", f"{which}; configure one: `sinks: {{prometheus: {{type: prometheus}}}}`")


@dataclass(frozen=True, slots=True)
class MetricPages:
    """`own`: about Headgate itself. `ci`: of the sink of that name, or of the only one that is scraped."""

    own: Callable[[], bytes]
    ci: Callable[[str | None], bytes]


def add_metrics(app: FastAPI, pages: MetricPages) -> None:
    """Serve `/metrics` and `/metrics/ci`."""

    @app.get("/metrics", response_class=Response, responses={200: _PAGE})
    async def metrics() -> Response:
        """Headgate's own metrics for Prometheus."""
        return Response(pages.own(), media_type=_MEDIA_TYPE)

    @app.get("/metrics/ci", response_class=Response, responses={200: _PAGE})
    def ci_metrics(sink: str | None = None) -> Response:
        """What a sink of type `prometheus` counted; `sink` is its name where there are several.

        Not a coroutine: a page of many series takes long enough to hold up webhooks.
        """
        return Response(pages.ci(sink), media_type=_MEDIA_TYPE)
