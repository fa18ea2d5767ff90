"""What live collection costs on a simulated half day, and that cheap is not incomplete."""

import pytest
from tests.e2e.simulated import simulation

from headgate.testing.circleci.knobs import Knobs

NOW = 1_795_000_000_000
HOURS = 6
# The runs of design.md's fixture: one workflow of 8 jobs; they may fail.
CLEAN = Knobs(
    jobs_min=8,
    jobs_max=8,
    branch_variants=False,
    second_workflow_rate=0,
    tag_rate=0,
    errored_rate=0,
    schedules=False,
    approval_rate=0,
    rerun_rate=0,
    late_reruns_per_day=0,
    error_rate=0,
    stories=False,
)
TWIN = {"now_ms": NOW, "days": 2, "projects": 1, "runs_per_day": 40, "seed": 3}
PROJECT = {"projects": {"include": ["gh/acme/web"]}, "enrich": "none"}


def below(calls):
    """Calls about single runs."""
    return calls["/api/v2/pipeline/{pipeline-id}/workflow"] + calls["/api/v2/workflow/{id}/job"]


async def test_runs_that_webhooks_tell_cost_next_to_nothing(tmp_path):
    """Once webhooks are proven to come, successful runs of known shape are not asked about, and nothing is missing."""
    async with simulation(tmp_path, PROJECT, knobs=CLEAN, **TWIN) as live:
        await live.live(HOURS)
        calls = await live.live(HOURS)
        ended = [one for one in live.twin.truth(live.twin.about()["started"]) if one["kind"] == "workflow"]
        assert len(ended) > 10
        assert all(live.polled.is_told(key) for key in live.polled.scopes)
        assert below(calls) < len(ended) / 2
        # Four times an hour the list and v1.1 for the audit, once the list for the walk.
        assert calls["/api/v2/project/{project-slug}/pipeline"] <= (4 + 1) * HOURS + 4
        assert calls["/api/v1.1/project/{project-slug}"] <= 4 * HOURS + 1
        assert await live.missing() == []


@pytest.mark.parametrize(
    "lose", [0, pytest.param(7, marks=pytest.mark.long)], ids=["all webhooks", "one of seven lost"]
)
async def test_nothing_is_missing_of_runs_of_every_kind(tmp_path, lose):
    """Approvals, jobs that never ran, reruns and errors are all known, whether webhooks come or are lost."""
    async with simulation(tmp_path, PROJECT, **TWIN) as live:
        await live.live(HOURS / 2)
        live.lose = lose
        await live.live(HOURS / 2)
        live.lose = 0
        await live.live(2)
        assert await live.missing() == []


async def test_lost_webhooks_bring_polling_back(tmp_path):
    """Where the audit misses webhooks, every run is asked about again."""
    async with simulation(tmp_path, PROJECT, knobs=CLEAN, **TWIN) as live:
        await live.live(2)
        live.lose = 3
        await live.live(2)
        assert not any(live.polled.is_told(key) for key in live.polled.scopes)


@pytest.mark.parametrize(
    "lost", [b"", b"workflow-completed", pytest.param(b"job-completed", marks=pytest.mark.long)], ids=repr
)
async def test_what_webhooks_stop_telling_is_found_within_a_quarter_of_an_hour(tmp_path, lost):
    """Relied on, then all or those of a kind are lost: every end is kept 15 minutes and a step later."""
    async with simulation(tmp_path, PROJECT, **TWIN | {"runs_per_day": 150}) as live:
        await live.live(1.5)
        assert all(live.polled.is_told(key) for key in live.polled.scopes)
        live.lost = lost
        for _ in range(14):
            await live.live(5 / 60)
            assert await live.missing(minutes=16) == []
        assert not any(live.polled.is_told(key) for key in live.polled.scopes)


@pytest.mark.long
async def test_without_the_question_about_jobs_that_never_ran(tmp_path):
    """`poll.unrun: false` leaves ended runs to their webhooks: everything that ran is known all the same."""
    config = {**PROJECT, "poll": {"unrun": False}}
    async with simulation(tmp_path, config, knobs=CLEAN, **TWIN) as live:
        await live.live(HOURS)
        before = {key.partition(" ")[2] for key in await live.missing()}
        assert below(await live.live(HOURS)) <= 8
        ran = {
            one["provider_id"]
            for one in live.twin.truth(live.twin.about()["started"])
            if one["final"].get("circleci.started_at")
        }
        missing = {key.partition(" ")[2] for key in await live.missing()}
        assert not (missing | before) & ran


async def test_a_quiet_project_is_walked_less_until_something_happens(tmp_path):
    """Without webhooks the walks of a quiet project grow apart; a new pipeline brings them back."""
    quiet = {**TWIN, "runs_per_day": 0.001}
    async with simulation(tmp_path, PROJECT, webhooks=False, knobs=CLEAN, **quiet) as live:
        first = await live.live(1)
        later = await live.live(12)
        assert 12 < first["/api/v2/project/{project-slug}/pipeline"] < 60
        assert later["/api/v2/project/{project-slug}/pipeline"] < 12 * (6 + 4) + 10
        (state,) = live.polled.scopes.values()
        state.active_at = live.clock.monotonic()
        assert (await live.live(0.5))["/api/v2/project/{project-slug}/pipeline"] >= 18


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("config", "webhooks", "at_most"),
    [
        ({"poll": {"unrun": False}}, True, 0.1),
        ({}, True, 0.6),
        ({"enrich": "batch"}, True, 8),
        ({}, False, 60),
    ],
    ids=["none-without-unrun", "none", "batch", "without-webhooks"],
)
async def test_the_calls_of_live_collection(tmp_path, config, webhooks, at_most):
    """The table of docs/api-budget.md: three days of one project with a run about every 43 minutes, printed."""
    twin = {**TWIN, "runs_per_day": 33, "days": 1}  # nothing older, for the first audits to find
    async with simulation(tmp_path, {**PROJECT, **config}, webhooks=webhooks, knobs=CLEAN, **twin) as live:
        await live.live(6)
        begin = live.twin.about()["now"]
        calls = await live.live(72)
        runs = [one for one in live.twin.truth(begin) if one["kind"] == "workflow"]
        print(f"{len(runs)} runs, {sum(calls.values())} calls", dict(sorted(calls.items())))  # noqa: T201  # it is for people
        pages = calls["/api/v1.1/project/{project-slug}"] - 4 * 72
        assert (below(calls) + pages) / len(runs) <= at_most
        if config.get("poll") is None:
            assert await live.missing() == []
