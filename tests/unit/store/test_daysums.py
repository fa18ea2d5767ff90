"""Failed steps and repeats of both adapters are equal for any bounds and history, whatever was added up meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.unit.store.twostores import TwoStores

from headgate.core.clock import ManualClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import MemoryStore, Quota, SqliteStore, daysums
from headgate.store.sql import Database
from headgate.testing.store_data import NOW

_IDS = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2")
_NAMES = ("gh/a/one", "gh/a/two", "gh/b/three")
_SPANS = 25
_FIRST = NOW // DAY_MS * DAY_MS - 24 * DAY_MS
_at = st.integers(0, 4 * _SPANS).map(lambda quarter: NOW - quarter * DAY_MS // 4)
_ends = st.sampled_from(["success", "failed", "failed", "timedout", None])


def _key(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


def _seen(
    kind: Any, key: str, ref: ProjectRef, fields: dict[str, Any], *, at: int = NOW, terminal: bool = True
) -> Observation:
    known = {name: value for name, value in fields.items() if value is not None}
    return Observation(kind, key, ref, "poll", at, terminal and "stopped_at" in known, known)


class _Stores(TwoStores):
    """Two adapters are told the same; after each step their sums are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.names = dict(zip(_IDS, _NAMES, strict=False))
        self.bounds = dict.fromkeys(_NAMES, (0, NOW))

    def tell(self, facts: Sequence[tuple[Any, str, int, dict[str, Any]]]) -> None:
        """Both stores hear of facts, all at once."""
        self.told += 1
        seen = []
        for kind, key, which, fields in facts:
            ref = ProjectRef("circleci.com", self.names[_IDS[which]], "gh/a", _IDS[which])
            seen.append(_seen(kind, key, ref, fields, at=NOW + self.told))
        for store in (self.disk, self.memory):
            work = MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0)
            self.loop.run_until_complete(store.merge_and_release(work))

    @rule(
        number=st.integers(0, 7),
        ends=st.lists(st.tuples(st.integers(0, 5 * 24), _ends), min_size=1, max_size=4),
        begun=_at,
        which=st.integers(0, 1),
        name=st.sampled_from(["build", None]),
        ref=st.sampled_from(["main", "dev"]),
        spent=st.none() | st.integers(0, 9),
        estimated=st.booleans(),
    )
    def repeated(  # noqa: PLR0917  # as hypothesis draws them
        self,
        number: int,
        ends: list[tuple[int, str | None]],
        begun: int,
        which: int,
        name: str | None,
        ref: str,
        spent: int | None,
        estimated: bool,
    ) -> None:
        """Runs of one pipeline, one after the other, or what is told otherwise of them."""
        at, facts = begun, []
        for turn, (hours, status) in enumerate(ends):
            fields = {"name": name, "ref_name": ref, "pipeline_id": _key(1, number + 10 * which), "credits": spent}
            fields |= {"created_at": at, "status": status or "running", "credits_estimated": estimated or None}
            at += hours * HOUR_MS
            fields |= {"stopped_at": min(at, NOW) if status else None}
            facts.append(("workflow", _key(2, turn + 10 * number + 100 * which), which, fields))
        self.tell(facts)

    @rule(
        run=st.integers(0, 3),
        number=st.integers(0, 7),
        names=st.lists(st.sampled_from(["test", "lint", None]), min_size=1, max_size=3),
        at=_at,
        late=st.integers(0, 20),
        status=st.sampled_from(["success", "failed", "not_run", None]),
        spent=st.none() | st.integers(0, 9),
        approval=st.booleans(),
        which=st.integers(0, 1),
    )
    def jobs_ended(  # noqa: PLR0917  # as hypothesis draws them
        self,
        run: int,
        number: int,
        names: list[str | None],
        at: int,
        late: int,
        status: str | None,
        spent: int | None,
        approval: bool,
        which: int,
    ) -> None:
        """Jobs of a run, which end about when it does, and their failed steps."""
        workflow, facts = _key(2, run + 10 * number + 100 * which), []
        ended = at - late * HOUR_MS
        run_ended = {"name": "build", "pipeline_id": _key(1, number + 10 * which), "created_at": ended - HOUR_MS}
        facts.append(("workflow", workflow, which, run_ended | {"stopped_at": at, "status": "failed"}))
        for place, name in enumerate(names):
            job = _key(3, place + 10 * run + 100 * number + 1000 * which)
            fields = {"name": name, "workflow_id": workflow, "status": status or "running", "credits": spent}
            fields |= {"started_at": ended - HOUR_MS, "stopped_at": ended if status else None}
            facts.append(("job", job, which, fields | {"type": "approval" if approval else None}))
        self.tell(facts)

    @rule(
        job=st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 7)),
        ends=st.lists(st.tuples(_at, _ends), min_size=1, max_size=5),
        name=st.sampled_from(["make", "push", None]),
        which=st.integers(0, 1),
    )
    def steps_ended(
        self, job: tuple[int, int, int], ends: list[tuple[int, str | None]], name: str | None, which: int
    ) -> None:
        """Steps of a job, which may not be known yet, and may have ended at another time."""
        place, run, number = job
        key, facts = _key(3, place + 10 * run + 100 * number + 1000 * which), []
        for turn, (at, status) in enumerate(ends):
            fields = {"job_id": key, "index": turn, "name": name, "status": status, "stopped_at": at}
            facts.append(("step", f"{key}/{turn}", which, fields))
        self.tell(facts)

    @rule(which=st.integers(0, 1), name=st.sampled_from(_NAMES))
    def rename(self, which: int, name: str) -> None:
        """A project is called otherwise from now on."""
        if name not in self.names.values():
            self.names[_IDS[which]] = name

    @rule(days=st.integers(-20, 3))
    def add_up(self, days: int) -> None:
        """Time passes in which what was over by then is added up."""
        self.loop.run_until_complete(self.disk.trim({}, now_ms=NOW + days * DAY_MS))

    @rule(days=st.integers(1, _SPANS))
    def forget(self, days: int) -> None:
        """Old facts go."""
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.trim({"facts": days * DAY_MS}, now_ms=NOW))

    @rule(bounds=st.lists(st.tuples(_at, _at), min_size=3, max_size=3))
    def ask(self, bounds: list[tuple[int, int]]) -> None:
        """Choose what is compared from now on."""
        self.bounds = {name: (min(one), max(one)) for name, one in zip(_NAMES, bounds, strict=True)}

    @invariant()
    def equal(self) -> None:
        """The chosen bounds, and everything."""
        for bounds in (self.bounds, dict.fromkeys(_NAMES, (0, NOW + DAY_MS))):
            for name, more in (
                ("steps_failed", {}),
                ("rerun_sums", {}),
                ("repeat_sums", {"by": ()}),
                ("repeat_sums", {"by": ("workflow", "branch_class")}),
                ("repeat_sums", {"by": ("branch",)}),
                ("repeat_sums", {"by": ("workflow", "branch", "branch_class", "trigger")}),
            ):
                mine, oracle = (getattr(store, name)(bounds, **more) for store in (self.disk, self.memory))
                assert self.loop.run_until_complete(oracle) == self.loop.run_until_complete(mine), name


