"""Brings saved objects into Kibana or OpenSearch Dashboards over the network, for `sinks setup`.

Invariant: what is asked, and what an answer means, is `_saved_objects`' to say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import CheckResult, SetUpStep, TransportOptions
from headgate.sinks._endpoint import failed_check, judge_check, probe
from headgate.sinks._saved_objects import Exchange, Place, named, read_ndjson, wanted_there

__all__ = ["ask", "bring_in"]


async def bring_in(
    place: Place, options: TransportOptions, ndjson: bytes, *, dry_run: bool
) -> AsyncIterator[SetUpStep]:
    """One step per saved object of `ndjson`; only those that are missing or differ are imported, all in one request.

    Raises nothing: what cannot be reached or is refused is a failed step.
    """
    objects = read_ndjson(ndjson)
    try:
        steps = await _carried_out(wanted_there(place, objects, dry_run=dry_run), place, options)
    except (SinkUnavailable, SinkRefused) as error:
        fix = f"{error}; check kibana_url and the rights of the key"
        steps = tuple(SetUpStep(named(one), "failed", fix=fix) for one in objects)
    for step in steps:
        yield step


async def ask(name: str, place: Place, options: TransportOptions, ndjson: bytes) -> CheckResult:
    """The line of `headgate check`: ask what `bring_in` asks first, for the objects as they are there; writes nothing.

    A 400 in Kibana's own form says that some of them are not there yet; else it shows them, data views among them.
    """
    request = next(wanted_there(place, read_ndjson(ndjson), dry_run=True))
    try:
        reply = await probe(request.method, request.url, request.headers, options, place.clean, body=request.body)
    except (SinkUnavailable, SinkRefused) as error:
        return failed_check(name, error)
    if reply.status == 400 and b'"statusCode"' in reply.body:
        return CheckResult(name, ok=True, reason="ok")
    text, product = place.clean.start(reply, 200), "a Kibana or OpenSearch Dashboards"
    rights = "check kibana_url and the rights of the key"
    result = judge_check(name, place.url, reply, text, product, rights=rights)
    if result.ok and b'"index-pattern"' not in reply.body:
        fix = f"{place.url} answered {reply.status}: {text}; the address is not that of {product}"
        return CheckResult(name, ok=False, reason="wrong_product", fix=fix)
    return result


async def _carried_out(exchange: Exchange, place: Place, options: TransportOptions) -> tuple[SetUpStep, ...]:
    """Send each request once. Raises SinkUnavailable and SinkRefused."""
    try:
        request = next(exchange)
        while True:
            reply = await probe(request.method, request.url, request.headers, options, place.clean, body=request.body)
            request = exchange.send(reply)
    except StopIteration as end:
        steps: tuple[SetUpStep, ...] = end.value
        return steps
