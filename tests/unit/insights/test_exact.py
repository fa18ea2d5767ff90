"""Metrics against a slow reference that shares nothing with the catalogue, over late and corrected facts.

Counts, sums and means are equal; quantiles are within 1.01 % of the nearest rank.
"""

import math
from collections import defaultdict
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.unit.insights.world import DAY, HOUR, NOW, PROJECTS, World, sqlite, tell

from headgate.core import record
from headgate.core.clock import ManualClock
from headgate.core.storeport import Store
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import parse_matcher
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.reader import Reader
from headgate.store import MemoryStore

OURS = {
    "success": "success",
    "failed": "failure",
    "timedout": "timeout",
    "infrastructure_fail": "error",
    "canceled": "canceled",
    "not_run": "skipped",
}
FAILURES = ("failure", "timeout", "error")
OWNERS = Owners([parse_owner({"workflow": "ship"}, "release"), parse_owner(["project=~gh/acme/.*"], "acme")])
# The same for all projects, ending in the middle of an hour; a whole day; and a window of its own for each project.
EVEN = dict.fromkeys(PROJECTS, (NOW - 5 * DAY - 1_234_567, NOW - 3_333))
WHOLE = dict.fromkeys(PROJECTS, (NOW // DAY * DAY - 3 * DAY, NOW // DAY * DAY))
UNEVEN = {slug: (NOW - 2 * DAY - index * HOUR - 17, NOW - index * 7_654_321) for index, slug in enumerate(PROJECTS)}


def place(run: dict, job: dict | None) -> dict[str, str]:
    """Every dimension of a run or job."""
    found = {
        "org": run["project"].rpartition("/")[0],
        "project": run["project"],
        "workflow": run["workflow"],
        "branch": run["branch"],
        "branch_class": "@default" if run["branch"] == "main" else "@other",
        "trigger": run["trigger"],
        "team": "release" if run["workflow"] == "ship" else "acme" if run["project"].startswith("gh/acme/") else "",
    }
    return found if job is None else found | {"job": job["name"], "resource_class": job["class"] or ""}


def rank(values: list[int], q: float) -> float:
    """The nearest rank in seconds."""
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1] / 1000


def mean(values: list[int]) -> float:
    """The mean in seconds."""
    return sum(values) / len(values) / 1000


def count(things: list[dict], *statuses: str) -> int:
    """How many ended so."""
    return sum(OURS[one["status"]] in statuses for one in things)


def took(things: list[dict], start: str) -> list[int]:
    """Durations of successful ones, milliseconds."""
    return [max(0, one["stopped"] - one[start]) for one in things if one["status"] == "success"]


def ended(things: list[dict], start: str, days: float) -> dict[str, tuple[float, int] | None]:
    """Reference values with their sample sizes of what runs and jobs have in common."""
    good, bad, ran = count(things, "success"), count(things, *FAILURES), len(things) - count(things, "skipped")
    spans = took(things, start)
    return {
        "success_rate": (good / (good + bad), good + bad) if good + bad else None,
        "runs": (ran, ran),
        "failed_runs": (bad, good + bad),
        "infrastructure_failures": (count(things, "error"), good + bad),
        "throughput": (pytest.approx(ran / days), ran),
        "credits": (sum(one["credits"] for one in things), ran),
        "duration_mean": (mean(spans), len(spans)) if spans else None,
        **{f"duration_{name}": (rank(spans, q), len(spans)) if spans else None for name, q in QUANTILES},
    }


QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95))


def of_runs(runs: list[dict], days: float, known: dict[str, dict]) -> dict[str, tuple[float, int] | None]:
    """Reference values of runs."""
    net = [max(0, one["stopped"] - one["created"] - one["hold"]) for one in runs if one["status"] == "success"]
    green = [one for one in runs if one["status"] == "success"]
    again = [one for one in runs if one["rerun_of"] and OURS[known[one["rerun_of"]]["status"]] in FAILURES]
    saved = [one for one in again if one["status"] == "success"]
    ran = len(runs) - count(runs, "skipped")
    return ended(runs, "created", days) | {
        "duration_mean_without_hold": (mean(net), len(net)) if net else None,
        **{f"duration_{name}_without_hold": (rank(net, q), len(net)) if net else None for name, q in QUANTILES},
        "rerun_waste": (len(saved) / len(green), len(green)) if green else None,
        "reruns": (len(again), ran),
        "rerun_credits": (sum(one["credits"] for one in again), ran),
        "rerun_time": (sum(one["stopped"] - one["created"] for one in again) / 1000, ran),
    }


