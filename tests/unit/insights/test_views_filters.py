"""What filters by branch, trigger, organisation and team take, in figures and in lists of runs alike."""

import pytest
from tests.unit.insights.details import DAY, SLUG, key, lens, result
from tests.unit.insights.world import sqlite

from headgate.core.clock import ManualClock
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.job import job_page, job_run_pages
from headgate.insights.views.lens import Filters
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.tests import page_of_tests
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


async def test_a_project_of_another_organisation_has_no_runs(store):
    """In its figures, and in its list."""
    await merge(store, pipeline(), workflow())
    asked = {"project": SLUG, "window": WINDOW, "step": "1d"}
    for filters, n in ((Filters(org="gh/acme"), 1), (Filters(org="gh/beta"), 0)):
        page = await project_page(lens(store), **asked, filters=filters)
        assert (n, n) == (page.figures["runs"].n, len(page.last_builds))


@pytest.mark.parametrize(
    ("match", "runs", "waits"),
    [
        ({"project": SLUG}, 2, 2),
        ({"workflow": "ship"}, 1, 1),
        ({"job": "deploy"}, 0, 1),
        ({"workflow": "none"}, None, None),
        ({"project": SLUG, "workflow": ""}, 0, 0),
    ],
    ids=["whole", "a workflow", "a job", "nothing", "the rest"],
)
async def test_a_project_is_shown_to_each_team_that_owns_anything_of_it(store, match, runs, waits):
    """With what is the team's: runs by workflow, waits by job."""
    times = {"queued_at": NOW - 6_000}
    await merge(store, pipeline(), workflow(), workflow(key(1, 2), name="ship"))
    await merge(store, job(**times), job(key(3, 2), name="deploy", workflow_id=key(1, 2), number=2, **times))
    owners = Owners([parse_owner(match, "own")])
    page = await projects_page(lens(store, owners=owners), window=WINDOW, filters=Filters(team="own"))
    found = [(len(one.last_runs), one.figures["runs"].n, one.figures["queue_p50"].n) for one in page.projects]
    assert found == ([] if runs is None else [(runs, runs, waits)])
    assert page.total == len(found)


async def test_tests_are_those_of_the_team_of_their_project(store):
    """Also where the project is named."""
    await merge(store, pipeline(), workflow(name="ship"), job(), result(1, "pass"))
    for team, n in (("web", 1), ("release", 0)):
        for project in (None, SLUG):
            page = await page_of_tests(
                lens(store, owners=OWNERS), window=WINDOW, project=project, filters=Filters(team=team)
            )
            assert n == page.tests
