"""One alert: what it says, the evidence it was judged by, what is behind it, who was told, what became of it.

Invariant: everything here was stored with the alert or is measured by the definitions of the catalogue; nothing is
judged anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from headgate.core.alertdata import Acknowledgement, Alert, AlertState, decode_alert
from headgate.core.evidence import Evidence
from headgate.core.readport import AlertRow
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.views.alertlines import HistoryLine, Told, evidence_in, read_lines
from headgate.insights.views.evidence import EvidenceChart, chart_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused, unknown
from headgate.insights.views.stepgrowth import steps_that_grew

__all__ = ["AlertPage", "Cause", "Grown", "SeenBy", "alert_page"]

_LINES = 200
_LISTED = 20
_FIRES = (AlertState.FIRING, AlertState.RECOVERING)


@dataclass(frozen=True, slots=True)
class SeenBy:
    """Who acknowledged it, when and why. `verdict`: good, noise, new_normal, or empty."""

    by: str
    at: str
    comment: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Grown:
    """A job, or a step of one, with its part in the change. `share`: of the whole, None where it is not known."""

    job: str
    step: str
    before: float
    after: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Cause:
    """What is behind it. `run`: id of the first bad run of a workflow, `url` its page at the provider; empty unknown.

    `commits`: those it may have come with, oldest first; `last_good`: page of the last good run; `grew`: most first;
    `steps`: of the job that the alert is about or that grew most.
    """

    run: str
    at: str | None
    url: str
    commits: tuple[str, ...]
    last_good: str
    grew: tuple[Grown, ...]
    steps: tuple[Grown, ...]


@dataclass(frozen=True, slots=True)
class AlertPage:
    """`state`: inactive for one that is over and forgotten; then numbers are those of its last line.

    `open_for`: notifiers that know it as firing; `held`: those that are not told -> why. `chart`: None where there is
    none, and `no_chart` says why. `format`, `unit`: of value and baseline, empty where they are plain counts.
    `told`: newest first. `lines`: newest first, at most 200.
    """

    fingerprint: str
    rule: str
    state: str
    kind: str
    labels: Mapping[str, str]
    flags: tuple[str, ...]
    since: str
    fired: str | None
    ended: str | None
    judged: str | None
    value: float | None
    baseline: float | None
    format: str
    unit: str
    n: int
    acknowledged: SeenBy | None
    open_for: tuple[str, ...]
    held: Mapping[str, str]
    chart: EvidenceChart | None
    no_chart: str
    cause: Cause | None
    told: tuple[Told, ...]
    lines: tuple[HistoryLine, ...]


async def alert_page(lens: Lens, *, fingerprint: str) -> AlertPage:
    """An alert by its fingerprint, or the beginning of one that is not over. Raises Refused."""
    rows = await lens.store.alerts()
    row = _found(rows, fingerprint)
    identity = row.fingerprint if row else fingerprint
    raw = await lens.store.alert_history(identity, _LINES)
    lines = read_lines(raw)
    if row is None and not any(line.rule for line in lines):
        known = [one.fingerprint for one in rows][:_LISTED]
        raise unknown("unknown-alert", "fingerprint", fingerprint, known)
    alert = decode_alert(row.state_json) if row else _remembered(lines[0])
    seen = evidence_in(raw)
    newest = next(line for line in lines if line.rule) if row is None else None
    chart = None
    if seen is not None:
        chart = await chart_of(
            lens,
            structs.replace(seen, window_ms=alert.window_ms or seen.window_ms),
            end_ms=_end_ms(lens, alert, seen),
            baseline=alert.baseline,
            fired_ms=alert.fired_ms,
            ended_ms=alert.ended_ms,
        )
    return AlertPage(
        fingerprint=identity,
        rule=row.rule if row else (newest.rule if newest else ""),
        state=str(alert.state),
        kind=seen.kind if seen else "",
        labels=row.labels if row else (newest.labels if newest else {}),
        flags=tuple(alert.flags),
        since=format_ms(alert.since_ms),
        fired=_time(alert.fired_ms),
        ended=_time(alert.ended_ms),
        judged=_time(alert.at_ms or None),
        value=alert.value,
        baseline=alert.baseline,
        format=alert.form,
        unit=alert.unit,
        n=alert.n,
        acknowledged=_seen(alert.acknowledged),
        open_for=tuple(sorted(alert.receivers)),
        held=dict(sorted(alert.held.items())) if alert.state in _FIRES else {},
        chart=chart,
        no_chart="" if chart else _why_none(seen),
        cause=await _cause(lens, seen, alert.at_ms or lens.now_ms),
        told=_told(lines),
        lines=tuple(lines),
    )


def _end_ms(lens: Lens, alert: Alert, seen: Evidence) -> int:
    """End of what was judged last, as near as is known."""
    if alert.end_ms:
        return min(alert.end_ms, lens.now_ms)
    at_ms = min(alert.at_ms or lens.now_ms, lens.now_ms)
    return at_ms // DAY_MS * DAY_MS if seen.whole_days else at_ms


def _found(rows: Sequence[AlertRow], start: str) -> AlertRow | None:
    """The alert whose fingerprint begins so. Raises Refused where several do."""
    found = [row for row in rows if start and row.fingerprint.startswith(start)]
    if len(found) > 1:
        detail = f"{len(found)} alerts have a fingerprint that begins with {start!r}"
        raise Refused("unknown-alert", detail, parameter="fingerprint", valid=[one.fingerprint for one in found][:20])
    return found[0] if found else None


def _remembered(newest: HistoryLine) -> Alert:
    """What is left of an alert that is forgotten."""
    return Alert(
        born_ms=newest.occurred_ms,
        since_ms=newest.occurred_ms,
        at_ms=newest.judged_ms,
        value=newest.value,
        baseline=newest.baseline,
        form=newest.format,
        unit=newest.unit,
        n=newest.n or 0,
        window_ms=newest.window_ms,
    )


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_ms(ms)


def _seen(said: Acknowledgement | None) -> SeenBy | None:
    return None if said is None else SeenBy(said.by, format_ms(said.at_ms), said.comment, said.verdict)


def _why_none(seen: Evidence | None) -> str:
    if seen is None:
        return "What it was judged by was not kept: it is about Headgate itself, or an earlier release raised it."
    return f"The metric {seen.metric} of this group has no past that could be drawn."


async def _cause(lens: Lens, seen: Evidence | None, end_ms: int) -> Cause | None:
    if seen is None or not (seen.first_bad or seen.suspects or seen.grew):
        return None
    job = seen.group.get("job") or next((one.name for one in seen.grew), "")
    timed = seen.metric.startswith("duration")
    steps = await steps_that_grew(lens, seen, job, end_ms) if job and timed else ()
    return Cause(
        run=seen.first_bad if "job" not in seen.group and seen.over != "jobs" else "",
        at=_time(seen.first_bad_ms or None),
        url=seen.first_bad_url,
        commits=seen.suspects,
        last_good=seen.last_good,
        grew=tuple(Grown(one.name, "", one.before, one.after, one.share) for one in seen.grew),
        steps=tuple(Grown(job, one.name, one.before, one.after, one.share) for one in steps),
    )


def _told(lines: Sequence[HistoryLine]) -> tuple[Told, ...]:
    return tuple(
        Told(name, line.at, "resolved" if line.became in ("resolved", "inactive") else "firing", line.why)
        for line in lines
        for name in line.told
    )
