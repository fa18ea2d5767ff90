"""Alerts and silences over HTTP. Changing anything needs the same rights as every other order.

Invariant: what is kept names who asked, where that is known by more than their own word.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from headgate.web.access.who import who
from headgate.web.answers import AlertAnswer, SilenceAnswer
from headgate.web.documented import documented
from headgate.web.operations import Json, NewSilence, Operations

__all__ = ["add_alerts"]

_MOST = (1 << 53) - 1  # milliseconds; far beyond the year 9999, and every JSON reader keeps it
_Text = Annotated[str, Field(min_length=1, max_length=2000)]
_Asked = Annotated[str, Query(min_length=1, max_length=2000)]
_Time = Annotated[int, Field(ge=0, le=253_402_300_799_999)]  # the end of the year 9999


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Seen(_Body):
    """Who has seen an alert, why it may rest, and what it was worth."""

    by: _Text
    comment: _Text
    verdict: Literal["", "good", "noise", "new_normal"] = ""


class SilenceBody(_Body):
    """A silence: matchers that must all hold, from when to when (milliseconds since the epoch), who and why."""

    matchers: tuple[_Text, ...] = Field(min_length=1, max_length=100)
    starts_ms: _Time
    ends_ms: _Time
    author: _Text
    comment: _Text


def add_alerts(app: FastAPI, operations: Operations) -> None:
    """Everything under /api/v1/alerts and /api/v1/silences."""

    @app.get("/api/v1/alerts", **documented(list[AlertAnswer]))
    async def alerts() -> list[Json]:
        """Alert instances."""
        return await operations.alerts()

    @app.post("/api/v1/alerts/{fingerprint}/ack", **documented(AlertAnswer))
    async def acknowledge(request: Request, fingerprint: str, body: Seen) -> Json:
        """Say that somebody has seen a firing alert: nobody is reminded of it any more."""
        by = _name(request, body.by)
        return await operations.acknowledge(fingerprint, by=by, comment=body.comment, verdict=body.verdict)

    @app.get("/api/v1/silences", **documented(list[SilenceAnswer]))
    async def silences() -> list[Json]:
        """Silences, also those that ended."""
        return await operations.silences()

    @app.post("/api/v1/silences", **documented(SilenceAnswer))
    async def silence(request: Request, body: SilenceBody) -> Json:
        """Make a silence."""
        author = _name(request, body.author)
        return await operations.silence(NewSilence(**{**body.model_dump(), "author": author}))

    @app.delete("/api/v1/silences/{number}", **documented(SilenceAnswer))
    async def expire(
        request: Request, number: Annotated[int, Field(ge=1, le=_MOST)], by: _Asked, comment: _Asked
    ) -> Json:
        """End a silence now."""
        return await operations.expire_silence(number, by=_name(request, by), comment=comment)


def _name(request: Request, said: str) -> str:
    """Who does it: as they say, and where we know them by something else with that beside it.

    On this machine everybody says themselves who they are; a program may speak for somebody else.
    """
    known = who(request)
    if known.via in ("", "loopback", "command") or said.strip() == known.name:
        return said
    return f"{said} (by {known.name})"
