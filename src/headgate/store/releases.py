"""Records leave here: appended to the log once, numbered without gaps per lane; later changes are amendments.

Invariants: a row of `released` and its row of the log are written in one transaction; no two amendments in the log have
one id, also where retention took a fact before the log and it came back.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from headgate.core.facts import LEAF_KINDS, FactKind
from headgate.core.ids import record_id
from headgate.core.merge import Known, ProjectRef
from headgate.core.record import Attribute, Record, encode_record
from headgate.core.render import (
    LeafParents,
    changed_attributes,
    ended_ms,
    job_attributes,
    leaf_attributes,
    make_amendment,
    make_record,
    workflow_attributes,
)
from headgate.store.facts import Fact
from headgate.store.schema import KIND_NUMBER, LANES, encode_key
from headgate.store.session import Session
from headgate.store.sql import Database, insert

__all__ = ["Releases", "View", "block_of", "end_ms", "order_key", "render", "with_record_id"]

# Rows of `released` are kept in blocks of 2 to this power of neighbouring positions (migration 3).
_BLOCK_BITS = 13
# One look into each block, of which there are 1,200 for 10 million records.
_IN_ANY_BLOCK = (
    "WITH RECURSIVE every (block) AS (SELECT min(block) FROM released UNION ALL"
    " SELECT (SELECT min(block) FROM released WHERE block > every.block) FROM every WHERE every.block IS NOT NULL)"
    " SELECT r.kind, r.fact FROM every CROSS JOIN released r ON r.block = every.block AND r.record_id = ? LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class View:
    """All that a record is rendered from."""

    known: Known
    workflow: Known | None
    pipeline: Known | None
    job: Known | None = None


def render(kind: FactKind, key: str, view: View, project: ProjectRef, app_url: str) -> dict[str, Attribute]:
    """The attributes of a record of any kind."""
    if kind == "workflow":
        return workflow_attributes(key, view.known, project, view.pipeline, app_url=app_url)
    if kind in LEAF_KINDS:
        above = LeafParents(view.job, view.workflow, view.pipeline)
        return leaf_attributes(kind, view.known, project, above, app_url=app_url)
    return job_attributes(key, view.known, project, view.workflow, view.pipeline, app_url=app_url)


def block_of(released: int) -> int:
    """The block of a record; `released` as facts have it."""
    return released // 2 >> _BLOCK_BITS


def with_record_id(db: Database, identity: bytes | str) -> tuple[int, int] | None:
    """Kind number and fact of the record with this encoded id; for people who ask, milliseconds in a large store."""
    return db.execute(_IN_ANY_BLOCK, (identity,)).fetchone()  # type: ignore[no-any-return]  # as the columns are


def order_key(text: str) -> int:
    """16 bits of a workflow's id: entries with an equal one are delivered in order."""
    return zlib.crc32(text.encode()) & 0xFFFF


def end_ms(known: Known) -> int | None:
    """When the thing ended; None where no input said so."""
    stopped = known.values.get("stopped_at")
    return stopped if isinstance(stopped, int) else None


