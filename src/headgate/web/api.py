"""The JSON API, health and metrics as one FastAPI application. Thin: every answer comes from `Operations`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from headgate.web.access.trail import note
from headgate.web.alerts import add_alerts
from headgate.web.answers import (
    AlertLine,
    AuditAnswer,
    BackfillAnswer,
    BackupAnswer,
    DeadDelivery,
    DeadLetterAnswer,
    OverviewAnswer,
    ReloadAnswer,
    ReplayAnswer,
    RunAnswer,
    StatusAnswer,
    TrailAnswer,
)
from headgate.web.answers_facts import ExplainedAnswer, HistoryJob, HistoryRun, TailAnswer
from headgate.web.deployments import add_deployments
from headgate.web.document import Api
from headgate.web.documented import documented
from headgate.web.metricpages import MetricPages, add_metrics
from headgate.web.operations import ChosenDeliveries, ChosenLetters, Health, HistoryKind, Json, Operations, Order
from headgate.web.reports import add_reports
from headgate.web.workings_routes import add_workings

__all__ = ["build_app"]

_UNWELL: dict[int | str, dict[str, Any]] = {
    503: {"description": "What is wrong, in words.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_Limit = Annotated[int, Query(ge=1, le=1000)]
# What the store can count and date; anything larger could only be a mistake.
_MOST = (1 << 63) - 1
_Number = Annotated[int, Field(ge=0, le=_MOST)]
_Action = Annotated[str, Query(max_length=100)]
_Query = Annotated[str, Query(min_length=1, max_length=500)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Letters(_Body):
    """Dead letters: by number, or all of a signal, of a reason, or `everything`."""

    ids: tuple[_Number, ...] = Field(default=(), max_length=10_000)
    signal: str | None = Field(default=None, max_length=200)
    reason: str | None = Field(default=None, max_length=200)
    everything: bool = False

    @model_validator(mode="after")
    def _says_which(self) -> Letters:
        if self.ids and (self.signal is not None or self.reason is not None):
            raise ValueError("say ids, or signal and reason, not both")
        if not (self.ids or self.everything) and self.signal is None and self.reason is None:
            raise ValueError("say ids, signal, reason or everything")
        return self


class Deliveries(_Body):
    """Webhooks that were set aside: by number, or all of a source, of a reason, or `everything`."""

    ids: tuple[_Number, ...] = Field(default=(), max_length=10_000)
    source: str | None = Field(default=None, max_length=200)
    reason: str | None = Field(default=None, max_length=200)
    everything: bool = False

    @model_validator(mode="after")
    def _says_which(self) -> Deliveries:
        if self.ids and (self.source is not None or self.reason is not None):
            raise ValueError("say ids, or source and reason, not both")
        if not (self.ids or self.everything) and self.source is None and self.reason is None:
            raise ValueError("say ids, source, reason or everything")
        return self


class ReplayRange(_Body):
    """A sink (or `sink.signal`) and a time range, milliseconds since the epoch, `since` <= t < `until`."""

    sink: str
    since_ms: _Number
    until_ms: _Number


class OrderedSpan(_Body):
    """A span to work on, milliseconds since the epoch; of one source, some organisations or projects (globs)."""

    since_ms: _Number
    until_ms: _Number
    source: str = Field(default="", max_length=200)
    orgs: tuple[str, ...] = Field(default=(), max_length=200)
    projects: tuple[str, ...] = Field(default=(), max_length=1000)


class ResetStart(_Body):
    """Where a sink starts again: now, retained (all the log still has), or milliseconds since the epoch."""

    start: Literal["now", "retained"] | _Number


class BackupTarget(_Body):
    """A path on the daemon's machine that does not exist yet."""

    path: str


def build_app(operations: Operations, health: Health, pages: MetricPages, *, version: str) -> FastAPI:
    """The application behind `http.listen`."""
    app = Api(title="Headgate", version=version, openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None)
    _add_health(app, health)
    add_metrics(app, pages)
    _add_questions(app, operations)
    _add_searches(app, operations)
    _add_actions(app, operations)
    _add_orders(app, operations)
    add_deployments(app, operations)
    add_alerts(app, operations)
    add_workings(app, operations)
    add_reports(app, operations)
    return app