_Stores.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
TestStores = _Stores.TestCase


async def test_days_that_are_over_are_added_up_and_read(tmp_path: Path) -> None:
    """Eight of them in one where they are whole; a step that comes takes the notes of its day away, and no others."""
    path = tmp_path / "s.db"
    store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    first = NOW // (8 * DAY_MS) * 8 - 16
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])

    async def tell(number: int, day: int, step: int) -> None:
        job, times = _key(3, number), {"stopped_at": day * DAY_MS, "status": "failed"}
        seen = [
            _seen("job", job, ref, {"name": "test", **times}),
            _seen("step", f"{job}/{step}", ref, {"job_id": job, "index": step, "name": "make", **times}),
        ]
        await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    for number in range(16):
        await tell(number, first + number, 1)
    await store.trim({}, now_ms=NOW)
    bounds = {_NAMES[0]: (first * DAY_MS, (first + 16) * DAY_MS)}
    with closing(Database(str(path))) as db:
        noted = "SELECT days, day - ? FROM day_summed WHERE kind = 0 AND whole AND day < ? ORDER BY 1, 2"
        days = [(1, number) for number in range(16)]
        assert db.execute(noted, (first, first + 16)).fetchall() == [*days, (8, 0), (8, 8)]
        added = "SELECT n FROM day_sum WHERE kind = 0 ORDER BY days, day"
        assert [1] * 16 + [8, 8] == [row[0] for row in db.execute(added)]
        db.execute("UPDATE day_sum SET n = 100 * n WHERE kind = 0")
        assert [1_600] == [one.n for one in await store.steps_failed(bounds)]
        await tell(3, first + 3, 2)
        assert db.execute(noted, (first, first + 16)).fetchall() == [one for one in days if one[1] != 3] + [(8, 8)]
    assert [1_502] == [one.n for one in await store.steps_failed(bounds)]
    await store.trim({}, now_ms=NOW)
    assert [802 + 702 - 2] == [one.n for one in await store.steps_failed(bounds)]
    await store.close()


