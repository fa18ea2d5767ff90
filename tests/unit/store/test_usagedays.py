"""Bills and loads of both adapters are equal for any bounds and history, whatever was added up meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.unit.store.twostores import TwoStores

from headgate.core.clock import ManualClock
from headgate.core.detailrows import USAGE_NAMES, Percents, UsageName
from headgate.core.facts import FactKind
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork
from headgate.core.times import DAY_MS
from headgate.store import Quota, SqliteStore, usagedays
from headgate.store.schema import migrate, set_up
from headgate.store.sql import Database
from headgate.store.usagedays import MISSING
from headgate.testing.store_data import NOW

_IDS = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2")
_NAMES = ("gh/a/one", "gh/a/two", "gh/b/three")
_SPANS = 40
_at = st.integers(NOW - _SPANS * DAY_MS, NOW) | st.integers(NOW // DAY_MS - _SPANS, NOW // DAY_MS).map(
    lambda day: day * DAY_MS
)
_percent = st.none() | st.sampled_from([-1.0, 0.0, 12.2, 99.9, 100.0, 254.5, 7e9])


class _Stores(TwoStores):
    """Two adapters are told the same; after each step their sums are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.names = dict(zip(_IDS, _NAMES, strict=False))
        self.bounds = dict.fromkeys(_NAMES, (0, NOW))

    @rule(
        first=st.integers(0, 30),
        times=st.lists(_at, min_size=1, max_size=12),
        place=st.sampled_from([("test", "large"), ("test", "small"), ("lint", None)]),
        loads=st.tuples(_percent, _percent, _percent),
        spent=st.none() | st.integers(0, 99),
    )
    def told_of_bills(
        self,
        first: int,
        times: list[int],
        place: tuple[str, str | None],
        loads: tuple[float | None, ...],
        spent: int | None,
    ) -> None:
        """Some rows are told, or told otherwise; the export does not tell every end."""
        seen = []
        for number, at in enumerate(times, first):
            self.told += 1
            fields: dict[str, Any] = {"job_name": place[0], "resource_class": place[1], "workflow_name": "build"}
            fields |= {"stopped_at" if number % 4 else "started_at": at, "total_credits": spent, "run_seconds": number}
            fields |= {"compute_credits": spent, "user_credits": number if number % 3 else None}
            fields |= dict(zip(("ram_max_pct", "cpu_median_pct", "cpu_max_pct"), loads, strict=True))
            known = {name: value for name, value in fields.items() if value is not None}
            ref = ProjectRef("circleci.com", self.names[_IDS[number % 2]], "gh/a", _IDS[number % 2])
            key = f"00000000-0000-4000-8000-{number:012d}"
            seen.append(Observation("usage", key, ref, "export", NOW + self.told, True, known))
        work = MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0)
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.merge_and_release(work))

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
            names: tuple[tuple[UsageName, ...], ...] = ((), ("job",), USAGE_NAMES)
            for by in names:
                mine, oracle = (store.usage_sums(bounds, by) for store in (self.disk, self.memory))
                assert self.loop.run_until_complete(oracle) == self.loop.run_until_complete(mine)
            days, oracle_days = (store.usage_days(bounds) for store in (self.disk, self.memory))
            assert self.loop.run_until_complete(oracle_days) == self.loop.run_until_complete(days)
            loads, oracles = (store.usage_loads(bounds) for store in (self.disk, self.memory))
            assert self.loop.run_until_complete(oracles) == self.loop.run_until_complete(loads)


_Stores.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
TestStores = _Stores.TestCase


