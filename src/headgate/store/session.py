"""What the writer's thread remembers about the file: dimensions, projects, counters, heads.

Invariant: everything here can be read back from the file; after a rollback it is forgotten and read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from headgate.store.notes import NOTES_PUT, Notes
from headgate.store.projects import Project, Projects
from headgate.store.sql import Database

__all__ = ["PERSON_FIELDS", "TESTS_PUT", "Session", "dim_family", "number_on"]

PERSON_FIELDS = frozenset({"author_login", "author_name", "author_email", "started_by", "user"})
# Counter: the highest number that a stretch of tests ever had.
TESTS_PUT = "tests:put"
# Counter -> the highest of its numbers in use.
_HIGHEST: Mapping[str, str] = {
    NOTES_PUT: "SELECT max(version) FROM (SELECT version FROM span_built UNION ALL SELECT version FROM cut_built)",
    TESTS_PUT: "SELECT max(rowid) FROM test_part",
}
_DIM_LIMIT = 50_000
# Longer words are looked up each time, so that the caches are bounded in bytes: branch names may have any length.
_CACHED_LENGTH = 200


def dim_family(field: str) -> int:
    """1 for names of persons, 0 for all other words."""
    return 1 if field in PERSON_FIELDS else 0


def number_on(db: Database) -> None:
    """Before anything is remembered: a store that is older than a counter, or lost it, gives no number out twice."""
    for name, highest in _HIGHEST.items():
        db.execute(
            f"INSERT INTO counter SELECT ?, coalesce(({highest}), 0) WHERE 1"
            " ON CONFLICT DO UPDATE SET n = max(n, excluded.n)",
            (name,),
        )


class Session:
    """Owned by the writer's thread. `flush` writes what a unit changed; `forget` drops everything."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._loaded = False
        self.projects = Projects()
        self.counters: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._dims: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._texts: OrderedDict[int, str] = OrderedDict()
        self.app_urls: dict[str, str] = {}
        # Gaps written since somebody last counted them: sink and the first word of the reason.
        self.lost: list[tuple[str, str]] = []
        self.inbox_next = 1
        self.inbox_settled: set[int] = set()
        self.spans = Notes(db, "span_built", partial(self.number, NOTES_PUT))
        self.cuts = Notes(db, "cut_built", partial(self.number, NOTES_PUT))

    def load(self) -> Session:
        """Read what is remembered, unless it is."""
        if self._loaded:
            return self
        db = self.db
        self.counters = dict(db.execute("SELECT name, n FROM counter").fetchall())
        self._dirty.clear()
        self._dims.clear()
        self._texts.clear()
        self.projects = Projects()
        rows = db.execute(
            "SELECT id, host, provider_id, slug, slug_ms, org, org_id, default_branch FROM dim_project"
        ).fetchall()
        slugs = db.execute("SELECT host, slug, project, at_ms FROM dim_project_slug").fetchall()
        self.projects.load([Project(*row) for row in rows], slugs)
        self.inbox_settled = {row[0] for row in db.execute("SELECT id FROM inbox_settled")}
        self.spans.load()
        self.cuts.load()
        highest = db.execute("SELECT max(id) FROM inbox").get or 0
        self.inbox_next = max(highest, self.counters.get("inbox:low", 0), *self.inbox_settled, 0) + 1
        prefix = "app_url:"
        found = db.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{prefix}*",)).fetchall()
        self.app_urls = {key.removeprefix(prefix): str(value) for key, value in found}
        self._loaded = True
        return self

    def forget(self) -> None:
        """Drop everything; the next use reads it again."""
        self._loaded = False

    def dim(self, family: int, text: str) -> int:
        """The number of a word, given out if it is new."""
        key = (family, text)
        found = self._dims.get(key)
        if found is None:
            found = self.db.execute("SELECT id FROM dim WHERE family = ? AND text = ?", key).get
            if found is None:
                self.db.execute("INSERT INTO dim (family, text) VALUES (?, ?)", key)
                found = self.db.last_insert_rowid()
            if len(text) > _CACHED_LENGTH:
                return found
            self._dims[key] = found
            if len(self._dims) > _DIM_LIMIT:
                self._dims.popitem(last=False)
        return found

    def text(self, number: int) -> str:
        """The word of a number."""
        found = self._texts.get(number)
        if found is None:
            found = str(self.db.execute("SELECT text FROM dim WHERE id = ?", (number,)).get)
            if len(found) > _CACHED_LENGTH:
                return found
            self._texts[number] = found
            if len(self._texts) > _DIM_LIMIT:
                self._texts.popitem(last=False)
        return found

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.counters[name] = self.counters.get(name, 0) + amount
        self._dirty.add(name)

    def number(self, name: str) -> int:
        """One that was not given out before, of what `number_on` is about."""
        self.count(name)
        return self.counters[name]

    def put(self, name: str, value: int) -> None:
        """Set a counter."""
        if self.counters.get(name) != value:
            self.counters[name] = value
            self._dirty.add(name)

    def remember_app_url(self, source: str, url: str) -> None:
        """Where a source's pages are; records released later by time alone need it."""
        if self.app_urls.get(source) != url:
            self.app_urls[source] = url
            self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"app_url:{source}", url))

    def flush(self) -> None:
        """Write changed counters and projects."""
        if self._dirty:
            rows = [(name, self.counters[name]) for name in sorted(self._dirty)]
            self.db.executemany("INSERT OR REPLACE INTO counter (name, n) VALUES (?, ?)", rows)
            self._dirty.clear()
        if self.projects.changed or self.projects.aliases:
            self._flush_projects()

    def _flush_projects(self) -> None:
        book = self.projects
        rows = [
            (p.id, p.host, p.provider_id, p.slug, p.slug_ms, p.org, p.org_id, p.default_branch)
            for p in (book.by_id[number] for number in sorted(book.changed))
        ]
        self.db.executemany("INSERT OR REPLACE INTO dim_project VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        names = [(*name, *book.by_slug[name]) for name in sorted(book.aliases)]
        self.db.executemany("INSERT OR REPLACE INTO dim_project_slug VALUES (?, ?, ?, ?)", names)
        book.changed.clear()
        book.aliases.clear()
