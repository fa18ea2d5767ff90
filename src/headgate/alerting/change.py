"""From the steps of an evaluation to the one change that the store makes: rows, history, outbox and records. Pure.

Invariant: a transition, its history, its notifications and its record are in one `AlertChange`, or none of them is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from headgate.alerting.routes import Routes
from headgate.alerting.templates import render_annotations
from headgate.core.alertdata import Alert, AlertState, Step, encode_alert, notification_key
from headgate.core.ids import record_id
from headgate.core.messages import Notification, payload_of
from headgate.core.record import SCHEMA_VERSION, Attribute, Record
from headgate.core.slug import long_slug, org_slug
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry
from headgate.core.times import format_ms

__all__ = ["Subject", "Telling", "build_change", "history_row"]

WHO = "engine"


@dataclass(frozen=True, slots=True)
class Subject:
    """One alert with its step and all that texts may use.

    `labels`: of the group; `fixed`: of the rule. `stored`: it has a row. `texts`: more names for its templates.
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
    texts: Mapping[str, str] = field(default_factory=dict)

    def all_labels(self) -> dict[str, str]:
        """Labels as people and routes see them, without alertname and group; empty values are absent."""
        labels = {**self.fixed, **self.labels, "severity": self.severity}
        return {name: labels[name] for name in sorted(labels) if labels[name]}


@dataclass(frozen=True, slots=True)
class Telling:
    """Where and by whom alerts are told. `tenant`: host for records; `app_url`: of the provider's pages."""

    routes: Routes
    now_ms: int
    tenant: str = "circleci.com"
    app_url: str = "https://app.circleci.com"


def build_change(subjects: Iterable[Subject], telling: Telling) -> AlertChange:
    """Everything that the steps of one evaluation change; empty where they change nothing."""
    rows: list[AlertRow] = []
    removed: list[str] = []
    history: list[tuple[str, int, bytes]] = []
    outbox: list[OutboxEntry] = []
    records: list[Record] = []
    for subject in subjects:
        alert = subject.step.alert
        if alert.state is AlertState.INACTIVE and not alert.told:
            removed += [subject.fingerprint] * subject.stored
        elif alert != subject.before:
            rows.append(_row(subject, telling.now_ms))
        history += [
            history_row(subject, telling.now_ms, made.number, made.before, made.after, made.reason)
            for made in subject.step.transitions
        ]
        if subject.step.notify is not None:
            _tell(subject, telling, history, outbox, records)
    return AlertChange(rows, removed, history, outbox, records)


def _row(subject: Subject, now_ms: int) -> AlertRow:
    alert = subject.step.alert
    return AlertRow(
        subject.fingerprint, subject.rule, subject.all_labels(), str(alert.state), encode_alert(alert), now_ms
    )


def history_row(  # noqa: PLR0917  # one line of history, in its order
    subject: Subject, now_ms: int, number: int, before: str, after: str, why: str, told: tuple[str, ...] | None = None
) -> tuple[str, int, bytes]:
    """One line of history: who, when, why, numbers."""
    alert = subject.step.alert
    line: dict[str, Any] = {
        "who": WHO,
        "rule": subject.rule,
        "labels": subject.all_labels(),
        "number": number,
        "from": before,
        "to": after,
        "why": why,
        "at_ms": alert.at_ms,
        "value": alert.value,
        "baseline": alert.baseline,
        "n": alert.n,
        "first_bad": alert.first_bad or None,
        "flags": list(alert.flags) or None,
        "told": None if told is None else list(told),
    }
    return subject.fingerprint, now_ms, msgspec.json.encode({k: v for k, v in line.items() if v is not None})


def _tell(
    subject: Subject,
    telling: Telling,
    history: list[tuple[str, int, bytes]],
    outbox: list[OutboxEntry],
    records: list[Record],
) -> None:
    notification = _notification(subject, telling)
    payload = payload_of(notification)
    seen = {"alertname": subject.rule, "group": subject.group, **notification.labels}
    notifiers = telling.routes.notifiers(seen)
    outbox += [OutboxEntry(name, notification.key, payload, telling.now_ms) for name in notifiers]
    records.append(_record(subject, notification, telling))
    state = str(subject.step.alert.state)
    number = subject.step.alert.number
    history.append(history_row(subject, telling.now_ms, number, state, state, subject.step.reason, notifiers))


def _notification(subject: Subject, telling: Telling) -> Notification:
    alert, notify = subject.step.alert, subject.step.notify or "firing"
    numbers = {"value": alert.value, "baseline": alert.baseline, "n": float(alert.n), "level": float(alert.level)}
    labels = subject.all_labels()
    return Notification(
        key=notification_key(subject.fingerprint, alert),
        fingerprint=subject.fingerprint,
        rule=subject.rule,
        state=notify,
        reason=subject.step.reason,
        labels=labels,
        annotations=render_annotations(subject.annotations, _context(subject, labels, notify, telling)),
        starts_ms=alert.fired_ms or alert.since_ms,
        ends_ms=alert.ended_ms if notify == "resolved" else None,
        at_ms=telling.now_ms,
        numbers={name: value for name, value in numbers.items() if value is not None},
    )


def _context(subject: Subject, labels: Mapping[str, str], state: str, telling: Telling) -> dict[str, Any]:
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
        "reason": subject.step.reason,
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
