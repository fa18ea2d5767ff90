"""Loki's rules for streams and lines, with the texts of its answers.

Source: grafana/loki `pkg/distributor` and `pkg/validation` on the main branch and the "limits_config" page,
read November 2026. Invariant: good lines of a request are stored even when others of it are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from headgate.testing.sinks.ledger import Keep, Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

NS_PER_S = 1_000_000_000
LABEL_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
RESERVED_LABELS = frozenset({"__backfill__", "__backfill_shard__"})
IGNORED_LINES_NAMED = 10  # a stream's refusal names so many lines and counts the rest
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """One line: nanoseconds as text, the line, its structured metadata."""

    time: str
    line: str
    metadata: dict[str, str] = {}


class Stream(msgspec.Struct):
    """One stream of a push."""

    stream: dict[str, str]
    values: list[Entry]


class Push(msgspec.Struct):
    """The body of a push."""

    streams: list[Stream]


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers that streams and lines are held against; ages in nanoseconds, 0 switches an age off."""

    max_age_ns: int
    max_ahead_ns: int
    max_behind_ns: int
    max_label_names: int
    max_streams: int
    max_line_bytes: int
    max_metadata_bytes: int
    max_metadata_entries: int
    max_label_name_bytes: int = 1024
    max_label_value_bytes: int = 2048


@dataclass(slots=True)
class Refusals:
    """What was refused of one request: kinds with a count and the first text, and the status."""

    kinds: dict[str, list[Any]] = field(default_factory=dict)
    streams_refused: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Count one refusal of a kind and keep the first text."""
        self.kinds.setdefault(kind, [0, text])[0] += 1

    def status(self) -> int:
        """Return 204 when nothing was refused, 429 when only streams over the limit were, else 400."""
        if self.kinds or self.behind:
            return 400
        return 429 if self.streams_refused else 204

    def text(self) -> str:
        """Return the answer's text, equal refusals folded."""
        grouped = [first if n == 1 else f"{n} errors like: {first}" for n, first in self.kinds.values()]
        return "; ".join(grouped) or "\n".join(self.behind or self.streams_refused[:1])


