"""When work on deployments began is the same in both adapters, whatever was noted before and changed since."""

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
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store
from headgate.core.times import DAY_MS
from headgate.store import Quota, SqliteStore, commits
from headgate.store.sql import Database
from headgate.testing.store_data import NOW

_IDS = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2")
# Two commits that begin alike, and what somebody may call one.
_COMMITS = ("a" * 40, "a" * 39 + "b", "v1", None)
_at = st.integers(NOW - 40 * DAY_MS, NOW - 1)
_few = st.integers(0, 3)


def _id(kind: int, number: int) -> str:
    return f"{kind:08d}-0000-4000-8000-{number:012d}"


class _Stores(TwoStores):
    """Two adapters are told the same; after each step their deployments are equal."""

    def _tell(self, kind: Any, key: str, project: int, fields: dict[str, Any], *, terminal: bool = True) -> None:
        self.told += 1
        known = {name: value for name, value in fields.items() if value is not None}
        ref = ProjectRef("circleci.com", f"gh/a/{project}", "gh/a", _IDS[project] if project < 2 else None)
        work = MergeWork(
            "ci", [Observation(kind, key, ref, "v2", NOW + self.told, terminal, known)], ReleasePolicy("none"), NOW, 0
        )
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.merge_and_release(work))

    @rule(number=_few, project=st.integers(0, 2), commit=st.sampled_from(_COMMITS))
    def pipeline(self, number: int, project: int, commit: str | None) -> None:
        """A pipeline tells its commit, or another one than before."""
        self._tell("pipeline", _id(1, number), project, {"revision": commit, "created_at": NOW}, terminal=False)

    @rule(
        number=_few,
        project=st.integers(0, 2),
        commit=st.sampled_from(_COMMITS),
        pipeline=st.none() | _few,
        created=_at,
        ended=st.booleans(),
    )
    def workflow(
        self, *, number: int, project: int, commit: str | None, pipeline: int | None, created: int, ended: bool
    ) -> None:
        """A workflow begins or ends, or is told otherwise."""
        fields = {"name": "build", "status": "success" if ended else "running", "revision": commit}
        times = {"created_at": created, "stopped_at": created + 1 if ended else None}
        of = None if pipeline is None else _id(1, pipeline)
        self._tell("workflow", _id(2, number), project, fields | times | {"pipeline_id": of}, terminal=ended)

    @rule(
        number=st.integers(0, 5),
        project=st.integers(0, 2),
        commit=st.sampled_from(_COMMITS),
        run=st.none() | _few,
        stopped=_at,
        status=st.sampled_from(["succeeded", "failed"]),
    )
    def deployment(
        self, *, number: int, project: int, commit: str | None, run: int | None, stopped: int, status: str
    ) -> None:
        """A deployment ends, or is told otherwise."""
        fields = {"name": "web", "environment": "prod", "status": status, "revision": commit, "stopped_at": stopped}
        of = None if run is None else _id(2, run)
        self._tell("deployment", _id(6, number), project, fields | {"workflow_id": of})

    @rule()
    def join(self) -> None:
        """The id of a project that had none becomes known: it was another one all along."""
        ref = ProjectRef("circleci.com", "gh/a/2", "gh/a", _IDS[1])
        self.told += 1
        fields = {"created_at": NOW}
        work = MergeWork(
            "ci",
            [Observation("pipeline", _id(1, 9), ref, "v2", NOW + self.told, False, fields)],
            ReleasePolicy("none"),
            NOW,
            0,
        )
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.merge_and_release(work))

    @rule()
    def note(self) -> None:
        """Time passes in which beginnings are noted."""
        self.loop.run_until_complete(self.disk.trim({}, now_ms=NOW))

    @rule(days=st.integers(1, 40))
    def forget(self, days: int) -> None:
        """Old facts go; what left of them may stay in the log."""
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.trim({"facts": days * DAY_MS}, now_ms=NOW))

    @invariant()
    def equal(self) -> None:
        """All of them."""
        mine, oracle = (
            self.loop.run_until_complete(store.deployment_ends(0, NOW + 1, begun=True))
            for store in (self.disk, self.memory)
        )
        assert list(oracle) == list(mine)


_Stores.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
TestStores = _Stores.TestCase