def _day(day: int, hours: int = 0) -> int:
    return _FIRST + day * DAY_MS + hours * HOUR_MS


def _fact(kind: Any, number: int, **fields: Any) -> tuple[Any, str, dict[str, Any]]:
    return kind, _key({"workflow": 2, "job": 3, "step": 4}[kind], number), fields


_FAILED: dict[str, Any] = {"status": "failed"}
_BUILD: dict[str, Any] = {"name": "build", "pipeline_id": _key(1, 1)}
_HISTORY = [
    _fact("workflow", 1, **_BUILD, **_FAILED, created_at=_day(1), stopped_at=_day(1, 1)),
    _fact("workflow", 2, **_BUILD, **_FAILED, created_at=_day(3), stopped_at=_day(3, 1)),
    _fact("job", 1, workflow_id=_key(2, 2), name="test", **_FAILED, started_at=_day(3), stopped_at=_day(3, 1)),
    _fact("step", 1, job_id=_key(3, 1), name="make", **_FAILED, stopped_at=_day(3, 1), index=0),
    _fact(
        "workflow", 3, **(_BUILD | {"pipeline_id": _key(1, 2)}), **_FAILED, created_at=_day(6), stopped_at=_day(6, 1)
    ),
    _fact("workflow", 4, **_BUILD, status="canceled", created_at=_day(3, 2), stopped_at=_day(3, 4), credits=1),
    _fact(
        "job", 2, workflow_id=_key(2, 4), name="test", status="canceled", started_at=_day(3, 2), stopped_at=_day(3, 4)
    ),
]


