"""Both adapters end in the same facts, rollups and net records, whatever the order and grouping of what comes in."""

import asyncio
import shutil
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import apsw
import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headgate.core.clock import ManualClock
from headgate.core.ids import number_key
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.rollup import SUMS
from headgate.core.runrows import LiveChoice, RunChoice
from headgate.core.runs import run_pages
from headgate.core.status import OUR_STATUSES
from headgate.core.storeport import MergeWork, Store
from headgate.core.times import DAY_MS
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.testing.store_data import NOW, net_records, read

PROJECTS = [
    ProjectRef("circleci.com", "gh/a/one", "gh/a", "00000000-0000-4000-8000-0000000000a1"),
    ProjectRef("circleci.com", "gh/a/two", "gh/a", "00000000-0000-4000-8000-0000000000a2", None, "develop"),
]
SOURCES = ("webhook", "v2", "detail", "v1.1", "insights", "export")


def _id(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


_time = st.integers(NOW - 3 * DAY_MS, NOW)
_status = st.sampled_from(["success", "failed", "running", "canceled", "not_run", "odd"])
_ref = st.sampled_from(["main", "develop", "fix"])
_trigger = st.sampled_from(["webhook", "api"])
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "pipeline": {
        "number": st.integers(1, 9),
        "ref_name": _ref,
        "revision": st.text("ab", min_size=1, max_size=3),
        "trigger_type": _trigger,
    },
    "workflow": {
        "name": st.sampled_from(["build", "ship"]),
        "status": _status,
        "created_at": _time,
        "stopped_at": _time,
        "partial_rerun": st.just(True),
        "ref_name": _ref,
        "trigger_type": _trigger,
        "author_login": st.sampled_from(["kim", "main"]),
        "credits": st.integers(0, 99),
        "credits_estimated": st.booleans(),
    },
    "job": {
        "name": st.sampled_from(["test", "lint"]),
        "status": _status,
        "queued_at": _time,
        "started_at": _time,
        "stopped_at": _time,
        "credits": st.integers(0, 99),
        "requires": st.lists(st.sampled_from(["x", "y"]), max_size=2),
    },
    "usage": {"stopped_at": _time, "total_credits": st.integers(0, 99), "status": _status},
    "insight": {"window": st.just("last-7-days"), "numbers": st.dictionaries(_ref, st.integers(0, 9), max_size=2)},
}
# Of each job; odd numbers are of one project, even ones of the other.
_WORKFLOW_OF = (0, 1, 2, 1)
_KIND_ID = {"pipeline": 1, "workflow": 2, "job": 3, "usage": 4, "insight": 5}


@st.composite
def _observations(draw: st.DrawFn) -> Observation:
    kind: Any = draw(st.sampled_from(["pipeline", "workflow", "job", "job", "usage", "insight"]))
    number = draw(st.integers(0, 3))
    project = PROJECTS[number % 2]
    if draw(st.booleans()):  # not every input knows the default branch
        project = replace(project, default_branch=None)
    names = draw(st.sets(st.sampled_from(sorted(_FIELDS[kind]))))
    fields = {name: draw(_FIELDS[kind][name]) for name in sorted(names)}
    # Relations never change or leave their project: a job is of one workflow, that of one pipeline, the job's too.
    key = _id(_KIND_ID[kind], number)
    if kind == "workflow" and draw(st.booleans()):
        fields["pipeline_id"] = _id(1, number % 2)
    if kind == "job":
        fields["number"] = 100 + number
        if draw(st.booleans()):
            fields["workflow_id"] = _id(2, _WORKFLOW_OF[number])
        if draw(st.integers(0, 3)) == 0:
            fields["pipeline_id"] = _id(1, number % 2)
    if kind == "usage":
        fields |= {"job_id": _id(3, number), "workflow_id": _id(2, _WORKFLOW_OF[number])}
    source = draw(st.sampled_from(SOURCES))
    observed = NOW + draw(st.integers(0, 3))
    terminal = draw(st.booleans())
    return Observation(kind, key, project, source, observed, terminal, fields, draw(st.booleans()))


@st.composite
def _groups(draw: st.DrawFn) -> list[list[Observation]]:
    return draw(st.lists(st.lists(_observations(), max_size=6), max_size=6))


async def _feed(store: Store, groups: list[list[Observation]], policy: ReleasePolicy) -> list[Any]:
    results: list[Any] = []
    for seen in groups:
        work = MergeWork("ci", seen, policy, NOW, NOW - DAY_MS, gone=[_id(3, 2)] if len(seen) == 3 else ())
        results.append(await store.merge_and_release(work))
    later = NOW + policy.wait_ms
    results.append(await store.release_due(policy, "ci", now_ms=later, live_after_ms=NOW - DAY_MS))
    return results


