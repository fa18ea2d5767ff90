"""The OpenAPI document, completed: how one is known, and which problems each route can answer with.

Invariant: what is true of all routes is said here once, and in the document of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI, Response

from headgate.web.access.needs import need_of
from headgate.web.answering import AnsweringRoute, answer
from headgate.web.documented import filled_in
from headgate.web.problems import PROBLEM_SCHEMA, PROBLEM_TYPE, add_problem_answers

__all__ = ["Api"]

_OPEN = frozenset({"/livez", "/readyz"})
_BADGES = "/badge/"
_TAGGED = ("/api/", _BADGES)
# Made while they are sent.
_UNTAGGED = frozenset({"/api/v1/export/{table}", "/api/v1/live"})
# Words of a query that name something which may not be there.
_NAMES = frozenset(
    {"project", "workflow", "job", "run", "test", "metric", "org", "team", "trigger", "sink", "signal", "query"}
)
# Questions, of those that change nothing, that can be put so that they cannot be answered.
_AMBIGUOUS = frozenset({"/metrics/ci", "/api/v1/report"})
_WAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "One of http.access.tokens."},
    "password": {"type": "http", "scheme": "basic", "description": "A user of http.access.basic, or x and a token."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "headgate",
        "description": "What the login page gives a browser; over TLS its name is __Host-headgate.",
    },
    "badge": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "In the address of a badge: a token that is limited by `only`.",
    },
}
_MEANINGS: Final[Mapping[str, str]] = {
    "400": "Something of the request is not known here, missing, there twice, or cannot be read.",
    "401": "Nobody who is known asks. On loopback without http.access everybody is known.",
    "403": "Who asks may not do this, or the request may be forged.",
    "404": "Something that is named is not there.",
    "409": "It cannot be done so.",
    "413": "The body is longer than 1 MiB.",
    "414": "The address, which the trail keeps, is longer than 2,000 characters.",
    "429": "Too many requests, or too many wrong secrets from this address.",
    "503": "The store does not answer, or something is under way.",
}
_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_TAG = {"ETag": {"description": "Of this answer; send it back as If-None-Match.", "schema": {"type": "string"}}}
_ASKED_TAG = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "Tags of answers that are known: 304 where this would be one of them.",
    "schema": {"type": "string", "maxLength": 1000, "pattern": r'^(\*|(W/)?"[0-9a-f]{24}")$'},
}
_OURS = {
    "name": "X-Headgate-Request",
    "in": "header",
    "required": True,
    "description": "Any value: no page of another site can send it.",
    "schema": {"type": "string", "minLength": 1},
}


class Api(FastAPI):
    """The application. Its routes refuse what they do not know, and whatever goes wrong is a problem."""

    def __init__(self, *, openapi_url: str | None = None, **options: Any) -> None:
        super().__init__(openapi_url=None, **options)
        self.router.route_class = AnsweringRoute
        add_problem_answers(self)
        if openapi_url is not None:
            self.get(openapi_url, include_in_schema=False)(self._described)

    async def _described(self) -> Response:
        """The document, as other answers are sent."""
        return answer(self.openapi())

    def openapi(self) -> dict[str, Any]:
        """The whole document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = filled_in(super().openapi())
            _complete(self.openapi_schema)
        return self.openapi_schema


def _complete(document: dict[str, Any]) -> None:
    parts = document["components"]
    models = parts["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        models.pop(name, None)
    models["ProblemDetails"] = PROBLEM_SCHEMA
    parts["securitySchemes"] = {name: dict(way) for name, way in _WAYS.items()}
    parts["responses"] = {code: _problem(code, words) for code, words in _MEANINGS.items()}
    document["security"] = [{name: []} for name in _WAYS if name != "badge"]
    for path, routes in document["paths"].items():
        for method, route in routes.items():
            _route(path, method, route)


def _problem(code: str, words: str) -> dict[str, Any]:
    headers = {"401": _CHALLENGE, "429": _RETRY}.get(code)
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {"description": words, "content": content, **({"headers": headers} if headers else {})}


def _route(path: str, method: str, route: dict[str, Any]) -> None:
    answers = route["responses"]
    answers.pop("422", None)
    if path in _OPEN:
        route["security"] = []
        return
    for code in _codes(path, method, route):
        answers.setdefault(code, {"$ref": f"#/components/responses/{code}"})
    if path.startswith(_BADGES):
        route["security"] = [{name: []} for name in _WAYS]
    if method == "get" and path.startswith(_TAGGED) and path not in _UNTAGGED:
        answers["304"] = {"description": "Nothing changed since the answer with this ETag.", "headers": _TAG}
        answers["200"]["headers"] = _TAG
        route.setdefault("parameters", []).append(_ASKED_TAG)
    route["responses"] = dict(sorted(answers.items()))
    if method != "get":
        route.setdefault("parameters", []).append(_OURS)


def _codes(path: str, method: str, route: Mapping[str, Any]) -> Iterator[str]:
    yield from ("400", "401", "403", "429", "503")
    changes = method != "get"
    if changes or "{" in path or any(one["name"] in _NAMES for one in route.get("parameters", ())):
        yield "404"
    if changes or path in _AMBIGUOUS:
        yield "409"
    if "requestBody" in route:
        yield "413"
    if changes or need_of("GET", path).personal:
        yield "414"
