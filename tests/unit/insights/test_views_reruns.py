"""What retries cost: the catalogue's metrics by group, jobs from the store, over a made-up history."""

import pytest
from tests.unit.insights.details import NOW, SLUG, key, lens
from tests.unit.insights.world import World, tell

from headgate.core.clock import ManualClock
from headgate.insights.views.lens import Filters
from headgate.insights.views.refusal import Refused
from headgate.insights.views.reruns import reruns_page
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import job, merge, pipeline, workflow

WINDOW = read_window(None, None, "30d", now_ms=NOW)


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    yield made
    await made.close()


async def fill(store):
    """A failed run, its repeat that is green, and a run that was green at once."""
    again = {"created_at": NOW + 1, "stopped_at": NOW + 120_001}
    await merge(store, pipeline(ref_name="main"), workflow(status="failed", credits=5), job(status="failed"))
    await merge(store, workflow(key(2, 1), credits=7, credits_estimated=True, **again))
    other = {"pipeline_id": key(1, 1), "created_at": NOW + 5, "stopped_at": NOW + 9, "name": "ship"}
    await merge(store, pipeline(key(1, 1), number=9, ref_name="main"), workflow(key(2, 2), credits=3, **other))
    ran = {"workflow_id": key(2, 1), "number": 8, "started_at": NOW + 2, "stopped_at": NOW + 60_002, "credits": 4}
    await merge(store, job(key(5, 1), **ran))


@pytest.mark.parametrize("by", ["project", "workflow", "team"])
async def test_waste_is_told_by_group(store, by):
    """With the share of green runs that are green only on retry."""
    await fill(store)
    window = read_window(None, "2026-12-01", "30d", now_ms=NOW)
    page = await reruns_page(lens(store), by=by, window=window)
    (line,) = page.lines
    expected = {
        "project": {"project": SLUG},
        "workflow": {"project": SLUG, "workflow": "build"},
        "team": {"team": ""},
    }[by]
    assert (expected, 1, 7.0, True) == (dict(line.labels), line.reruns, line.credits, line.estimated)
    assert 2.0 == pytest.approx(line.minutes, rel=1e-3)
    assert (0.5 if by != "workflow" else 1.0) == line.waste
    assert (0.5, 1, 7) == tuple(page.figures[name].value for name in ("rerun_waste", "reruns", "rerun_credits"))


async def test_jobs_of_repeats_are_told(store):
    """Those that ran again, with what the export says they used; of one workflow, of one team."""
    await fill(store)
    window = read_window(None, "2026-12-01", "30d", now_ms=NOW)
    page = await reruns_page(lens(store), by="job", window=window, project=SLUG, workflow="build")
    (line,) = page.lines
    assert ("test", 1, 4.0, 1.0, None) == (line.labels["job"], line.reruns, line.credits, line.minutes, line.waste)
    assert () == (await reruns_page(lens(store), by="job", window=window, workflow="ship")).lines
    assert () == (await reruns_page(lens(store), by="job", window=window, filters=Filters(team="x"))).lines
    with pytest.raises(Refused, match="over all runs, not by branch"):
        await reruns_page(lens(store), by="job", window=window, filters=Filters(branch="main"))
    with pytest.raises(Refused, match="not by trigger"):
        await reruns_page(lens(store), by="job", window=window, filters=Filters(trigger="webhook"))


async def test_lists_add_up_and_go_on(store):
    """Lines of projects are the whole; a cursor goes on where the page ended."""
    await tell(store, World(120).told())
    window = read_window(None, None, "30d", now_ms=NOW)
    page = await reruns_page(lens(store), by="workflow", window=window)
    assert len(page.lines) > 2
    assert sum(line.reruns for line in page.lines) == page.figures["reruns"].value
    assert sum(line.credits for line in page.lines) == page.figures["rerun_credits"].value
    first = await reruns_page(lens(store), by="workflow", window=window, limit=1)
    second = await reruns_page(lens(store), by="workflow", window=window, limit=1, cursor=first.next)
    assert list(page.lines[:2]) == [*first.lines, *second.lines]