@pytest.mark.parametrize(
    ("later", "same"),
    [
        (_fact("workflow", 1, status="success"), {"steps_failed"}),
        (_fact("workflow", 2, status="success"), {"steps_failed"}),
        (_fact("workflow", 2, credits=0), {"steps_failed", "rerun_sums"}),
        (_fact("workflow", 2, credits=5), {"steps_failed", "rerun_sums"}),
        (_fact("workflow", 2, credits_estimated=True), {"steps_failed", "rerun_sums"}),
        (_fact("workflow", 2, stopped_at=_day(5)), {"steps_failed"}),
        (_fact("workflow", 4, created_at=_day(3, 3)), {"steps_failed", "rerun_sums"}),
        (_fact("job", 2, started_at=_day(3, 3)), {"repeat_sums", "steps_failed"}),
        (_fact("job", 1, name="lint"), {"repeat_sums"}),
        (_fact("job", 1, status="not_run"), {"repeat_sums", "steps_failed"}),
        (_fact("job", 1, credits=7), {"repeat_sums", "steps_failed"}),
        (_fact("step", 1, status="success"), {"repeat_sums", "rerun_sums"}),
        (_fact("step", 1, name="push"), {"repeat_sums", "rerun_sums"}),
        (_fact("step", 1, stopped_at=_day(2)), {"repeat_sums", "rerun_sums"}),
    ],
)
async def test_what_changes_is_read_again(
    tmp_path: Path, later: tuple[Any, str, dict[str, Any]], same: set[str]
) -> None:
    """Whatever a repeat or a failed step rests on is told otherwise, before and after adding up."""
    path = tmp_path / "s.db"
    clock = ManualClock(NOW)
    disk = SqliteStore(path, clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    memory = MemoryStore(clock=clock)
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])

    async def tell(facts: list[tuple[Any, str, dict[str, Any]]], observed_ms: int) -> None:
        for kind, key, fields in facts:
            seen = [_seen(kind, key, ref, fields, at=observed_ms)]
            for store in (disk, memory):
                await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    async def answers(store: SqliteStore | MemoryStore) -> dict[str, list[Any]]:
        bounds = {_NAMES[0]: (_day(3), _day(4))}
        return {
            "steps_failed": list(await store.steps_failed(bounds)),
            "rerun_sums": list(await store.rerun_sums(bounds)),
            "repeat_sums": list(await store.repeat_sums(bounds, by=("workflow", "branch_class"))),
        }

    for store in (disk, memory):
        await store.open()
    await tell(_HISTORY, NOW)
    await disk.trim({}, now_ms=NOW)
    before = await answers(memory)
    assert all(before.values())
    assert before == await answers(disk)
    with closing(Database(str(path))) as db:
        whole = "SELECT kind FROM day_summed WHERE days = 1 AND day = ? AND whole ORDER BY kind"
        assert [(0,), (1,), (2,)] == db.execute(whole, (_day(3) // DAY_MS,)).fetchall()
    known = next(fields for kind, key, fields in _HISTORY if (kind, key) == later[:2])
    await tell([(*later[:2], known | later[2])], NOW + 1)
    after = await answers(memory)
    assert same <= {name for name in before if before[name] == after[name]}
    assert before != after
    assert after == await answers(disk)
    await disk.trim({}, now_ms=NOW)
    assert after == await answers(disk)
    await disk.close()


@pytest.mark.parametrize(("day", "noted"), [(1, 0), (4, 0), (5, 1)])
async def test_repeats_rest_on_the_week_before_and_the_day_after(tmp_path: Path, day: int, noted: int) -> None:
    """A day is not noted while one of them is not: nobody would hear of a second change there."""
    path = tmp_path / "s.db"
    store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])
    for kind, key, fields in _HISTORY:
        seen = [_seen(kind, key, ref, fields)]
        await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))
    await store.trim({}, now_ms=NOW)
    with closing(Database(str(path))) as db:
        db.execute("DELETE FROM span_built WHERE hours = 24 AND bucket = ?", (_day(day) // DAY_MS,))
    await store._slices(lambda session: daysums.add_up(session, NOW, daysums.REPEATS))
    with closing(Database(str(path))) as db:
        notes = "SELECT count(*) FROM day_summed WHERE kind = 2 AND days = 1 AND day = ?"
        assert noted == db.execute(notes, (_day(3) // DAY_MS,)).get
    await store.close()


async def test_days_that_are_not_added_up_are_read_for_all_projects_at_once(tmp_path: Path) -> None:
    """A statement for each project takes longer than what it reads: that is what a page of many projects would cost."""
    path = tmp_path / "s.db"
    store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    seen = []
    for number, name in enumerate(_NAMES):
        ref = ProjectRef("circleci.com", name, "gh/a", f"00000000-0000-4000-8000-0000000000b{number}")
        ends = {"name": "unit", "status": "failed", "started_at": NOW - 9, "stopped_at": NOW - 5}
        seen.append(_seen("step", _key(5, number), ref, ends))
    await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))
    asked: list[str] = []
    with closing(Database(str(path))) as db:
        db.exec_trace = lambda _, statement, __: asked.append(statement) or True
        found = daysums.sums_of(db, daysums.STEPS, dict.fromkeys(_NAMES, (0, NOW)))
    assert [one.n for one in found.values()] == [1] * len(_NAMES)
    assert len([one for one in asked if "step_end" in one]) == 1
    await store.close()
