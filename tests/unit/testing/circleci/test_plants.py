"""The six planted regressions: where the truth says, as bad as it says, and nowhere else."""

from statistics import median

import pytest

from headgate.testing.circleci.knobs import Knobs, Options
from headgate.testing.circleci.plants import first_bad, plant_all
from headgate.testing.circleci.times import DAY, HOUR
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
    """One world with plants."""
    return world()


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


def test_a_project_without_a_plant_is_steady(planted):
    """Its success rate and durations are those of before."""
    touched = {plant.project for plant in planted.stories.plants.all}
    (history,) = [one for one in planted.histories if one.project.index not in touched]
    halves = []
    for late in (False, True):
        jobs = [job for job in history.builds if job.ran and (job.queued > NOW - 30 * DAY) == late]
        rate = sum(job.status == "success" for job in jobs) / len(jobs)
        halves.append((rate, median(job.stopped - job.started for job in jobs)))
    (rate, usual), (later, now) = halves
    assert later == pytest.approx(rate, abs=0.03)
    assert now == pytest.approx(usual, rel=0.1)


def test_a_fault_of_a_commit_stays_and_a_flaky_one_goes():
    """Reruns of a planted world tell the two apart, as in life; so does the test that fails."""
    same = other = stayed = went = 0
    for history in world(rerun_rate=1.0, flaky_share=0.0).histories:
        for run in history.workflows:
            if run.rerun_of is None or run.status not in {"success", "failed"}:
                continue
            faults = {job.spec.name: job.blamed for job in run.rerun_of.jobs if job.status == "failed"}
            again = {job.spec.name: job.blamed for job in run.jobs if job.status == "failed"}
            both = [name for name in again.keys() & faults.keys() if min(faults[name], again[name]) > 0]
            same += sum(again[name] == faults[name] for name in both)
            other += sum(again[name] != faults[name] for name in both)
            if set(faults.values()) == {0}:
                went += run.status == "success"
            elif max(faults.values(), default=0) > 0:
                stayed += run.status == "failed"
    assert (other, same > 20, stayed > 20, went > 20) == (0, True, True, True)


def test_the_job_takes_longer(planted):
    """By the factor told; the others do not."""
    plant, history = plant_of(planted, "duration_regression")

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
    plant, history = plant_of(planted, "success_rate_drop")

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
    plant, history = plant_of(planted, "queue_jam")
    inside = [job.started - job.queued for job in history.builds if job.ran and plant.holds(job.queued)]
    before = [job.started - job.queued for job in history.builds if job.ran and job.queued < plant.since]
    assert median(inside) / median(before) == pytest.approx(plant.size, rel=0.4)


def test_credits_rise(planted):
    """The dearest job runs on a machine that costs more."""
    plant, history = plant_of(planted, "credit_spike")
    inside, before = (
        median(job.credits for job in builds(history, plant, inside=within, name=plant.job)) for within in (True, False)
    )
    assert inside / before == pytest.approx(plant.size, rel=0.3)


def test_one_test_fails_now_and_then(planted):
    """The share told of the job's builds, blamed on one test."""
    plant, history = plant_of(planted, "flaky_test")
    chosen = builds(history, plant, inside=True, name=plant.job)
    blamed = [job for job in chosen if job.blamed == 0]
    assert len(blamed) / len(chosen) == pytest.approx(plant.size, abs=0.06)
    assert not [job for job in builds(history, plant, inside=False) if job.blamed == 0]


def test_nothing_starts(planted):
    """Not one pipeline in those days, and some before and after."""
    plant, history = plant_of(planted, "silent_project")
    created = [pipeline.created for pipeline in history.pipelines]
    assert not [at for at in created if plant.holds(at)]
    assert [at for at in created if at >= plant.until]


def test_fewer_projects_have_fewer_plants():
    """Never two in one."""
    assert len(world(projects=2).stories.plants.all) == 2


def test_a_flaky_test_is_where_tests_are():
    """Whatever project was drawn: seed 20 draws one that runs none; one alone without any gets no such plant."""
    knobs_of_now = Knobs(plants=True, plants_now=True)
    for seed in range(1, 60):
        for projects in (1, 6, 12):
            made = plant_all(Options(NOW, seed=seed, days=1, projects=projects, knobs=Knobs(plants=True)))
            places = [plant.project for plant in made.all]
            assert len(set(places)) == len(places)
            assert projects < 12 or len(places) == 6
            assert plant_all(Options(NOW, seed=seed, days=1, projects=projects, knobs=knobs_of_now)).all


def test_without_the_knob_nothing_changes():
    """The old stories stay where they were."""
    assert world(plants=False).stories.plants.all == ()
    assert world(plants=False).stories.regression is not None


def test_plants_of_now_are_there_while_one_looks():
    """Always in the same projects, however many there are; one of two flaky tests was repaired."""
    found, few = world(plants_now=True).stories.plants.all, world(projects=2, plants_now=True).stories.plants.all
    assert [(plant.project, plant.kind) for plant in few] == [
        (0, "success_rate_drop"),
        (1, "queue_jam"),
        (1, "flaky_test"),
        (0, "flaky_test"),
        (0, "hanging_job"),
    ]
    assert {plant.kind for plant in found} == {*KINDS, "broken_machines", "hanging_job"}
    over = [plant for plant in found if not plant.holds(NOW)]
    assert [(0, "flaky_test"), (4, "broken_machines"), (0, "hanging_job")] == [(one.project, one.kind) for one in over]
    assert over[0].until < NOW - 7 * DAY


def test_machines_break_for_some_hours_and_jobs_hang():
    """More than half of the jobs of those hours fail by their machine; what hangs has not ended by now."""
    friday = NOW - 11 * HOUR  # at work
    knobs = Knobs(plants=True, plants_now=True)
    made = World(Options(now_ms=friday, days=5, projects=5, runs_per_day=60.0, knobs=knobs))
    broken, hanging = (
        next(one for one in made.stories.plants.all if one.kind == kind) for kind in ("broken_machines", "hanging_job")
    )
    jobs = [job for job in made.histories[broken.project].builds if broken.holds(job.started)]
    failed = [job for job in jobs if job.status == "infrastructure_fail"]
    assert 0.4 * len(jobs) < len(failed) < 0.8 * len(jobs)
    runs = [run for run in made.histories[hanging.project].workflows if hanging.holds(run.created)]
    hang = [job for run in runs for job in run.jobs if job.spec.name == hanging.job and job.started]
    assert hang
    assert all(job.stopped > friday for job in hang if job.status != "canceled")


def test_an_organization_that_grew_begins_smaller():
    """The same on its last days; the first day has so much less."""

    def first_and_last(**knobs):
        found = [pipeline.created for history in world(**knobs).histories for pipeline in history.pipelines]
        return [sum(since <= at < since + 14 * DAY for at in found) for since in (NOW - 60 * DAY, NOW - 14 * DAY)]

    (first, last), (grown_first, grown_last) = first_and_last(), first_and_last(growth=0.75)
    assert 0.85 * last < grown_last <= last
    assert 0.2 * first < grown_first < 0.5 * first