def of_jobs(jobs: list[dict], days: float) -> dict[str, tuple[float, int] | None]:
    """Reference values of jobs and of approvals."""
    built = [one for one in jobs if one["type"] == "build"]
    waits = [max(0, one["started"] - one["queued"]) for one in built]
    holds = [one["stopped"] - one["started"] for one in jobs if one["type"] == "approval"]
    of_built = {f"{name}_of_jobs": value for name, value in ended(built, "started", days).items()} if built else {}
    return of_built | {
        **{f"queue_{name}": (rank(waits, q), len(waits)) if waits else None for name, q in QUANTILES},
        "approval_wait": (mean(holds), len(holds)) if holds else None,
        "approval_wait_p95": (rank(holds, 0.95), len(holds)) if holds else None,
    }


async def check(store: Store, world: World) -> None:
    """Every metric of runs and jobs in many groups and windows."""
    reader = Reader(store, owners=OWNERS)
    known = {run["id"]: run for run in world.runs}
    for bounds, by, where in (
        (EVEN, (), ()),
        (EVEN, ("project", "workflow"), ("branch=@default",)),
        (WHOLE, ("org", "branch_class"), ()),
        (WHOLE, ("team",), ("project!=gh/beta/app",)),
        (UNEVEN, ("project", "branch"), ("trigger!=api",)),
        (UNEVEN, ("trigger", "workflow"), ("team=~acme|",)),
    ):
        inside = [
            (one, place(run, job), job is None)
            for run, job in [*((run, None) for run in world.runs), *((job["run"], job) for job in world.jobs)]
            for one in [run if job is None else job]
            if bounds[run["project"]][0] <= one["stopped"] < bounds[run["project"]][1]
        ]
        matchers = [parse_matcher(text) for text in where]
        taken = [one for one in inside if all(m.accepts(_value(m.label, m.value, one[1])) for m in matchers)]
        groups: dict[tuple, tuple[list, list]] = defaultdict(lambda: ([], []))
        for one, labels, is_run in taken:
            groups[tuple(sorted((name, labels[name]) for name in by))][0 if is_run else 1].append(one)
        days = max(until - since for since, until in bounds.values()) / DAY
        wanted: dict[str, dict] = defaultdict(dict)
        for labels, (runs, jobs) in groups.items():
            for name, value in (of_runs(runs, days, known) | of_jobs(jobs, days)).items():
                if value is not None and value[1]:
                    wanted[name][labels] = value
        for name, values in wanted.items():
            found = await reader.measure(CATALOGUE.names[name], by=by, where=matchers, bounds=bounds)
            assert {labels: one.n for labels, one in found.items()} == {k: n for k, (_, n) in values.items()}, name
            if name == "credits":
                marks = {
                    labels: any(run["estimated"] and run["credits"] for run in groups[labels][0]) for labels in values
                }
                assert marks == {labels: one.estimated for labels, one in found.items()}
            for labels, (value, _) in values.items():
                shown = pytest.approx(value, rel=0.0101) if "_p" in name else value
                assert found[labels].value == shown, (name, labels, where)


def _value(label: str, value: str, labels: dict[str, str]) -> str:
    return labels["branch_class"] if (label, value) == ("branch", "@default") else labels[label]


@pytest.fixture
def records_unread(monkeypatch) -> None:
    """Leave out the check of every record against its schema (tests/conftest.py): half a minute otherwise."""
    monkeypatch.setattr(record, "_encoder", msgspec.json.Encoder())


@pytest.fixture
async def memory() -> AsyncIterator[MemoryStore]:
    """The store that works everything out anew."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    yield store
    await store.close()


async def test_metrics_equal_a_slow_reference_in_memory(memory):
    """On 300 runs."""
    world = World(300)
    await tell(memory, world.told())
    await check(memory, world)


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
@pytest.mark.usefixtures("records_unread")
async def test_metrics_equal_a_slow_reference(count, tmp_path):
    """On many runs, most of them summed up in rollups."""
    world = World(count)
    store = sqlite(tmp_path)
    await store.open()
    try:
        await tell(store, world.told())
        await check(store, world)
    finally:
        await store.close()