def _agree(expected: list[Any], got: list[Any]) -> None:
    """Equal, but that the oracle looks at more facts again and so may name a project that waits still."""
    assert [replace(one, wants_enrichment=()) for one in expected] == [replace(one, wants_enrichment=()) for one in got]
    assert all(one.wants_enrichment <= two.wants_enrichment for one, two in zip(got, expected, strict=True))


async def _facts(store: Store) -> dict[str, Any]:
    found = {}
    for kind, ids in ((1, range(2)), (2, range(4)), (3, range(4))):
        for number in ids:
            for one in await store.explain(_id(kind, number)):
                found[one.provider_id] = (dict(one.fields), one.released, one.due_ms, one.record_id)
    return found


async def _net(store: Store) -> dict[str, dict[str, Any]]:
    return net_records([*await read(store, "live"), *await read(store, "backfill")])


def _rollup_days(path: Path) -> dict[Any, Any]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    columns = ", ".join(SUMS)
    query = (
        f"SELECT bucket, kind, p.provider_id, coalesce(r.text, ''), coalesce(j.text, ''), class, {columns}"  # noqa: S608
        " FROM rollup_day JOIN dim_project p ON p.id = project LEFT JOIN dim r ON r.id = run"
        " LEFT JOIN dim j ON j.id = job"
    )
    rows = db.execute(query).fetchall()
    db.close()
    kinds = {1: "workflow", 2: "job"}
    return {(row[0], kinds[row[1]], *row[2:6]): row[6:] for row in rows if any(row[6:])}


async def _newest(store: Store) -> list[Any]:
    """Two pages of runs of each choice."""
    names = {project.slug: ("build", "ship", "") for project in PROJECTS}
    found = []
    for values in product(("", "main", "fix"), (None, 0, 1), ("", "api"), ("", "failure", "unknown")):
        asked: dict[str, Any] = {"chosen": RunChoice(*values), "since_ms": NOW - 2 * DAY_MS, "limit": 2}
        first = await store.newest_runs(names, before=(NOW, ""), **asked)
        place = (first[-1].stopped_ms, first[-1].workflow_id) if first else (NOW, "")
        found.append((first, await store.newest_runs(names, before=place, **asked)))
        found.append((await store.newest_runs(dict.fromkeys(names), before=(NOW, ""), **asked), ()))
    return found


async def _series(store: Store) -> list[Any]:
    """The newest of each name, by branches and triggers of their own or of what is above them; what is in flight."""
    found: list[Any] = [await store.in_flight(99), await store.in_flight(99, newest=True), await store.live_counts()]
    for status, branch, trigger in product(OUR_STATUSES, ("", "main"), ("", "api")):
        run = RunChoice(branch, None, trigger)
        found += [await store.in_flight(99, LiveChoice("", (status,), run=run)), await store.live_counts(run)]
    for kind, branch, trigger in product(("workflow", "job"), ("", "main", "fix"), ("", "api")):
        named: dict[str, Any] = {"branch": branch, "trigger": trigger, "statuses": OUR_STATUSES, "limit": 2}
        for project, name in product(PROJECTS, ("build", "")):
            place = {"project": project.slug, "workflow": name, "job": None if kind == "workflow" else "test"}
            span = {"since_ms": NOW - 2 * DAY_MS, "before_ms": NOW}
            found.append(await store.series(kind, **place, **named, **span))
    return found


async def _compare(groups: list[list[Observation]], policy: ReleasePolicy) -> None:
    folder = Path(tempfile.mkdtemp())
    path = folder / "headgate.db"
    disk = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    memory = MemoryStore(clock=ManualClock(NOW))
    await disk.open()
    await memory.open()
    try:
        _agree(await _feed(memory, groups, policy), await _feed(disk, groups, policy))
        assert await _facts(memory) == await _facts(disk)
        for lane in ("live", "backfill"):
            expected = sorted((e.record_id, e.body) for e in await read(memory, lane))
            assert expected == sorted((e.record_id, e.body) for e in await read(disk, lane))
        assert memory.facts.rollup_days() == _rollup_days(path)
        assert (await memory.figures()).statuses == (await disk.figures()).statuses
        assert [page async for page in run_pages(memory, 0, NOW + 1)] == [
            page async for page in run_pages(disk, 0, NOW + 1)
        ]
        assert await _newest(memory) == await _newest(disk)
        assert await _series(memory) == await _series(disk)
    finally:
        await disk.close()
        shutil.rmtree(folder)


_quiet = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_policies = st.sampled_from([ReleasePolicy("none"), ReleasePolicy("batch", 60_000), ReleasePolicy("each", 1_000)])

# A run on `main` that waits for enrichment, and then its project tells that another branch is the default one.
_WAITING = Observation(
    "workflow", _id(2, 1), replace(PROJECTS[1], default_branch=None), "v2", NOW, True, {"ref_name": "main"}
)
_DEFAULT_BRANCH = Observation("pipeline", _id(1, 1), PROJECTS[1], "v2", NOW, False, {})


