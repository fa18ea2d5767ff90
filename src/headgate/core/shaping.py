"""What one sink gets of each record: which ones, with which tags, without what is private or secret. Pure.

Invariant: the same entry and rules give the same bytes, and id, kind and times stay. An entry that nothing applies to
is handed on as it is, and one that has no free text is not even decoded where nothing is configured.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from headgate.core.fieldlist import ATTRIBUTES, FREE_TEXT, TIMES, TRUNCATED, kinds_of
from headgate.core.patterns import Redactions
from headgate.core.ports import LogEntry
from headgate.core.record import KINDS, Attribute, Record, decode_record, encode_record
from headgate.core.redact import may_hold_token, redact_tokens

__all__ = [
    "FilteredBy",
    "Globs",
    "Shaped",
    "ShapedEntry",
    "Shaper",
    "ShapingRules",
    "TagRule",
    "Treatment",
    "filtered_words",
]

Treatment = Literal["drop", "hash", "keep"]
FilteredBy = Literal["kinds", "projects", "branches"]

_BRANCH = "vcs.ref.head.name"
# What a tag rule may look at, beside the record's own project, org and kind.
_MATCHED = {"branch": _BRANCH, "workflow": "cicd.pipeline.name", "job": "cicd.pipeline.task.name"}
# Half of a SHA-256: enough that no two people of an organisation share one.
_HASH_DIGITS = 32
# Kinds whose record names a branch where one is known. An amendment names only what changed.
_BRANCH_KINDS = frozenset(kinds_of(_BRANCH)) - {"amendment"}
# A search is fastest for the whole name; the quotes are JSON's.
_NEEDLES: Mapping[str, tuple[bytes, ...]] = {
    kind: tuple(
        b'"%s":' % name.encode() for name in sorted(FREE_TEXT) if kind == "amendment" or name in ATTRIBUTES[kind]
    )
    for kind in KINDS
}


class ShapedEntry(LogEntry, frozen=True, gc=False):
    """An entry whose body was changed for one sink. `stored`: the entry of the log, which dead letters keep."""

    stored: LogEntry


@dataclass(frozen=True, slots=True)
class Globs:
    """Which words pass: one of `include` (none: all) and none of `exclude`. `*` also matches `/`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)

    def allow(self, word: str) -> bool:
        """Whether a word passes; a blank one stands for none, which no `include` names."""
        included = not self.include or any(fnmatchcase(word, glob) for glob in self.include if word)
        return included and not any(fnmatchcase(word, glob) for glob in self.exclude if word)


@dataclass(frozen=True, slots=True)
class TagRule:
    """Tags for the records that every glob of `match` fits: project, org, branch, workflow, job or kind -> glob."""

    match: Mapping[str, str]
    tags: Mapping[str, str]

    def fits(self, words: Mapping[str, Attribute | None]) -> bool:
        """Whether all globs match; what a record does not say matches none."""
        return all(
            isinstance(word := words[name], str) and fnmatchcase(word, glob) for name, glob in self.match.items()
        )


@dataclass(frozen=True, slots=True)
class ShapingRules:
    """What is done for one sink. `kinds`: none given: all. `privacy`: attribute glob -> treatment, the last match wins.

    `hash_key`: needed where a treatment is `hash`. `tokens`: take what looks like a token out of free text.
    `max_text`: bytes of UTF-8 of a string attribute.
    """

    kinds: frozenset[str] = frozenset()
    projects: Globs = field(default_factory=Globs)
    branches: Globs = field(default_factory=Globs)
    tags: Mapping[str, str] = field(default_factory=dict)
    tag_rules: tuple[TagRule, ...] = ()
    privacy: Mapping[str, Treatment] = field(default_factory=dict)
    hash_key: bytes = field(default=b"", repr=False)
    redact: tuple[re.Pattern[str], ...] = ()
    tokens: bool = True
    max_text: int | None = None


@dataclass(frozen=True, slots=True)
class Shaped:
    """Entries in order. `filtered`: those the sink does not get, with why. `broken`: no records, so never sent."""

    keep: Sequence[LogEntry]
    filtered: Sequence[tuple[LogEntry, FilteredBy]] = ()
    broken: Sequence[LogEntry] = ()


