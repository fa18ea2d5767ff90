"""What to ask Kibana or OpenSearch Dashboards so that saved objects are there, and what the answers mean. Pure.

Invariant: objects are imported under their own ids; nothing is deleted, and what has another id is not looked at.
Source: elastic.co "Saved objects: import, export", opensearch.org "Saved objects API", read November 2026.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, HttpRequest, SetUpStep
from headgate.core.verdicts import Verdict, classify
from headgate.sinks._difference import differences
from headgate.sinks._endpoint import Redactor

__all__ = ["NO_FORGERY", "Exchange", "Place", "as_ndjson", "named", "read_ndjson", "wanted_there"]

_Key = tuple[str, str]  # type and id
# Requests out, answers in; at the end one step per object, in their order.
Exchange = Generator[HttpRequest, HttpReply, tuple[SetUpStep, ...]]
_BOUNDARY = "headgate-saved-objects"
# Each product wants its own header against forged requests, and passes over the other's.
NO_FORGERY = (("kbn-xsrf", "true"), ("osd-xsrf", "true"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where objects go. `url`: with the path of a space, if any. `headers`: the credentials. `clean`: hides them."""

    url: str
    headers: tuple[tuple[str, str], ...]
    clean: Redactor

    def post(self, path: str, content_type: str, body: bytes) -> HttpRequest:
        """A request with everything that either product wants of it."""
        headers = (*self.headers, *NO_FORGERY, ("content-type", content_type))
        return HttpRequest("POST", f"{self.url}{path}", headers, body)


def as_ndjson(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Saved objects as the file that Kibana imports, one a line."""
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in objects)


def read_ndjson(ndjson: bytes) -> list[dict[str, Any]]:
    """The objects of such a file."""
    return [orjson.loads(line) for line in ndjson.splitlines() if line.strip()]


def named(one: Mapping[str, Any]) -> str:
    """What people call an object."""
    word = {"index-pattern": "data view"}.get(one["type"], one["type"])
    return f"Kibana {word} {one['id']}"


def wanted_there(
    place: Place, objects: Sequence[Mapping[str, Any]], *, dry_run: bool = False, kept: Collection[str] = ()
) -> Exchange:
    """Import those that are missing or differ, all in one request. `kept`: types of which nothing there is replaced.

    Raises SinkUnavailable and SinkRefused where an answer as a whole is a refusal; one refused object is a failed step.
    """
    there = yield from _there(place, objects)
    seen = [_compared(one, there.get(_key(one)), kept) for one in objects]
    wanting = [one for one, step in zip(objects, seen, strict=True) if step.outcome in ("done", "changed")]
    problems: Mapping[_Key, str] = {}
    if wanting and not dry_run:
        problems = yield from _imported(place, wanting)
    found = []
    for one, step in zip(objects, seen, strict=True):
        problem = problems.get(_key(one))
        found.append(SetUpStep(step.what, "failed", step.diff, problem) if problem else step)
    return tuple(found)


def _key(one: Mapping[str, Any]) -> _Key:
    return (one["type"], one["id"])


def _compared(one: Mapping[str, Any], found: Mapping[str, Any] | None, kept: Collection[str]) -> SetUpStep:
    wanted = {"attributes": one["attributes"], "references": one.get("references", [])}
    if found is None:
        return SetUpStep(named(one), "done", differences({}, wanted))
    diff = () if one["type"] in kept else differences(found, wanted)
    return SetUpStep(named(one), "changed" if diff else "unchanged", diff)


def _there(
    place: Place, objects: Sequence[Mapping[str, Any]]
) -> Generator[HttpRequest, HttpReply, dict[_Key, Mapping[str, Any]]]:
    """Those of the objects that are there, as they are. An export that asks for missing ones is 400 and names them."""
    keys = [_key(one) for one in objects]
    reply = yield _export(place, keys)
    if missing := _missing(reply):
        keys = [key for key in keys if key not in missing]
        if not keys:
            return {}
        reply = yield _export(place, keys)
    if reply.status != 200:
        raise _refused(place, reply)
    try:
        return {_key(one): one for one in map(orjson.loads, reply.body.splitlines())}
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise SinkUnavailable(f"{place.url} answered what is no export: {place.clean.start(reply, 200)}") from exc


def _export(place: Place, keys: Sequence[_Key]) -> HttpRequest:
    asked = {"objects": [{"type": type_, "id": id_} for type_, id_ in keys], "excludeExportDetails": True}
    return place.post("/api/saved_objects/_export", "application/json", orjson.dumps(asked))


def _missing(reply: HttpReply) -> set[_Key]:
    if reply.status not in (400, 404):
        return set()
    try:
        told = orjson.loads(reply.body)["attributes"]["objects"]
        return {_key(one) for one in told if one["error"]["statusCode"] == 404}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return set()


def _imported(
    place: Place, objects: Sequence[Mapping[str, Any]]
) -> Generator[HttpRequest, HttpReply, Mapping[_Key, str]]:
    """Import; returns what went wrong by type and id. An answer of 200 may still say that objects were refused."""
    body = (
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="headgate.ndjson"\r\n'
        "content-type: application/ndjson\r\n\r\n"
    ).encode()
    body += as_ndjson(objects) + f"\r\n--{_BOUNDARY}--\r\n".encode()
    form = f"multipart/form-data; boundary={_BOUNDARY}"
    reply = yield place.post("/api/saved_objects/_import?overwrite=true", form, body)
    if reply.status != 200:
        raise _refused(place, reply)
    try:
        answer = orjson.loads(reply.body)
        errors = answer.get("errors", [])
        problems = {_key(one): _words(place, one.get("error", {})) for one in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise SinkUnavailable(f"{place.url} answered what is no import: {place.clean.start(reply, 200)}") from exc
    if not answer.get("success") and not problems:
        raise SinkUnavailable(f"{place.url} imported nothing: {place.clean.start(reply, 200)}")
    return problems


def _words(place: Place, error: Mapping[str, Any]) -> str:
    """What a refused object is told, such as the references that are missing."""
    return place.clean(orjson.dumps(error).decode()[:500])


def _refused(place: Place, reply: HttpReply) -> SinkRefused | SinkUnavailable:
    text = f"{place.url} answered {reply.status}: {place.clean.start(reply, 200)}"
    if classify(reply.status) is Verdict.RETRY:
        return SinkUnavailable(text)
    return SinkRefused(text, reason="auth" if classify(reply.status) is Verdict.AUTH else "config", fix="")
