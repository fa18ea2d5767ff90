"""Brings saved objects into Kibana or OpenSearch Dashboards: data views, and any other NDJSON of the same kind.

Invariant: objects are imported under their own ids; nothing is deleted, and what has another id is not looked at.
Source: elastic.co "Saved objects: import, export", opensearch.org "Saved objects API", read November 2026.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, SetUpStep, TransportOptions
from headgate.core.verdicts import Verdict, classify
from headgate.sinks._difference import differences
from headgate.sinks._endpoint import Redactor, probe

__all__ = ["Kibana", "as_ndjson", "bring_in"]

_Key = tuple[str, str]  # type and id
_BOUNDARY = "headgate-saved-objects"
# Each product wants its own header against forged requests, and passes over the other's.
_NO_FORGERY = (("kbn-xsrf", "true"), ("osd-xsrf", "true"))


@dataclass(frozen=True, slots=True)
class Kibana:
    """Where it is and how to reach it. `url`: with the path of a space, if any. `headers`: the credentials."""

    url: str
    headers: tuple[tuple[str, str], ...]
    options: TransportOptions
    clean: Redactor

    async def call(self, path: str, content_type: str, body: bytes) -> HttpReply:
        """Send one POST, once. Raises SinkUnavailable and SinkRefused."""
        headers = (*self.headers, *_NO_FORGERY, ("content-type", content_type))
        return await probe("POST", f"{self.url}{path}", headers, self.options, self.clean, body=body)


def as_ndjson(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Saved objects as the file that Kibana imports, one a line."""
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in objects)


async def bring_in(kibana: Kibana, ndjson: bytes, *, dry_run: bool) -> AsyncIterator[SetUpStep]:
    """One step per saved object of `ndjson`; only those that are missing or differ are imported, all in one request.

    Raises nothing: what cannot be reached or is refused is a failed step.
    """
    objects = [orjson.loads(line) for line in ndjson.splitlines() if line.strip()]
    try:
        there = await _there(kibana, objects)
        seen = [_compared(one, there.get(_key(one))) for one in objects]
        wanting = [one for one, step in zip(objects, seen, strict=True) if step.outcome in ("done", "changed")]
        problems = {} if dry_run or not wanting else await _imported(kibana, wanting)
    except (SinkUnavailable, SinkRefused) as error:
        fix = f"{error}; check kibana_url and the rights of the key"
        for one in objects:
            yield SetUpStep(_name(one), "failed", fix=fix)
        return
    for one, step in zip(objects, seen, strict=True):
        problem = problems.get(_key(one))
        yield SetUpStep(step.what, "failed", step.diff, problem) if problem else step


def _name(one: Mapping[str, Any]) -> str:
    word = {"index-pattern": "data view"}.get(one["type"], one["type"])
    return f"Kibana {word} {one['id']}"


def _key(one: Mapping[str, Any]) -> _Key:
    return (one["type"], one["id"])


def _compared(one: Mapping[str, Any], found: Mapping[str, Any] | None) -> SetUpStep:
    wanted = {"attributes": one["attributes"], "references": one.get("references", [])}
    if found is None:
        return SetUpStep(_name(one), "done", differences({}, wanted))
    diff = differences(found, wanted)
    return SetUpStep(_name(one), "changed" if diff else "unchanged", diff)


async def _there(kibana: Kibana, objects: Sequence[Mapping[str, Any]]) -> dict[_Key, Mapping[str, Any]]:
    """Those of the objects that are there, as they are. An export that asks for missing ones is 400 and names them."""
    keys = [_key(one) for one in objects]
    reply = await _export(kibana, keys)
    if missing := _missing(reply):
        keys = [key for key in keys if key not in missing]
        if not keys:
            return {}
        reply = await _export(kibana, keys)
    if reply.status != 200:
        raise _refused(kibana, reply)
    try:
        return {_key(one): one for one in map(orjson.loads, reply.body.splitlines())}
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise SinkUnavailable(f"{kibana.url} answered what is no export: {kibana.clean(reply.text(200))}") from exc


async def _export(kibana: Kibana, keys: Sequence[_Key]) -> HttpReply:
    asked = {"objects": [{"type": type_, "id": id_} for type_, id_ in keys], "excludeExportDetails": True}
    return await kibana.call("/api/saved_objects/_export", "application/json", orjson.dumps(asked))


def _missing(reply: HttpReply) -> set[_Key]:
    if reply.status not in (400, 404):
        return set()
    try:
        named = orjson.loads(reply.body)["attributes"]["objects"]
        return {_key(one) for one in named if one["error"]["statusCode"] == 404}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return set()


async def _imported(kibana: Kibana, objects: Sequence[Mapping[str, Any]]) -> dict[_Key, str]:
    """Import; returns what went wrong by type and id. An answer of 200 may still say that objects were refused."""
    body = (
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="headgate.ndjson"\r\n'
        "content-type: application/ndjson\r\n\r\n"
    ).encode()
    body += as_ndjson(objects) + f"\r\n--{_BOUNDARY}--\r\n".encode()
    form = f"multipart/form-data; boundary={_BOUNDARY}"
    reply = await kibana.call("/api/saved_objects/_import?overwrite=true", form, body)
    if reply.status != 200:
        raise _refused(kibana, reply)
    try:
        answer = orjson.loads(reply.body)
        errors = answer.get("errors", [])
        problems = {_key(one): _words(kibana, one.get("error", {})) for one in errors}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise SinkUnavailable(f"{kibana.url} answered what is no import: {kibana.clean(reply.text(200))}") from exc
    if not answer.get("success") and not problems:
        raise SinkUnavailable(f"{kibana.url} imported nothing: {kibana.clean(reply.text(200))}")
    return problems


def _words(kibana: Kibana, error: Mapping[str, Any]) -> str:
    """What a refused object is told, such as the references that are missing."""
    return kibana.clean(orjson.dumps(error).decode()[:500])


def _refused(kibana: Kibana, reply: HttpReply) -> SinkRefused | SinkUnavailable:
    text = f"{kibana.url} answered {reply.status}: {kibana.clean(reply.text(200))}"
    if classify(reply.status) is Verdict.RETRY:
        return SinkUnavailable(text)
    return SinkRefused(text, reason="auth" if classify(reply.status) is Verdict.AUTH else "config", fix="")
