"""Six regressions, one each in a project of its own and different for every seed, for judging alert rules.

With `plants_now` they are there while one looks, always in the same projects; beside them a flaky test that was
repaired, some hours in which machines broke, and runs that hang.

Invariant: a pure function of the options. A plant changes the runs of its project from `since` to `until` and no other
project's; those without one are steady from end to end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from headgate.testing.circleci.knobs import Options
from headgate.testing.circleci.model import Workflow
from headgate.testing.circleci.plan import CREDITS_PER_MINUTE, JobSpec, Plan, plan_for
from headgate.testing.circleci.times import DAY, HOUR

__all__ = ["PLANTED_TEST", "Kind", "Plant", "Plants", "first_bad", "plant_all"]

Kind = Literal[
    "duration_regression", "success_rate_drop", "queue_jam", "credit_spike", "flaky_test", "silent_project",
    "broken_machines", "hanging_job",
]  # fmt: skip
_KINDS: tuple[Kind, ...] = (
    "duration_regression", "success_rate_drop", "queue_jam", "credit_spike", "flaky_test", "silent_project",
)  # fmt: skip
# What reaches into the present: in which project, what, how long ago it began and how long it lasts; 0: to the end.
_NOW: tuple[tuple[int, Kind, int, int], ...] = (
    (0, "success_rate_drop", 3 * DAY + 4 * HOUR, 0),
    (1, "queue_jam", 4 * HOUR, 12 * HOUR),
    (2, "duration_regression", 5 * DAY, 0),
    (3, "credit_spike", 28 * HOUR, 3 * DAY),
    (1, "flaky_test", 6 * DAY, 0),
    (5, "silent_project", 5 * DAY, 7 * DAY),
    (0, "flaky_test", 17 * DAY, 9 * DAY + 12 * HOUR),
    (4, "broken_machines", 7 * HOUR, 5 * HOUR),
    (0, "hanging_job", 5 * HOUR, HOUR),
)
PLANTED_TEST = 0  # position of the test that becomes flaky
_LENGTHS: dict[Kind, int] = {"queue_jam": 6 * HOUR, "credit_spike": 3 * DAY, "silent_project": 5 * DAY}
_LATEST, _EARLIEST = 8 * DAY, 30 * DAY  # before the end of the history
_LONG_JOB_SECONDS = 60.0
_HANGS_HOURS = 20.0
_SHARES: dict[Kind, float] = {"silent_project": 0.0, "broken_machines": 0.6}
_MISTAKE = "macos-m1"  # a machine that costs much


@dataclass(frozen=True, slots=True)
class Plant:
    """One regression. `job`: the one it is in, None for all of the project; `size`: what it does, by kind.

    duration_regression: factor on the job's duration. success_rate_drop: success rate of the main workflow.
    queue_jam: factor on queue times. credit_spike: factor on the job's credits. flaky_test: share of the job's builds
    that it fails. silent_project: nothing runs. broken_machines: share of jobs that fail by their machine. hanging_job:
    how many hours it takes. `until` 0 means to the end.
    """

    kind: Kind
    project: int
    since: int
    until: int
    size: float
    workflow: str
    job: str | None = None

    def holds(self, at: int) -> bool:
        """Say whether a moment lies within."""
        return self.since <= at and (at < self.until or not self.until)


@dataclass(frozen=True, slots=True)
class Plants:
    """What is planted, and what that does to a run."""

    all: tuple[Plant, ...] = ()

    def of(self, kind: Kind, project: int, at: int) -> Plant | None:
        """Give the plant of a kind that a moment of a project lies in."""
        return next((one for one in self.all if (one.kind, one.project) == (kind, project) and one.holds(at)), None)

    def slowdown(self, project: int, at: int, workflow: str, job: str) -> float:
        """Give by how much longer a job takes."""
        plant = self.of("duration_regression", project, at)
        return plant.size if plant and (plant.workflow, plant.job) == (workflow, job) else 1.0

    def queue_factor(self, project: int, at: int) -> float:
        """Give by how much longer a job queued then has to wait."""
        plant = self.of("queue_jam", project, at)
        return plant.size if plant else 1.0

    def success_rate(self, project: int, at: int) -> float | None:
        """Give the success rate of main workflows, None for the usual."""
        plant = self.of("success_rate_drop", project, at)
        return plant.size if plant else None

    def flaky(self, project: int, at: int, job: str) -> float:
        """Give the share of a job's builds that the planted test fails."""
        plant = self.of("flaky_test", project, at)
        return plant.size if plant and plant.job == job else 0.0

    def machine(self, project: int, at: int, job: str) -> str | None:
        """Give the machine that somebody chose for a job by mistake."""
        plant = self.of("credit_spike", project, at)
        return _MISTAKE if plant and plant.job == job else None

    def broken(self, project: int, at: int) -> float:
        """Give the share of jobs whose machine breaks, 0 for the usual."""
        plant = self.of("broken_machines", project, at)
        return plant.size if plant else 0.0

    def hangs(self, project: int, at: int, workflow: str, job: str) -> int:
        """Give how long a job hangs, milliseconds; 0 for one that does not."""
        plant = self.of("hanging_job", project, at)
        return int(plant.size * HOUR) if plant and (plant.workflow, plant.job) == (workflow, job) else 0

    def silent(self, project: int, at: int) -> bool:
        """Say whether nothing starts then."""
        return self.of("silent_project", project, at) is not None


