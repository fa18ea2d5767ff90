"""The alert engine: evaluates due rules against the store and writes what changed, one transaction per pass.

Invariant: the engine keeps nothing that must survive. State, timers and messages are rows; after a restart every rule
is evaluated once for the present, never for the time in between.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from headgate.alerting.change import Subject
from headgate.alerting.evaluate import RuleResult
from headgate.alerting.evidence import evidence_of
from headgate.alerting.judging import Failed, judge_beside
from headgate.alerting.meta import (
    COLLECTOR_STALE,
    META_GROUP,
    META_RULES,
    NOTIFIER_FAILING,
    SINK_HELD,
    TOO_MANY_ALERTS,
    WEBHOOKS_MISSING,
    capped_subjects,
    failing_subjects,
    held_subjects,
    missing_subjects,
    stale_subjects,
)
from headgate.alerting.routes import Routes
from headgate.alerting.rules import Rule
from headgate.alerting.summaries import default_summary, spoken
from headgate.alerting.teller import Teller
from headgate.alerting.templates import render_labels
from headgate.alerting.view import DetectorFactory, Memory, Pass, Watermarks
from headgate.core.alertdata import Alert, AlertState, Event, Step, decode_alert, fingerprint
from headgate.core.alerts import RESOLVED_SHOWN_MS, close
from headgate.core.clock import Clock
from headgate.core.errors import StoreBusy, StoreFull
from headgate.core.metrics import Metrics
from headgate.core.ports import Notification
from headgate.core.storeport import AlertChange, AlertRow, ReadStore, Store
from headgate.core.times import HOUR_MS
from headgate.insights.metric import Family, Labels
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader

__all__ = ["AlertEngine", "EvaluationReport", "WatermarkProvider", "is_empty"]

# What was collected so far, asked once per pass and family. Names every project that is collected now (None before its
# first complete walk) and no other: a project that is not named counts as removed. Empty while nothing is known.
WatermarkProvider = Callable[[Family], Awaitable[Watermarks]]
_Known = Mapping[str, tuple[AlertRow, Alert]]
_PAUSE_SECONDS = 30.0  # after a full store: it is freed by others
_LONGEST_SLEEP_SECONDS = 60.0  # so that a changed wall clock is noticed
# Names for texts that kinds of rules tell only while they are breached, as they are at other times.
_UNTOLD: Mapping[str, Any] = {
    **{name: [] for name in ("grew", "jobs", "suspects")},
    **dict.fromkeys(("burn", "expected", "file", "flakes", "last_good", "rate", "status", "test", "used")),
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """One pass. `evaluated`: rules; `failed`: rules that raised; `frozen`: source -> rules it froze."""

    evaluated: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    frozen: Mapping[str, frozenset[str]] = field(default_factory=dict)
    change: AlertChange = field(default_factory=AlertChange)


def is_empty(change: AlertChange) -> bool:
    """Whether there is nothing to store."""
    return not (change.rows or change.removed or change.history or change.outbox or change.records)


class AlertEngine:
    """Runs the rules. One instance per store; not for concurrent calls of `evaluate_once`.

    `held`: signals of sinks that a human must look at, with the reason. `missing`: source and project whose webhooks do
    not come any more -> when the last one came, and how many should have come since. `turn`: held during a pass; who
    changes alerts beside the engine takes it.
    """

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        routes: Routes,
        *,
        clock: Clock,
        metrics: Metrics,
        watermarks: WatermarkProvider,
        held: Callable[[], Awaitable[Mapping[str, str]]] | None = None,
        missing: Callable[[], Awaitable[Mapping[tuple[str, str], tuple[int, int]]]] | None = None,
        detectors: DetectorFactory,
        owners: Owners | None = None,
        tenant: str = "circleci.com",
        app_url: str = "https://app.circleci.com",
    ) -> None:
        self._store = store
        self._rules = {rule.name: rule for rule in rules}
        self._routes = routes
        self._clock = clock
        self._metrics = metrics
        self._watermarks = watermarks
        self._held = held or _nothing
        self._missing = missing or _nothing
        self._teller = Teller(store, tenant=tenant, app_url=app_url)
        self.turn = asyncio.Lock()
        self._look_failing = True
        self._capped: dict[str, int] = {}
        self._detectors = detectors
        self._owners = owners or Owners()
        self._memory = Memory()
        self._due_ms: dict[str, int] = {}
        self._frozen: dict[str, frozenset[str]] = {}
        self._states: dict[str, str] | None = None

    def wanted(self, notification: Notification, now_ms: int) -> bool:
        """Whether a message that waits in the outbox should still be sent.

        One that says firing, has waited for more than an hour and is about an alert that is over is not: nobody is
        paged for what is no longer true. Before `recall` and the first pass every message is wanted.
        """
        old = now_ms - notification.at_ms > HOUR_MS
        if notification.state == "resolved" or not old or self._states is None:
            return True
        return self.is_open(notification.fingerprint)

    def is_open(self, identity: str) -> bool:
        """Whether the alert with this fingerprint fires; before `recall` and the first pass everything does."""
        return self._states is None or self._states.get(identity) in (AlertState.FIRING, AlertState.RECOVERING)

    async def recall(self) -> None:
        """Know which alerts were open when the process ended. Wanted before messages that waited meanwhile are sent."""
        rows = await self._store.alerts()
        if self._states is None:  # else a pass knew better meanwhile
            self._states = {row.fingerprint: row.state for row in rows}

    @property
    def rules(self) -> Sequence[Rule]:
        """Those that are evaluated now."""
        return tuple(self._rules.values())

    def replace(self, rules: Sequence[Rule], routes: Routes, owners: Owners | None = None) -> None:
        """Take new rules, routes and owners from the next pass on (reload). Every rule is then due."""
        self._owners = owners or self._owners
        self._rules = {rule.name: rule for rule in rules}
        self._routes = routes
        self._due_ms.clear()
        self._memory = Memory()
        self._frozen = {name: frozen for name, frozen in self._frozen.items() if name in self._rules}
        self._capped = {name: count if name in self._rules else 0 for name, count in self._capped.items()}

    def given_up(self) -> None:
        """A message was given up; the next pass looks which notifiers fail."""
        self._look_failing = True

    async def run(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Evaluate for ever. StoreFull and StoreBusy are waited out; StoreFailed and anything unforeseen end it."""
        while True:
            try:
                await self.evaluate_once()
            except (StoreFull, StoreBusy) as error:
                log.warning("alerts.store_waits", error=str(error), fix="rules are evaluated again shortly")
                await sleep(_PAUSE_SECONDS)
                continue
            await sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        now_ms = self._clock.now_ms()
        next_ms = min((self._due_ms.get(name, now_ms) for name in self._rules), default=now_ms + 60_000)
        return min(max((next_ms - now_ms) / 1000, 0.05), _LONGEST_SLEEP_SECONDS)

    async def evaluate_once(self) -> EvaluationReport:
        """One pass over the rules that are due now. Raises what the store raises; nothing is then counted as done."""
        async with self.turn:
            return await self._evaluate()

    async def _evaluate(self) -> EvaluationReport:
        # A reload meanwhile counts from the next pass on.
        now_ms, rules, routes = self._clock.now_ms(), self._rules, self._routes
        due = [rule for rule in rules.values() if self._is_due(rule, now_ms)]
        known = {row.fingerprint: (row, decode_alert(row.state_json)) for row in await self._store.alerts()}
        subjects, failed = await self._judge(due, known, now_ms)
        subjects += _deleted(rules, known, now_ms)
        frozen = self._by_source(rules)
        subjects += stale_subjects(frozen, _of_rule(known, COLLECTOR_STALE), now_ms)
        subjects += held_subjects(await self._held(), _of_rule(known, SINK_HELD), now_ms)
        subjects += missing_subjects(await self._missing(), _of_rule(known, WEBHOOKS_MISSING), now_ms)
        subjects += failing_subjects(await self._failing(routes, known), _of_rule(known, NOTIFIER_FAILING), now_ms)
        subjects += capped_subjects(self._capped, _of_rule(known, TOO_MANY_ALERTS), now_ms)
        change = await self._teller.change(subjects, known, _groups(rules), routes, now_ms)
        if not is_empty(change):
            await self._store.transition(change)
        self._teller.written(routes, now_ms)
        if rules is self._rules:
            self._due_ms |= {rule.name: now_ms + rule.every_ms for rule in due}
        self._report_states(known, change)
        return EvaluationReport(tuple(rule.name for rule in due), failed, frozen, change)

    async def _failing(self, routes: Routes, known: _Known) -> Mapping[str, tuple[int, int, str]]:
        """Notifiers that fail; the store is asked only while one may."""
        if not self._look_failing and not _of_rule(known, NOTIFIER_FAILING):
            return {}
        self._look_failing = False
        found = await self._store.outbox_failing()
        return {name: since for name, since in found.items() if name in routes.names}

    def _is_due(self, rule: Rule, now_ms: int) -> bool:
        due_ms = self._due_ms.get(rule.name)
        # A due time further away than one interval means that the wall clock was set back.
        return due_ms is None or due_ms <= now_ms or due_ms > now_ms + rule.every_ms

    async def _judge(self, due: Sequence[Rule], known: _Known, now_ms: int) -> tuple[list[Subject], tuple[str, ...]]:
        if not due:
            return [], ()
        families = {family for rule in due for family in rule.metric.families}
        marks = {family: await self._watermarks(family) for family in sorted(families)}

        def make(store: ReadStore) -> Pass:
            reader = Reader(store, owners=self._owners, behind_ms=_behind(marks, now_ms))
            return Pass(reader, store, marks, self._detectors, now_ms, self._memory)

        subjects: list[Subject] = []
        failed: list[str] = []
        for result in await judge_beside(due, make, self._store, _by_rule(due, known)):
            told = result if isinstance(result, Failed) else _told(result, known, self._owners)
            if isinstance(told, Failed):
                failed.append(told.rule.name)
                log.error("alerts.rule_failed", rule=told.rule.name, source=told.rule.source, exc_info=told.error)
                self._metrics.count("headgate_alert_evaluations_total", result="failed")
            elif not isinstance(result, Failed):
                self._note(result)
                subjects += told
        return subjects, tuple(failed)

    def _note(self, result: RuleResult) -> None:
        rule = result.rule
        self._frozen[rule.name] = result.frozen
        self._metrics.count("headgate_alert_evaluations_total", result="stale" if result.frozen else "done")
        before, self._capped[rule.name] = self._capped.get(rule.name, 0), result.over_cap
        if result.over_cap and not before:
            log.warning("alerts.too_many_groups", rule=rule.name, groups=result.over_cap, cap=rule.max_alerts)

    def _by_source(self, rules: Mapping[str, Rule]) -> dict[str, frozenset[str]]:
        """Source -> rules it freezes, as of each rule's last evaluation."""
        frozen = {name: sources for name, sources in self._frozen.items() if name in rules}
        found = {source for sources in frozen.values() for source in sources}
        return {source: frozenset(name for name, sources in frozen.items() if source in sources) for source in found}

    def _report_states(self, known: _Known, change: AlertChange) -> None:
        states = {name: row.state for name, (row, _) in known.items()}
        states |= {row.fingerprint: row.state for row in change.rows}
        for name in change.removed:
            states.pop(name, None)
        self._states = states
        counts = Counter(states.values())
        for state in AlertState:
            self._metrics.set("headgate_alerts", counts[str(state)], state=str(state))