class Shaper:
    """Applies the rules of one sink. May be used from several threads."""

    def __init__(self, rules: ShapingRules) -> None:
        self._rules = rules
        self._redact = Redactions(rules.redact) if rules.redact else None
        self._changes = bool(rules.tags or rules.tag_rules or rules.privacy or rules.redact or rules.max_text)
        self._plain = not (rules.kinds or rules.projects or rules.branches or self._changes)
        self._treatments: dict[str, Treatment] = {}

    def shape(self, entries: Sequence[LogEntry], kinds: Collection[str] | None) -> Shaped:
        """Sort and change entries; those of a kind not in `kinds`, which the signal does not take, stay as they are."""
        if self._plain and not any(map(self._suspect, entries)):
            return Shaped(entries)
        keep: list[LogEntry] = []
        filtered: list[tuple[LogEntry, FilteredBy]] = []
        broken: list[LogEntry] = []
        for entry in entries:
            if kinds is not None and entry.kind not in kinds:
                keep.append(entry)
                continue
            by = self._by_envelope(entry.kind, entry.project)
            try:
                made = entry if by else self._one(entry)
            except msgspec.DecodeError:
                broken.append(entry)
                continue
            if by is None and made is not None:
                keep.append(made)
            else:
                filtered.append((entry, by or "branches"))
        return Shaped(keep, filtered, broken)

    def filtered_by(self, body: bytes) -> FilteredBy | None:
        """Which filter holds a record back; None where it passes. Raises msgspec.DecodeError for what is none."""
        record = decode_record(body)
        by = self._by_envelope(record.kind, record.project or "")
        if by is None and self._rules.branches and not self._on_branch(record):
            return "branches"
        return by

    def _by_envelope(self, kind: str, project: str) -> FilteredBy | None:
        rules = self._rules
        if rules.kinds and kind not in rules.kinds:
            return "kinds"
        return "projects" if rules.projects and not rules.projects.allow(project) else None

    def _suspect(self, entry: LogEntry) -> bool:
        """Whether something like a token may stand in its free text. Looks at bytes; errs on the side of yes."""
        body = entry.body
        start = 0
        for needle in _NEEDLES.get(entry.kind, ()) if self._rules.tokens else ():
            at = body.find(needle, start)
            if at >= 0:
                # Attributes are sorted, so the next one stands behind.
                start = at + len(needle)
                # Inside of a string of JSON no quote stands unescaped; a list is searched to the end of the record.
                end = body.find(b'","', start) if body.startswith(b'"', start) else -1
                if may_hold_token(body, start, end if end >= 0 else len(body)):
                    return True
        return False

    def _one(self, entry: LogEntry) -> LogEntry | None:
        """The entry for the sink; None where its branch is filtered. Raises msgspec.DecodeError."""
        if not (self._changes or self._rules.branches or self._suspect(entry)):
            return entry
        record = decode_record(entry.body)
        if self._rules.branches and not self._on_branch(record):
            return None
        attributes = self._attributes(record)
        if attributes == record.attributes:
            return entry
        body = encode_record(msgspec.structs.replace(record, attributes=attributes))
        return _with_body(entry, body)

    def _on_branch(self, record: Record) -> bool:
        branch = record.attributes.get(_BRANCH)
        if not isinstance(branch, str) and record.kind not in _BRANCH_KINDS:
            return True
        return self._rules.branches.allow(branch if isinstance(branch, str) else "")

    def _attributes(self, record: Record) -> dict[str, Attribute]:
        """Private ones first, then secrets, then length; tags are the configuration's own and stay as they are."""
        made: dict[str, Attribute] = {}
        cut: list[str] = []
        for name, given in record.attributes.items():
            value = self._treated(name, given)
            if value is None:
                continue
            if isinstance(value, str | list) and name not in TIMES:
                value = self._cleaned(name, value)
                if self._rules.max_text is not None and (short := _each(self._short, value)) != value:
                    cut.append(name)
                    value = short
            made[name] = value
        if cut:
            made[TRUNCATED] = sorted(cut)
        made |= self._tags(record)
        return dict(sorted(made.items()))

    def _treated(self, name: str, value: Attribute) -> Attribute | None:
        """The value after privacy; None: it goes. Only text can be hashed, anything else goes instead."""
        treatment = self._treatments.get(name)
        if treatment is None:
            fitting = (way for glob, way in self._rules.privacy.items() if fnmatchcase(name, glob))
            treatment = self._treatments[name] = ([*fitting] or ["keep"])[-1]
        if treatment == "keep":
            return value
        text = isinstance(value, str | list) and name not in TIMES
        return _each(self._hashed, value) if treatment == "hash" and text else None

    def _hashed(self, text: str) -> str:
        return "hmac:" + hmac.digest(self._rules.hash_key, text.encode(), "sha256").hex()[:_HASH_DIGITS]

    def _cleaned(self, name: str, value: Attribute) -> Attribute:
        if self._rules.tokens and name in FREE_TEXT:
            value = _each(redact_tokens, value)
        return _each(self._redact, value) if self._redact else value

    def _short(self, text: str) -> str:
        """At most `max_text` bytes, cut between characters."""
        most = self._rules.max_text
        if most is None or 4 * len(text) <= most:
            return text
        return text.encode()[:most].decode("utf-8", "ignore")

    def _tags(self, record: Record) -> dict[str, Attribute]:
        tags = dict(self._rules.tags)
        if self._rules.tag_rules:
            words: dict[str, Attribute | None] = {"project": record.project, "org": record.org, "kind": record.kind}
            words |= {name: record.attributes.get(attribute) for name, attribute in _MATCHED.items()}
            for rule in self._rules.tag_rules:
                if rule.fits(words):
                    tags |= rule.tags
        return {f"tag.{name}": value for name, value in tags.items()}


def filtered_words(sink: str, by: FilteredBy) -> str:
    """What people read of a record that a sink's `records` section holds back."""
    return f"filtered by sinks.{sink}.records.{by}"


def _with_body(entry: LogEntry, body: bytes) -> ShapedEntry:
    return ShapedEntry(
        seq=entry.seq,
        lane=entry.lane,
        record_id=entry.record_id,
        kind=entry.kind,
        occurred_ms=entry.occurred_ms,
        project=entry.project,
        order_key=entry.order_key,
        body=body,
        stored=entry,
    )


def _each(change: Callable[[str], str], value: Attribute) -> Attribute:
    """A string, or each string of a list, changed; anything else as it is."""
    if isinstance(value, str):
        return change(value)
    return [change(one) for one in value] if isinstance(value, list) else value
