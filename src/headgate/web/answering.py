"""How answers of the insights part of the API look: tagged, packed where large, and problems as RFC 9457 says.

Invariant: every answer of these routes that is not 200 or 304 is `application/problem+json` and says what is valid.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from headgate.core.errors import StoreError
from headgate.core.packing import pack
from headgate.insights.views.refusal import TITLES, Refused
from headgate.web.turns import Busy

__all__ = [
    "PROBLEM_RESPONSES",
    "AnsweringRoute",
    "ProblemDetails",
    "answer",
    "finished",
    "knows_tag",
    "takes_gzip",
]

_PROBLEM_TYPE = "application/problem+json"
_PREFIX = "urn:headgate:problem:"
# Less than this fits into one packet.
_PACKED_FROM = 1400
# Packing that takes longer than a millisecond is done beside the event loop.
_LARGE = 1_000_000


class ProblemDetails(BaseModel):
    """RFC 9457. `parameter`: which one is wrong, empty for none; `valid`: what may be written there."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="urn:headgate:problem:KIND; docs/api.md lists the kinds.")
    title: str
    status: int
    detail: str
    parameter: str = ""
    valid: list[str] = Field(default_factory=list)


_SCHEMA = ProblemDetails.model_json_schema()
PROBLEM_RESPONSES: Mapping[int | str, dict[str, Any]] = {
    "4XX": {"description": "The question is refused.", "content": {_PROBLEM_TYPE: {"schema": _SCHEMA}}},
    503: {
        "description": "The store does not answer, or too much is made at once; Retry-After.",
        "content": {_PROBLEM_TYPE: {"schema": _SCHEMA}},
    },
    304: {"description": "Nothing changed since the answer with this ETag."},
}


def answer(view: object) -> Response:
    """A view as JSON."""
    return Response(orjson.dumps(view), media_type="application/json")


class AnsweringRoute(APIRoute):
    """A route whose answers are tagged and packed, and whose refusals are problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework calls it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                made = await inner(request)
            except Refused as exc:
                return _refused(exc)
            except RequestValidationError as exc:
                return _invalid(exc, [one.alias for one in _fields(self)])
            except Busy as exc:
                told = ProblemDetails(type="busy", title="Too much at once", status=503, detail=str(exc))
                return _problem(told, {"retry-after": str(exc.retry_seconds)})
            except StoreError as exc:
                return _problem(
                    ProblemDetails(type="store", title="The store does not answer", status=503, detail=str(exc))
                )
            return await finished(request, made)

        return handle


def _fields(route: APIRoute) -> Sequence[Any]:
    """The query parameters of a route, those of its model one by one."""
    found: list[Any] = []
    for field in route.dependant.query_params:
        model = field.field_info.annotation
        names = getattr(model, "model_fields", None)
        found += [_Named(name) for name in names] if names else [field]
    return found


class _Named:
    def __init__(self, alias: str) -> None:
        self.alias = alias


def _refused(exc: Refused) -> Response:
    return _problem(
        ProblemDetails(
            type=exc.kind,
            title=TITLES[exc.kind],
            status=404 if exc.missing else 400,
            detail=str(exc),
            parameter=exc.parameter,
            valid=list(exc.valid),
        )
    )


def _invalid(exc: RequestValidationError, names: Sequence[str]) -> Response:
    """The first parameter that is wrong, and which there are, or what it takes."""
    first = exc.errors()[0]
    name = next((part for part in reversed(first["loc"][1:]) if isinstance(part, str) and not part.isdigit()), "")
    if first["type"] == "extra_forbidden":
        detail, valid = f"there is no parameter {name!r}", list(names)
    else:
        expected = str(first.get("ctx", {}).get("expected", ""))
        valid = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",") if part.strip(" '")]
        detail = f"{name}: {first['msg']}"
    return _refused(Refused("bad-parameter", detail, parameter=name, valid=valid))


def _problem(told: ProblemDetails, headers: Mapping[str, str] | None = None) -> Response:
    body = orjson.dumps({**told.model_dump(), "type": _PREFIX + told.type})
    return Response(body, told.status, headers, _PROBLEM_TYPE)


async def finished(request: Request, made: Response) -> Response:
    """The answer with its tag, packed where the caller can read that, or 304; one that is made as it is sent stays."""
    if isinstance(made, StreamingResponse):
        return made
    body = bytes(made.body)
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "vary": "accept-encoding, authorization", "cache-control": "private, no-cache"}
    if knows_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if len(body) >= _PACKED_FROM and takes_gzip(request):
        body = pack(body) if len(body) < _LARGE else await asyncio.to_thread(pack, body)
        headers["content-encoding"] = "gzip"
    return Response(body, made.status_code, headers, made.media_type)


def knows_tag(sent: str, tag: str) -> bool:
    """Whether a caller has this answer already; tags are compared weakly (RFC 9110 section 13.1.2)."""
    known = {one.strip().removeprefix("W/") for one in sent.split(",")}
    return "*" in known or tag.removeprefix("W/") in known


def takes_gzip(request: Request) -> bool:
    """Whether a caller can read gzip (RFC 9110 section 12.5.3)."""
    for one in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = one.replace(" ", "").partition(";q=")
        if name in ("gzip", "*"):
            return weight.strip("0.") != "" or not weight
    return False
