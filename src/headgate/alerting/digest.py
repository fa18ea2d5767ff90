"""What a digest says: how CI did, what fires, what was below warning, and what nobody was told and why. Pure.

Owns the report as data and its two forms for people; both say the same, and neither trusts a label.
"""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headgate.alerting.digestplan import DigestPlan
from headgate.alerting.matching import seen_labels
from headgate.core.alertdata import AlertState, decode_alert
from headgate.core.messages import Digest
from headgate.core.storeport import AlertRow, RunRow
from headgate.core.times import format_ms
from headgate.insights.catalogue import FAILED

__all__ = ["Health", "count_run", "digest_of"]

_WORST = 5  # workflows that failed most
_LISTED = 50  # alerts of one section; more are counted
_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")
_COLUMNS = ("Alert", "Labels", "Fired", "Now", "Not told because")
_Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


@dataclass(slots=True)
class Health:
    """Runs that ended in the period. `failed_by`: project and workflow -> failed runs."""

    runs: int = 0
    ok: int = 0
    failed: int = 0
    failed_by: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def success_rate(self) -> float | None:
        """Share of success among runs that succeeded or failed."""
        judged = self.ok + self.failed
        return self.ok / judged if judged else None


def count_run(health: Health, run: RunRow) -> None:
    """Take in one ended run."""
    health.runs += 1
    health.ok += run.status == "success"
    if run.status in FAILED:
        health.failed += 1
        health.failed_by[run.project, run.workflow] += 1


@dataclass(slots=True)
class _Seen:
    """One alert over the period."""

    rule: str
    labels: Mapping[str, str]
    fired: int = 0
    resolved: int = 0
    told: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    state: str = "resolved"

    def row(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "labels": dict(self.labels),
            "fired": self.fired,
            "resolved": self.resolved,
            "state": self.state,
            "told": sorted(self.told),
            "held": dict(sorted(self.held.items())),
        }


def digest_of(
    plan: DigestPlan,
    period: tuple[int, int],
    *,
    history: Iterable[tuple[str, int, bytes]],
    rows: Sequence[AlertRow],
    groups: Mapping[str, str],
    health: Health,
) -> Digest | None:
    """The report of a period; None where nothing ran and nothing fired. `history`: any order; `groups`: of rules."""
    since_ms, until_ms = period
    seen = _alerts(plan, period, history, rows, groups)
    if not seen and not health.runs:
        return None
    below = [one for one in seen if "below warning" in one.held.values()]
    unheard = [one for one in seen if one.held and one not in below]
    told = [one for one in seen if one.told]
    data: dict[str, Any] = {
        "name": plan.name,
        "since": format_ms(since_ms),
        "until": format_ms(until_ms),
        "health": {
            "runs": health.runs,
            "ok": health.ok,
            "failed": health.failed,
            "success_rate": health.success_rate,
            "failed_most": [
                {"project": project, "workflow": workflow, "failed": count}
                for (project, workflow), count in health.failed_by.most_common(_WORST)
            ],
        },
        "alerts": {
            "told": len(told),
            "firing": sum(one.state in ("firing", "recovering") for one in seen),
            "below_warning": [one.row() for one in below],
            "not_told": [one.row() for one in unheard],
        },
    }
    title = f"CI digest {plan.name}: {format_ms(since_ms)[:10]} to {format_ms(until_ms)[:10]}"
    lead, tables = _lead(data), [*_failed(health), *_listed("Below warning", below), *_listed("Not told", unheard)]
    return Digest(
        key=f"digest:{plan.name}:{until_ms}",
        title=title,
        since_ms=since_ms,
        until_ms=until_ms,
        markdown=_markdown(title, lead, tables),
        html=_html(title, lead, tables),
        data=data,
    )