@_quiet
@given(_groups(), _policies)
@example([[_WAITING], [_DEFAULT_BRANCH]], ReleasePolicy("batch", 60_000))
def test_the_adapters_agree(groups: list[list[Observation]], policy: ReleasePolicy) -> None:
    """Step by step: results, facts with provenance, records byte for byte, rollups, figures."""
    asyncio.run(_compare(groups, policy))


@_quiet
@given(st.lists(_observations(), max_size=16), st.randoms(use_true_random=False), _policies)
def test_order_and_grouping_do_not_matter(seen: list[Observation], rng: Any, policy: ReleasePolicy) -> None:
    """One by one, all at once, shuffled, or with some told twice: the same facts, rollups and net records."""
    # What a leaf takes over from its job is as it was known when the leaf left, so it hangs on the order.
    seen = [one for one in seen if one.kind != "usage"]
    shuffled = seen + [one for one in seen if rng.random() < 0.3]
    rng.shuffle(shuffled)
    ways = ([[one] for one in seen], [seen], [[one] for one in shuffled], [shuffled[::2], shuffled[1::2]])
    asyncio.run(_same_end([list(way) for way in ways], policy))


async def _same_end(ways: list[list[list[Observation]]], policy: ReleasePolicy) -> None:
    ends = []
    for groups in ways:
        store = MemoryStore(clock=ManualClock(NOW))
        await store.open()
        for seen in groups:
            await store.merge_and_release(MergeWork("ci", seen, policy, NOW, 0))
        await store.release_due(policy, "ci", now_ms=NOW + policy.wait_ms, live_after_ms=0)
        fields = {key: (one[0], one[1]) for key, one in (await _facts(store)).items()}
        net = await _net(store)
        # An attribute that the last state no longer shows cannot be taken back; all that it shows must be there.
        shown = {
            one.key: msgspec.json.encode(
                {name: net[_record(one)].get(name) for name in sorted(one.sent or {})}, order="deterministic"
            )
            for one in store.facts.all()
            if one.lane is not None
        }
        ends.append((fields, store.facts.rollup_days(), shown))
    assert all(end == ends[0] for end in ends)


def _record(fact: Any) -> str:
    from headgate.core.ids import record_id

    return record_id(fact.kind, fact.host, fact.key)


@_quiet
@given(st.permutations(range(4)), st.booleans())
def test_names_of_a_job_meet_in_any_order(order: list[int], released: bool) -> None:
    """A build known by number and by UUID is one fact, whichever name came first; both adapters agree."""
    numbered = number_key(str(PROJECTS[0].project_id), 100)
    one = {"number": 100, "status": "success", "started_at": NOW - 5, "stopped_at": NOW}
    made = [
        Observation("job", numbered, PROJECTS[0], "v1.1", NOW, released, one),
        Observation("job", _id(3, 0), PROJECTS[0], "webhook", NOW, released, one | {"name": "test"}),
        Observation("job", _id(3, 0), PROJECTS[0], "v2", NOW + 1, False, {"resource_class": "large"}),
        Observation("job", numbered, PROJECTS[0], "detail", NOW + 2, False, {"executor": "docker", "number": 100}),
    ]
    asyncio.run(_compare([[made[position]] for position in order], ReleasePolicy("none", 1_000)))


@st.composite
def _siblings(draw: st.DrawFn) -> Observation:
    """Something about one of four workflows of one pipeline, with jobs."""
    number, second = draw(st.integers(0, 3)), 1_000
    fields: dict[str, Any] = {"name": draw(st.sampled_from(["build", "build", "ship"])), "pipeline_id": _id(1, 0)}
    fields["created_at"] = NOW - DAY_MS + number * 60 * second + draw(st.integers(0, second - 1))
    if draw(st.booleans()):
        fields["stopped_at"] = fields["created_at"] + draw(st.integers(0, 150)) * second
    source = draw(st.sampled_from(["webhook", "v2"]))
    if draw(st.integers(0, 3)) == 0:
        told = {"name": "test", "workflow_id": _id(2, number), "status": "success", "stopped_at": NOW}
        return Observation("job", _id(3, number), PROJECTS[0], source, NOW, True, told)
    ended = "stopped_at" in fields and draw(st.booleans())
    return Observation("workflow", _id(2, number), PROJECTS[0], source, NOW, ended, fields | {"status": "failed"})


@_quiet
@given(st.lists(_siblings(), max_size=12), st.randoms(use_true_random=False))
def test_reruns_are_linked_the_same_in_any_order(seen: list[Observation], rng: Any) -> None:
    """Chains of one pipeline, told whole, one by one or shuffled; both adapters agree."""
    shuffled = [*seen]
    rng.shuffle(shuffled)
    ways = [[[one] for one in seen], [seen], [[one] for one in shuffled]]
    asyncio.run(_same_end(ways, ReleasePolicy("none")))
    asyncio.run(_compare([[one] for one in shuffled], ReleasePolicy("none")))