def plant_all(options: Options) -> Plants:
    """Draw where each regression is, from when, and how bad; as many as there are projects."""
    if not options.knobs.plants:
        return Plants()
    rng = Random(f"{options.seed}/plants")
    if options.knobs.plants_now:
        now, here = options.now_ms, [one for one in _NOW if one[0] < options.projects]
        return Plants(
            tuple(
                _plant(options, rng, kind, project, (now - ago, length and now - ago + length))
                for project, kind, ago, length in here
                if kind != "flaky_test" or _tested(_plan(options, project))
            )
        )
    places = rng.sample(range(options.projects), min(options.projects, len(_KINDS)))
    where = _with_tests(options, dict(zip(_KINDS, places, strict=False)))
    return Plants(tuple(_past_plant(options, rng, kind, project) for kind, project in where.items()))


def _with_tests(options: Options, where: Mapping[Kind, int]) -> dict[Kind, int]:
    """The places of plants, the flaky test in a project that runs tests; without one where none does."""
    found = dict(where)
    place = found.pop("flaky_test", None)
    free = [project for project in range(options.projects) if project not in found.values()]
    for project in (place, *free):
        if project is not None and _tested(_plan(options, project)):
            return {kind: project if kind == "flaky_test" else where[kind] for kind in where}
    return found


def _past_plant(options: Options, rng: Random, kind: Kind, project: int) -> Plant:
    """Plant something that began some weeks ago; what is over began on a working day, when people came."""
    since = rng.randrange(options.now_ms - _EARLIEST, options.now_ms - _LATEST)
    workday = since // DAY * DAY + 9 * HOUR
    while (workday // DAY + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
        workday -= DAY
    length = _LENGTHS.get(kind)
    if length is None:
        return _plant(options, rng, kind, project, (since, 0))
    return _plant(options, rng, kind, project, (workday, workday + length))


def _plant(options: Options, rng: Random, kind: Kind, project: int, span: tuple[int, int]) -> Plant:
    plan = _plan(options, project)
    size, job = _size(rng, kind, plan)
    return Plant(kind, project, *span, size, plan.main.name, job)


def _plan(options: Options, project: int) -> Plan:
    return plan_for(Random(f"{options.seed}/{project}/plan"), options.knobs)


def _tested(plan: Plan) -> list[JobSpec]:
    return [job for job in plan.main.jobs if job.tests > 0]


def _size(rng: Random, kind: Kind, plan: Plan) -> tuple[float, str | None]:  # noqa: PLR0911  # one for each kind
    """Draw how bad it is, and in which job."""
    match kind:
        case "duration_regression":
            return rng.uniform(1.4, 2.0), rng.choice(_long(plan)).name
        case "success_rate_drop":
            return rng.uniform(0.4, 0.65), None
        case "queue_jam":
            return rng.uniform(60, 120), None
        case "credit_spike":
            job = max(plan.main.jobs, key=_cost)
            return CREDITS_PER_MINUTE[_MISTAKE] / CREDITS_PER_MINUTE[job.resource_class], job.name
        case "flaky_test":
            return rng.uniform(0.1, 0.2), rng.choice(_tested(plan)).name
        case "hanging_job":
            return _HANGS_HOURS, max(plan.main.jobs, key=_cost).name
        case "silent_project" | "broken_machines":
            return _SHARES[kind], None


def first_bad(plant: Plant, runs: Sequence[Workflow]) -> Workflow | None:
    """Give the first run on the default branch that a plant is in; None if there is none yet."""
    found = [
        run
        for run in runs
        if plant.holds(run.created)
        and run.spec.name == plant.workflow
        and run.pipeline.branch == run.pipeline.project.default_branch
    ]
    return min(found, key=lambda run: run.created, default=None)


def _long(plan: Plan) -> list[JobSpec]:
    """Build jobs of the main workflow that take long enough to matter to anybody."""
    builds = [job for job in plan.main.jobs if job.type == "build"]
    return [job for job in builds if job.seconds >= _LONG_JOB_SECONDS] or builds


def _cost(job: JobSpec) -> float:
    return job.seconds * job.parallelism if job.type == "build" else 0.0
