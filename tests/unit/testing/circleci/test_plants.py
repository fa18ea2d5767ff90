"""The six planted regressions: where the truth says, as bad as it says, and nowhere else."""

from statistics import median

import pytest

from headgate.testing.circleci.knobs import Knobs, Options
from headgate.testing.circleci.plants import first_bad
from headgate.testing.circleci.times import DAY
from headgate.testing.circleci.world import World

NOW = 1_795_219_200_000
KINDS = ["duration_regression", "success_rate_drop", "queue_jam", "credit_spike", "flaky_test", "silent_project"]


def world(seed=1, projects=7, *, plants=True, **knobs):
    """Sixty days of some projects."""
    options = Options(
        now_ms=NOW, seed=seed, days=60, projects=projects, runs_per_day=20.0, knobs=Knobs(plants=plants, **knobs)
    )
    return World(options)


@pytest.fixture(scope="module")
def planted():
    """One world with plants, and the same without anything."""
    return world(), world(plants=False, stories=False)


def plant_of(found, kind):
    """The plant of a kind and the history it is in."""
    plant = next(one for one in found.stories.plants.all if one.kind == kind)
    return plant, found.histories[plant.project]


def builds(history, plant, *, inside, name=None):
    """Builds of a plant's project that ran, within it or before."""
    return [
        job
        for job in history.builds
        if job.ran
        and plant.holds(job.workflow.created) == inside
        and (inside or job.workflow.created < plant.since)
        and (name is None or job.spec.name == name)
    ]


def test_each_is_in_a_project_of_its_own_and_differs_by_seed():
    """Six kinds, six projects; the same seed gives the same."""
    one, same, other = world(), world(), world(seed=2)
    assert [plant.kind for plant in one.stories.plants.all] == KINDS
    assert len({plant.project for plant in one.stories.plants.all}) == 6
    assert one.stories == same.stories
    assert one.stories.plants != other.stories.plants
    assert all(NOW - 34 * DAY < plant.since < NOW - 7 * DAY for plant in one.stories.plants.all)


def test_other_projects_are_as_they_were(planted):
    """The seventh project has the same builds to the millisecond, and so has every other before its plant."""
    found, plain = planted
    touched = {plant.project: plant.since for plant in found.stories.plants.all}
    for history, usual in zip(found.histories, plain.histories, strict=True):
        until = touched.get(history.project.index, NOW)
        until = until // DAY * DAY  # a day is drawn as a whole
        mine = [(job.number, job.started, job.stopped) for job in history.builds if 0 < job.stopped < until - DAY]
        theirs = [(job.number, job.started, job.stopped) for job in usual.builds if 0 < job.stopped < until - DAY]
        assert mine == theirs


def test_the_job_takes_longer(planted):
    """By the factor told; the others do not."""
    plant, history = plant_of(planted[0], "duration_regression")

    def usual(*, inside, name):
        chosen = builds(history, plant, inside=inside, name=name)
        return median(job.stopped - job.started for job in chosen if job.status == "success")

    assert usual(inside=True, name=plant.job) / usual(inside=False, name=plant.job) == pytest.approx(
        plant.size, rel=0.2
    )
    others = {job.spec.name for job in history.builds if job.workflow.spec.name == plant.workflow} - {plant.job}
    for name in others:
        if len(builds(history, plant, inside=True, name=name)) > 50:
            assert usual(inside=True, name=name) / usual(inside=False, name=name) == pytest.approx(1, rel=0.2)
    run = first_bad(plant, history.workflows)
    assert run is not None
    assert run.created >= plant.since
    assert run.pipeline.branch == history.project.default_branch


def test_main_workflows_fail_more(planted):
    """To about the rate told."""
    plant, history = plant_of(planted[0], "success_rate_drop")

    def rate(*, inside):
        runs = [
            run
            for run in history.workflows
            if run.pipeline.branch == history.project.default_branch
            and run.spec.name == plant.workflow
            and run.status in {"success", "failed"}
            and plant.holds(run.created) == inside
        ]
        return sum(run.status == "success" for run in runs) / len(runs)

    assert rate(inside=False) > 0.85
    assert rate(inside=True) == pytest.approx(plant.size, abs=0.15)


def test_jobs_wait(planted):
    """Queue times grow for those hours."""
    plant, history = plant_of(planted[0], "queue_jam")
    inside = [job.started - job.queued for job in history.builds if job.ran and plant.holds(job.queued)]
    before = [job.started - job.queued for job in history.builds if job.ran and job.queued < plant.since]
    assert median(inside) / median(before) == pytest.approx(plant.size, rel=0.4)


def test_credits_rise(planted):
    """The dearest job runs on a machine that costs more."""
    plant, history = plant_of(planted[0], "credit_spike")
    inside, before = (
        median(job.credits for job in builds(history, plant, inside=within, name=plant.job)) for within in (True, False)
    )
    assert inside / before == pytest.approx(plant.size, rel=0.3)


def test_one_test_fails_now_and_then(planted):
    """The share told of the job's builds, blamed on one test."""
    plant, history = plant_of(planted[0], "flaky_test")
    chosen = builds(history, plant, inside=True, name=plant.job)
    blamed = [job for job in chosen if job.blamed == 0]
    assert len(blamed) / len(chosen) == pytest.approx(plant.size, abs=0.06)
    assert not [job for job in builds(history, plant, inside=False) if job.blamed >= 0]


def test_nothing_starts(planted):
    """Not one pipeline in those days, and some before and after."""
    plant, history = plant_of(planted[0], "silent_project")
    created = [pipeline.created for pipeline in history.pipelines]
    assert not [at for at in created if plant.holds(at)]
    assert [at for at in created if at >= plant.until]


def test_fewer_projects_have_fewer_plants():
    """Never two in one."""
    assert len(world(projects=2).stories.plants.all) == 2


def test_without_the_knob_nothing_changes():
    """The old stories stay where they were."""
    assert world(plants=False).stories.plants.all == ()
    assert world(plants=False).stories.regression is not None
