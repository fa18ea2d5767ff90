"""The small pieces the twin's server is made of: requests, answers, routes.

Invariant: no handler sees ASGI, and no handler sends anything itself.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

import orjson

Group = Literal["v2", "v1.1", "control", "download"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: header names in lower case, `path` decoded; `orgs` are ids its token sees, None: all."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    orgs: frozenset[str] | None = None

    def sees(self, org_id: str) -> bool:
        """Say whether the token of the request belongs to an organization."""
        return self.orgs is None or org_id in self.orgs

    @property
    def base_url(self) -> str:
        """Give the address the twin was asked at, for links to itself."""
        return f"http://{self.headers.get('host', '127.0.0.1')}"

    def one(self, name: str) -> str | None:
        """Give the last value of a query parameter."""
        values = self.query.get(name)
        return values[-1] if values else None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `stream` replaces a long `body`; after `cut_at` bytes the connection breaks."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json;charset=utf-8"
    stream: AsyncIterator[bytes] | None = None
    cut_at: int | None = None


def reply(value: Any, status: int = 200) -> Answer:
    """Answer with JSON."""
    return Answer(status, orjson.dumps(value))


def refuse(status: int, message: str) -> Answer:
    """Answer with an error as v2 and v1.1 write it."""
    return reply({"message": message}, status)


Handler = Callable[[Request, Mapping[str, str]], Answer | Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path template and what answers it.

    `{project-slug}` stands for three segments, given to the handler as `vcs`, `org` and `repo`, `{org-slug}`
    for the first two of them; `{number}` takes digits, `{branch}` and `{path}` the rest of the path, any other name one
    segment.
    """

    method: str
    template: str
    handler: Handler
    group: Group
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(_expression(self.template)))

    @property
    def name(self) -> str:
        """Give what the option `routes` of a fault is looked for in, such as `POST /api/v2/webhook`."""
        return f"{self.method} {self.template}"


_SPECIAL = {
    "project-slug": r"(?P<vcs>[^/]+)/(?P<org>[^/]+)/(?P<repo>[^/]+)",
    "org-slug": r"(?P<vcs>[^/]+)/(?P<org>[^/]+)",
    "number": r"(?P<number>\d+)",
    "branch": r"(?P<branch>.+)",
    "path": r"(?P<path>.+)",
}


def _expression(template: str) -> str:
    pieces = re.split(r"\{([^}]+)\}", template)
    names = [_SPECIAL.get(name, f"(?P<{name.replace('-', '_')}>[^/]+)") for name in pieces[1::2]]
    literals = [re.escape(text) for text in pieces[0::2]]
    return "".join(part for pair in zip(literals, [*names, ""], strict=True) for part in pair)


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """Give the first route that takes the request and the parts of its path."""
        for route in self.routes:
            if route.method == method:
                found = route.pattern.fullmatch(path)
                if found:
                    return route, found.groupdict()
        return None

    def knows(self, path: str) -> bool:
        """Say whether the path exists with some other method."""
        return any(route.pattern.fullmatch(path) for route in self.routes)


def read_object(body: bytes) -> dict[str, Any] | None:
    """Read a JSON object, or None if the body is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def read_query(raw: bytes) -> dict[str, list[str]]:
    """Read a query string; empty values are kept."""
    return parse_qs(raw.decode("latin-1"), keep_blank_values=True)