class Streams:
    """All streams of one fake: judges pushes against the limits and keeps the good lines."""

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self._limits = limits
        self._ledger = ledger
        self._newest: dict[tuple[str, str], int] = {}
        self._names: dict[tuple[tuple[str, str], ...], str] = {}

    def clear(self) -> None:
        """Forget all streams."""
        self._newest.clear()

    def names(self) -> list[str]:
        """Return the label sets seen, as text."""
        return sorted({name for _, name in self._newest})

    def push(self, push: Push, *, tenant: str, shard: str = "", leave_out: int = 0) -> Refusals:
        """Judge and keep; `shard` is the backfill shard, `leave_out` good lines are dropped unseen first."""
        refusals = Refusals()
        for stream in push.streams:
            if not stream.values:
                continue
            skipped = min(leave_out, len(stream.values))
            leave_out -= skipped
            labels = stream.stream
            if shard:
                labels = {**labels, "__backfill__": "true", "__backfill_shard__": shard}
            name = self._name(labels)
            if self._labels_good(stream.stream, name, refusals):
                self._lines((tenant, name), labels, stream.values[skipped:], refusals)
        return refusals

    def _name(self, labels: Mapping[str, str]) -> str:
        key = tuple(sorted(labels.items()))
        name = self._names.get(key)
        if name is None:
            name = "{" + ", ".join(f"{k}={orjson.dumps(v).decode()}" for k, v in key) + "}"
            self._names[key] = name
        return name

    def _labels_good(self, labels: Mapping[str, str], name: str, refusals: Refusals) -> bool:
        limits = self._limits
        if not labels:
            refusals.add("labels", "error at least one label pair is required per stream")
        elif len(labels) > limits.max_label_names:
            count, most = len(labels), limits.max_label_names
            refusals.add("label names", f"entry for stream '{name}' has {count} label names; limit {most}")
        elif any(len(key.encode()) > limits.max_label_name_bytes for key in labels):
            refusals.add("label name", f"stream '{name}' has label name too long")
        elif any(len(value.encode()) > limits.max_label_value_bytes for value in labels.values()):
            refusals.add("label value", f"stream '{name}' has label value too long")
        else:
            return True
        return False

    def _lines(self, key: tuple[str, str], labels: Mapping[str, str], entries: list[Entry], refusals: Refusals) -> None:
        limits, name = self._limits, key[1]
        now = self._ledger.clock_ms() * 1_000_000
        oldest = now - limits.max_age_ns if limits.max_age_ns and "__backfill__" not in labels else 0
        latest = now + limits.max_ahead_ns if limits.max_ahead_ns else 1 << 63
        good: list[tuple[int, Entry]] = []
        for entry in entries:
            time = int(entry.time)
            if time < oldest:
                text = f"timestamp too old: {rfc3339(time)}, oldest acceptable timestamp is: {rfc3339(oldest)}"
                refusals.add("too old", f"entry for stream '{name}' has {text}")
            elif time > latest:
                refusals.add("too new", f"entry for stream '{name}' has timestamp too new: {rfc3339(time)}")
            elif self._entry_good(entry, name, refusals):
                good.append((time, entry))
        if good and self._admit(key, refusals):
            self._append(key, labels, good, refusals)

    def _entry_good(self, entry: Entry, name: str, refusals: Refusals) -> bool:
        limits, line, metadata = self._limits, entry.line, entry.metadata
        if len(line) * 4 > limits.max_line_bytes and len(line.encode()) > limits.max_line_bytes:
            text = f"max entry size '{limits.max_line_bytes}' bytes exceeded for stream '{name}'"
            refusals.add("line", f"{text} while adding an entry with length '{len(line.encode())}' bytes")
            return False
        if not metadata:
            return True
        if len(metadata) > limits.max_metadata_entries:
            count, most = len(metadata), limits.max_metadata_entries
            text = f"too many structured metadata labels: '{count}', limit: '{most}'"
            refusals.add("metadata count", f"stream '{name}' has {text}")
            return False
        chars = sum(map(len, metadata)) + sum(map(len, metadata.values()))
        if chars * 4 > limits.max_metadata_bytes:
            size = sum(len(k.encode()) + len(v.encode()) for k, v in metadata.items())
            if size > limits.max_metadata_bytes:
                most = limits.max_metadata_bytes
                text = f"structured metadata too large: '{size}' bytes, limit: '{most}' bytes"
                refusals.add("metadata size", f"stream '{name}' has {text}")
                return False
        return True

    def _admit(self, key: tuple[str, str], refusals: Refusals) -> bool:
        if key in self._newest or len(self._newest) < self._limits.max_streams:
            return True
        refusals.streams_refused.append(
            f"maximum active stream limit exceeded when trying to create stream {key[1]}, reduce the number "
            "of active streams (reduce labels or reduce label values), or contact your Loki administrator to "
            f"see if the limit can be increased, user: '{key[0]}'"
        )
        return False

    def _append(
        self,
        key: tuple[str, str],
        labels: Mapping[str, str],
        good: list[tuple[int, Entry]],
        refusals: Refusals,
    ) -> None:
        newest, behind = self._newest.get(key, 0), self._limits.max_behind_ns
        late: list[tuple[int, int]] = []
        kept: list[tuple[int, Entry]] = []
        for time, entry in good:
            if behind and time < newest - behind:
                late.append((time, newest - behind))
            else:
                newest = max(newest, time)
                kept.append((time, entry))
        self._newest[key] = newest
        self._keep(key, labels, kept)
        if late:
            refusals.behind.append(behind_text(late, len(good), key))

    def _keep(self, key: tuple[str, str], labels: Mapping[str, str], kept: list[tuple[int, Entry]]) -> None:
        if self._ledger.keep is Keep.NONE:
            self._ledger.count(len(kept))
            return
        for time, entry in kept:
            same = (key, time, entry.line, tuple(sorted(entry.metadata.items())))
            native = {
                "tenant": key[0],
                "stream": labels,
                "time_ns": str(time),
                "line": entry.line,
                "metadata": entry.metadata,
            }
            taken = same if self._ledger.keep is Keep.ALL else hash(same)
            self._ledger.add(taken, record_id(entry), native)


def behind_text(late: list[tuple[int, int]], total: int, key: tuple[str, str]) -> str:
    """Return Loki's text for lines too far behind: `late` holds (time, oldest acceptable) in nanoseconds."""
    lines = [
        f"entry with timestamp {go_time(time)} ignored, reason: 'entry too far behind, entry timestamp is: "
        f"{rfc3339(time)}, oldest acceptable timestamp is: {rfc3339(oldest)}',"
        for time, oldest in late[:IGNORED_LINES_NAMED]
    ]
    tenant, name = key
    lines.append(f"user '{tenant}', total ignored: {len(late)} out of {total} for stream: {name}")
    return "\n".join(lines)


def record_id(entry: Entry) -> str | None:
    """Return the record's id: metadata `record_id` or `id`, else the same keys of a JSON line."""
    metadata = entry.metadata
    found: Any = metadata.get("record_id") or metadata.get("id")
    if found is None and entry.line.startswith("{"):
        try:
            line = orjson.loads(entry.line)
        except orjson.JSONDecodeError:
            return None
        found = line.get("record_id") or line.get("id")
    return found if isinstance(found, str) else None


def rfc3339(time_ns: int) -> str:
    """Return a time as Go prints it: UTC, no trailing zeros of the fraction."""
    seconds, nanos = divmod(time_ns, NS_PER_S)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{nanos:09d}".rstrip("0") if nanos else "") + "Z"


def go_time(time_ns: int) -> str:
    """Return a time as Go's `Time.String` prints it in UTC."""
    return rfc3339(time_ns).replace("T", " ").replace("Z", " +0000 UTC")
