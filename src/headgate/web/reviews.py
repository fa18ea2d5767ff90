"""A report as one file of HTML that needs nothing else, and as the text of a mail. Pure.

Invariant: every number carries its value as data, so that it can be read back; nothing of the outside is markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from headgate.core.messages import Digest
from headgate.core.times import parse_ms
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.metric import Format
from headgate.insights.views.dora import DORA_FIGURES
from headgate.insights.views.failuregroups import Reason
from headgate.insights.views.figures import Trend
from headgate.insights.views.report import ReportPage
from headgate.insights.views.worse import Worse
from headgate.web.rendering import shared_templates
from headgate.web.site.shapes import Tile, charts, tiles
from headgate.web.site.words import shown
from headgate.web.sketches import sketch

__all__ = ["REPORT_CSP", "report_digest", "report_html", "report_title"]

# A report has no script and asks for nothing; its styles are in itself.
REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "sandbox"
)
_UTC = ZoneInfo("UTC")
_WORDS: Mapping[str, str] = {"success_rate": "Success rate", "duration_p95": "Duration p95", "credits": "Credits"}
_WASTE = (
    ("Green on retry", "rerun_waste"),
    ("Repeats", "reruns"),
    ("Credits", "rerun_credits"),
    ("Time", "rerun_time"),
)
_COLUMNS = (
    ("Runs", "runs"),
    ("Success rate", "success_rate"),
    ("Failed", "failed_runs"),
    ("p50", "duration_p50"),
    ("p95", "duration_p95"),
    ("Queue p95", "queue_p95"),
    ("Credits", "credits"),
    ("Of retries", "rerun_credits"),
)
_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")
_Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def report_title(page: ReportPage, where: ZoneInfo = _UTC) -> str:
    """`CI week 2026-11-09 to 2026-11-16`. `where`: whose days the period has, here and in all that follows."""
    of = ", ".join((*page.of.projects, *page.of.teams))
    return f"CI {page.every} {_day(page.since, where)} to {_day(page.until, where)}" + (f": {of}" if of else "")


def _day(text: str, where: ZoneInfo) -> str:
    return datetime.fromtimestamp((parse_ms(text) or 0) // 1000, where).date().isoformat()


def report_html(page: ReportPage, version: str, hints: Sequence[str] = (), where: ZoneInfo = _UTC) -> str:
    """The whole file. `hints`: what its reader must know of all figures."""
    forms: dict[str, Format] = {name: one.format for name, one in CATALOGUE.names.items()}
    return shared_templates(version).render(
        "report.html",
        page=page,
        hints=hints,
        title=report_title(page, where),
        before=f"{_day(page.previous_since, where)} to {_day(page.since, where)}",
        zone=where.key,
        tiles=tiles(page.totals),
        sketches=[sketch(one) for one in charts(page.plot) if not one.empty],
        columns=_COLUMNS,
        forms=forms,
        words=_WORDS,
        waste=_WASTE,
        dora=[(name, CATALOGUE.names[name]) for name in DORA_FIGURES if name in page.dora],
    )


def report_digest(
    page: ReportPage, version: str, *, name: str, hints: Sequence[str] = (), where: ZoneInfo = _UTC
) -> Digest:
    """As notifiers send it: the numbers as text, and the file for those that can carry one."""
    title, tables = report_title(page, where), [_places("Projects", page.projects), _places("Teams", page.teams)]
    tables += [
        _moved("Got worse", page.worse),
        _moved("Got better", page.better),
        _reasons(page),
        _budgets(page),
        _tests(page),
    ]
    figures = [f"{tile.label}: {shown(tile.trend.value, tile.form)}{_change(tile)}" for tile in tiles(page.totals)]
    lead = [*hints, *figures]
    if page.totals["reruns"].value:
        lead.append(f"Retries: {_waste(page)}")
    tables = [table for table in tables if table[2]]
    return Digest(
        key=f"report:{name}:{page.until}",
        title=title,
        since_ms=parse_ms(page.since) or 0,
        until_ms=parse_ms(page.until) or 0,
        markdown=_markdown(title, lead, tables),
        html=_html(title, lead, tables),
        data=_data(page),
        file_name=f"headgate-{page.every}-{_day(page.since, where)}-{_day(page.until, where)}.html",
        file=report_html(page, version, hints, where),
    )


def _data(page: ReportPage) -> dict[str, Any]:
    return {
        "every": page.every,
        "since": page.since,
        "until": page.until,
        "totals": {name: _total(one) for name, one in page.totals.items()},
    }


def _total(one: Trend) -> dict[str, Any]:
    told: dict[str, Any] = {"value": one.value, "previous": one.previous}
    if one.known_until:
        told |= {"known_until": one.known_until, "known": one.known, "known_previous": one.known_previous}
    return told


def _places(title: str, places: Iterable[Any]) -> _Table:
    rows = [
        (one.name, *(shown(one.figures[metric].value, CATALOGUE.names[metric].format) for _, metric in _COLUMNS))
        for one in places
    ]
    return title, (title[:-1], *(label for label, _ in _COLUMNS)), rows


def _change(tile: Tile) -> str:
    """In brackets; empty where there is none."""
    until = tile.trend.known_until
    parts = [tile.change, f"known up to {until[:10]} {until[11:16]}" if until else ""]
    return f" ({', '.join(filter(None, parts))})" if any(parts) else ""


def _moved(title: str, moved: Iterable[Worse]) -> _Table:
    rows: list[tuple[str, ...]] = []
    for one in moved:
        form = CATALOGUE.names[one.metric].format
        jobs = ", ".join(cause.job for cause in one.because)
        change = f"{shown(one.previous, form)} to {shown(one.value, form)}"
        rows.append((f"{one.project} / {one.workflow}", _WORDS.get(one.metric, one.metric), change, jobs))
    return title, ("Workflow", "Figure", "Change", "Most by"), rows


def _waste(page: ReportPage) -> str:
    names = CATALOGUE.names
    return ", ".join(f"{label.lower()} {shown(page.totals[name].value, names[name].format)}" for label, name in _WASTE)


def _before(one: Reason) -> str:
    """Empty where it is not known whether it was there before."""
    return "new" if one.new else "" if one.new is None else f"{one.before} before"


def _reasons(page: ReportPage) -> _Table:
    rows: list[tuple[str, ...]] = [
        (one.text[:200] or one.step, one.project, f"{one.count}", _before(one)) for one in page.reasons
    ]
    return "Why jobs failed", ("What", "Project", "Times", "Before"), rows


def _budgets(page: ReportPage) -> _Table:
    rows = [
        (
            " ".join((line.budget, *line.labels.values())).strip(),
            line.state.replace("_", " "),
            *(shown(value, "credits") for value in (line.spent, line.limit, line.expected)),
        )
        for line in page.budgets.lines
    ]
    return "Budgets", ("Budget", "State", "Spent", "Limit", "Expected"), rows


def _tests(page: ReportPage) -> _Table:
    rows: list[tuple[str, ...]] = [
        (one.name, one.project, one.state, shown(one.flakes, "number"), shown(one.credits, "credits"))
        for one in page.flaky
    ]
    rows += [(one.name, one.project, "failing", shown(one.failures, "number"), "") for one in page.failing]
    return "Flaky and failing tests", ("Test", "Project", "State", "Failures", "Credits lost"), rows


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _markdown(title: str, lead: Sequence[str], tables: Sequence[_Table]) -> str:
    lines = [f"# {_escaped(title)}", "", *(f"- {_escaped(text)}" for text in lead), ""]
    for name, columns, rows in tables:
        lines += [f"## {name}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _html(title: str, lead: Sequence[str], tables: Sequence[_Table]) -> str:
    def cells(tag: str, row: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row) + "</tr>"

    parts = [f"<h1>{html.escape(title)}</h1><ul>", *(f"<li>{html.escape(text)}</li>" for text in lead), "</ul>"]
    for name, columns, rows in tables:
        body = "".join(cells("td", row) for row in rows)
        parts.append(f"<h2>{html.escape(name)}</h2><table>{cells('th', columns)}{body}</table>")
    return "".join(parts)
