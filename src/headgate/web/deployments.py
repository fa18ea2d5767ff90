"""Deployments that somebody tells us of: `POST /api/v1/deployments`.

Invariant: the 2xx comes after the deployment is flushed; a body that cannot be used is a 400 that names each field.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from headgate.core.slug import short_slug
from headgate.core.times import parse_ms
from headgate.web.answers import DeploymentAnswer
from headgate.web.documented import shaped
from headgate.web.operations import Json, Operations
from headgate.web.problems import problem

__all__ = ["TOLD_SCHEMA", "ToldDeployment", "add_deployments"]

_MAX_BODY = 65_536
_SLUG = re.compile(r"[A-Za-z0-9_-]+/[^/\s]+/[^/\s]+")
_UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise ValueError("write the project's slug, such as gh/acme/web")
    return short_slug(text)


def _time(text: str) -> str:
    if parse_ms(text) is None:
        raise ValueError("write a time as RFC 3339, such as 2026-11-20T10:02:10Z")
    return text


_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Time = Annotated[str, Field(max_length=60), AfterValidator(_time)]


class ToldDeployment(BaseModel):
    """One deployment that ended. `id` is the caller's own: the same one again is the same deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Annotated[str, Field(min_length=1, max_length=200)]
    project: Annotated[str, Field(max_length=500), AfterValidator(_slug)]
    environment: _Text
    status: Literal["succeeded", "failed"]
    name: _Text | None = None
    revision: _Text | None = None
    version: _Text | None = None
    started_at: _Time | None = None
    stopped_at: _Time | None = None
    workflow_id: Annotated[str, Field(pattern=_UUID_PATTERN)] | None = None
    job_id: Annotated[str, Field(pattern=_UUID_PATTERN)] | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=2000)] | None = None
    source: _Text | None = None


TOLD_SCHEMA = ToldDeployment.model_json_schema()


def add_deployments(app: FastAPI, operations: Operations) -> None:
    """Add the route."""
    known: dict[int | str, dict[str, Any]] = {
        200: {**shaped(DeploymentAnswer), "description": "It was known before."},
        201: shaped(DeploymentAnswer),
    }
    body = {"required": True, "content": {"application/json": {"schema": TOLD_SCHEMA}}}

    @app.post(
        "/api/v1/deployments",
        openapi_extra={"requestBody": body},
        status_code=201,
        response_model=None,
        responses=known,
    )
    async def deployment(request: Request) -> Response:
        """Keep a deployment; the answer's `id` is that of its record. The same `id` again is answered 200."""
        raw = await _read(request)
        if raw is None:
            return _refused("the body is longer than 64 KiB")
        try:
            told = ToldDeployment.model_validate_json(raw)
        except ValidationError as exc:
            return _refused(_words(exc))
        answer: Json = await operations.deployment(told.model_dump(exclude_none=True))
        return JSONResponse(answer, 201 if answer["new"] else 200)


async def _read(request: Request) -> bytes | None:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY:
            return None
    return bytes(body)


def _refused(detail: str) -> Response:
    return problem(400, "invalid", "The body cannot be used", detail)


def _words(error: ValidationError) -> str:
    """Every field that is wrong, with what is; never what was written there."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors(include_input=False)
    )
