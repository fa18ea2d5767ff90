"""The addresses of the pages about alerts, and their forms: acknowledge, silence, end a silence. Thin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.views.alert import alert_page
from headgate.insights.views.alertlines import history
from headgate.insights.views.window import LONGEST_WINDOW
from headgate.web.access.who import who
from headgate.web.operations import NewSilence, Operations, Problem
from headgate.web.site.doing import DONE, Fields, form
from headgate.web.site.evidence import drawn
from headgate.web.site.frame import Site
from headgate.web.site.serving import page

__all__ = ["add_alerting", "matchers_for"]

# Lengths that are offered for a silence.
_LENGTHS: Mapping[str, tuple[str, int]] = {
    "1h": ("1 hour", HOUR_MS),
    "4h": ("4 hours", 4 * HOUR_MS),
    "1d": ("1 day", DAY_MS),
    "7d": ("7 days", 7 * DAY_MS),
    "30d": ("30 days", 30 * DAY_MS),
}
# Silences that ended, of those that are listed.
_ENDED = 30
_VERDICTS = {"": "no verdict", "good": "it was right", "noise": "it was noise", "new_normal": "this is the new normal"}
_OPEN = ("firing", "recovering")


def add_alerting(app: FastAPI, site: Site, operations: Operations) -> None:
    """Add the page of alerts, that of one alert, and what they can do."""
    _add_pages(app, site, operations)
    _add_forms(app, site, operations)


def _add_pages(app: FastAPI, site: Site, operations: Operations) -> None:
    @page(app, site, "/alerts")
    async def alerts(request: Request, rule: str = "", done: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        found = [alert for alert in await operations.alerts() if rule in ("", alert["rule"])]
        silences = await operations.silences()
        ended = [one for one in silences if one["state"] == "expired"]
        values = {
            "groups": (
                ("Firing", "firing", [one for one in found if one["state"] in _OPEN]),
                ("Pending", "pending", [one for one in found if one["state"] == "pending"]),
                ("Lately resolved", "resolved", [one for one in found if one["state"] == "resolved"]),
            ),
            "history": await history(lens.store, rule),
            "silences": [one for one in silences if one["state"] != "expired"] + ended[:_ENDED],
            "silences_left": max(0, len(ended) - _ENDED),
            "routing": await operations.routing(),
            "lengths": _LENGTHS,
            "rule": rule,
            "longest": LONGEST_WINDOW,
            "done": DONE.get(done, ""),
        }
        own = {"rule": rule} if rule else {}
        return site.answer("alerts.html", request, asked, values, ("Alerts", "/alerts"), own=own)

    @page(app, site, "/alert/{fingerprint}")
    async def alert(request: Request, fingerprint: str, done: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await alert_page(lens, fingerprint=fingerprint)
        values = {
            "view": view,
            "drawn": drawn(view.chart) if view.chart else None,
            "matchers": matchers_for(view.rule, view.labels),
            "lengths": _LENGTHS,
            "verdicts": _VERDICTS,
            "longest": LONGEST_WINDOW,
            "done": DONE.get(done, ""),
        }
        crumbs = (("Alerts", "/alerts"), (view.rule, ""))
        return site.answer("alert.html", request, asked, values, *crumbs)


def _add_forms(app: FastAPI, site: Site, operations: Operations) -> None:
    @form(app, "/alert/{fingerprint}/ack", "acknowledged")
    async def acknowledge(request: Request, fields: Fields) -> None:
        await operations.acknowledge(
            request.path_params["fingerprint"],
            by=_name(request, fields),
            comment=fields.get("comment", ""),
            verdict=fields.get("verdict", ""),
        )

    @form(app, "/silences", "silenced")
    async def silence(request: Request, fields: Fields) -> None:
        length = _LENGTHS.get(fields.get("length", ""))
        if length is None:
            raise Problem("refused", f"a silence lasts one of {', '.join(_LENGTHS)}")
        now_ms = site.lens().now_ms
        lines = [line.strip() for line in fields.get("matchers", "").splitlines()]
        await operations.silence(
            NewSilence(
                matchers=tuple(line for line in lines if line),
                starts_ms=now_ms,
                ends_ms=now_ms + length[1],
                author=_name(request, fields),
                comment=fields.get("comment", ""),
            )
        )

    @form(app, "/silences/{number:int}/expire", "expired")
    async def expire(request: Request, fields: Fields) -> None:
        comment = fields.get("comment", "").strip() or "ended from the page"
        await operations.expire_silence(request.path_params["number"], by=_name(request, fields), comment=comment)


def _name(request: Request, fields: Fields) -> str:
    """Who does it: as we know them; where everybody on the machine is the same, as they say."""
    known = who(request)
    said = fields.get("by", "").strip()
    return said[:200] if said and known.via == "loopback" else known.name


def matchers_for(rule: str, labels: Mapping[str, str]) -> Sequence[str]:
    """Matchers of a silence over exactly this alert: its rule and what it is about."""
    about = {name: value for name, value in labels.items() if name not in ("severity", "team")}
    return [f'{name}="{value}"' for name, value in {"alertname": rule, **about}.items() if "\n" not in value]
