"""Problems as RFC 9457 says: what a request is answered with that cannot be answered otherwise.

Invariant: every answer of the API that is no success is `application/problem+json` and says what is wrong, and where
that is known what is valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from headgate.core.errors import StoreError
from headgate.insights.views.refusal import TITLES, Refused
from headgate.web.bodies import MOST_BYTES, TooLong
from headgate.web.operations import Problem
from headgate.web.turns import Busy

__all__ = [
    "PROBLEM_SCHEMA",
    "PROBLEM_TYPE",
    "REASONS",
    "ProblemDetails",
    "add_problem_answers",
    "headers_of",
    "invalid",
    "not_served",
    "problem",
    "refused",
    "status_of",
    "too_much",
    "unanswered",
    "undone",
]

PROBLEM_TYPE: Final = "application/problem+json"
_PREFIX = "urn:headgate:problem:"
# Reasons of operations: status and title.
REASONS: Final[Mapping[str, tuple[int, str]]] = {
    "unknown": (404, "There is no such thing"),
    "refused": (409, "This cannot be done"),
    "busy": (503, "Not now"),
}


class ProblemDetails(BaseModel):
    """RFC 9457. `parameter`: which one is wrong, empty for none; `valid`: what may be written there."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="urn:headgate:problem:KIND; docs/api.md lists the kinds.")
    title: str
    status: int
    detail: str
    error: str = Field(description="The KIND alone.")
    parameter: str = ""
    valid: list[str] = Field(default_factory=list)


PROBLEM_SCHEMA: Final = ProblemDetails.model_json_schema()


def problem(status: int, kind: str, title: str, detail: str, **more: Any) -> Response:
    """The answer. `more`: parameter and valid, where something of them is known."""
    told = ProblemDetails(type=_PREFIX + kind, title=title, status=status, detail=detail, error=kind, **more)
    return Response(orjson.dumps(told.model_dump()), status, media_type=PROBLEM_TYPE)


def status_of(exc: Refused) -> int:
    """404 where something was named that is not there, else 400."""
    return 404 if exc.missing else 400


def refused(exc: Refused) -> Response:
    """A question that is refused."""
    return problem(status_of(exc), exc.kind, TITLES[exc.kind], str(exc), parameter=exc.parameter, valid=list(exc.valid))


def unanswered(exc: StoreError) -> Response:
    """A question that the store does not answer."""
    return problem(503, "store", "The store does not answer", str(exc))


def too_much(exc: Busy) -> Response:
    """A question that waits for too many others."""
    made = problem(503, "busy", "Too much at once", str(exc))
    made.headers["retry-after"] = str(exc.retry_seconds)
    return made


def undone(exc: Problem) -> Response:
    """An operation that cannot be done."""
    status, title = REASONS[exc.reason]
    return problem(status, exc.reason, title, str(exc))


def invalid(exc: RequestValidationError) -> Refused:
    """The first thing of a request that is wrong, and what it takes."""
    first = exc.errors()[0]
    place: Sequence[str | int] = first["loc"][1:]
    name = next((part for part in reversed(place) if isinstance(part, str) and not part.isdigit()), "")
    expected = str(first.get("ctx", {}).get("expected", ""))
    valid = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",") if part.strip(" '")]
    where = name or ("body" if first["loc"][0] == "body" else "")
    return Refused("bad-parameter", f"{where}: {first['msg']}", parameter=name, valid=valid)


def add_problem_answers(app: FastAPI) -> None:
    """Answer whatever goes wrong with a problem."""

    @app.exception_handler(Problem)
    async def operation(_: Request, exc: Problem) -> Response:
        return undone(exc)

    @app.exception_handler(Busy)
    async def busy(_: Request, exc: Busy) -> Response:
        return too_much(exc)

    @app.exception_handler(StoreError)
    async def store(_: Request, exc: StoreError) -> Response:
        return unanswered(exc)

    @app.exception_handler(Refused)
    async def refusal(_: Request, exc: Refused) -> Response:
        return refused(exc)

    @app.exception_handler(RequestValidationError)
    async def unread(_: Request, exc: RequestValidationError) -> Response:
        return refused(invalid(exc))

    @app.exception_handler(TooLong)
    async def long(_: Request, exc: TooLong) -> Response:
        detail = f"Nothing was done. {MOST_BYTES // 1024} KiB are the most."
        made = problem(exc.status_code, "body", exc.detail, detail)
        made.headers.update(exc.headers or {})
        return made

    @app.exception_handler(HTTPException)
    async def nowhere(_: Request, exc: HTTPException) -> Response:
        return not_served(exc)


def not_served(exc: HTTPException) -> Response:
    """What the framework itself refuses: nothing is at the address, or not by that method."""
    kind = {404: "not-found", 405: "method"}.get(exc.status_code, "refused")
    made = problem(exc.status_code, kind, str(exc.detail), "docs/api.md and /api/v1/openapi.json say what there is.")
    made.headers.update(headers_of(exc))
    return made


def headers_of(exc: HTTPException) -> dict[str, str]:
    """What the framework says beside; HEAD is answered wherever GET is."""
    told = dict(exc.headers or {})
    allowed = told.get("Allow", "").split(", ")
    return told | ({"Allow": ", ".join(sorted({*allowed, "HEAD"}))} if "GET" in allowed else {})
