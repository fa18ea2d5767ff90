"""From the steps of an evaluation to the one change that the store makes: rows, history, outbox and records. Pure.

Invariant: a transition, its history, its notifications and its record are in one `AlertChange`, or none of them is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from headgate.alerting.inhibition import Firing, Inhibitions
from headgate.alerting.matching import seen_labels
from headgate.alerting.routes import BELOW_WARNING, Routes, Way, group_name
from headgate.alerting.silencing import Silences
from headgate.alerting.telling import Line, Outlook, Result, is_over, tell
from headgate.alerting.templates import render_annotations
from headgate.core.alertdata import Alert, AlertState, Step, Transition, encode_alert, notification_key
from headgate.core.evidence import Evidence
from headgate.core.ids import record_id
from headgate.core.messages import Notification, State, payload_of
from headgate.core.record import SCHEMA_VERSION, Attribute, Record
from headgate.core.slug import long_slug, org_slug
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry
from headgate.core.times import format_ms

__all__ = ["Subject", "Telling", "build_change", "due_at"]

WHO = "engine"


@dataclass(frozen=True, slots=True)
class Subject:
    """One alert with its step and all that texts may use.

    `labels`: of the group; `fixed`: of the rule. `stored`: it has a row. `texts`: more names for its templates.
    `not_to`: the notifier that it is about and that cannot tell of it. `good`: that it fires is good news.
    `evidence`: what it is judged by, where the step says something new.
    """

    fingerprint: str
    rule: str
    group: str
    labels: Mapping[str, str]
    fixed: Mapping[str, str]
    severity: str
    annotations: Mapping[str, str]
    before: Alert
    step: Step
    stored: bool
    first_bad_url: str = ""
    texts: Mapping[str, Any] = field(default_factory=dict)
    not_to: str = ""
    good: bool = False
    evidence: Evidence | None = None

    def all_labels(self) -> dict[str, str]:
        """Labels as people and routes see them, without alertname and group; empty values are absent."""
        labels = {**self.fixed, **self.labels, "severity": self.severity}
        return {name: labels[name] for name in sorted(labels) if labels[name]}

    def seen(self) -> dict[str, str]:
        """Labels as matchers of routes, silences and inhibitions see them."""
        return seen_labels(self.rule, self.group, self.all_labels())


@dataclass(frozen=True, slots=True)
class Telling:
    """How things stand when alerts are told. `tenant`: host for records; `app_url`: of the provider's pages.

    `firing`: what fires, beyond the subjects themselves. `clocks`: notifier and group -> when its newest message was or
    will be sent. `since`: project -> its first day; one that is not named is new.
    """

    routes: Routes
    now_ms: int
    tenant: str = "circleci.com"
    app_url: str = "https://app.circleci.com"
    silences: Silences = field(default_factory=Silences)
    firing: Sequence[Firing] = ()
    clocks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)


def build_change(subjects: Sequence[Subject], telling: Telling) -> AlertChange:
    """Everything that the steps of one evaluation change; empty where they change nothing."""
    firing = [*telling.firing, *(Firing(one.rule, one.seen()) for one in subjects if _fires(one.step.alert))]
    inhibitions = Inhibitions(telling.routes.inhibitions, firing)
    rows: list[AlertRow] = []
    removed: list[str] = []
    history: list[tuple[str, int, bytes]] = []
    outbox: list[OutboxEntry] = []
    records: list[Record] = []
    for subject in subjects:
        ways = ways_of(subject, telling.routes)
        result = tell(subject.before, subject.step, _outlook(subject, ways, telling, inhibitions))
        if is_over(result.alert):
            removed += [subject.fingerprint] * subject.stored
        elif result.alert != subject.before:
            rows.append(_row(subject, result.alert, telling.now_ms))
        history += [_move_row(subject, made, telling.now_ms) for made in subject.step.transitions]
        outbox += _entries(subject, result.lines, ways, telling)
        if subject.step.notify is not None:
            records.append(_record(subject, _notification(subject, subject.step.notify, telling), telling))
        if result.lines or result.held or subject.step.notify is not None:
            history.append(_told_row(subject, result, telling.now_ms))
    return AlertChange(rows, removed, history, outbox, records)


def _fires(alert: Alert) -> bool:
    return alert.state in (AlertState.FIRING, AlertState.RECOVERING)


def ways_of(subject: Subject, routes: Routes) -> dict[str, Way]:
    """Who hears of an alert by the routes. What a notifier cannot tell of itself goes to others, if need be to all."""
    ways = routes.ways(subject.seen())
    if subject.not_to:
        ways = {name: way for name, way in ways.items() if name != subject.not_to}
        ways = ways or dict.fromkeys(sorted(routes.names - {subject.not_to}), routes.root.way)
    return ways


def _outlook(subject: Subject, ways: Mapping[str, Way], telling: Telling, inhibitions: Inhibitions) -> Outlook:
    seen, now_ms = subject.seen(), telling.now_ms
    muted = {name: f"muted by {time}" for name, way in ways.items() if (time := way.muted(now_ms))}
    return Outlook(
        now_ms=now_ms,
        names=telling.routes.names,
        repeat_ms={name: way.repeat_of(subject.severity) for name, way in ways.items()},
        muted=muted,
        blocked={name: why for name, way in ways.items() if (why := _blocked(seen, way, telling))},
        silenced=telling.silences.of(seen),
        inhibited=inhibitions.of(seen),
        groups={
            name: group_name(ways.get(name, telling.routes.root.way), seen)
            for name in (*ways, *subject.step.alert.receivers)
        },
    )


def _blocked(seen: Mapping[str, str], way: Way, telling: Telling) -> str:
    """Why an alert is for digests alone, empty when it is not."""
    project = seen.get("project", "")
    if way.quiet_ms and project and telling.now_ms - telling.since.get(project, telling.now_ms) < way.quiet_ms:
        return "the project is new"
    below = seen.get("severity") in BELOW_WARNING and not way.named
    return "below warning" if below and any(one.takes(seen) for one in telling.routes.digests) else ""


def _entries(
    subject: Subject, lines: Sequence[Line], ways: Mapping[str, Way], telling: Telling
) -> Iterator[OutboxEntry]:
    """What goes out, each at its group's time."""
    for line in lines:
        said = _notification(subject, line.state, telling, line)
        way = ways.get(line.notifier, telling.routes.root.way)
        clock = telling.clocks.get((line.notifier, line.group))
        due_ms = due_at(way, clock, telling.now_ms) if line.group else telling.now_ms
        yield OutboxEntry(line.notifier, said.key, payload_of(said), due_ms, line.group)


