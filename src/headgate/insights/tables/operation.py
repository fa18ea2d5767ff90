"""Tables of operation: alerts and what became of them, dead letters, completeness, signals, records as kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headgate.core.audits import PROVEN_WINDOWS
from headgate.core.readport import DeadLetter
from headgate.core.times import format_ms
from headgate.insights.tables.columns import column, keys, of_fields
from headgate.insights.tables.table import WINDOW, Asking, Material, Pages, Table

__all__ = ["OPERATION"]

_PAGE = 500
# Records are as large as a few kilobytes each.
_RECORDS = 200


async def _alerts(material: Material, asked: Asking) -> Pages:
    yield [one for one in await material.desk.alerts() if asked.one("rule") in ("", one["rule"])]


async def _history(material: Material, asked: Asking) -> Pages:
    before: int | None = None
    rule, alert = asked.one("rule"), asked.one("alert")
    while True:
        lines = await material.lens.store.alert_lines(
            asked.window.since_ms, asked.window.until_ms, before=before, limit=_PAGE
        )
        rows = [_line(name, at_ms, body) for _, name, at_ms, body in lines if alert in ("", name)]
        yield [row for row in rows if rule in ("", row.get("rule"))]
        if len(lines) < _PAGE:
            return
        before = lines[-1][0]


def _line(fingerprint: str, at_ms: int, body: bytes) -> Mapping[str, Any]:
    """One line as the engine wrote it; one that cannot be read is its text."""
    try:
        known = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        known = {"why": body.decode("utf-8", "replace")}
    return {**known, "at": format_ms(at_ms), "fingerprint": fingerprint}


async def _dead_letters(material: Material, asked: Asking) -> Pages:
    before: int | None = None
    while True:
        letters = await material.lens.store.dead_letters(signal=asked.one("signal") or None, before=before, limit=_PAGE)
        yield letters
        if len(letters) < _PAGE:
            return
        before = letters[-1].id


async def _completeness(material: Material, asked: Asking) -> Pages:
    window = next((one for one in PROVEN_WINDOWS if one == asked.one("proven")), PROVEN_WINDOWS[0])
    found = await material.desk.completeness(window)
    yield [{**one, "cells": _proven(found["hours"], one["cells"])} for one in found["projects"]]


def _proven(begins: Sequence[str], cells: Sequence[Mapping[str, Any] | None]) -> list[Mapping[str, Any]]:
    return [{"at": at, **(cell or {"state": None})} for at, cell in zip(begins, cells, strict=True)]


async def _signals(material: Material, _: Asking) -> Pages:
    status = (await material.desk.overview())["status"]
    yield [
        {"sink": sink, "signal": signal, **figures}
        for sink, one in status["sinks"].items()
        for signal, figures in one["signals"].items()
    ]


async def _records(material: Material, asked: Asking) -> Pages:
    window = asked.window
    after = None
    while True:
        entries = await material.lens.store.records_between(
            window.since_ms, window.until_ms, after=after, limit=_RECORDS
        )
        yield [msgspec.json.decode(entry.body) for entry in entries]
        if len(entries) < _RECORDS:
            return
        after = (entries[-1].lane, entries[-1].seq)


_ALERT = keys(
    ("state", "text", "pending, firing, recovering or resolved."),
    ("rule", "text", ""),
    ("labels", "json", "What it is about."),
    ("since", "time", "When it came into this state."),
    ("started_at", "time", "When it began to fire."),
    ("evaluated_at", "time", "When its rule was evaluated last."),
    ("value", "number", "The reading, in the unit of the rule's metric."),
    ("baseline", "number", "What the reading is held against."),
    ("n", "integer", "Sample of the reading."),
    ("first_bad", "json", "The first bad run, where one is known."),
    ("flags", "json", "silenced, inhibited, acknowledged, flapping, stale, late."),
    ("told", "flag", "Whether anybody was told."),
    ("receivers", "json", "Notifiers that were told."),
    ("held", "json", "Notifiers that are not told, with the reason."),
    ("acknowledged", "json", "Who has seen it."),
    ("fingerprint", "text", "Its id."),
)
_CHANGE = keys(
    ("at", "time", ""),
    ("from", "text", "The state before."),
    ("to", "text", "The state after; the same where it was only told."),
    ("rule", "text", ""),
    ("labels", "json", "What it is about."),
    ("value", "number", "The reading, in the unit of the rule's metric."),
    ("baseline", "number", "What the reading is held against."),
    ("n", "integer", "Sample of the reading."),
    ("why", "text", ""),
    ("who", "text", "Who did it, of what people do."),
    ("told", "json", "Notifiers that were given a message."),
    ("held", "json", "Notifiers that were not, with the reason."),
    ("fingerprint", "text", "Id of the alert."),
)


def _at(name: str) -> Any:
    return lambda row: format_ms(getattr(row, name))


def _record_of(letter: DeadLetter) -> str:
    return letter.body.decode("utf-8", "replace")


_LETTER = (
    *of_fields(
        DeadLetter,
        leave=("occurred_ms", "first_ms", "last_ms", "body"),
        docs={"answer": "The sink's words.", "attempts": "How often it was sent.", "requeued": "It is sent again."},
    ),
    column("occurred_at", "time", "When what it tells of ended.", _at("occurred_ms")),
    column("first_at", "time", "First attempt.", _at("first_ms")),
    column("last_at", "time", "Last attempt.", _at("last_ms")),
    column("record", "text", "The record as JSON.", _record_of),
)
_COMPLETENESS = keys(
    ("source", "text", ""),
    ("project", "text", ""),
    ("expected", "integer", "Runs and jobs that CircleCI lists."),
    ("present", "integer", "Of these, known before the audit."),
    ("repaired", "integer", "Found by the audit."),
    ("unrepairable", "integer", "That could not be had."),
    ("unannounced", "integer", "That no webhook told of."),
    ("cells", "json", "The same by hour or day, oldest first; without a state where nothing was audited yet."),
)
_SIGNAL = keys(
    ("sink", "text", ""),
    ("signal", "text", ""),
    ("state", "text", "ok, retrying, open, held or removed."),
    ("lag_seconds", "number", "Age of the oldest record that it has not got."),
    ("waiting", "integer", "Records that it has not got."),
    ("dead", "integer", "Dead letters."),
    ("accepted", "integer", "Records accepted."),
    ("skipped", "json", "Records skipped, by reason."),
)
_RECORD = keys(
    ("id", "text", "The same for everything that is said about the same thing."),
    ("schema", "integer", "Version of the envelope."),
    ("kind", "text", ""),
    ("occurred_at", "time", "When what it tells of ended."),
    ("observed_at", "time", "When enough was known to release it."),
    ("sources", "json", "Which inputs contributed."),
    ("tenant", "text", "Host of the provider."),
    ("org", "text", ""),
    ("project", "text", ""),
    ("attributes", "json", "As docs/records.md lists them."),
)

OPERATION = (
    Table(
        "alerts",
        "Alerts",
        "Alerts that are pending, firing, recovering or lately resolved, firing ones first.",
        ("rule",),
        lambda *_: _ALERT,
        _alerts,
    ),
    Table(
        "alert_history",
        "History of alerts",
        "What alerts did and who was told, newest first.",
        ("rule", "alert", *WINDOW),
        lambda *_: _CHANGE,
        _history,
    ),
    Table(
        "dead_letters",
        "Dead letters",
        "Records that a sink will never take as they are, newest first.",
        ("signal",),
        lambda *_: _LETTER,
        _dead_letters,
    ),
    Table(
        "completeness",
        "Completeness",
        "What audits found, by project: by the hour of the last 24 hours, or by the day with `proven`.",
        ("proven",),
        lambda *_: _COMPLETENESS,
        _completeness,
        choices={"proven": PROVEN_WINDOWS},
    ),
    Table("signals", "Signals", "Signals of every sink and how far they are.", (), lambda *_: _SIGNAL, _signals),
    Table(
        "records",
        "Records",
        "Records as sinks get them, of a time, as long as the log holds them: live ones, then those of history.",
        WINDOW,
        lambda *_: _RECORD,
        _records,
    ),
)
