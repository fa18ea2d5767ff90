"""Alerts about Headgate itself. Pure.

CollectorStale: not being able to judge; one per source, naming the rules it freezes. SinkHeld: a sink refuses key,
address or every record, so that a human must act; one per signal.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.alerting.change import Subject
from headgate.core.alertdata import Alert, Outcome, Reading, Timing, fingerprint, new_alert
from headgate.core.alerts import step
from headgate.core.storeport import AlertRow
from headgate.core.times import MINUTE_MS, format_ms

__all__ = ["COLLECTOR_STALE", "META_RULES", "SINK_HELD", "held_subjects", "stale_subjects"]

COLLECTOR_STALE = "CollectorStale"
SINK_HELD = "SinkHeld"
# Raised by the engine itself; no rule file may use these names.
META_RULES = (COLLECTOR_STALE, SINK_HELD)
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
    identity = fingerprint(SINK_HELD, labels)
    row = known.get(identity)
    before = row[1] if row else new_alert(now_ms)
    outcome = Outcome.CLEAR if why is None else Outcome.BREACH
    reading = Reading(now_ms, outcome, level=0 if why is None else 1, value=0.0 if why is None else 1.0, n=1, n_new=1)
    made = step(before, reading, Timing())
    since = format_ms(made.alert.fired_ms or now_ms)
    told = f"sink {labels['sink']} takes records again" if why is None else (
        f"sink {labels['sink']} holds records back since {since}: {why}; nothing is lost, see `headgate check`"
    )  # fmt: skip
    return Subject(
        fingerprint=identity,
        rule=SINK_HELD,
        group="headgate",
        labels=labels,
        fixed={},
        severity="warning",
        annotations={"summary": "{{ text }}"},
        texts={"text": told},
        before=before,
        step=made,
        stored=row is not None,
    )
