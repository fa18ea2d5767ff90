"""From a record to a Datadog log: its attributes as they are, a line for people, tags for the facets. Pure.

Invariant: the attributes are the stored bytes, spliced in, so a log says what the record says. Reserved attributes
(`service`, `status`, `message`, `timestamp`, `ddsource`, `ddtags`) are ours; the record's names all have a dot.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec
import orjson

from headgate.core.ports import LogEntry
from headgate.core.record import decode_record
from headgate.plugins.datadog import tag, tags_of
from headgate.sinks._datadog_text import rule_tags
from headgate.sinks._measures import TAG_PREFIX

__all__ = ["LogForm"]

_LEVELS = {"failure": "error", "error": "error", "timeout": "error", "fail": "error", "failed": "error"}
_LEVELS |= {"canceled": "warning", "firing": "error"}
_ATTRIBUTES = b'"attributes":'
_EMPTY = b"{}"
_TAG_MARK = f'"{TAG_PREFIX}'.encode()


class _Known(msgspec.Struct, gc=False):
    """The few attributes that make the line and the tags; everything else is passed on undecoded."""

    status: str | None = msgspec.field(default=None, name="headgate.status")
    workflow: str | None = msgspec.field(default=None, name="cicd.pipeline.name")
    job: str | None = msgspec.field(default=None, name="cicd.pipeline.task.name")
    branch: str | None = msgspec.field(default=None, name="vcs.ref.head.name")
    test: str | None = msgspec.field(default=None, name="test.case.name")
    result: str | None = msgspec.field(default=None, name="test.case.result.status")
    environment: str | None = msgspec.field(default=None, name="deployment.environment.name")
    deployed: str | None = msgspec.field(default=None, name="deployment.status")
    rule: str | None = msgspec.field(default=None, name="headgate.alert.rule")
    state: str | None = msgspec.field(default=None, name="headgate.alert.state")
    summary: str | None = msgspec.field(default=None, name="headgate.alert.summary")
    service: str | None = msgspec.field(default=None, name="tag.service")


class _Envelope(msgspec.Struct, gc=False):
    """What of a record's envelope is in its log."""

    observed_at: str
    tenant: str
    attributes: _Known
    org: str | None = None
    project: str | None = None


class _Shared(NamedTuple):
    """What the head of a log is made of."""

    kind: str
    owner: str
    service: str
    status: str
    workflow: str | None
    job: str | None
    branch: str | None
    what: str
    more: tuple[str, ...]


_decode = msgspec.json.Decoder(_Envelope).decode


def _read(body: bytes) -> _Envelope:
    """What is known of a record; an attribute of an unforeseen type is left out, for the line is text."""
    try:
        return _decode(body)
    except msgspec.ValidationError:
        record = decode_record(body)
        texts = {name: value for name, value in record.attributes.items() if isinstance(value, str)}
        known = msgspec.convert(texts, _Known)
        return _Envelope(record.observed_at, record.tenant, known, record.org, record.project)


class LogForm:
    """How records become logs. `tags`: of the operator, normalized already; `env`: where it is set."""

    def __init__(self, env: str, tags: tuple[str, ...]) -> None:
        # The same few heads come again and again: what they hold is a function of these arguments.
        self._head = lru_cache(maxsize=20_000)(_Head(env, tags))

    def __call__(self, entry: LogEntry) -> bytes:
        """One element of the body's array."""
        body = entry.body
        found = _read(body)
        known = found.attributes
        # Attributes come last in a stored record, and no text of an earlier key can hold an unescaped quote.
        raw = body[body.index(_ATTRIBUTES) + len(_ATTRIBUTES) : -1]
        status = known.status or known.result or known.deployed or known.state or ""
        owner = found.project or found.org or found.tenant
        what = known.test or known.summary or known.environment or known.rule or ""
        more = tuple(rule_tags(decode_record(body))) if _TAG_MARK in raw else ()
        shared = _Shared(
            entry.kind, owner, known.service or owner, status, known.workflow, known.job, known.branch, what, more
        )
        rest = b"," + raw[1:] if raw != _EMPTY else b"}"
        return b'%b,"timestamp":%d,"record_id":"%b","observed_at":"%b"%b' % (
            self._head(shared),
            entry.occurred_ms,
            entry.record_id.encode(),
            found.observed_at.encode(),
            rest,
        )


class _Head:
    """The part of a log that many records share, as the beginning of a JSON object."""

    __slots__ = ("_tags",)

    def __init__(self, env: str, tags: tuple[str, ...]) -> None:
        self._tags = [tag("env", env), *tags]

    def __call__(self, shared: _Shared) -> bytes:
        facets = (
            ("kind", shared.kind),
            ("project", shared.owner),
            ("workflow", shared.workflow),
            ("job", shared.job),
            ("outcome", shared.status),
            ("branch", shared.branch),
        )
        about = shared.what or shared.job or shared.workflow or ""
        words = (shared.kind.replace("_", " "), about, shared.status, "in", shared.owner)
        line = " ".join(word for word in words if word)
        head = {
            "ddsource": "circleci",
            "service": shared.service,
            "status": _LEVELS.get(shared.status, "info"),
            "ddtags": ",".join(dict.fromkeys((*self._tags, *tags_of(facets), *shared.more))),
            "message": f"{line} on {shared.branch}" if shared.branch else line,
            "kind": shared.kind,
            "project": shared.owner,
        }
        return orjson.dumps(head)[:-1]
