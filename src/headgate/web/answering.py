"""How answers look: tagged, and packed where large.

Invariant: every 200 to a question of the API has a tag, but for those that are made while they are sent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from headgate.core.errors import TookTooLong
from headgate.core.packing import pack
from headgate.core.patience import patience
from headgate.insights.views.refusal import Refused
from headgate.web.parameters import CheckedRoute

__all__ = ["AnsweringRoute", "answer", "finished", "knows_tag", "takes_gzip", "within_patience"]

T = TypeVar("T")
# Who reads much longer holds up rules and other readers; few wait as long for a page.
_LONGEST_SECONDS = 15
# Less than this fits into one packet.
_PACKED_FROM = 1400
# Packing that takes longer than a millisecond is done beside the event loop.
_LARGE = 1_000_000
_API = "/api/"
# Of the body alone, which a 304 does not have.
_OF_BODY = ("content-length", "content-type")


def answer(view: object) -> Response:
    """A view as JSON."""
    return Response(orjson.dumps(view), media_type="application/json")


class AnsweringRoute(CheckedRoute):
    """A route whose answers are tagged, packed and in time, where they are of the API; pages do that themselves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework calls it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if not request.url.path.startswith(_API) or request.method != "GET":
                return await inner(request)
            return await finished(request, await within_patience(inner(request)))

        return handle


async def within_patience(making: Awaitable[T]) -> T:
    """What is made, unless that takes too long: raises Refused. What is left to do afterwards takes its time."""
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
    """The answer with its tag, packed where the caller can read that, or 304.

    One that is made while it is sent, that changed something or that is no 200 stays as it is.
    """
    if isinstance(made, StreamingResponse) or request.method != "GET" or made.status_code != 200:
        return made
    body = bytes(made.body)
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = dict(made.headers) | {"etag": tag, "vary": "accept-encoding, authorization"}
    headers["cache-control"] = "private, no-cache"
    if knows_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=_without(headers, *_OF_BODY))
    if len(body) >= _PACKED_FROM and takes_gzip(request):
        body = pack(body) if len(body) < _LARGE else await asyncio.to_thread(pack, body)
        headers["content-encoding"] = "gzip"
    return Response(body, 200, _without(headers, "content-length"))


def _without(headers: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


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
