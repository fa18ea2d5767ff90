"""Gives a cluster what `_elasticsearch_templates` says it should have, and says what came of each thing.

Invariant: a thing is written only where it is missing or differs, by one PUT under our own name; nothing is deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, SetUpStep
from headgate.sinks._difference import differences
from headgate.sinks._elasticsearch_answers import product_of, refuses_media
from headgate.sinks._elasticsearch_templates import Layout, Product, Thing, things
from headgate.sinks._endpoint import Redactor

__all__ = ["Call", "lacking", "prepare"]

# Method, path, JSON body: sends one request, once. Raises SinkUnavailable and SinkRefused.
Call = Callable[[str, str, bytes | None], Awaitable[HttpReply]]
_RIGHTS = "the key needs the cluster privileges manage_index_templates and manage_ilm (OpenSearch: all_access)"


async def prepare(call: Call, layout: Layout, clean: Redactor, *, dry_run: bool) -> AsyncIterator[SetUpStep]:
    """One step per thing; raises nothing. Where the product cannot be told, one failed step is all."""
    try:
        reply = await call("GET", "/", None)
    except (SinkUnavailable, SinkRefused) as error:
        yield SetUpStep("cluster", "failed", fix=f"{error}; check the address, network and proxy")
        return
    product = product_of(reply)
    if product is None:
        said = f"answered {reply.status}: {clean.start(reply, 200)}"
        what_to_do = "set generation to auto" if refuses_media(reply) else "`headgate check` says more"
        yield SetUpStep("cluster", "failed", fix=f"{said}; {what_to_do}")
        return
    for thing in things(product, layout):
        yield await _one(call, thing, clean, dry_run=dry_run)


async def lacking(call: Call, product: Product, layout: Layout) -> tuple[str, ...]:
    """Our index templates that the cluster says it has not; one that we may not read counts as there.

    Raises SinkUnavailable and SinkRefused.
    """
    wanted = [thing for thing in things(product, layout) if thing.path.startswith("/_index_template/")]
    return tuple([thing.what for thing in wanted if (await call("GET", thing.path, None)).status == 404])


async def _one(call: Call, thing: Thing, clean: Redactor, *, dry_run: bool) -> SetUpStep:
    try:
        shown = await call("GET", thing.path, None)
        if shown.status not in (200, 404):
            return _failed(thing, shown, clean)
        found = _as_shown(shown, thing) if shown.status == 200 else None
        diff = differences({} if found is None else found, thing.body)
        if not diff:
            return SetUpStep(thing.what, "unchanged")
        if not dry_run:
            written = await call("PUT", thing.path + _guard(shown), orjson.dumps(thing.body))
            if written.status not in (200, 201):
                return _failed(thing, written, clean)
    except (SinkUnavailable, SinkRefused) as error:
        return SetUpStep(thing.what, "failed", fix=f"{error}")
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        return SetUpStep(thing.what, "failed", fix=f"answered what cannot be read: {clean(shown.text(200))}")
    return SetUpStep(thing.what, "done" if found is None else "changed", diff)


def _as_shown(reply: HttpReply, thing: Thing) -> Any:
    found = orjson.loads(reply.body)
    for key in thing.shown:
        found = found[key]
    return found


def _guard(shown: HttpReply) -> str:
    """An ISM policy is replaced only as the one that was read; other things have no number."""
    if shown.status != 200:
        return ""
    found = orjson.loads(shown.body)
    if "_seq_no" not in found:
        return ""
    return f"?if_seq_no={found['_seq_no']}&if_primary_term={found['_primary_term']}"


def _failed(thing: Thing, reply: HttpReply, clean: Redactor) -> SetUpStep:
    said = f"answered {reply.status}: {clean.start(reply, 500)}"
    if reply.status in (401, 403):
        said += f"; {_RIGHTS}"
    return SetUpStep(thing.what, "failed", fix=said)
