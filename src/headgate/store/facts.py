"""Facts as rows: reading them, remembering the recently touched ones, writing back only what changed.

Invariant: one thing has one row, however many keys it is known by.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from headgate.core.facts import FIELD_INDEX, FIELDS, FactKind, Value
from headgate.core.ids import record_id
from headgate.core.merge import EMPTY, Known, decode_stamps, encode_stamps
from headgate.store.rollups import move_rollups
from headgate.store.schema import COLUMNS, DECODERS, ENCODERS, OWN_COLUMNS, decode_key, encode_key, quote, type_of
from headgate.store.session import Session, dim_family
from headgate.store.sql import insert

__all__ = ["Fact", "Facts"]

_CACHE_SIZE = 6_000
_OWN = len(OWN_COLUMNS)
_DIMS = {kind: {f.name: dim_family(f.name) for f in fields if f.type == "dim"} for kind, fields in FIELDS.items()}
_COLUMN_LIST = {kind: ", ".join(quote(name) for name in names) for kind, names in COLUMNS.items()}
_BY_KEY = {kind: f"SELECT {_COLUMN_LIST[kind]} FROM {kind} WHERE _key = ? AND _host = ?" for kind in FIELDS}
_BY_ID = {kind: f"SELECT {_COLUMN_LIST[kind]} FROM {kind} WHERE _id = ?" for kind in FIELDS}
_INSERT = {kind: f"INSERT INTO {kind} ({_COLUMN_LIST[kind]})" for kind in FIELDS}
_ENCODERS = {
    kind: tuple((f.name, None if f.type == "dim" else ENCODERS[f.type], dim_family(f.name)) for f in fields)
    for kind, fields in FIELDS.items()
}


_RELEASED_KINDS: tuple[FactKind, FactKind] = ("workflow", "job")
_WITH_BRANCH: tuple[FactKind, FactKind] = ("pipeline", "workflow")


class Fact:
    """One row in memory; owned by the writer's thread, forgotten after a rollback.

    `released`: 0, or seq * 2 + lane of its record. `run`: number of the name of its workflow, as its rollups have it.
    `stored`: what the row holds now, None for a row that is not written yet.
    """

    __slots__ = (
        "branch_class",
        "due_ms",
        "enriched",
        "gone",
        "host",
        "id",
        "key",
        "kind",
        "known",
        "own",
        "project",
        "released",
        "run",
        "seen_ms",
        "source",
        "stored",
        "terminal",
    )

    def __init__(self, kind: FactKind, host: str, key: str, *, project: int, source: str, seen_ms: int) -> None:
        self.kind = kind
        self.host = host
        self.key = key
        self.project = project
        self.source = source
        self.seen_ms = seen_ms
        self.id = 0
        self.known: Known = EMPTY
        self.stored: Known | None = None
        self.own: tuple[Any, ...] = ()
        self.terminal = False
        self.enriched = False
        self.gone = False
        self.released = 0
        self.due_ms: int | None = None
        self.branch_class = 0
        self.run = 0

    @property
    def values(self) -> dict[str, Any]:
        """Values of the fields that are known."""
        return self.known.values  # type: ignore[return-value]  # built as a dict by merge and by `Facts`

    def flags(self) -> tuple[Any, ...]:
        """The columns that are not fields and may change."""
        return (
            self.project,
            self.terminal,
            self.enriched,
            self.gone,
            self.released,
            self.due_ms,
            self.branch_class,
            self.run,
        )


_FLAG_COLUMNS = ("_project", "_terminal", "_enriched", "_gone", "_released", "_due_ms", "_class", "_run")


class Facts:
    """The fact tables of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._db = session.db
        self._cache: OrderedDict[tuple[str, str, str], Fact] = OrderedDict()
        self._next: dict[str, int] = {}
        self._unwritten: dict[tuple[str, int], Fact] = {}

    def forget(self) -> None:
        """Drop what is remembered."""
        self._cache.clear()
        self._unwritten.clear()
        self._next.clear()

    def find(self, kind: FactKind, host: str, key: str) -> Fact | None:
        """The fact with this key, by cache or by index; aliases are followed for jobs."""
        name = (kind, host, key)
        fact = self._cache.get(name)
        if fact is not None:
            self._cache.move_to_end(name)
            return fact
        number = self._session.dim(0, host)
        encoded = encode_key(key)
        row = self._db.execute(_BY_KEY[kind], (encoded, number)).fetchone()
        if row is not None:
            return self._remember(self._decode(kind, row))
        if kind == "job" and self._session.counters.get("aliases"):
            target = self._db.execute("SELECT fact FROM job_alias WHERE key = ? AND host = ?", (encoded, number)).get
            if target is not None:
                return self.by_id("job", target)
        return None

    def by_id(self, kind: FactKind, number: int) -> Fact:
        """The fact of a row. Raises KeyError where there is none."""
        fresh = self._unwritten.get((kind, number))
        if fresh is not None:
            return fresh
        row = self._db.execute(_BY_ID[kind], (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        fact = self._decode(kind, row)
        return self._cache.get((kind, fact.host, fact.key)) or self._remember(fact)

    def add(self, fact: Fact) -> Fact:
        """A new fact, not yet written; it gets its row number."""
        number = self._next.get(fact.kind)
        if number is None:
            number = (self._db.execute(f"SELECT max(_id) FROM {fact.kind}").get or 0) + 1
        self._next[fact.kind] = number + 1
        fact.id = number
        self._unwritten[fact.kind, number] = fact
        return self._remember(fact)

    def _remember(self, fact: Fact) -> Fact:
        self._cache[fact.kind, fact.host, fact.key] = fact
        return fact

    def shrink(self) -> None:
        """After a unit: keep only the most recently touched facts."""
        while len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)

    def children(self, parent: Fact) -> Iterable[Fact]:
        """Written workflows and jobs that name this pipeline or workflow as theirs."""
        encoded = encode_key(parent.key)
        if parent.kind == "pipeline":
            yield from self.of_pipeline(parent.key, parent.host)
            yield from self._where("job", "pipeline_id", encoded, parent.host)
        elif parent.kind == "workflow":
            yield from self._where("job", "workflow_id", encoded, parent.host)

    def of_pipeline(self, key: str, host: str) -> list[Fact]:
        """Written workflows of a pipeline."""
        return self._where("workflow", "pipeline_id", encode_key(key), host)

    def _where(self, kind: FactKind, column: str, value: bytes | str, host: str) -> list[Fact]:
        number = self._session.dim(0, host)
        rows = self._db.execute(
            f"SELECT _key FROM {kind} WHERE {column} = ? AND _host = ? ORDER BY _id", (value, number)
        ).fetchall()
        found = (self.find(kind, host, decode_key(row[0])) for row in rows)
        return [fact for fact in found if fact is not None]

    def _decode(self, kind: FactKind, row: tuple[Any, ...]) -> Fact:
        text = self._session.text
        fact = Fact(kind, text(row[2]), decode_key(row[1]), project=row[3], source=text(row[4]), seen_ms=row[12])
        fact.id = row[0]
        fact.terminal, fact.enriched, fact.gone = bool(row[5]), bool(row[6]), bool(row[7])
        fact.released, fact.due_ms, fact.branch_class, fact.run = row[8], row[9], row[10], row[11]
        dims = _DIMS[kind]
        values: dict[str, Value] = {}
        for position, name in enumerate(FIELD_INDEX[kind], _OWN):
            value = row[position]
            if value is not None:
                values[name] = text(value) if name in dims else DECODERS[type_of(kind, name)](value)
        stamps = decode_stamps(kind, row[13])
        if len(stamps) != len(values):  # a salvaged row whose words are lost
            stamps = {name: stamp for name, stamp in stamps.items() if name in values}
        fact.known = fact.stored = Known(values, stamps)
        fact.own = fact.flags()
        return fact

    def _encode(self, fact: Fact, name: str) -> Any:
        value = fact.values[name]
        family = _DIMS[fact.kind].get(name)
        if family is not None:
            return self._session.dim(family, str(value))
        return ENCODERS[type_of(fact.kind, name)](value)

    def write(self, facts: Iterable[Fact]) -> None:
        """Insert new facts, update changed columns of the others; the caches then agree with the file."""
        new: dict[FactKind, list[tuple[Any, ...]]] = {}
        for fact in facts:
            flags = fact.flags()
            if fact.stored is None:
                new.setdefault(fact.kind, []).append(self._row(fact))
                self._session.count(f"fact:{fact.kind}")
            elif fact.stored is not fact.known or flags != fact.own:
                self._update(fact, flags)
            fact.stored, fact.own = fact.known, flags
        for kind, rows in new.items():
            insert(self._db, _INSERT[kind], rows)
        self._unwritten.clear()

    def _row(self, fact: Fact) -> tuple[Any, ...]:
        dim = self._session.dim
        values = fact.values
        own = (
            fact.id,
            encode_key(fact.key),
            dim(0, fact.host),
            fact.project,
            dim(0, fact.source),
            fact.terminal,
            fact.enriched,
            fact.gone,
            fact.released,
            fact.due_ms,
            fact.branch_class,
            fact.run,
            fact.seen_ms,
            encode_stamps(fact.kind, fact.known.stamps),
        )
        fields = [
            None if name not in values else dim(family, str(values[name])) if encode is None else encode(values[name])
            for name, encode, family in _ENCODERS[fact.kind]
        ]
        return (*own, *fields)

    def _update(self, fact: Fact, flags: tuple[Any, ...]) -> None:
        columns: list[str] = []
        bound: list[Any] = []
        for name, old, now in zip(_FLAG_COLUMNS, fact.own, flags, strict=True):
            if old != now:
                columns.append(f"{name} = ?")
                bound.append(now)
        if fact.stored is not fact.known and fact.stored is not None:
            before = fact.stored.values
            for name, value in fact.values.items():
                if name not in before or before[name] != value:
                    columns.append(f"{quote(name)} = ?")
                    bound.append(self._encode(fact, name))
            columns += [f"{quote(name)} = NULL" for name in before if name not in fact.values]
            columns.append("_stamps = ?")
            bound.append(encode_stamps(fact.kind, fact.known.stamps))
        bound.append(fact.id)
        self._db.execute(f"UPDATE {fact.kind} SET {', '.join(columns)} WHERE _id = ?", bound)

    def rekey(self, fact: Fact, key: str) -> None:
        """A number-only job whose UUID became known before it was released: the UUID is its key from now on."""
        del self._cache[fact.kind, fact.host, fact.key]
        self.alias(fact, fact.key)
        fact.key = key
        self._db.execute("UPDATE job SET _key = ? WHERE _id = ?", (encode_key(key), fact.id))
        self._remember(fact)

    def alias(self, fact: Fact, key: str) -> None:
        """Another key of a job."""
        row = (encode_key(key), self._session.dim(0, fact.host), fact.id)
        self._db.execute("INSERT OR REPLACE INTO job_alias (key, host, fact) VALUES (?, ?, ?)", row)
        self._session.count("aliases")

    # -- rarely

    def by_number(self, project: int, host: str, number: int) -> Fact | None:
        """The job with this number in its project."""
        for fact in self._unwritten.values():
            if fact.kind == "job" and fact.project == project and fact.values.get("number") == number:
                return fact
        row = self._db.execute(
            "SELECT _id FROM job WHERE _project = ? AND number = ? AND _host = ?",
            (project, number, self._session.dim(0, host)),
        ).fetchone()
        return self.by_id("job", row[0]) if row else None

    def with_key(self, key: str) -> list[Fact]:
        """Jobs and workflows with this key on any host."""
        found = [f for f in self._unwritten.values() if f.key == key and f.kind in ("job", "workflow")]
        for kind in _RELEASED_KINDS:
            rows = self._db.execute(f"SELECT _id FROM {kind} WHERE _key = ?", (encode_key(key),)).fetchall()
            found += [self.by_id(kind, row[0]) for row in rows]
        if not found and self._session.counters.get("aliases"):
            rows = self._db.execute("SELECT fact FROM job_alias WHERE key = ?", (encode_key(key),)).fetchall()
            found = [self.by_id("job", row[0]) for row in rows]
        return found

    def due(self, source: str, now_ms: int, limit: int) -> list[Fact]:
        """Ended, unreleased facts of a source whose wait is over, workflows first."""
        found: list[Fact] = []
        for kind in _RELEASED_KINDS:
            rows = self._db.execute(
                f"SELECT _id FROM {kind} WHERE _released = 0 AND _due_ms IS NOT NULL AND _source = ? AND _due_ms <= ?"
                " ORDER BY _due_ms LIMIT ?",
                (self._session.dim(0, source), now_ms, limit - len(found)),
            ).fetchall()
            found += [self.by_id(kind, row[0]) for row in rows]
        return found

    def next_due(self, source: str) -> int | None:
        """When the next unreleased fact of a source has waited long enough."""
        if not self._session.counters.get("unreleased"):
            return None
        number = self._session.dim(0, source)
        found = [
            self._db.execute(
                f"SELECT min(_due_ms) FROM {kind} WHERE _released = 0 AND _due_ms IS NOT NULL AND _source = ?",
                (number,),
            ).get
            for kind in _RELEASED_KINDS
        ]
        return min((due for due in found if due is not None), default=None)

    def on_branches(self, project: int, branches: Iterable[str]) -> list[Fact]:
        """Written pipelines and workflows of a project that say one of these branches."""
        numbers = [self._session.dim(0, branch) for branch in branches]
        places = ", ".join("?" * len(numbers))
        found: list[Fact] = []
        for kind in _WITH_BRANCH:
            rows = self._db.execute(
                f"SELECT _id FROM {kind} WHERE _project = ? AND ref_name IN ({places})", (project, *numbers)
            ).fetchall()
            found += [self.by_id(kind, row[0]) for row in rows]
        return found

    def drop(self, fact: Fact, keep: Fact) -> None:
        """Two rows were one job: delete this one; its other keys lead to `keep`."""
        self._cache.pop((fact.kind, fact.host, fact.key), None)
        self._unwritten.pop((fact.kind, fact.id), None)
        if fact.stored is not None:
            self._db.execute("DELETE FROM job WHERE _id = ?", (fact.id,))
            self._session.count("fact:job", -1)
        self._db.execute("UPDATE job_alias SET fact = ? WHERE fact = ?", (keep.id, fact.id))
        if fact.released:
            left = encode_key(record_id(fact.kind, fact.host, fact.key))
            self._db.execute("UPDATE released SET fact = ? WHERE record_id = ?", (keep.id, left))
        if fact.due_ms is not None and not fact.released:
            self._session.count("unreleased", -1)

    def move_project(self, old: int, new: int) -> None:
        """Two projects are one: everything of `old` belongs to `new`."""
        for kind in FIELDS:
            self._db.execute(f"UPDATE {kind} SET _project = ? WHERE _project = ?", (new, old))
        for fact in self._cache.values():
            if fact.project == old:
                fact.project = new
                fact.own = (new, *fact.own[1:])
        move_rollups(self._session, old, new)
        self._db.execute("DELETE FROM dim_project WHERE id = ?", (old,))
