"""Outages of both adapters are equal for any bounds and history, whatever was added up meanwhile."""

from __future__ import annotations

from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.unit.store.twostores import TwoStores

from headgate.core.clock import ManualClock
from headgate.core.detailrows import OutageSum
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork
from headgate.core.tally import Dimension, TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.store.sql import Database
from headgate.testing.store_data import NOW

_IDS = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2", None)
_NAMES = ("gh/a/one", "gh/a/two", "gh/b/three")
_SPANS = 25
_BY: tuple[Dimension, ...] = ("workflow", "branch", "branch_class")
_GROUPINGS = [names for n in range(len(_BY) + 1) for names in combinations(_BY, n)]
# Few moments, so that ends meet each other and the edges of windows.
_at = st.integers(0, 4 * _SPANS).map(lambda quarter: NOW - quarter * DAY_MS // 4)
_ends = st.sampled_from(["success", "success", "failed", "failed", "timedout", "canceled", None])


def _key(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


class _Stores(TwoStores):
    """Two adapters are told the same; after each step their sums are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.names = dict(zip(_IDS, _NAMES, strict=True))
        self.default: str | None = None
        self.kept = 0
        self.bounds = dict.fromkeys(_NAMES, (0, NOW))

    def tell(self, kind: Any, key: str, which: int, fields: dict[str, Any]) -> None:
        """Both stores hear of a fact."""
        self.told += 1
        known = {name: value for name, value in fields.items() if value is not None}
        identity = _IDS[which]
        host = "circleci.com" if identity else "ci.example.com"
        ref = ProjectRef(host, self.names[identity], "gh/a", identity, None, self.default)
        seen = [Observation(kind, key, ref, "poll", NOW + self.told, "stopped_at" in known, known)]
        work = MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0)
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.merge_and_release(work))

    @rule(
        first=st.integers(0, 8),
        runs=st.lists(st.tuples(_at, _ends), min_size=1, max_size=10),
        name=st.sampled_from(["build", "test", None]),
        ref=st.sampled_from(["main", "dev", "v1", None]),
        which=st.integers(0, 2),
        tag=st.booleans(),
    )
    def runs_ended(  # noqa: PLR0917  # as hypothesis draws them
        self, first: int, runs: list[tuple[int, str | None]], name: str, ref: str | None, which: int, tag: bool
    ) -> None:
        """Some runs are told, or told otherwise."""
        for number, (at, status) in enumerate(runs, first):
            if at < self.kept:
                continue  # what is past retention when it is told goes within the hour
            fields = {"name": name, "ref_name": ref, "status": status or "running", "created_at": at - HOUR_MS}
            fields |= {"stopped_at": at if status else None, "pipeline_id": _key(1, number % 4 + 4 * which)}
            fields |= {"ref_type": "tag" if tag else None}
            self.tell("workflow", _key(2, number + 100 * which), which, fields)

    @rule(number=st.integers(0, 3), ref=st.sampled_from(["main", "dev"]), which=st.integers(0, 2))
    def pipeline_told(self, number: int, ref: str, which: int) -> None:
        """The branch of runs that do not tell theirs."""
        fields = {"ref_name": ref, "number": number, "created_at": NOW - DAY_MS}
        self.tell("pipeline", _key(1, number + 4 * which), which, fields)

    @rule(which=st.integers(0, 2), name=st.sampled_from(_NAMES))
    def rename(self, which: int, name: str) -> None:
        """A project is called otherwise from now on; on another host it may have the name of one here."""
        if which == 2 or name not in {self.names[_IDS[0]], self.names[_IDS[1]]}:
            self.names[_IDS[which]] = name

    @rule(default=st.sampled_from(["main", "dev", None]))
    def default_branch(self, default: str | None) -> None:
        """Projects tell another default branch from now on."""
        self.default = default

    @rule(days=st.integers(-20, 3))
    def add_up(self, days: int) -> None:
        """Time passes in which what was over by then is added up."""
        self.loop.run_until_complete(self.disk.trim({}, now_ms=NOW + days * DAY_MS))

    @rule(days=st.integers(1, _SPANS))
    def forget(self, days: int) -> None:
        """Old facts go."""
        self.kept = max(self.kept, NOW - days * DAY_MS)
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.trim({"facts": days * DAY_MS}, now_ms=NOW))

    @rule(bounds=st.lists(st.tuples(_at, _at), min_size=3, max_size=3))
    def ask(self, bounds: list[tuple[int, int]]) -> None:
        """Choose what is compared from now on."""
        self.bounds = {name: (min(one), max(one)) for name, one in zip(_NAMES, bounds, strict=True)}

    @invariant()
    def equal(self) -> None:
        """The chosen bounds, the last week, and everything; little and much of what was before."""
        week = dict.fromkeys(_NAMES, (NOW - 7 * DAY_MS, NOW + 1))
        for bounds in (self.bounds, week, dict.fromkeys(_NAMES, (0, NOW + DAY_MS))):
            for by in _GROUPINGS:
                for least_ms in (0, 2 * DAY_MS):
                    mine, oracle = (
                        store.outage_sums(bounds, by=by, least_ms=least_ms) for store in (self.disk, self.memory)
                    )
                    expected = list(self.loop.run_until_complete(oracle))
                    assert expected == list(self.loop.run_until_complete(mine))


_Stores.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
TestStores = _Stores.TestCase


def _run(number: int, hours: int, status: str, **more: Any) -> tuple[Any, str, dict[str, Any]]:
    at = NOW - 10 * DAY_MS + hours * HOUR_MS
    fields = {"name": "build", "ref_name": "main", "created_at": at - 1, "stopped_at": at, "status": status}
    return "workflow", _key(2, number), {name: value for name, value in (fields | more).items() if value is not None}


_HISTORY = [
    _run(1, 0, "success"),
    _run(2, 1, "failed"),
    _run(3, 2, "failed"),
    _run(4, 4, "success"),
    _run(5, 7, "failed"),
    _run(6, 11, "success"),
    _run(7, 12, "failed", ref_name=None, pipeline_id=_key(1, 1)),
    _run(8, 16, "success", ref_name=None, pipeline_id=_key(1, 1)),
    ("pipeline", _key(1, 1), {"ref_name": "dev", "number": 1}),
    _run(9, 20, "failed"),
]


@pytest.mark.parametrize(
    "later",
    [
        _run(10, 3, "success"),
        _run(11, 5, "failed"),
        _run(12, 240, "success"),
        _run(4, 4, "failed"),
        _run(4, 4, "success", name="test"),
        _run(2, 1, "failed", ref_name="v1", ref_type="tag"),
        _run(2, 3, "failed"),
        ("pipeline", _key(1, 1), {"ref_name": "main", "number": 1}),
        ("pipeline", _key(1, 1), {"ref_name": "v1", "number": 1}),
    ],
    ids=["between", "again", "now", "status", "name", "ref", "end", "class", "pipeline"],
)
async def test_what_changes_is_read_again(tmp_path: Path, later: tuple[Any, str, dict[str, Any]]) -> None:
    """A run that comes late or is told otherwise, and a pipeline with another branch, before and after adding up."""
    path = tmp_path / "s.db"
    clock = ManualClock(NOW)
    disk = SqliteStore(path, clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    memory = MemoryStore(clock=clock)
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])

    async def tell(facts: list[tuple[Any, str, dict[str, Any]]], observed_ms: int) -> None:
        for kind, key, fields in facts:
            seen = [Observation(kind, key, ref, "poll", observed_ms, kind == "workflow", fields)]
            for store in (disk, memory):
                await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    async def both(store: SqliteStore | MemoryStore) -> list[list[OutageSum]]:
        windows = [(0, NOW + 1), (NOW - 10 * DAY_MS + 3 * HOUR_MS, NOW + 1), (NOW - 9 * DAY_MS, NOW - 8 * DAY_MS)]
        return [
            list(await store.outage_sums({_NAMES[0]: window}, by=by, least_ms=least_ms))
            for window in windows
            for by in _GROUPINGS
            for least_ms in (0, DAY_MS)
        ]

    for store in (disk, memory):
        await store.open()
    await tell(_HISTORY, NOW)
    await disk.trim({}, now_ms=NOW)
    before = await both(memory)
    assert before == await both(disk)
    with closing(Database(str(path))) as db:
        assert db.execute("SELECT count(*) FROM outage").get == 4
        assert db.execute("SELECT upto FROM outage_upto").get == NOW - 2 * HOUR_MS
    await tell([later], NOW + 1)
    after = await both(memory)
    assert before != after
    assert after == await both(disk)
    await disk.trim({}, now_ms=NOW)
    assert after == await both(disk)
    await disk.close()


async def test_results_of_tests_that_go_leave_the_runs(tmp_path: Path) -> None:
    """They are kept for a month, runs for a year: what runs tell, also at bounds within an hour, stays as it is."""
    clock = ManualClock(NOW)
    disk = SqliteStore(tmp_path / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    memory = MemoryStore(clock=clock)
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])
    result = ("test_result", "r1", {"name": "t", "result": "pass", "stopped_at": NOW - 10 * DAY_MS})
    for store in (disk, memory):
        await store.open()
        for kind, key, fields in [*_HISTORY, result]:
            seen: Any = [Observation(kind, key, ref, "poll", NOW, kind == "workflow", fields)]
            await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))
        await store.trim({"test_results": DAY_MS}, now_ms=NOW)
    window = {_NAMES[0]: (NOW - 10 * DAY_MS + HOUR_MS // 2, NOW)}
    by: Dimension
    for by in ("project", "trigger"):
        query = TallyQuery("workflow", window, (by,))
        assert await memory.tallies(query) == await disk.tallies(query)
    sums = await memory.outage_sums(window, by=(), least_ms=0)
    assert sums
    assert sums == await disk.outage_sums(window, by=(), least_ms=0)
    with closing(Database(str(tmp_path / "s.db"))) as db:
        assert db.execute("SELECT count(*) FROM test_result").get == 0
        assert db.execute("SELECT count(*) FROM cut_built").get > 0
    await disk.close()