def _add_health(app: FastAPI, health: Health) -> None:
    # Whatever a probe adds to the address: that it answers must not hang on that.
    anything: dict[str, Any] = {"parameters": []}

    @app.get("/livez", response_class=PlainTextResponse, responses=_UNWELL, openapi_extra=anything)
    async def livez() -> PlainTextResponse:
        """200 while the event loop and the store's writer answer."""
        try:
            async with asyncio.timeout(5):
                wrong = await health.alive()
        except TimeoutError:
            wrong = "the store's writer does not answer"
        return PlainTextResponse(wrong or "ok", 503 if wrong else 200)

    @app.get("/readyz", response_class=PlainTextResponse, responses=_UNWELL, openapi_extra=anything)
    async def readyz() -> PlainTextResponse:
        """200 once the store is open and the listeners are bound; a sink that is down does not matter."""
        wrong = health.ready()
        return PlainTextResponse(wrong or "ok", 503 if wrong else 200)


def _add_questions(app: FastAPI, operations: Operations) -> None:
    @app.get("/api/v1/status", **documented(StatusAnswer))
    async def status() -> Json:
        """Sinks, inbox, sources and store in figures."""
        return await operations.status()

    @app.get("/api/v1/overview", **documented(OverviewAnswer))
    async def overview() -> Json:
        """Everything the page shows in one answer."""
        return await operations.overview()

    @app.get("/api/v1/runs", **documented(list[RunAnswer]))
    async def runs(limit: _Limit = 50, project: str | None = None) -> list[Json]:
        """Ended workflows, newest first."""
        return await operations.runs(limit, project)

    @app.get("/api/v1/history", **documented(list[HistoryRun] | list[HistoryJob]))
    async def history(  # noqa: PLR0917  # query parameters have names
        since_ms: _Number,
        until_ms: _Number,
        after_ms: _Number = 0,
        after_id: str = "",
        limit: _Limit = 1000,
        kind: HistoryKind = "runs",
    ) -> list[Json]:
        """A page of ended workflows or jobs of a time range, milliseconds since the epoch, oldest first.

        The next page: `after_ms` and `after_id` are the end and the id of this page's last one.
        """
        after = (after_ms, after_id) if after_id else None
        return await operations.history(since_ms, until_ms, after, limit, kind)

    @app.get("/api/v1/alerts/{fingerprint}/history", **documented(list[AlertLine]))
    async def alert_history(fingerprint: str, limit: _Limit = 1000) -> list[Json]:
        """What became of one alert, newest first."""
        return await operations.alert_history(fingerprint, limit)

    @app.get("/api/v1/backfills", **documented(list[BackfillAnswer]))
    async def backfills() -> list[Json]:
        """Requests for history and how far they are."""
        return await operations.backfills()

    @app.get("/api/v1/audits", **documented(list[AuditAnswer]))
    async def audits() -> list[Json]:
        """Requests for audits and what came out."""
        return await operations.audits()


