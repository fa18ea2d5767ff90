"""What filters by branch, trigger, organisation and team take, in figures and in lists of runs alike."""

from collections import Counter

import pytest
from tests.unit.insights.details import DAY, SLUG, key, lens, result
from tests.unit.insights.world import sqlite

from headgate.core.clock import ManualClock
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.tables import Material, find_table, open_table, read_asking
from headgate.insights.views import moment
from headgate.insights.views.builds import builds_page
from headgate.insights.views.job import job_page, job_run_pages
from headgate.insights.views.lens import Filters
from headgate.insights.views.live import LIVE_SHOWN
from headgate.insights.views.moment import now_of
from headgate.insights.views.overview import overview
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.refusal import Refused
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import NOW, approval, job, merge, pipeline, workflow

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


async def test_branches_are_those_that_ran_on_every_page(store):
    """A run that was skipped did not run; a tag that is named as the default branch is no other name."""
    refs = [{"ref_name": "main"}, {"ref_name": "main", "ref_type": "tag"}, {"ref_name": "fix"}]
    skipped = [{"ref_name": name, "status": "not_run"} for name in ("fix", "none", "nobody's")]
    await merge(store, pipeline(), *(workflow(key(1, n), **told) for n, told in enumerate(refs + skipped)))
    for filters, n in ((Filters(), 2), (Filters(branch_class="@other"), 2), (Filters(branch_class="@default"), 1)):
        at, asked = lens(store), {"window": WINDOW, "filters": filters}
        page = await project_page(at, project=SLUG, step="1d", **asked)
        (card,), (line,) = (await projects_page(at, **asked)).projects, (await builds_page(at, **asked)).projects
        assert (n, n, n) == (page.branch_count, card.branches, line.branches)


@pytest.mark.parametrize(
    ("words", "running"),
    [
        ({}, 3),
        ({"branch": "fix"}, 1),
        ({"branch_class": "@default"}, 2),
        ({"trigger": "api"}, 2),
        ({"trigger": "api", "branch": "fix"}, 0),
        ({"org": "gh/acme"}, 3),
        ({"org": "gh/beta"}, 0),
        ({"team": "release"}, 1),
        ({"team": "web"}, 2),
    ],
)
async def test_what_goes_on_is_what_filters_take(store, words, running):
    """On the overview, in the table, and of each project."""
    await merge(store, pipeline(trigger_type="api"), workflow(ended=False))
    await merge(store, workflow(key(1, 2), ended=False, name="ship"), job(ended=False, status="queued"))
    await merge(store, workflow(key(1, 3), ended=False, ref_name="fix", trigger_type="webhook"))
    await merge(store, workflow(key(1, 4), name="ship", stopped_at=NOW - 1))
    at, filters = lens(store, owners=OWNERS), Filters(**words)
    now = (await overview(at, window=WINDOW, filters=filters)).now
    assert (running, now.queued) == (now.running, len(now.rows) - running)
    asked = read_asking(find_table("now"), {name: (word,) for name, word in words.items()}, now_ms=NOW)
    opened = await open_table(Material(at, None), asked)
    ids = [column.id for column in opened.columns].index("id")
    assert [one.id for one in now.rows] == [row[ids] async for rows in opened.pages for row in rows]
    if words.keys() <= {"org", "team"}:
        assert running == sum(one.running for one in (await builds_page(at, window=WINDOW, filters=filters)).projects)


@pytest.mark.parametrize("words", [{}, {"branch": "main"}, {"team": "web"}, {"org": "gh/acme"}])
async def test_old_approvals_hide_nothing_that_runs(store, words, monkeypatch):
    """However many wait, what runs and is queued is counted and listed: on the overview, of projects, in the table."""
    monkeypatch.setattr(moment, "LIVE_READ", 4)
    old = {"ended": False, "created_at": NOW - 9 * DAY, "ref_name": "main"}
    for n in range(10):
        waits = {"workflow_id": key(1, n), "created_at": NOW - 9 * DAY, "started_at": NOW - 9 * DAY}
        await merge(store, workflow(key(1, n), status="on_hold", **old), approval(n, ended=False, **waits))
    await merge(store, pipeline(), *(workflow(key(2, n), ended=False) for n in range(3)))
    await merge(store, *(job(key(3, n), workflow_id=key(2, 0), ended=False, status="queued") for n in range(3)))
    at, filters = lens(store, owners=OWNERS), Filters(**words)
    now, _ = await now_of(at, filters, most=8)
    assert (3, 3, 10, 0, 0, 8) == (now.running, now.queued, now.on_hold, now.unlooked, now.stuck, len(now.rows))
    assert ({"running": 3, "queued": 3, "on_hold": 2}, 8) == (Counter(one.status for one in now.rows), now.more)
    assert {"on_hold"} == {one.status for one in now.rows[6:]}
    (line,) = (await builds_page(at, window=WINDOW, filters=filters)).projects
    assert (3, 3, 10) == (line.running, line.queued, line.on_hold)
    asked = read_asking(find_table("now"), {name: (word,) for name, word in words.items()}, now_ms=NOW)
    assert 16 == sum([len(rows) async for rows in (await open_table(Material(at, None), asked)).pages])


async def test_more_than_is_looked_at_is_said(store, monkeypatch):
    """All of it counts, and of how much nobody knows whether it is stuck; of what a team owns none is behind others."""
    monkeypatch.setattr(moment, "LIVE_READ", 4)
    await merge(store, pipeline(), *(workflow(key(1, n), ended=False, created_at=NOW - n) for n in range(9)))
    await merge(store, *(workflow(key(2, n), ended=False, name="ship", created_at=NOW - DAY) for n in range(2)))
    now, _ = await now_of(lens(store), most=3)
    assert (11, 0, 7, 3, 8) == (now.running, now.stuck, now.unlooked, len(now.rows), now.more)
    own, _ = await now_of(lens(store, owners=OWNERS), Filters(team="release"), most=3)
    assert (2, 2, 0, 2) == (own.running, own.stuck, own.unlooked, len(own.rows))


async def test_the_table_of_what_goes_on_has_all_of_it(store):
    """More than the overview shows; and no window, since it is of this moment."""
    await merge(store, pipeline(), *(workflow(key(1, n), ended=False) for n in range(LIVE_SHOWN + 30)))
    opened = await open_table(Material(lens(store), None), read_asking(find_table("now"), {}, now_ms=NOW))
    assert LIVE_SHOWN + 30 == sum([len(rows) async for rows in opened.pages])
    with pytest.raises(Refused, match="window"):
        read_asking(find_table("now"), {"window": ("1h",)}, now_ms=NOW)