def _alerts(
    plan: DigestPlan,
    period: tuple[int, int],
    history: Iterable[tuple[str, int, bytes]],
    rows: Sequence[AlertRow],
    groups: Mapping[str, str],
) -> list[_Seen]:
    """Alerts that fired, ended or were told of in the period, and those that fire since then or longer."""
    seen: dict[str, _Seen] = {}
    for name, at_ms, body in history:
        line = msgspec.json.decode(body) if period[0] <= at_ms < period[1] else {}
        if "rule" not in line or not plan.takes(_labels(line["rule"], line["labels"], groups)):
            continue
        one = seen.setdefault(name, _Seen(line["rule"], line["labels"]))
        if line["from"] != line["to"]:
            one.fired += line["to"] == "firing" and line["from"] != "recovering"
            one.resolved += line["to"] == "resolved"
        one.told.update(line.get("told", ()))
        one.held.update(line.get("held", {}))
    for row in rows:
        if row.fingerprint in seen:
            seen[row.fingerprint].state = row.state
        elif _fires_since(row, period[1]) and plan.takes(_labels(row.rule, row.labels, groups)):
            seen[row.fingerprint] = _Seen(row.rule, row.labels, state=row.state)
    fired = [one for one in seen.values() if one.fired or one.resolved or one.told or one.held or one.state == "firing"]
    return sorted(fired, key=lambda one: (-one.fired, one.rule, sorted(one.labels.items())))


def _fires_since(row: AlertRow, until_ms: int) -> bool:
    """Whether an alert fires now and did before the end of the period; a later one is for the next digest."""
    return row.state == AlertState.FIRING and (decode_alert(row.state_json).fired_ms or 0) < until_ms


def _labels(rule: str, labels: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    return seen_labels(rule, groups.get(rule, ""), labels)


def _lead(data: Mapping[str, Any]) -> list[str]:
    health, alerts = data["health"], data["alerts"]
    rate = health["success_rate"]
    share = "" if rate is None else f", {rate * 100:.1f}% of those that were judged succeeded"
    below, unheard = len(alerts["below_warning"]), len(alerts["not_told"])
    return [
        f"{health['runs']} runs ended, {health['failed']} failed{share}.",
        f"{alerts['told']} alerts were told, {alerts['firing']} of the period's alerts still fire.",
        f"{below} were below warning, {unheard} were not told.",
    ]


def _failed(health: Health) -> list[_Table]:
    worst = health.failed_by.most_common(_WORST)
    rows: list[tuple[str, ...]] = [(project, workflow, str(count)) for (project, workflow), count in worst]
    return [("Failed most", ("Project", "Workflow", "Failed"), rows)] if rows else []


def _listed(title: str, alerts: Sequence[_Seen]) -> list[_Table]:
    rows: list[tuple[str, ...]] = []
    for one in alerts[:_LISTED]:
        labels = " ".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
        reasons: defaultdict[str, list[str]] = defaultdict(list)
        for notifier, why in sorted(one.held.items()):
            reasons[why].append(notifier)
        because = "; ".join(f"{why} ({', '.join(names)})" for why, names in reasons.items())
        rows.append((one.rule, labels, str(one.fired), one.state, because))
    if len(alerts) > _LISTED:
        rows.append((f"and {len(alerts) - _LISTED} more", "", "", "", ""))
    return [(title, _COLUMNS, rows)] if rows else []


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _markdown(title: str, lead: Sequence[str], tables: Sequence[_Table]) -> str:
    lines = [f"# {_escaped(title)}", ""]
    for text in lead:
        lines += [_escaped(text), ""]
    for name, columns, rows in tables:
        lines += [f"## {name}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _html(title: str, lead: Sequence[str], tables: Sequence[_Table]) -> str:
    def cells(tag: str, row: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row) + "</tr>"

    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in lead)]
    for name, columns, rows in tables:
        body = "".join(cells("td", row) for row in rows)
        parts.append(f"<h2>{html.escape(name)}</h2><table>{cells('th', columns)}{body}</table>")
    return "".join(parts)
