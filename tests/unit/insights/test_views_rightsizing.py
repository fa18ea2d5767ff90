"""The list of machine sizes: what it saves, what it leaves out, and the job's own part of it."""

import pytest
from tests.unit.insights.details import DAY, NOW, SLUG, WINDOW, key, lens, usage

from headgate.core.clock import ManualClock
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.resourceclasses import ResourceClass, ResourceClasses
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Filters
from headgate.insights.views.refusal import Refused
from headgate.insights.views.rightsizing import rightsizing_page
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import job, merge, pipeline, workflow


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    yield made
    await made.close()


async def fill(store):
    """A job that wastes three quarters, one that is full, a runner of one's own, and one that seldom runs."""
    wasteful = [usage(number) for number in range(20)]
    full = [usage(100 + number, job_name="full", ram_max_pct=99.5) for number in range(20)]
    own = [usage(200 + number, job_name="own", resource_class="acme/big", executor="machine") for number in range(20)]
    await merge(store, *wasteful, *full, *own, usage(300, job_name="seldom"))


async def test_what_saves_most_comes_first(store):
    """Credits of what is told for 30 days, less by the share that the smaller class costs less."""
    await fill(store)
    page = await rightsizing_page(lens(store), window=WINDOW)
    assert ["test", "full", "own", "seldom"] == [one.job for one in page.jobs]
    first, full, own, seldom = page.jobs
    saving = 20 * 20 * 0.75 * 30 * DAY / (WINDOW.until_ms % DAY)
    assert ("smaller", "small", 20, 20, 400) == (first.verdict, first.to, first.ram_max, first.runs, first.credits)
    assert saving == pytest.approx(first.saving) == pytest.approx(page.saving)
    assert ("larger", "xlarge", 100) == (full.verdict, full.to, full.ram_max)
    assert (full.saving or 0) < 0
    assert ("unknown_class", None, "") == (own.verdict, own.cpus, own.to)
    assert ("too_few_runs", 1) == (seldom.verdict, seldom.measured)
    assert {"smaller": 1, "larger": 1, "unknown_class": 1, "too_few_runs": 1} == page.counts


@pytest.mark.parametrize("days", [8, 20, 200])
async def test_a_saving_does_not_depend_on_the_window(store, days):
    """The export is two days late and begins at some time: what nobody told of is no idle time."""
    await merge(store, pipeline())
    today = NOW // DAY * DAY
    for ago in range(days + 2):
        at, rows = today - ago * DAY, []
        if ago >= 2:
            rows = [usage(ago * 10 + k, stopped_at=at + k * DAY // 4) for k in range(4)]
        await merge(store, workflow(key(51, ago), created_at=at - 1_000, stopped_at=at), *rows)
    for length in ("7d", "14d", "30d", "90d"):
        page = await rightsizing_page(lens(store), window=read_window(None, None, length, now_ms=NOW))
        # A window begins within a day.
        assert 4 * 20 * 0.75 * 30 == pytest.approx(page.saving, rel=0.06), length


async def test_what_is_shown_can_be_chosen(store):
    """By verdict, by team, page by page; branches and triggers are refused."""
    await fill(store)
    at = lens(store, owners=Owners([parse_owner({"job": "full"}, "crew")]))
    names = {show: [one.job for one in (await rightsizing_page(at, window=WINDOW, show=show)).jobs] for show in
             ("smaller", "larger", "fits", "unsure")}  # fmt: skip
    assert {"smaller": ["test"], "larger": ["full"], "fits": [], "unsure": ["own", "seldom"]} == names
    crew = await rightsizing_page(at, window=WINDOW, filters=Filters(team="crew"))
    assert ["full"] == [one.job for one in crew.jobs]
    first = await rightsizing_page(at, window=WINDOW, limit=3)
    rest = await rightsizing_page(at, window=WINDOW, limit=3, cursor=first.next)
    assert (3, ["seldom"], None) == (len(first.jobs), [one.job for one in rest.jobs], rest.next)
    with pytest.raises(Refused, match="all runs"):
        await rightsizing_page(at, window=WINDOW, filters=Filters(branch="main"))


async def test_a_class_of_ones_own_is_judged(store):
    """As soon as the configuration tells its size."""
    await fill(store)
    sizes = (
        ResourceClass("acme/big", "machine", "acme", 8, 64, None),
        ResourceClass("acme/s", "machine", "acme", 2, 16, None),
    )
    page = await rightsizing_page(lens(store, classes=ResourceClasses(sizes)), window=WINDOW, project=SLUG)
    (own,) = (one for one in page.jobs if one.job == "own")
    assert ("smaller", "acme/s", None) == (own.verdict, own.to, own.saving)


async def test_a_job_tells_its_own_size(store):
    """And that of no other."""
    await merge(store, pipeline(), workflow(), job())
    await fill(store)
    page = await job_page(lens(store), project=SLUG, workflow="build", job="test", window=WINDOW, step="1d")
    assert [("test", "small")] == [(one.job, one.to) for one in page.machines]


async def test_nothing_is_known_without_the_export(store):
    """No row, no advice."""
    await merge(store, pipeline(), workflow(), job())
    page = await rightsizing_page(lens(store), window=WINDOW)
    assert ((), {}, 0) == (page.jobs, page.counts, page.saving)
