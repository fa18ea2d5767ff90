"""The addresses of the page of delivery and what it can do: dead letters and webhooks that were set aside. Thin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from headgate.insights.views.refusal import unknown
from headgate.web.operations import ChosenDeliveries, ChosenLetters, Operations, Problem
from headgate.web.rendering import Templates
from headgate.web.shared import Shared
from headgate.web.site.doing import DONE, Fields, form
from headgate.web.site.frame import Site
from headgate.web.site.serving import page
from headgate.web.workings import PROVEN_WINDOWS, ProvenWindow

__all__ = ["add_delivery", "live_part"]

_SHOWN = 50
# Less than the two seconds after which pages ask again.
_FRESH_SECONDS = 1.0
_BACKFILLS = 10


def add_delivery(app: FastAPI, site: Site, operations: Operations) -> None:
    """Add the page, the part of it that is fetched again every two seconds, and its forms."""
    _add_pages(app, site, operations)
    _add_inspected(app, site, operations)
    _add_forms(app, operations)


async def live_part(operations: Operations, templates: Templates, window: ProvenWindow = "24h") -> str:
    """The figures alone, which are fetched again every two seconds."""
    return templates.render("live.html", **await _live(operations, window))


async def _live(operations: Operations, window: ProvenWindow) -> Mapping[str, Any]:
    overview = await operations.overview()
    return {
        "overview": overview,
        "status": overview["status"],
        "proven": await operations.completeness(window),
        "proven_windows": PROVEN_WINDOWS,
        "backfills": (await operations.backfills())[-_BACKFILLS:],
    }


def _add_pages(app: FastAPI, site: Site, operations: Operations) -> None:
    # Whoever looks sees the same, so that a hundred viewers cost what one does.
    shared = Shared[ProvenWindow, str](lambda window: live_part(operations, site.templates, window), _FRESH_SECONDS)

    @page(app, site, "/delivery")
    async def delivery(request: Request, proven: str = "", done: str = "") -> Response:
        values = {
            **await _live(operations, _window(proven)),
            "letters": await operations.dead_letters(None, (), _SHOWN),
            "aside": await operations.dead_deliveries(_SHOWN),
            "done": DONE.get(done, ""),
        }
        own = {"proven": proven} if proven else {}
        asked = site.asked(request, site.lens())
        return site.answer("delivery.html", request, asked, values, ("Delivery", "/delivery"), own=own)

    @app.get("/live", response_class=HTMLResponse, include_in_schema=False)
    async def live(proven: str = "") -> Response:
        return HTMLResponse(await shared.get(_window(proven)))


def _window(proven: str) -> ProvenWindow:
    """Raises Refused."""
    found = next((one for one in PROVEN_WINDOWS if one == (proven or "24h")), None)
    if found is None:
        raise unknown("bad-parameter", "proven", proven, PROVEN_WINDOWS)
    return found


def _add_inspected(app: FastAPI, site: Site, operations: Operations) -> None:
    """Records and webhooks may hold what is personal: that somebody read them is in the trail."""

    def shown(request: Request, title: str, about: Mapping[str, Any], body: str) -> Response:
        values = {"title": title, "about": about, "body": body}
        crumbs = (("Delivery", "/delivery"), (title, ""))
        return site.answer("inspect.html", request, site.asked(request, site.lens()), values, *crumbs)

    @page(app, site, "/delivery/letter/{number:int}")
    async def letter(request: Request, number: int) -> Response:
        found = await operations.dead_letters(None, [number], 1)
        if not found:
            return _gone(request, site, f"no dead letter {number}: it was sent, or forgotten")
        one = dict(found[0])
        record = one.pop("record")
        text = record if isinstance(record, str) else orjson.dumps(record, option=orjson.OPT_INDENT_2).decode()
        return shown(request, f"Dead letter {number}", one, text)

    @page(app, site, "/delivery/webhook/{number:int}")
    async def webhook(request: Request, number: int) -> Response:
        found = await operations.dead_deliveries(1, [number])
        if not found:
            return _gone(request, site, f"no webhook {number} is set aside: it was merged, or forgotten")
        one = dict(found[0])
        body = one.pop("body")
        return shown(request, f"Webhook {number}", one, body)


def _gone(request: Request, site: Site, detail: str) -> Response:
    return site.problem(request, 404, "It is not here any more", detail)


def _add_forms(app: FastAPI, operations: Operations) -> None:
    @form(app, "/delivery/letters/replay", "replayed")
    async def replay(_: Request, fields: Fields) -> None:
        await operations.replay_dead(ChosenLetters(ids=_numbers(fields)))

    @form(app, "/delivery/letters/purge", "purged")
    async def purge(_: Request, fields: Fields) -> None:
        await operations.purge_dead(ChosenLetters(ids=_numbers(fields)))

    @form(app, "/delivery/webhooks/replay", "merging")
    async def merge(_: Request, fields: Fields) -> None:
        await operations.replay_deliveries(ChosenDeliveries(ids=_numbers(fields)))

    @form(app, "/delivery/webhooks/purge", "purged")
    async def forget(_: Request, fields: Fields) -> None:
        await operations.purge_deliveries(ChosenDeliveries(ids=_numbers(fields)))


def _numbers(fields: Fields) -> tuple[int, ...]:
    """What was chosen, or all that the page had. Raises Problem."""
    chosen = fields.getlist("shown" if fields.get("all") else "id")
    numbers = tuple(int(text) for text in chosen if text.isascii() and text.isdigit() and len(text) < 19)
    if not numbers:
        raise Problem("refused", "choose at least one line")
    return numbers
