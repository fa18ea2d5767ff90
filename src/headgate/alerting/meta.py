"""Alerts about Headgate itself. Pure.

CollectorStale: not being able to judge; one per source, naming the rules it freezes. SinkHeld: a sink refuses key,
address or every record, so that a human must act; one per signal. WebhooksMissing: those of a project came and do not
any more, while its runs go on; one per source and project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headgate.alerting.change import Subject
from headgate.core.alertdata import Alert, Outcome, Reading, Timing, fingerprint, new_alert
from headgate.core.alerts import step
from headgate.core.storeport import AlertRow
from headgate.core.times import MINUTE_MS, format_ms

__all__ = [
    "COLLECTOR_STALE",
    "META_RULES",
    "SINK_HELD",
    "WEBHOOKS_MISSING",
    "held_subjects",
    "missing_subjects",
    "stale_subjects",
]

COLLECTOR_STALE = "CollectorStale"
SINK_HELD = "SinkHeld"
WEBHOOKS_MISSING = "WebhooksMissing"
# Raised by the engine itself; no rule file may use these names.
META_RULES = (COLLECTOR_STALE, SINK_HELD, WEBHOOKS_MISSING)
# A restart or a short outage of the far side is nobody's business; rules are frozen meanwhile, which is harmless.
_STALE = Timing(for_ms=15 * MINUTE_MS, keep_firing_ms=5 * MINUTE_MS)


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
    summary = f"Collection from {source} is behind; frozen rules: {names}" if rules else f"{source} is collected again"
    return Subject(
        fingerprint=identity,
        rule=COLLECTOR_STALE,
        group="headgate",
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
            return f"sink {labels['sink']} takes records again"
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


def _standing(
    rule: str,
    labels: dict[str, str],
    known: Mapping[str, tuple[AlertRow, Alert]],
    now_ms: int,
    *,
    wrong: bool,
    told: Callable[[str], str],
) -> Subject:
    """What is wrong until it is not: fires and resolves at once. `told`: the text, given since when it fires."""
    identity = fingerprint(rule, labels)
    row = known.get(identity)
    before = row[1] if row else new_alert(now_ms)
    outcome = Outcome.BREACH if wrong else Outcome.CLEAR
    made = step(before, Reading(now_ms, outcome, level=1 if wrong else 0, value=float(wrong), n=1, n_new=1), Timing())
    return Subject(
        fingerprint=identity,
        rule=rule,
        group="headgate",
        labels=labels,
        fixed={},
        severity="warning",
        annotations={"summary": "{{ text }}"},
        texts={"text": told(format_ms(made.alert.fired_ms or now_ms))},
        before=before,
        step=made,
        stored=row is not None,
    )
