"""What alerts did, as the lines of their history tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headgate.core.evidence import Evidence
from headgate.core.readport import ReadStore
from headgate.core.times import format_ms

__all__ = ["HistoryLine", "Told", "evidence_in", "history", "read_lines"]

_SHOWN = 100
# Of which one rule's are looked for: a millisecond of the event loop.
_PAGE = 1000
_NEVER_MS = 1 << 62
_NEW_EPISODE = ("inactive", "resolved")
Row = tuple[str, int, bytes]  # fingerprint, when, line


class _Named(msgspec.Struct, frozen=True):
    """The rule of a line."""

    rule: str = ""


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line as it is stored."""

    rule: str = ""
    labels: dict[str, str] = {}
    was: str = msgspec.field(default="", name="from")
    became: str = msgspec.field(default="", name="to")
    why: str = ""
    who: str = ""
    value: float | None = None
    baseline: float | None = None
    format: str = ""
    unit: str = ""
    n: int | None = None
    at_ms: int = 0
    window_ms: int = 0
    told: tuple[str, ...] = ()
    held: dict[str, str] = {}
    comment: str = ""
    verdict: str = ""
    evidence: Any = None


@dataclass(frozen=True, slots=True)
class Told:
    """Who was told of an alert when, and as what: firing or resolved, for the reason that is said."""

    notifier: str
    at: str
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of an alert's history. `was`, `became`: states, equal where it did not move.

    `who`: engine, or who acknowledged; `value`, `baseline`, `n`: of the reading; `format`, `unit`: of the first two, as
    the catalogue writes them, empty where they are plain counts or not known; `told`: notifiers that were given a
    message; `held`: those that were not -> why. `judged_ms`, `window_ms`: end and length of what was judged, 0
    where not known.
    """

    occurred_ms: int
    at: str
    fingerprint: str
    rule: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    was: str = ""
    became: str = ""
    why: str = ""
    who: str = ""
    value: float | None = None
    baseline: float | None = None
    format: str = ""
    unit: str = ""
    n: int | None = None
    told: tuple[str, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    verdict: str = ""
    judged_ms: int = 0
    window_ms: int = 0


async def history(store: ReadStore, rule: str = "") -> list[HistoryLine]:
    """What alerts did last, newest first, of all rules or one. A line that cannot be read is shown as its text."""
    return read_lines(await (_of_rule(store, rule) if rule else store.alert_history(None, _SHOWN)))


async def _of_rule(store: ReadStore, rule: str) -> list[Row]:
    """The newest lines, however many of other rules came after them."""
    found: list[Row] = []
    before: int | None = None
    while len(found) < _SHOWN:
        page = await store.alert_lines(0, _NEVER_MS, before=before, limit=_PAGE)
        found += [(name, at_ms, body) for _, name, at_ms, body in page if _rule_of(body) == rule]
        if len(page) < _PAGE:
            break
        before = page[-1][0]
    return found[:_SHOWN]


def read_lines(rows: Iterable[Row]) -> list[HistoryLine]:
    """Lines as the store has them, newest first; of one moment in the store's order."""
    return sorted((_line(*row) for row in rows), key=lambda one: -one.occurred_ms)


def evidence_in(rows: Iterable[Row]) -> Evidence | None:
    """What the newest episode of one alert was judged by; None where it was not kept. `rows`: newest first.

    Each line has what was known then: what is empty in a later one is taken from those before it.
    """
    found: Evidence | None = None
    for _, _, body in rows:
        line = _read(body)
        older = _evidence(line)
        if line is None or older is None:
            continue
        found = older if found is None else _completed(found, older)
        if line.was in _NEW_EPISODE:
            return found
    return found


def _evidence(line: _Line | None) -> Evidence | None:
    if line is None or line.evidence is None:
        return None
    try:
        return msgspec.convert(line.evidence, Evidence)
    except msgspec.ValidationError:
        return None


def _completed(newer: Evidence, older: Evidence) -> Evidence:
    missing = {name: getattr(older, name) for name in newer.__struct_fields__ if not getattr(newer, name)}
    return msgspec.structs.replace(newer, **missing)


def _rule_of(body: bytes) -> str:
    """Without the rest of a line, which takes ten times as long to read."""
    try:
        return msgspec.json.decode(body, type=_Named).rule
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ""


def _read(body: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(body, type=_Line)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _line(fingerprint: str, at_ms: int, body: bytes) -> HistoryLine:
    known = _read(body)
    if known is None:
        return HistoryLine(at_ms, format_ms(at_ms), fingerprint, why=body.decode("utf-8", "replace"))
    return HistoryLine(
        occurred_ms=at_ms,
        at=format_ms(at_ms),
        fingerprint=fingerprint,
        rule=known.rule,
        labels=known.labels,
        was=known.was,
        became=known.became,
        why=known.why,
        who=known.who,
        value=known.value,
        baseline=known.baseline,
        format=known.format,
        unit=known.unit,
        n=known.n,
        told=known.told,
        held=known.held,
        comment=known.comment,
        verdict=known.verdict,
        judged_ms=known.at_ms,
        window_ms=known.window_ms,
    )
