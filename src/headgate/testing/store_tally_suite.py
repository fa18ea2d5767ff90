"""What every store must answer when it sums up ended runs and jobs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import msgspec

from headgate.core.merge import ProjectRef
from headgate.core.storeport import Store
from headgate.core.tally import STEPS, Dimension, Tally, TallyQuery
from headgate.core.times import format_ms
from headgate.testing.store_data import (
    DAY,
    NOW,
    PROJECT,
    approval,
    job,
    jobs,
    made_id,
    merge,
    pipeline,
    workflow,
)

__all__ = ["TallySuite"]

_HOUR = DAY // 24
_SLUG = PROJECT.slug
_ALWAYS = {_SLUG: (0, NOW + DAY)}


class TallySuite:
    """Sums. `tests/unit/store/test_tallies.py` compares adapters at random; here are the promises one by one."""

    async def test_runs_are_summed_by_group(self, store: Store) -> None:
        """Each end in its place, spans of those that have them."""
        words = ("success", "failed", "infrastructure_fail", "canceled", "not_run")
        ends = {NOW - number: word for number, word in enumerate(words, 1)}
        await merge(store, pipeline(), workflow(), *jobs(ends, queued_at=NOW - 2_000, credits=3), approval())
        by: tuple[Dimension, ...] = ("org", "project", "workflow", "job", "branch_class")
        found = await store.tallies(TallyQuery("job", _ALWAYS, by, frozenset({"hold", "queue"})))
        place = ("gh/acme", _SLUG, "build")
        assert set(found) == {(*place, "test", "@default"), (*place, "ship?", "@default")}
        runs, held = found[*place, "test", "@default"], found[*place, "ship?", "@default"]
        assert Tally(hold_ms=3_000, held=1, bins=held.bins) == held
        assert (
            runs.n, runs.ok, runs.failed, runs.errors, runs.canceled, runs.skipped, runs.credits,
        ) == (5, 1, 2, 1, 1, 1, 15)  # fmt: skip
        assert (
            runs.duration_ok_ms, runs.timed_ok, runs.duration_ms, runs.timed, runs.queue_ms, runs.queued,
        ) == (1_000, 1, 3_000, 3, 4_985, 5)  # fmt: skip
        assert {"queue"} == set(runs.bins)
        assert math.isclose(3, held.quantile("hold", 0.5) or 0, rel_tol=0.0101)
        assert runs.quantile("hold", 0.5) is None

    async def test_sums_are_of_the_very_bounds(self, store: Store) -> None:
        """Whole days, hours and what is cut off them; a bound belongs to what follows."""
        ends = {NOW - number * 977_777: "success" for number in range(300)}
        await merge(store, pipeline(), workflow(), *jobs(ends))
        bounds = [(0, NOW + 1), (NOW - 977_777, NOW), (NOW - 3 * DAY + 1, NOW - DAY // 2), (NOW, NOW), (NOW, 0)]
        for since, until in bounds:
            expected = sum(since <= at < until for at in ends)
            found = await store.tallies(TallyQuery("job", {_SLUG: (since, until)}))
            assert expected == sum(tally.n for tally in found.values())

    async def test_each_project_has_its_own_bounds(self, store: Store) -> None:
        """One that is not named is not counted; one that was renamed is known by its present name."""
        other = ProjectRef("circleci.com", "gh/acme/api", "gh/acme", "99999999-9999-4999-8999-999999999999")
        old = workflow(made_id(2, 1), stopped_at=NOW - DAY, created_at=NOW - DAY - 9)
        told = msgspec.structs.replace(old, project=other)
        await merge(store, pipeline(), workflow(), told)
        query = TallyQuery("workflow", {_SLUG: (NOW, NOW + 1), "gh/acme/api": (NOW - DAY, NOW)}, ("project",))
        assert {key: one.n for key, one in (await store.tallies(query)).items()} == {(_SLUG,): 1, ("gh/acme/api",): 1}
        assert list(await store.tallies(replace(query, bounds=_ALWAYS))) == [(_SLUG,)]
        renamed = replace(PROJECT, slug="gh/acme/site")
        await merge(store, msgspec.structs.replace(pipeline(at=NOW + 1), project=renamed))
        found = await store.tallies(replace(query, bounds=_ALWAYS | {"gh/acme/site": (0, NOW + 1)}))
        assert list(found) == [("gh/acme/site",)]

    async def test_any_dimension_of_a_fact_will_do(self, store: Store) -> None:
        """Branch, trigger and machine size; empty where the kind has none."""
        await merge(store, pipeline(trigger_type="api"), workflow(), job(resource_class="large"))
        asked = TallyQuery("job", _ALWAYS, ("branch", "resource_class", "trigger"), frozenset({"duration_ok"}))
        found = await store.tallies(asked)
        assert list(found) == [("main", "large", "api")]
        assert sum(found["main", "large", "api"].bins["duration_ok"].values()) == 1
        assert list(await store.tallies(replace(asked, kind="workflow"))) == [("main", "", "api")]

    async def test_sums_by_hour_and_day(self, store: Store) -> None:
        """Every step of a series at once, from buckets and from facts at the edges."""
        ends = {NOW - number * 7 * _HOUR: "success" for number in range(12)}
        await merge(store, pipeline(), workflow(), *jobs(ends))
        for step, length in STEPS.items():
            expected = Counter(format_ms(at // length * length) for at in ends if NOW - 3 * DAY <= at < NOW)
            found = await store.tallies(TallyQuery("job", {_SLUG: (NOW - 3 * DAY, NOW)}, (step,)))
            assert expected == {key: tally.n for (key,), tally in found.items()}

    async def test_what_is_corrected_is_counted_as_it_is_now(self, store: Store) -> None:
        """Nothing stays of the old end, whatever bucket it was in; a rerun is counted as one."""
        await merge(store, pipeline(), workflow(status="failed", stopped_at=NOW - 2 * DAY))
        await merge(store, workflow(at=NOW + 1, source="v2", stopped_at=NOW - DAY, created_at=NOW - 2 * DAY))
        query = TallyQuery("workflow", _ALWAYS, ("workflow",), frozenset({"duration_ok", "duration_failed"}))
        found = await store.tallies(query)
        (row,) = await store.runs_between(0, NOW + 1, limit=9)
        tally = found["build",]
        assert (tally.n, tally.duration_ms) == (1, row.duration_ms)
        assert sum(sum(counts.values()) for counts in tally.bins.values()) == 1
        again = workflow(made_id(2, 1), created_at=NOW, stopped_at=NOW + 9)
        await merge(store, again)
        found = await store.tallies(TallyQuery("workflow", _ALWAYS))
        assert (found[()].n, found[()].reruns) == (2, 1)

    async def test_jobs_hear_of_a_pipeline_that_comes_with_news_of_their_workflow(self, store: Store) -> None:
        """Their branch is the pipeline's, though the workflow changed in the same piece of work."""
        await merge(store, workflow(), job())
        await merge(store, workflow(at=NOW + 1, status="failed"), pipeline())
        found = await store.tallies(TallyQuery("job", _ALWAYS, ("branch_class", "branch")))
        assert list(found) == [("@default", "main")]