def _add_searches(app: FastAPI, operations: Operations) -> None:
    @app.get("/api/v1/explain", **documented(list[ExplainedAnswer]))
    async def explain_url(query: _Query) -> list[Json]:
        """What is known about a workflow or job, given its page's address or an id."""
        return await operations.explain(query)

    @app.get("/api/v1/explain/{provider_id}", **documented(list[ExplainedAnswer]))
    async def explain(provider_id: str) -> list[Json]:
        """What is known about a workflow or job, and its way through each sink."""
        return await operations.explain(provider_id)

    @app.get("/api/v1/tail", **documented(TailAnswer))
    async def tail(limit: _Limit = 50, live: _Number | None = None, backfill: _Number | None = None) -> Json:
        """The newest records; with the numbers of a page's `after`, those that follow it, from the oldest on."""
        after = {lane: seq for lane, seq in (("live", live), ("backfill", backfill)) if seq is not None}
        return await operations.tail(after, limit)

    @app.get("/api/v1/deadletters", **documented(list[DeadLetterAnswer]))
    async def dead_letters(
        signal: str | None = None,
        limit: _Limit = 100,
        ids: Annotated[list[_Number] | None, Query(alias="id")] = None,
        before: _Number | None = None,
    ) -> list[Json]:
        """Records that a sink will never take as they are, newest first.

        The next page: `before` is the `id` of this page's last one.
        """
        return await operations.dead_letters(signal, ids or (), limit, before)

    @app.get("/api/v1/trail", **documented(list[TrailAnswer]))
    async def trail(
        since_ms: _Number = 0, before: _Number | None = None, limit: _Limit = 100, action: _Action = ""
    ) -> list[Json]:
        """Who changed something, read what is about a person, or exported, newest first.

        The next page: `before` is the `id` of this page's last one. `action`: only such, as `backup`.
        """
        return await operations.trail(since_ms, before, limit, action)

    @app.get("/api/v1/deaddeliveries", **documented(list[DeadDelivery]))
    async def dead_deliveries(
        limit: _Limit = 100,
        ids: Annotated[list[_Number] | None, Query(alias="id")] = None,
        before: _Number | None = None,
    ) -> list[Json]:
        """Webhooks that could not be parsed, or that wait for a source, newest first.

        The next page: `before` is the `id` of this page's last one. A page has fewer than `limit` where webhooks are
        large; one without any is the end.
        """
        return await operations.dead_deliveries(limit, ids or (), before)


def _add_actions(app: FastAPI, operations: Operations) -> None:
    @app.post("/api/v1/deadletters/replay", **documented(dict[str, int]))
    async def replay_dead(body: Letters) -> dict[str, int]:
        """Send dead letters again."""
        return {"requeued": await operations.replay_dead(ChosenLetters(**body.model_dump()))}

    @app.post("/api/v1/deadletters/purge", **documented(dict[str, int]))
    async def purge_dead(body: Letters) -> dict[str, int]:
        """Forget dead letters."""
        return {"purged": await operations.purge_dead(ChosenLetters(**body.model_dump()))}

    @app.post("/api/v1/deaddeliveries/replay", **documented(dict[str, int]))
    async def replay_deliveries(body: Deliveries) -> dict[str, int]:
        """Merge webhooks that were set aside again."""
        return {"requeued": await operations.replay_deliveries(ChosenDeliveries(**body.model_dump()))}

    @app.post("/api/v1/deaddeliveries/purge", **documented(dict[str, int]))
    async def purge_deliveries(body: Deliveries) -> dict[str, int]:
        """Forget webhooks that were set aside."""
        return {"purged": await operations.purge_deliveries(ChosenDeliveries(**body.model_dump()))}

    @app.post("/api/v1/replay", **documented(list[ReplayAnswer]))
    async def replay(body: ReplayRange) -> list[Json]:
        """Send a time range again."""
        return await operations.replay(body.sink, body.since_ms, body.until_ms)

    @app.post("/api/v1/sinks/{name}/reset", **documented(dict[str, list[str]]))
    async def reset(name: str, body: ResetStart) -> dict[str, list[str]]:
        """Forget where a sink is and what its address was."""
        return {"reset": await operations.reset_sink(name, body.start)}

    @app.post("/api/v1/reload", **documented(ReloadAnswer))
    async def reload() -> Json:
        """Read the configuration again; a bad file changes nothing."""
        return await operations.reload()

    @app.post("/api/v1/backup", **documented(BackupAnswer))
    async def backup(request: Request, body: BackupTarget) -> Json:
        """Copy the store while it runs."""
        made = await operations.backup(body.path)
        note(request, "backup", body.path)
        return made


def _add_orders(app: FastAPI, operations: Operations) -> None:
    @app.post("/api/v1/backfills", **documented(list[BackfillAnswer]))
    async def backfill(body: OrderedSpan) -> list[Json]:
        """Ask for history; it is collected behind everything live."""
        return await operations.backfill(Order(**body.model_dump()))

    @app.post("/api/v1/audits", **documented(list[AuditAnswer]))
    async def audit(body: OrderedSpan) -> list[Json]:
        """Hold what CircleCI lists against what is kept, and repair it."""
        return await operations.audit(Order(**body.model_dump()))