def _of_rule(known: _Known, rule: str) -> _Known:
    return {name: pair for name, pair in known.items() if pair[0].rule == rule}


def _groups(rules: Mapping[str, Rule]) -> dict[str, str]:
    """Rule -> its group, also of the built-in ones."""
    return dict.fromkeys(META_RULES, META_GROUP) | {name: rule.group for name, rule in rules.items()}


async def _nothing() -> Mapping[Any, Any]:
    return {}


def _behind(marks: Mapping[Family, Watermarks], now_ms: int) -> Mapping[str, int]:
    """Project -> how far behind the present it is collected."""
    return {
        project: max(0, now_ms - mark.at_ms)
        for found in marks.values()
        for project, mark in found.items()
        if mark.at_ms is not None
    }


def _by_rule(rules: Sequence[Rule], known: _Known) -> Mapping[str, Mapping[Labels, Alert]]:
    """Alerts by rule and group."""
    by_name = {rule.name: rule for rule in rules}
    found: dict[str, dict[Labels, Alert]] = {}
    for row, alert in known.values():
        rule = by_name.get(row.rule)
        if rule is not None and (labels := group_of(row, rule)) is not None:
            found.setdefault(rule.name, {})[labels] = alert
    return found


def _told(result: RuleResult, known: _Known, owners: Owners) -> Sequence[Subject] | Failed:
    """All of a rule's groups, or none of them."""
    try:
        return tuple(rule_subjects(result, known, owners))
    except Exception as error:  # noqa: BLE001  # told with the rule's name; the others go on
        return Failed(result.rule, error)


