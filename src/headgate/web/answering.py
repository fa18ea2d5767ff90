"""How answers of the insights part of the API look: tagged, packed where large, and problems as RFC 9457 says.

Invariant: every answer of these routes that is not 200 or 304 is `application/problem+json` and says what is valid.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from headgate.core.errors import StoreError, TookTooLong
from headgate.core.packing import pack
from headgate.core.patience import patience
from headgate.insights.views.refusal import Refused
from headgate.web.parameters import CheckedRoute
from headgate.web.problems import invalid, refused, too_much, unanswered
from headgate.web.turns import Busy

__all__ = ["TAGGED", "AnsweringRoute", "answer", "finished", "knows_tag", "takes_gzip", "within_patience"]
T = TypeVar("T")
# Who reads much longer holds up rules and other readers; few wait as long for a page.
_LONGEST_SECONDS = 15
# Less than this fits into one packet.
_PACKED_FROM = 1400
# Packing that takes longer than a millisecond is done beside the event loop.
_LARGE = 1_000_000


# `web.document` adds what is true of all routes.
TAGGED: Mapping[int | str, dict[str, Any]] = {
    304: {"description": "Nothing changed since the answer with this ETag."},
}


def answer(view: object) -> Response:
    """A view as JSON."""
    return Response(orjson.dumps(view), media_type="application/json")


class AnsweringRoute(CheckedRoute):
    """A route whose answers are tagged and packed, and whose refusals are problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework calls it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await finished(request, await within_patience(inner(request)))
            except Refused as exc:
                return refused(exc)
            except RequestValidationError as exc:
                return refused(invalid(exc))
            except Busy as exc:
                return too_much(exc)
            except StoreError as exc:
                return unanswered(exc)

        return handle


async def within_patience(making: Awaitable[T]) -> T:
    """What is made, unless that takes too long: raises Refused. A file that is made as it is sent takes its time."""
    try:
        with patience(_LONGEST_SECONDS):
            return await making
    except TookTooLong:
        why = (
            f"reading it took more than {_LONGEST_SECONDS} s, as the runs of the window are looked at one by one;"
            " choose a shorter window, one project, or fewer filters at once"
        )
        raise Refused("too-long", why, parameter="window") from None


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
