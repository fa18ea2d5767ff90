"""What filters by branch, trigger, organisation and team take, in figures and in lists of runs alike."""

import pytest
from tests.unit.insights.details import DAY, SLUG, key, lens
from tests.unit.insights.world import sqlite

from headgate.core.clock import ManualClock
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.job import job_page, job_run_pages
from headgate.insights.views.lens import Filters
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import NOW, job, merge, pipeline, workflow

WINDOW = read_window(None, None, "7d", now_ms=NOW)
OWNERS = Owners([parse_owner({"workflow": "ship"}, "release"), parse_owner({"project": SLUG}, "web")])


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    made = MemoryStore(clock=ManualClock(NOW)) if request.param == "memory" else sqlite(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize(
    "words", [{"branch": "rare"}, {"trigger": "api"}, {"branch": "rare", "branch_class": "@other"}]
)
async def test_runs_of_a_job_are_found_behind_any_number_of_others(store, words):
    """As many as its figure counts and as the export has, none from before the window."""
    others, rare = key(1, 1), key(1, 2)
    await merge(store, pipeline(trigger_type="webhook"), workflow(others))
    await merge(store, pipeline(key(2, 2), ref_name="rare", trigger_type="api"))
    await merge(store, workflow(rare, pipeline_id=key(2, 2)))
    await merge(store, *(job(key(3, n), workflow_id=others, number=n, stopped_at=NOW - n) for n in range(60)))
    ends = [NOW - DAY, NOW - 2 * DAY, NOW - 8 * DAY]
    at = {"workflow_id": rare, "started_at": NOW - 9 * DAY}
    await merge(store, *(job(key(4, n), **at, number=90 + n, stopped_at=end) for n, end in enumerate(ends)))
    place = {"project": SLUG, "workflow": "build", "job": "test", "window": WINDOW, "filters": Filters(**words)}
    page = await job_page(lens(store), **place, step="1d", limit=3)
    assert 2 == page.figures["runs_of_jobs"].value
    assert [key(4, 0), key(4, 1)] == [one.id for one in page.runs]
    assert list(page.runs) == [one async for rows in job_run_pages(lens(store), **place) for one in rows]


async def test_a_job_of_another_organisation_or_team_has_no_runs(store):
    """In its figures, and in its list."""
    await merge(store, pipeline(), workflow(name="ship"), job())
    place = {"project": SLUG, "workflow": "ship", "job": "test", "window": WINDOW, "step": "1d"}
    for filters, n in ((Filters(team="release"), 1), (Filters(team="web"), 0), (Filters(org="gh/beta"), 0)):
        page = await job_page(lens(store, owners=OWNERS), **place, filters=filters)
        assert (n, n) == (page.figures["runs_of_jobs"].n, len(page.runs))
