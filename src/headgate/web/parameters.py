"""Which words a query may have: those that its address knows, each once, and nothing else.

Invariant: a word that would change nothing is refused, so that nobody takes an answer for another one. An empty value,
as an untouched field of a form sends it, is as good as none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from headgate.insights.views.refusal import Refused

__all__ = ["WORDS", "CheckedRoute", "take_parameters"]

# Beside what is said of a route for the document: further words, each of which may be there once.
WORDS = "x-words"


class CheckedRoute(APIRoute):
    """A route that refuses what it does not know. One that documents its words by hand reads them itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As the framework calls it. Raises Refused."""
        inner = super().get_route_handler()
        extra = self.openapi_extra or {}
        by_hand = "parameters" in extra
        words = dict(_words(self.dependant)) | dict.fromkeys(extra.get(WORDS, ()), False)

        async def handle(request: Request) -> Response:
            if not by_hand:
                take_parameters(request, words)
            return await inner(request)

        return handle


def _words(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Each word of a query, and whether it may be there several times."""
    for field in dependant.query_params:
        model = field.field_info.annotation
        inner = getattr(model, "model_fields", None)
        if inner is None:
            yield field.alias, _several(model)
        else:
            yield from ((one.alias or name, _several(one.annotation)) for name, one in inner.items())
    for part in dependant.dependencies:
        yield from _words(part)


def _several(kind: Any) -> bool:
    return get_origin(kind) is list or any(_several(one) for one in get_args(kind))


def take_parameters(request: Request, words: Mapping[str, bool]) -> None:
    """Hold a request's query against its words, and take out of it what is empty. Raises Refused."""
    pairs = parse_qsl(request.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    names = [name for name, _ in pairs]
    for name in names:
        if name not in words:
            raise _unknown(name, list(words))
    given = [(name, value) for name, value in pairs if value]
    seen: set[str] = set()
    for name, _ in given:
        if name in seen and not words[name]:
            raise Refused("bad-parameter", f"{name} is given more than once", parameter=name, valid=[f"one {name}"])
        seen.add(name)
    if len(given) < len(pairs):
        request.scope["query_string"] = urlencode(given).encode()


def _unknown(name: str, words: Sequence[str]) -> Refused:
    """The nearest word first."""
    near = get_close_matches(name, words, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "" if words else "; there is none"
    listed = list(dict.fromkeys([*near, *words]))
    return Refused("bad-parameter", f"there is no parameter {name!r} here{hint}", parameter=name, valid=listed)