async def test_beginnings_are_noted_and_read(tmp_path: Path, monkeypatch: Any) -> None:
    """What is noted is not looked for again; a workflow of the commit takes the note away."""
    store: Store = SqliteStore(
        tmp_path / "s.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0)
    )
    await store.open()
    ref = ProjectRef("circleci.com", "gh/a/0", "gh/a", _IDS[0])
    told = {"name": "web", "environment": "prod", "status": "succeeded", "revision": _COMMITS[0], "stopped_at": NOW}

    async def tell(kind: Any, key: str, fields: dict[str, Any]) -> None:
        work = [Observation(kind, key, ref, "v2", NOW, True, fields)]
        await store.merge_and_release(MergeWork("ci", work, ReleasePolicy("none"), NOW, 0))

    await tell("deployment", _id(6, 1), told)
    await tell("deployment", _id(6, 2), told | {"revision": "c" * 40})
    await tell("workflow", _id(2, 1), {"created_at": NOW - 9, "stopped_at": NOW, "revision": _COMMITS[0]})
    await store.trim({}, now_ms=NOW)
    with closing(Database(str(tmp_path / "s.db"))) as db:
        noted = "SELECT deployment, at_ms FROM deployment_begun ORDER BY 1"
        assert db.execute(noted).fetchall() == [(1, NOW - 9), (2, None)]
        with monkeypatch.context() as patched:
            patched.setattr(commits, "_found", None)
            assert [9, None] == [one.lead_ms for one in await store.deployment_ends(0, NOW + 1, begun=True)]
        await tell("workflow", _id(2, 2), {"created_at": NOW - 50, "stopped_at": NOW, "revision": _COMMITS[0]})
        assert db.execute(noted).fetchall() == [(2, None)]
        assert [50, None] == [one.lead_ms for one in await store.deployment_ends(0, NOW + 1, begun=True)]
    await store.close()


_OLD = NOW - 9 * DAY_MS
_RUN = {"created_at": NOW - 5, "stopped_at": NOW}
_DEPLOYED = {"name": "web", "environment": "prod", "status": "succeeded", "stopped_at": NOW}
_Told = tuple[Any, str, dict[str, Any]]


@pytest.mark.parametrize(
    ("before", "after", "begun"),
    [
        ([("workflow", _id(2, 1), _RUN | {"pipeline_id": _id(1, 1)})], ("pipeline", {"revision": "c"}), [NOW - 5]),
        (
            [("workflow", _id(2, 1), _RUN | {"pipeline_id": _id(1, 1)}), ("pipeline", _id(1, 1), {"created_at": NOW})],
            ("pipeline", {"revision": "c"}),
            [NOW - 5],
        ),
        ([("workflow", _id(2, 1), _RUN | {"revision": "d"})], ("deployment", {"revision": "d"}), [NOW - 5]),
        (
            [
                ("pipeline", _id(1, 1), {"created_at": _OLD, "revision": "c"}),
                ("workflow", _id(2, 1), _RUN | {"pipeline_id": _id(1, 1)}),
            ],
            None,
            [None],
        ),
        ([("deployment", _id(6, 1), {"stopped_at": _OLD})], None, []),
    ],
    ids=["a pipeline comes", "a pipeline tells", "a deployment changes", "a pipeline goes", "a deployment goes"],
)
async def test_notes_go_with_what_they_follow_from(
    tmp_path: Path, before: list[_Told], after: tuple[Any, dict[str, Any]] | None, begun: list[int | None]
) -> None:
    """Whatever is told later, and whatever retention deletes."""
    path, ref = tmp_path / "s.db", ProjectRef("circleci.com", "gh/a/0", "gh/a", _IDS[0])
    store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()

    async def tell(at_ms: int, kind: Any, key: str, fields: dict[str, Any]) -> None:
        work = [Observation(kind, key, ref, "v2", at_ms, kind != "pipeline", fields)]
        await store.merge_and_release(MergeWork("ci", work, ReleasePolicy("none"), NOW, 0))

    await tell(NOW, "deployment", _id(6, 1), _DEPLOYED | {"revision": "c"})
    for number, one in enumerate(before, 1):
        await tell(NOW + number, *one)
    await store.trim({}, now_ms=NOW)
    with closing(Database(str(path))) as db:
        assert db.execute("SELECT count(*) FROM deployment_begun").get == 1
        if after is None:
            await store.trim({"facts": 5 * DAY_MS}, now_ms=NOW)
        else:
            await tell(NOW + 9, after[0], _id({"pipeline": 1, "deployment": 6}[after[0]], 1), after[1])
        leads = [None if at is None else NOW - at for at in begun]
        assert leads == [one.lead_ms for one in await store.deployment_ends(0, NOW + 1, begun=True)]
        await store.trim({}, now_ms=NOW)
        assert begun == [row[0] for row in db.execute("SELECT at_ms FROM deployment_begun")]
    await store.close()