def rule_subjects(result: RuleResult, known: _Known, owners: Owners) -> Iterable[Subject]:
    """What a rule's groups became, with the rule's labels and texts."""
    rule = result.rule
    for group in result.groups:
        alert = group.step.alert
        yield Subject(
            fingerprint=group.fingerprint,
            rule=rule.name,
            group=rule.group,
            labels=group.labels,
            fixed=render_labels(rule.labels, group.labels, _team(group.labels, owners)),
            severity=rule.severity(alert.told or alert.level or group.before.level),
            annotations={"summary": default_summary(rule), **rule.annotations},
            texts={
                **{name: nothing for name, nothing in _UNTOLD.items() if name not in group.labels},
                **group.texts,
                "metric": rule.metric.id,
                **spoken(rule, group.labels, alert),
            },
            before=group.before,
            step=group.step,
            stored=group.fingerprint in known,
            first_bad_url=group.found.first_bad_url,
            good=rule.timing.silent_end,
            evidence=evidence_of(rule, group) if group.step.transitions or group.step.notify == "firing" else None,
        )


def _team(labels: Mapping[str, str], owners: Owners) -> str:
    project = labels.get("project")
    return owners.team(project, labels.get("workflow", ""), labels.get("job", "")) if project else ""


def _deleted(rules: Mapping[str, Rule], known: _Known, now_ms: int) -> list[Subject]:
    """Alerts that no rule stands for any more: deleted, or by other dimensions than before."""
    found: list[Subject] = []
    for row, alert in known.values():
        rule = rules.get(row.rule)
        if row.rule in META_RULES or (rule is not None and group_of(row, rule) is not None):
            continue
        old = alert.state is AlertState.RESOLVED and now_ms - alert.since_ms >= RESOLVED_SHOWN_MS
        ended = close(alert, Event.FORGOTTEN if old else Event.EDITED, now_ms)
        found.append(_stored_subject(row, alert, ended))
    return found


def group_of(row: AlertRow, rule: Rule) -> Labels | None:
    """The group that a stored alert is about, None where it is not one of this rule's groups."""
    labels = {name: row.labels.get(name, "") for name in rule.by}
    return tuple(sorted(labels.items())) if fingerprint(rule.name, labels) == row.fingerprint else None


def _stored_subject(row: AlertRow, before: Alert, ended: Step) -> Subject:
    return Subject(
        fingerprint=row.fingerprint,
        rule=row.rule,
        group="",
        labels={name: value for name, value in row.labels.items() if name != "severity"},
        fixed={},
        severity=row.labels.get("severity", "warning"),
        annotations={"summary": "{{ rule }} ended: its rule was changed or removed"},
        before=before,
        step=ended,
        stored=True,
    )