class Releases:
    """Log rows gathered by one unit."""

    def __init__(self, session: Session, *, now_ms: int, live_after_ms: int, app_url: str) -> None:
        self._session = session
        self._now_ms = now_ms
        self._live_after_ms = live_after_ms
        self._app_url = app_url
        self._log: tuple[list[tuple[object, ...]], list[tuple[object, ...]]] = ([], [])
        self._released: list[tuple[object, ...]] = []
        self._amended: list[tuple[object, ...]] = []
        self.released: dict[tuple[str, str], int] = {}
        self.amended = 0

    def release(self, fact: Fact, view: View, project: ProjectRef) -> None:
        """Append the fact's record and remember where it went."""
        if self._session.counters.get("orphans") and self._came_back(fact):
            return
        attributes = render(fact.kind, fact.key, view, project, self._app_url)
        record = make_record(
            fact.kind, fact.key, fact.known, project, attributes, observed_ms=self._now_ms, workflow=view.workflow
        )
        ended = ended_ms(fact.known, view.workflow)
        lane, seq, digest = self._append(record, fact, ended, self._now_ms if ended is None else ended)
        fact.released = seq * 2 + lane
        identity = encode_key(record.id)
        block = block_of(fact.released)
        self._released.append((block, identity, KIND_NUMBER[fact.kind], fact.id, lane, seq, 0, digest))
        count = (record.kind, LANES[lane])
        self.released[count] = self.released.get(count, 0) + 1

    def _came_back(self, fact: Fact) -> bool:
        """Whether the record left before the fact was lost with a damaged page; it does not leave twice."""
        identity = encode_key(record_id(fact.kind, fact.host, fact.key))
        row = self._session.db.execute(
            "SELECT lane, seq FROM released WHERE record_id = ? AND fact = 0", (identity,)
        ).fetchone()
        if row is None:
            return False
        fact.released = row[1] * 2 + row[0]
        at = (block_of(fact.released), identity)
        self._session.db.execute("UPDATE released SET fact = ? WHERE block = ? AND record_id = ?", (fact.id, *at))
        self._session.count("orphans", -1)
        return True

    def amend(self, fact: Fact, before: View, after: View, project: ProjectRef) -> None:
        """Tell what changed since the record left, if anything that it shows did."""
        now = render(fact.kind, fact.key, after, project, self._app_url)
        changed = changed_attributes(render(fact.kind, fact.key, before, project, self._app_url), now)
        if not changed:
            return
        amended = record_id(fact.kind, fact.host, fact.key)
        encoded = encode_key(amended)
        at = (block_of(fact.released), encoded)
        revision = self._session.db.execute("SELECT revision FROM released WHERE block = ? AND record_id = ?", at).get
        if revision is None:
            return
        revision = revision or self._revision_in_log(encoded)
        sources = sorted({stamp.source for stamp in fact.known.stamps.values()})
        record = make_amendment(amended, revision + 1, changed, project, sources=sources, observed_ms=self._now_ms)
        lane, seq, digest = self._append(record, fact, ended_ms(fact.known, after.workflow), self._now_ms)
        self._session.db.execute(
            "UPDATE released SET revision = ?, digest = ? WHERE block = ? AND record_id = ?",
            (revision + 1, digest, *at),
        )
        self._amended.append((encoded, revision + 1, lane, seq))
        self.amended += 1

    def _revision_in_log(self, encoded: bytes | str) -> int:
        """The last revision that the log has of a record that left before, until its fact went; 0 where it did not."""
        found = self._session.db.execute("SELECT max(revision) FROM amended WHERE record_id = ?", (encoded,)).get
        return found or 0

    def append(self, record: Record, occurred_ms: int) -> None:
        """Append a record that is not about a fact, such as an alert, to the live lane."""
        self._put(0, record, occurred_ms, order_key(record.id))

    def _append(self, record: Record, fact: Fact, ended: int | None, occurred_ms: int) -> tuple[int, int, int]:
        lane = 0 if ended is None or ended >= self._live_after_ms else 1
        workflow = fact.key if fact.kind == "workflow" else str(fact.values.get("workflow_id", fact.key))
        return lane, *self._put(lane, record, occurred_ms, order_key(workflow))

    def _put(self, lane: int, record: Record, occurred_ms: int, order: int) -> tuple[int, int]:
        project = record.project or ""
        body = encode_record(record)  # before it gets a number: one that cannot be encoded leaves no hole in the lane
        self._session.count(f"head:{LANES[lane]}")
        seq = self._session.counters[f"head:{LANES[lane]}"]
        self._log[lane].append((seq, record.id, record.kind, occurred_ms, project, order, self._now_ms, body))
        return seq, zlib.crc32(body)

    def flush(self) -> None:
        """Write the gathered rows."""
        db = self._session.db
        for lane, rows in zip(LANES, self._log, strict=True):
            if rows:
                insert(db, f"INSERT INTO log_{lane}", rows)
                rows.clear()
        if self._released:
            insert(db, "INSERT INTO released", self._released)
            self._released.clear()
        if self._amended:
            insert(db, "INSERT INTO amended", self._amended)
            self._amended.clear()
