"""The generated history: the same each time, possible, and with the planted incidents."""

from collections import Counter

import pytest

from headgate.testing.circleci import Knobs, Options
from headgate.testing.circleci.times import DAY, parse
from headgate.testing.circleci.truth import lines
from headgate.testing.circleci.world import World

SMALL = {"now_ms": parse("2026-11-20T12:00:00Z"), "seed": 7, "days": 6, "projects": 4, "runs_per_day": 15.0}
OPTIONS = Options(**SMALL)


@pytest.fixture(scope="module")
def world():
    """Make six projects and a month, without a server."""
    return World(Options(now_ms=SMALL["now_ms"], seed=2, days=30, projects=6, runs_per_day=30))


def every_run(world):
    """Give all workflows, also those still to come."""
    return [run for history in world.histories for run in history.workflows]


def test_the_same_seed_gives_the_same_bytes():
    """Two worlds agree byte by byte; another seed gives another history."""
    assert list(lines(World(OPTIONS))) == list(lines(World(OPTIONS)))
    other = World(Options(**{**SMALL, "seed": 8}))
    assert list(lines(World(OPTIONS))) != list(lines(other))


def test_how_the_clock_gets_there_does_not_matter():
    """One advance of three days and many small ones end in the same truth."""
    once, often = World(OPTIONS), World(OPTIONS)
    once.clock.advance(3 * DAY)
    for _ in range(36):
        often.clock.advance(DAY // 12)
        often.now()
    assert list(lines(once)) == list(lines(often))


def test_builds_are_numbered_in_the_order_they_are_queued(world):
    """Numbers have no gap, and a later number is never queued earlier."""
    for history in world.histories:
        assert list(range(1, len(history.builds) + 1)) == [build.number for build in history.builds]
        queued = [build.queued for build in history.builds]
        assert sorted(queued) == queued


def test_times_are_possible(world):
    """Nothing starts before it is queued, before what it requires has ended, or after the workflow's end."""
    for run in every_run(world):
        for job in run.jobs:
            if job.workflow is not run:
                assert job.status == "success"
                continue
            assert not job.queued or job.queued >= run.created
            assert not job.started or job.started >= job.queued
            assert not job.stopped or job.stopped >= max(job.started, job.queued)
            assert not (run.stopped and job.stopped) or job.stopped <= run.stopped
            needs = [run.jobs[at] for at in job.spec.requires]
            assert not job.queued or all(0 < need.stopped <= job.queued or need.workflow is not run for need in needs)


def test_everything_that_can_happen_happens(world):
    """All final words of workflows and jobs, reruns, late reruns, tags and waiting approvals occur."""
    now = world.now()
    runs = [run for run in every_run(world) if run.created <= now]
    assert {"success", "failed", "canceled", "error", "unauthorized"} <= {run.status for run in runs}
    jobs = [job for run in runs for job in run.jobs]
    words = {
        "success",
        "failed",
        "infrastructure_fail",
        "timedout",
        "canceled",
        "unauthorized",
        "not_run",
        "on_hold",
    }
    assert words <= {job.status_at(now) for job in jobs}
    assert any(run.rerun_of and run.created - run.pipeline.created > 2 * DAY for run in runs)
    assert any(job.workflow is not run for run in runs for job in run.jobs)
    pipelines = [pipeline for history in world.histories for pipeline in history.pipelines]
    assert {"push", "api", "schedule"} == {pipeline.trigger for pipeline in pipelines}
    assert any(pipeline.tag for pipeline in pipelines)
    assert any(pipeline.errored and not pipeline.workflows for pipeline in pipelines)


def test_runs_end_while_the_clock_moves():
    """A workflow passes through running to its end, and its jobs through blocked, queued and running."""
    world = World(OPTIONS)
    run = next(run for run in every_run(world) if len(run.jobs) > 3 and run.status == "success")
    seen = [run.status_at(at) for at in (run.created, run.stopped - 1, run.stopped)]
    assert ["running", "running", "success"] == seen
    job = run.jobs[-1]
    moments = (run.created, job.queued, job.started, job.stopped)
    assert "blocked" == job.status_at(moments[0])
    assert ("on_hold" if job.approval else "queued") == job.status_at(moments[1])
    assert "success" == job.status_at(moments[3])


def rate(runs):
    """Give successes by ended workflows, canceled ones left out."""
    words = Counter(run.status for run in runs if run.stopped)
    return words["success"] / (words.total() - words["canceled"])


def test_the_regression_is_there(world):
    """The main workflow of the first project gets much worse, and slower, near the end."""
    since = world.stories.regression.since
    main = [
        run
        for run in world.histories[0].workflows
        if run.pipeline.branch == "main" and run.spec.name == "build-test-deploy" and not run.rerun_of
    ]
    before = [run for run in main if run.created < since]
    after = [run for run in main if run.created >= since]
    assert rate(before) > 0.85
    assert rate(after) < 0.6


def test_the_queue_jam_and_the_outage_are_there(world):
    """Queueing in the jam is many times the usual; in the outage CircleCI itself fails most jobs."""
    jam, outage = world.stories.jam, world.stories.outage
    waits = {True: [], False: []}
    for build in world.histories[jam.project].builds:
        if build.started:
            waits[jam.holds(jam.project, build.queued)].append(build.started - build.queued)
    median = {key: sorted(values)[len(values) // 2] for key, values in waits.items()}
    assert median[True] > 10 * median[False]
    hit = [b.status for h in world.histories for b in h.builds if b.started and outage.holds(0, b.started)]
    assert hit.count("infrastructure_fail") > len(hit) / 2


def test_knobs_can_make_a_plain_history():
    """One workflow of eight jobs per pipeline and nothing else: what call costs are measured on."""
    knobs = Knobs(
        jobs_min=8, jobs_max=8, branch_variants=False, second_workflow_rate=0, tag_rate=0, errored_rate=0,
        schedules=False, approval_rate=0, rerun_rate=0, late_reruns_per_day=0, error_rate=0, stories=False,
    )  # fmt: skip
    world = World(Options(now_ms=SMALL["now_ms"], days=5, projects=1, knobs=knobs))
    pipelines = world.histories[0].pipelines
    assert {1} == {len(pipeline.workflows) for pipeline in pipelines}
    assert {8} == {len(run.jobs) for run in every_run(world)}


def test_some_projects_are_busier():
    """`uneven`: the first most, all together as many as told; without it all are alike, to the bit."""
    even = Options(**SMALL)
    assert even.runs_by_project == (15.0,) * 4
    uneven = Options(**SMALL, knobs=Knobs(uneven=1.0))
    assert sum(uneven.runs_by_project) == pytest.approx(60)
    assert uneven.runs_by_project[0] == pytest.approx(4 * uneven.runs_by_project[3])
    first, *_, last = World(uneven).histories
    assert len(first.pipelines) > 2.5 * len(last.pipelines)


def test_few_tests_and_readable_names():
    """`test_share` leaves some of each job's tests, eight at least; without `families` all are of one organisation."""
    world = World(Options(**SMALL, knobs=Knobs(test_share=0.25, families=False, jobs_min=8)))
    assert {(job.spec.name, job.spec.tests) for history in world.histories for job in history.builds} >= {
        ("unit", 30),
        ("integration", 10),
        ("e2e", 8),
        ("build", 0),
    }
    assert [history.project.slug for history in world.histories] == [
        "gh/acme/web",
        "gh/acme/mobile",
        "gh/acme/payments",
        "gh/acme/docs-site",
    ]
