"""CollectorStale: the alert about not being able to judge. One per source, naming the rules it freezes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.alerting.change import Subject
from headgate.core.alertdata import Alert, Outcome, Reading, Timing, fingerprint, new_alert
from headgate.core.alerts import step
from headgate.core.storeport import AlertRow
from headgate.core.times import MINUTE_MS

__all__ = ["COLLECTOR_STALE", "stale_subjects"]

COLLECTOR_STALE = "CollectorStale"
# A restart or a short outage of the far side is nobody's business; rules are frozen meanwhile, which is harmless.
TIMING = Timing(for_ms=15 * MINUTE_MS, keep_firing_ms=5 * MINUTE_MS)


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
        step=step(before, reading, TIMING),
        stored=row is not None,
    )
