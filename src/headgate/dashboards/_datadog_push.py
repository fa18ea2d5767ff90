"""How dashboards and monitors get to Datadog: found first, then replaced in their place, or created.

Invariant: nothing is deleted, and nothing is made twice; where it is not clear what to replace, nothing is sent.
Source: Datadog API reference v1 ("Get all dashboards", "Update a dashboard", "Get all monitors", "Edit a monitor"),
read November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import orjson

from headgate.core.ports import HttpReply, HttpRequest
from headgate.dashboards.target import Talk, failed

__all__ = ["MONITOR_TAG", "push"]

MONITOR_TAG = "headgate.monitor"
# As many as the API gives of itself; more are on further pages.
_PAGE = 100

_Ask = Callable[..., HttpRequest]
_Form = TypeVar("_Form")


class _Dashboard(msgspec.Struct):
    """A dashboard in a list."""

    id: str
    title: str


class _Dashboards(msgspec.Struct):
    """The answer to `GET /api/v1/dashboard`."""

    dashboards: list[_Dashboard]


class _Monitor(msgspec.Struct):
    """A monitor in a list."""

    id: int
    message: str | None = None
    tags: list[str] = []


def push(url: str, credentials: Mapping[str, str], name: str, contents: bytes) -> Talk:
    """The conversation about one file. `name` says which sort it is: `monitor-...` or else a dashboard."""
    headers = (
        ("content-type", "application/json"),
        ("dd-api-key", credentials["DD_API_KEY"]),
        ("dd-application-key", credentials["DD_APP_KEY"]),
    )

    def ask(method: str, path: str, body: object = None) -> HttpRequest:
        return HttpRequest(method, f"{url}/api/v1/{path}", headers, b"" if body is None else orjson.dumps(body))

    body = orjson.loads(contents)
    return _monitor(ask, body) if name.startswith("monitor-") else _dashboard(ask, body)


def _dashboard(ask: _Ask, body: dict[str, Any]) -> Talk:
    """Found by its title; a title that is there twice says nothing."""
    found, problem = yield from _titled(ask, body["title"])
    if problem:
        return problem
    if len(found) > 1:
        return f"{len(found)} dashboards are named {body['title']}: rename those that are yours"
    if found:
        return failed((yield ask("PUT", f"dashboard/{quote(found[0], safe='')}", body)))
    return failed((yield ask("POST", "dashboard", body)))


def _titled(ask: _Ask, title: str) -> Generator[HttpRequest, HttpReply, tuple[list[str], str]]:
    """Ids of the dashboards of this title, and what went wrong. The last page is not full, or says nothing new."""
    titles: dict[str, str] = {}
    while True:
        reply = yield ask("GET", f"dashboard?{urlencode({'count': _PAGE, 'start': len(titles)})}")
        try:
            page = _read(reply, _Dashboards).dashboards
        except ValueError as exc:
            return [], str(exc)
        before = len(titles)
        titles |= {one.id: one.title for one in page}
        if len(page) < _PAGE or len(titles) == before:
            return [key for key, value in titles.items() if value == title], ""


def _monitor(ask: _Ask, body: dict[str, Any]) -> Talk:
    """Found by its tag. Its text is left as it is there: that is where people write who is told."""
    tag = next(one for one in body["tags"] if one.startswith(f"{MONITOR_TAG}:"))
    reply = yield ask("GET", f"monitor?{urlencode({'monitor_tags': tag})}")
    try:
        found = [one for one in _read(reply, list[_Monitor]) if tag in one.tags]
    except ValueError as exc:
        return str(exc)
    if len(found) > 1:
        return f"{len(found)} monitors have the tag {tag}: take it from those that are yours"
    if found:
        kept = {"message": found[0].message or body["message"]}
        return failed((yield ask("PUT", f"monitor/{found[0].id}", body | kept)))
    return failed((yield ask("POST", "monitor", body)))


def _read(reply: HttpReply, form: type[_Form]) -> _Form:
    """An answer of this form. Raises ValueError with the words for the user."""
    if problem := failed(reply):
        raise ValueError(problem)
    try:
        return msgspec.json.decode(reply.body, type=form)
    except msgspec.DecodeError as exc:
        raise ValueError(f"answered no list ({exc}): {reply.text(300)}") from exc