def due_at(way: Way, last_ms: int | None, now_ms: int) -> int:
    """When something new of a group is sent. `last_ms`: when its newest message was or will be, None for none lately.

    With the message that waits; else after the interval since the last one; else after the first wait of a group.
    """
    if last_ms is not None and last_ms > now_ms:
        return last_ms
    if last_ms is not None and last_ms + way.batch_interval_ms > now_ms:
        return last_ms + way.batch_interval_ms
    return now_ms + way.group_wait_ms


def _row(subject: Subject, alert: Alert, now_ms: int) -> AlertRow:
    return AlertRow(
        subject.fingerprint, subject.rule, subject.all_labels(), str(alert.state), encode_alert(alert), now_ms
    )


def _move_row(subject: Subject, made: Transition, now_ms: int) -> tuple[str, int, bytes]:
    """The line about one transition: who, when, why, numbers."""
    line = {"number": made.number, "from": str(made.before), "to": str(made.after), "why": made.reason}
    shown = subject.evidence if made.after in (AlertState.PENDING, AlertState.FIRING) else None
    return subject.fingerprint, now_ms, _line(subject, {**line, "evidence": shown})


def _told_row(subject: Subject, result: Result, now_ms: int) -> tuple[str, int, bytes]:
    """The line about who was told, and who newly was not and why."""
    alert = subject.step.alert
    why = result.lines[0].reason if result.lines else subject.step.reason
    line = {
        "number": alert.number,
        "from": str(alert.state),
        "to": str(alert.state),
        "why": why,
        "told": list(dict.fromkeys(one.notifier for one in result.lines)),
        "held": dict(result.held) or None,
        "flags": list(result.alert.flags) or None,
        "evidence": None if subject.step.transitions else subject.evidence,
    }
    return subject.fingerprint, now_ms, _line(subject, line)