async def test_days_that_are_over_are_added_up_and_read(tmp_path: Path) -> None:
    """Four and sixteen of them in one where they are whole; a change takes the notes of its day away, and no others."""
    path = tmp_path / "s.db"
    store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    first = NOW // (16 * DAY_MS) * 16 - 16
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])

    async def tell(number: int, day: int, spent: int) -> None:
        fields = {"job_name": "test", "stopped_at": day * DAY_MS, "total_credits": spent}
        key = f"00000000-0000-4000-8000-{number:012d}"
        seen = [Observation("usage", key, ref, "export", NOW + spent, True, fields)]
        await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    for number in range(16):
        await tell(number, first + number, 1)
    await store.trim({}, now_ms=NOW)
    with closing(Database(str(path))) as db:
        noted = "SELECT units, (first - ?) / 4 FROM usage_whole WHERE units > 1 AND first < ? ORDER BY 1, 2"
        span, days = (first * 4, first * 4 + 64), [(4, number) for number in range(16)]
        longer = [(16, 0), (16, 4), (16, 8), (16, 12), (64, 0)]
        assert db.execute(noted, span).fetchall() == [*days, *longer]
        runs = "SELECT wide, units, sum(runs), count(*) FROM usage_part GROUP BY 1, 2"
        counts = [(1, 16, 16), (4, 16, 16), (16, 16, 4), (64, 16, 1)]
        assert [(wide, *one) for wide in (0, 1) for one in counts] == db.execute(runs).fetchall()
        await tell(3, first + 3, 5)
        left = [one for one in (*days, *longer) if one not in ((4, 3), (16, 0), (64, 0))]
        assert db.execute(noted, span).fetchall() == left
    bounds = {_NAMES[0]: (first * DAY_MS, (first + 16) * DAY_MS)}
    assert [20] == [one.total for one in await store.usage_sums(bounds)]
    await store.trim({}, now_ms=NOW)
    assert [20] == [one.total for one in await store.usage_sums(bounds)]
    await store.close()


async def test_what_takes_several_statements_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes of every project may differ, and a statement takes so many parts of time."""
    store = SqliteStore(tmp_path / "s.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])
    for number in range(3):
        fields = {"job_name": "test", "stopped_at": NOW - (number * 3 + 1) * DAY_MS, "total_credits": 7}
        fields |= {"compute_credits": 5, "ram_max_pct": 10.0 * number} | ({"cpu_max_pct": 3.0} if number else {})
        seen = [Observation("usage", f"00000000-0000-4000-8000-{number:012d}", ref, "export", NOW, True, fields)]
        await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))
    await store.trim({}, now_ms=NOW)
    bounds = {_NAMES[0]: (NOW - 9 * DAY_MS + 1, NOW)}
    whole = await store.usage_sums(bounds), await store.usage_loads(bounds)
    monkeypatch.setattr(usagedays, "_MOST_ARMS", 1)
    assert whole == (await store.usage_sums(bounds), await store.usage_loads(bounds))
    assert [(3, 21)] == [(one.runs, one.total) for one in whole[0]]
    assert [(3, 15, Percents(3, 20, 20), Percents(), Percents(2, 3, 3))] == [
        (one.runs, one.compute, one.ram_max, one.cpu_median, one.cpu_max) for one in whole[1]
    ]
    await store.close()


async def test_projects_without_rows_are_noted_once_they_have_some(tmp_path: Path) -> None:
    """Nothing is noted or read of them before."""
    path = tmp_path / "s.db"
    store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    bounds = dict.fromkeys(_NAMES[:2], (0, NOW))

    async def tell(number: int, kind: FactKind, at_ms: int) -> None:
        ref = ProjectRef("circleci.com", _NAMES[number], "gh/a", _IDS[number])
        fields = {"workflow_name": "build", "total_credits": 1, "stopped_at": at_ms}
        key = f"00000000-0000-4000-8000-{at_ms:012d}"
        known = fields if kind == "usage" else {"number": 1}
        seen = [Observation(kind, key, ref, "export", NOW, True, known)]
        await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    await tell(0, "usage", NOW - 9 * DAY_MS)
    await tell(1, "pipeline", NOW)
    with closing(Database(str(path))) as db:
        noted = "SELECT count(DISTINCT project), count(DISTINCT first) > 9 FROM usage_whole WHERE units = 1"
        for projects in (1, 2):
            await store.trim({}, now_ms=NOW)
            assert db.execute(noted).fetchone() == (projects, 1)
            assert [1] * projects == [one.total for one in await store.usage_sums(bounds, [])]
            if projects == 1:
                await tell(1, "usage", NOW - 3 * DAY_MS)
                assert [1, 1] == [one.total for one in await store.usage_sums(bounds, [])]
    await store.close()


def test_what_is_missing_is_found_without_statistics(tmp_path: Path) -> None:
    """Each note is looked up by its whole key: else every one of a length is held against every other."""
    with closing(Database(str(tmp_path / "s.db"))) as db:
        set_up(db, writer=True)
        migrate(db)
        assert not db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'").get
        bound = {"longest": "[]", "times": "[]", "first": 0, "last": 0, "most": 1}
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {MISSING}", bound)]
    of_notes = [step for step in plan if " w " in step]
    assert ["SEARCH w USING PRIMARY KEY (units=? AND first=? AND project=?)"] * 3 == of_notes
