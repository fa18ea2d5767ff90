"""One bad thing costs itself alone: a fact that cannot be rendered, a copy whose name was lost."""

import contextlib
import os
from pathlib import Path

import pytest
from tests.unit.store.conftest import Make

from headgate.core.clock import ManualClock
from headgate.core.ids import number_key, record_id
from headgate.core.ports import Delivery
from headgate.core.record import encode_record
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import Store
from headgate.store import MemoryStore, SqliteStore, memory_facts, releases, restore
from headgate.store.reconcile import reconcile
from headgate.store.schema import migrate
from headgate.store.session import Session
from headgate.store.sql import Database
from headgate.testing.store_data import DAY, JOB, NOW, PROJECT, job, merge, pipeline, read, seen, workflow

_WAITS = ReleasePolicy("batch", 60_000)
_OTHER = "55555555-5555-4555-8555-555555555555"


def _broken(record):
    if record.attributes.get("cicd.pipeline.task.name") == "bad":
        raise ZeroDivisionError
    return encode_record(record)


@pytest.fixture(params=["sqlite", "memory"])
async def either(request: pytest.FixtureRequest, make: Make, tmp_path: Path):
    """Both adapters."""
    store = make(tmp_path / "x.db") if request.param == "sqlite" else MemoryStore(clock=ManualClock(NOW))
    await store.open()
    yield store
    await store.close()


async def test_one_bad_fact_holds_up_no_timed_release(either: Store, monkeypatch: pytest.MonkeyPatch):
    """The others leave, without a hole in the lane; it is told of once, and leaves after something new was learnt."""
    await merge(either, pipeline(), workflow(), job(name="bad"), job(_OTHER, number=42), policy=_WAITS)
    monkeypatch.setattr(releases, "encode_record", _broken)
    monkeypatch.setattr(memory_facts, "encode_record", _broken)
    later = NOW + 60_000
    result = await either.release_due(_WAITS, "ci", now_ms=later, live_after_ms=0)
    assert result.released == {("workflow", "live"): 1, ("job", "live"): 1}
    assert result.withheld == (("job", JOB, "ZeroDivisionError()"),)
    assert result.next_due_ms is None
    assert [entry.seq for entry in await read(either)] == [1, 2]
    assert (await either.figures()).unreleased == 0
    assert (await either.release_due(_WAITS, "ci", now_ms=later, live_after_ms=0)).withheld == ()
    await merge(either, job(name="good", at=NOW + 1), policy=ReleasePolicy("none"), now=later)
    assert [entry.seq for entry in await read(either)] == [1, 2, 3]


async def test_copies_are_on_the_disk_before_and_after_they_get_their_name(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Bytes are flushed, then the file is renamed, then its directory is flushed: power may go any time."""
    did: list[str] = []
    replace, fsync = Path.replace, os.fsync
    monkeypatch.setattr(Path, "replace", lambda self, to: (did.append(f"name {to.name}"), replace(self, to))[1])
    monkeypatch.setattr(
        os,
        "fsync",
        lambda at: (did.append(f"flush {Path(f'/proc/self/fd/{at}').readlink().name}"), fsync(at))[1],
    )
    copy, back = tmp_path / "copy.db", tmp_path / "back.db"
    await store.backup(str(copy))
    assert did[-3:] == ["flush copy.db.partial", "name copy.db", f"flush {tmp_path.name}"]
    assert set(did[:-3]) == {"flush copy.db.partial"}, "after each step too"
    did.clear()
    restore(copy, back)
    assert did == ["flush back.db.partial", "name back.db", f"flush {tmp_path.name}"]


async def test_both_records_of_one_job_lead_to_it(either: Store):
    """Two records had left when two facts turned out to be one job: each finds it, and none is left when it goes."""
    numbered = number_key(PROJECT.project_id or "", 41)
    nameless = seen("job", JOB, {"name": "test", "status": "success", "stopped_at": NOW}, terminal=True)
    waited = ReleasePolicy("none", 0)
    await merge(either, pipeline(), workflow(), job(numbered), nameless, policy=waited)
    await either.release_due(waited, "ci", now_ms=NOW + 1, live_after_ms=0)
    ids = [record_id("job", "circleci.com", key) for key in (numbered, JOB)]
    assert set(ids) <= {entry.record_id for entry in await read(either)}
    await merge(either, job(at=NOW + 2))
    for identity in ids:
        assert [found.provider_id for found in await either.explain(identity)] == [JOB]
    await either.trim({"facts": 1}, now_ms=NOW + DAY)
    if isinstance(either, SqliteStore):
        assert await either._ask(lambda db: db.execute("SELECT count(*) FROM released").get) == 0


def test_long_words_are_not_kept_in_memory():
    """A branch name may have any length; the caches of words are bounded in bytes all the same."""
    with contextlib.closing(Database(":memory:")) as db:
        migrate(db)
        session = Session(db).load()
        numbers = [session.dim(0, word) for word in ("main", "x" * 1_000_000)]
        assert [len(session.text(number)) for number in numbers] == [4, 1_000_000]
        assert session.dim(0, "x" * 1_000_000) == numbers[1]
        assert (list(session._dims), list(session._texts.values())) == ([(0, "main")], ["main"])


async def test_what_waits_for_a_source_is_counted_anew_after_damage(store: SqliteStore):
    """The figures come from a counter, which salvage sets from the rows that are left."""
    await store.accept([Delivery("old", NOW, "", "", b"1"), Delivery("old", NOW, "", "", b"2")])
    await store.park_inbox([1, 2], now_ms=NOW)

    def lose_one(session: Session, _facts: object) -> None:
        session.db.execute("DELETE FROM inbox WHERE id = 1")
        session.put("parked:gone", 5)
        reconcile(session, NOW)
        session.flush()

    await store._unit("test", lose_one)
    figures = await store.figures()
    assert (dict(figures.inbox_parked), figures.inbox_waiting, figures.inbox_dead) == ({"old": 1}, 0, 0)
