"""Alerts about Headgate itself. Pure.

CollectorStale: not being able to judge; one per source, naming the rules it freezes. SinkHeld: a sink refuses key,
address or every record, so that a human must act; one per signal. WebhooksMissing: those of a project came and do not
any more, while its runs go on; one per source and project. NotifierFailing: a notifier took nothing for so long that
messages were given up; one per notifier, told by the others. TooManyAlerts: a rule has more groups to alert on than it
may; one per rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from headgate.alerting.change import Subject
from headgate.core.alertdata import Alert, Outcome, Reading, Timing, fingerprint, new_alert
from headgate.core.alerts import step
from headgate.core.storeport import AlertRow
from headgate.core.times import HOUR_MS, MINUTE_MS, format_ms

__all__ = [
    "COLLECTOR_STALE",
    "META_GROUP",
    "META_RULES",
    "NOTIFIER_FAILING",
    "SINK_HELD",
    "TOO_MANY_ALERTS",
    "WEBHOOKS_MISSING",
    "capped_subjects",
    "failing_subjects",
    "held_subjects",
    "missing_subjects",
    "stale_subjects",
]

COLLECTOR_STALE = "CollectorStale"
SINK_HELD = "SinkHeld"
WEBHOOKS_MISSING = "WebhooksMissing"
NOTIFIER_FAILING = "NotifierFailing"
TOO_MANY_ALERTS = "TooManyAlerts"
# Raised by the engine itself; no rule file may use these names.
META_RULES = (COLLECTOR_STALE, SINK_HELD, WEBHOOKS_MISSING, NOTIFIER_FAILING, TOO_MANY_ALERTS)
META_GROUP = "headgate"
# A restart or a short outage of the far side is nobody's business; rules are frozen meanwhile, which is harmless.
_STALE = Timing(for_ms=15 * MINUTE_MS, keep_firing_ms=5 * MINUTE_MS)
# Groups come and go at the limit.
_CAPPED = Timing(keep_firing_ms=HOUR_MS)
_AT_ONCE = Timing()


def stale_subjects(
    frozen: Mapping[str, frozenset[str]], known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int
) -> list[Subject]:
    """A subject per source that freezes rules or did. `frozen`: source -> rules. `known`: by fingerprint."""
    sources = set(frozen) | {row.labels.get("source", "") for row, _ in known.values()}
    return [subject for source in sorted(sources) if (subject := _subject(source, frozen, known, now_ms)) is not None]


def _subject(
    source: str, frozen: Mapping[str, frozenset[str]], known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int
) -> Subject | None:
    labels = {"source": source}
    identity = fingerprint(COLLECTOR_STALE, labels)
    row = known.get(identity)
    rules = sorted(frozen.get(source, ()))
    if row is None and not rules:
        return None
    before = row[1] if row else new_alert(now_ms)
    outcome = Outcome.BREACH if rules else Outcome.CLEAR
    reading = Reading(now_ms, outcome, level=1 if rules else 0, value=float(len(rules)), n=1, n_new=1)
    names = ", ".join(rules)
    over = f"{source} is collected again, or is not used any more"
    summary = f"Collection from {source} is behind; frozen rules: {names}" if rules else over
    return Subject(
        fingerprint=identity,
        rule=COLLECTOR_STALE,
        group=META_GROUP,
        labels=labels,
        fixed={},
        severity="warning",
        annotations={"summary": "{{ text }}", "frozen_rules": "{{ rules }}"},
        texts={"text": summary, "rules": names},
        before=before,
        step=step(before, reading, _STALE),
        stored=row is not None,
    )


def held_subjects(held: Mapping[str, str], known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int) -> list[Subject]:
    """A subject per signal that is held or was. `held`: signal -> why. `known`: by fingerprint."""
    labels = {key: _signal_labels(key) for key in held}
    before = {f"{row.labels.get('sink', '')}.{row.labels.get('signal', '')}" for row, _ in known.values()}
    labels |= {key: _signal_labels(key) for key in before}
    return [_held(labels[key], held.get(key), known, now_ms) for key in sorted(labels)]


def _signal_labels(key: str) -> dict[str, str]:
    sink, _, signal = key.partition(".")
    return {"sink": sink, "signal": signal}


def _held(labels: dict[str, str], why: str | None, known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int) -> Subject:
    def told(since: str) -> str:
        if why is None:
            return f"sink {labels['sink']} takes records again, or is not used any more"
        kept = "what waits is kept, unless this sink's `overflow` is drop_oldest or the disk fills"
        return f"sink {labels['sink']} holds records back since {since}: {why}; {kept}; see `headgate check`"

    return _standing(SINK_HELD, labels, known, now_ms, wrong=why is not None, told=told)


def missing_subjects(
    missing: Mapping[tuple[str, str], tuple[int, int]], known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int
) -> list[Subject]:
    """A subject per project whose webhooks do not come any more, or did not. `known`: by fingerprint.

    `missing`: source and project -> when the last one told of an end, milliseconds, and how many have ended since.
    """
    before = {(row.labels.get("source", ""), row.labels.get("project", "")) for row, _ in known.values()}
    return [_missing(*which, missing.get(which), known, now_ms) for which in sorted({*missing, *before})]


def _missing(
    source: str,
    project: str,
    since: tuple[int, int] | None,
    known: Mapping[str, tuple[AlertRow, Alert]],
    now_ms: int,
) -> Subject:
    def told(_: str) -> str:
        if since is None:
            return f"webhooks of {project} come again"
        return (
            f"webhooks of {project} stopped at {format_ms(since[0])}: {since[1]} runs and jobs have ended since;"
            " they are collected all the same, only later; see `headgate webhooks plan`"
        )

    labels = {"source": source, "project": project}
    return _standing(WEBHOOKS_MISSING, labels, known, now_ms, wrong=since is not None, told=told)


def failing_subjects(
    failing: Mapping[str, tuple[int, int, str]], known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int
) -> list[Subject]:
    """A subject per notifier that fails or did: never told through itself. `known`: by fingerprint.

    `failing`: notifier -> when the first message was given up, milliseconds, how many since, and why.
    """
    before = {row.labels.get("notifier", "") for row, _ in known.values()}
    return [_failing(name, failing.get(name), known, now_ms) for name in sorted({*failing, *before})]


def _failing(
    name: str, since: tuple[int, int, str] | None, known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int
) -> Subject:
    def told(_: str) -> str:
        if since is None:
            return f"notifier {name} takes messages again, or is not used any more"
        return f"notifier {name} took none of {since[1]} messages since {format_ms(since[0])}: {since[2]}"

    made = _standing(NOTIFIER_FAILING, {"notifier": name}, known, now_ms, wrong=since is not None, told=told)
    return replace(made, not_to=name)


def capped_subjects(
    capped: Mapping[str, int], known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int
) -> list[Subject]:
    """A subject per rule that has too many groups, or had. `capped`: rule -> groups without an alert, 0 for none.

    A rule that is not named was not evaluated yet: nothing is said of it. `known`: by fingerprint.
    """
    open_ = {row.labels.get("rule", "") for row, _ in known.values()}
    return [_capped(rule, count, known, now_ms) for rule, count in sorted(capped.items()) if count or rule in open_]


def _capped(rule: str, count: int, known: Mapping[str, tuple[AlertRow, Alert]], now_ms: int) -> Subject:
    def told(_: str) -> str:
        if not count:
            return f"rule {rule} alerts on all of its groups again"
        return f"rule {rule} has {count} groups more than max_alerts_per_rule allows; they are not alerted on"

    return _standing(TOO_MANY_ALERTS, {"rule": rule}, known, now_ms, wrong=count > 0, told=told, timing=_CAPPED)


def _standing(
    rule: str,
    labels: dict[str, str],
    known: Mapping[str, tuple[AlertRow, Alert]],
    now_ms: int,
    *,
    wrong: bool,
    told: Callable[[str], str],
    timing: Timing = _AT_ONCE,
) -> Subject:
    """What is wrong until it is not: fires and resolves at once. `told`: the text, given since when it fires."""
    identity = fingerprint(rule, labels)
    row = known.get(identity)
    before = row[1] if row else new_alert(now_ms)
    outcome = Outcome.BREACH if wrong else Outcome.CLEAR
    made = step(before, Reading(now_ms, outcome, level=1 if wrong else 0, value=float(wrong), n=1, n_new=1), timing)
    return Subject(
        fingerprint=identity,
        rule=rule,
        group=META_GROUP,
        labels=labels,
        fixed={},
        severity="warning",
        annotations={"summary": "{{ text }}"},
        texts={"text": told(format_ms(made.alert.fired_ms or now_ms))},
        before=before,
        step=made,
        stored=row is not None,
    )
