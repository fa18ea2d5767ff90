"""What an Elasticsearch's answers mean, per document and per request. Pure.

Source: elastic.co "Bulk API" and OpenSearch's documentation of the same, read November 2026.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply
from headgate.core.verdicts import Reject, SendResult, Verdict, classify, raise_for, retry_after_seconds
from headgate.sinks._endpoint import Redactor

__all__ = ["product_of", "read_bulk", "refuses_media"]

# A write block or a full disk is lifted by a person, not within a second.
_BLOCKED_SECONDS = 60.0
_BLOCK = "cluster_block_exception"
_CREATED = frozenset({200, 201, 409})


class _Error(msgspec.Struct):
    type: str | None = None
    reason: str | None = None


class _Item(msgspec.Struct):
    status: int
    error: _Error | str | None = None
    failure_store: str | None = None


class _Bulk(msgspec.Struct):
    items: list[dict[str, _Item]]


class _Failure(msgspec.Struct):
    error: _Error | str | None = None


_decode_bulk = msgspec.json.Decoder(_Bulk).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


def read_bulk(reply: HttpReply, count: int, clean: Redactor) -> SendResult:
    """The verdict per document. Raises as `HttpSignal.interpret`; an unreadable answer is SinkUnavailable."""
    if reply.status != 200:
        _raise_request(reply, clean)
    try:
        answer = _decode_bulk(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SinkUnavailable(f"answered 200 with what is no bulk answer: {clean.start(reply, 200)}") from exc
    if len(answer.items) != count:
        raise SinkUnavailable(f"answered {len(answer.items)} items to {count} documents")
    rejected: dict[int, Reject] = {}
    retry: set[int] = set()
    wait: float | None = None
    for index, named in enumerate(answer.items):
        item = next(iter(named.values()), None)
        if item is None:
            raise SinkUnavailable("answered an item without an action")
        if item.status in _CREATED and item.failure_store != "used":
            continue
        kind, reason = map(clean, _words(item.error))
        match _item_verdict(item, kind):
            case Verdict.RETRY:
                retry.add(index)
                wait = _BLOCKED_SECONDS if kind == _BLOCK else wait
            case Verdict.AUTH:
                raise SinkRefused(f"{kind}: {reason}", reason="auth", fix="check the key and its rights")
            case Verdict.CONFIG:
                fix = "create the index or allow its automatic creation"
                raise SinkRefused(f"{kind}: {reason}", reason="config", fix=fix)
            case _:
                word = "failure_store" if item.failure_store == "used" else kind or "refused"
                rejected[index] = Reject(word, item.status, reason[:2000])
    return SendResult(rejected=rejected, retry=frozenset(retry), retry_after=wait)


def _item_verdict(item: _Item, kind: str) -> Verdict:
    if item.status in _CREATED or item.status == 413:
        return Verdict.DROP
    if kind == _BLOCK:
        return Verdict.RETRY
    return classify(item.status)


def _raise_request(reply: HttpReply, clean: Redactor) -> None:
    """Raise what a whole refused request means."""
    try:
        kind, reason = map(clean, _words(_decode_failure(reply.body).error))
    except (msgspec.DecodeError, UnicodeDecodeError):
        kind, reason = "", clean.start(reply)
    wait = retry_after_seconds(reply.headers)
    verdict = classify(reply.status)
    fix = ""
    if kind == "media_type_header_exception" or verdict is Verdict.CONFIG:
        verdict, fix = Verdict.CONFIG, "check the address and `generation`"
    elif kind == _BLOCK:
        verdict, wait = Verdict.RETRY, _BLOCKED_SECONDS
    elif verdict is Verdict.OK:  # a success that no bulk endpoint gives
        verdict = Verdict.RETRY
    raise_for(verdict, reply.status, f"{kind}: {reason}" if kind else reason, retry_after=wait, fix=fix)


def _words(error: _Error | str | None) -> tuple[str, str]:
    if isinstance(error, _Error):
        return error.type or "", error.reason or ""
    return "", error or ""


def refuses_media(reply: HttpReply) -> bool:
    """Whether a server of another generation, or OpenSearch, refuses the names of our media types."""
    return reply.status in (406, 415) or (reply.status == 400 and b"media_type_header_exception" in reply.body)


class _Version(msgspec.Struct):
    distribution: str = ""


class _Info(msgspec.Struct):
    version: _Version = msgspec.field(default_factory=_Version)


def product_of(reply: HttpReply) -> Literal["elasticsearch", "opensearch"] | None:
    """What the answer to `GET /` is that of; None where it is neither."""
    if reply.status != 200:
        return None
    if reply.headers.get("x-elastic-product") == "Elasticsearch":
        return "elasticsearch"
    try:
        opensearch = msgspec.json.decode(reply.body, type=_Info).version.distribution == "opensearch"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return "opensearch" if opensearch else None