def _line(subject: Subject, said: Mapping[str, Any]) -> bytes:
    alert = subject.step.alert
    line: dict[str, Any] = {
        "who": WHO,
        "rule": subject.rule,
        "labels": subject.all_labels(),
        "at_ms": alert.end_ms or alert.at_ms,
        "value": alert.value,
        "baseline": alert.baseline,
        "format": alert.form or None,
        "unit": alert.unit or None,
        "n": alert.n,
        "window_ms": alert.window_ms or None,
        "first_bad": alert.first_bad or None,
        "flags": list(alert.flags) or None,
        **said,
    }
    return msgspec.json.encode({key: value for key, value in line.items() if value is not None})


def _notification(subject: Subject, state: State, telling: Telling, line: Line | None = None) -> Notification:
    """What one message says; without a line what is so, whoever is told."""
    alert = subject.step.alert
    reason, suffix = (line.reason, line.suffix) if line else (subject.step.reason, "")
    numbers = {"value": alert.value, "baseline": alert.baseline, "n": float(alert.n), "level": float(alert.level)}
    labels = subject.all_labels()
    return Notification(
        key=notification_key(subject.fingerprint, alert) + suffix,
        fingerprint=subject.fingerprint,
        rule=subject.rule,
        state=state,
        reason=reason,
        labels=labels,
        annotations=render_annotations(
            subject.annotations, _context(subject, labels, state, reason, telling), _plain(subject.rule, labels)
        ),
        starts_ms=alert.fired_ms or alert.since_ms,
        ends_ms=alert.ended_ms if state == "resolved" else None,
        at_ms=telling.now_ms,
        numbers={name: value for name, value in numbers.items() if value is not None},
        good=subject.good,
    )


def _plain(rule: str, labels: Mapping[str, str]) -> str:
    """A summary that needs no template: the rule's name and the alert's labels."""
    return f"{rule}: " + ", ".join(f"{name} {value}" for name, value in labels.items())


def _context(subject: Subject, labels: Mapping[str, str], state: str, reason: str, telling: Telling) -> dict[str, Any]:
    """Names that templates may use: every label, and what is said in docs/alerting.md."""
    alert = subject.step.alert
    project, workflow = labels.get("project"), labels.get("workflow")
    links = {"first_bad": subject.first_bad_url or None, "project": None, "workflow": None}
    if project:
        links["project"] = f"{telling.app_url}/pipelines/{long_slug(project)}"
        links["workflow"] = links["project"]
    if project and workflow:
        links["workflow"] = f"{telling.app_url}/insights/{long_slug(project)}/workflows/{quote(workflow, safe='')}"
    return {
        **labels,
        **subject.texts,
        "labels": labels,
        "rule": subject.rule,
        "state": state,
        "reason": reason,
        "value": alert.value,
        "baseline": alert.baseline,
        "n": alert.n,
        "since": format_ms(alert.fired_ms or alert.since_ms),
        "links": links,
    }


def _record(subject: Subject, notification: Notification, telling: Telling) -> Record:
    """The alert as a record for every sink; its id is a function of fingerprint and transition."""
    alert = subject.step.alert
    project = notification.labels.get("project")
    attributes: dict[str, Attribute | None] = {
        "headgate.alert.rule": subject.rule,
        "headgate.alert.group": subject.group,
        "headgate.alert.state": notification.state,
        "headgate.alert.reason": notification.reason,
        "headgate.alert.fingerprint": subject.fingerprint,
        "headgate.alert.transition": alert.number,
        "headgate.alert.value": alert.value,
        "headgate.alert.baseline": alert.baseline,
        "headgate.alert.n": alert.n,
        "headgate.alert.first_bad": alert.first_bad or None,
        "headgate.alert.summary": notification.annotations.get("summary"),
        "headgate.alert.started_at": format_ms(notification.starts_ms),
        **{f"headgate.alert.label.{name}": value for name, value in notification.labels.items()},
    }
    return Record(
        id=record_id("alert", telling.tenant, notification.key),
        schema=SCHEMA_VERSION,
        kind="alert",
        occurred_at=format_ms(notification.ends_ms or alert.at_ms),
        observed_at=format_ms(telling.now_ms),
        sources=["rules"],
        tenant=telling.tenant,
        org=org_slug(project) if project else notification.labels.get("org"),
        project=project,
        attributes={name: value for name, value in sorted(attributes.items()) if value is not None},
    )
