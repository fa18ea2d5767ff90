"""What the configuration of each project says: its workflows, their jobs, and how long those take.

Invariant: `requires` names earlier positions only, so a workflow is simulated in one pass.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from headgate.testing.circleci.knobs import Knobs


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job of a workflow; `seconds` is the median duration, `requires` are positions in the workflow."""

    name: str
    seconds: float
    requires: tuple[int, ...] = ()
    type: Literal["build", "approval"] = "build"
    resource_class: str = "medium"
    executor: str = "docker"
    parallelism: int = 1
    tests: int = 0  # results the job reports when it runs to its end
    context: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """One workflow of a configuration."""

    name: str
    jobs: tuple[JobSpec, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The workflows of one project; `main` runs on the default branch, `branch` on all others."""

    main: WorkflowSpec
    branch: WorkflowSpec
    extra: WorkflowSpec
    nightly: WorkflowSpec
    release: WorkflowSpec


CREDITS_PER_MINUTE = {
    "small": 5,
    "medium": 10,
    "large": 20,
    "xlarge": 40,
    "linux-medium": 10,
    "macos-m1": 150,
}

_TESTS_MIN = 8  # more than there are flaky ones

_MAIN = (
    JobSpec("lint", 35, resource_class="small"),
    JobSpec("build", 110, resource_class="large"),
    JobSpec("unit", 160, (1,), parallelism=4, tests=120),
    JobSpec("integration", 260, (1,), resource_class="large", tests=40),
    JobSpec("e2e", 380, (1,), executor="machine", resource_class="linux-medium", parallelism=2, tests=15),
    JobSpec("scan", 55, (1,), resource_class="small"),
    JobSpec("package", 70, (0, 2), resource_class="medium"),
    JobSpec("deploy", 80, (2,), resource_class="small", context="production"),
)
_EXTRA = WorkflowSpec(
    "docs",
    (
        JobSpec("links", 25, resource_class="small"),
        JobSpec("render", 60, (0,), resource_class="small"),
        JobSpec("publish", 20, (1,), resource_class="small", context="docs"),
    ),
)
_RELEASE = WorkflowSpec(
    "release",
    (
        JobSpec("build", 110, resource_class="large"),
        JobSpec("sign", 40, (0,), resource_class="small", context="signing"),
        JobSpec("hold-release", 1800, (1,), "approval"),
        JobSpec("publish", 60, (2,), resource_class="small", context="production"),
    ),
)


def plan_for(rng: Random, knobs: Knobs) -> Plan:
    """Draw the configuration of one project."""
    scale = knobs.duration_factor * (0.6 + rng.random())
    count = rng.randint(knobs.jobs_min, knobs.jobs_max)
    held = rng.random() < knobs.approval_rate
    main = _main_jobs(count, held=held, scale=scale, test_share=knobs.test_share)
    kept = [job for job in main if job.type == "build" and job.name != "deploy"]
    branch = tuple(kept) if knobs.branch_variants and len(kept) >= 3 else main
    tested = [_with_tests(job, knobs.test_share) for job in _MAIN[3:5]]
    nightly = (_MAIN[1], replace(tested[0], requires=(0,)), replace(tested[1], requires=(0,), seconds=900))
    return Plan(
        main=WorkflowSpec("build-test-deploy", main),
        branch=WorkflowSpec("build-test-deploy", branch),
        extra=_scaled(_EXTRA, knobs.duration_factor),
        nightly=_scaled(WorkflowSpec("nightly", nightly), scale),
        release=_scaled(_RELEASE, scale),
    )


def _main_jobs(count: int, *, held: bool, scale: float, test_share: float) -> tuple[JobSpec, ...]:
    """Give `count` jobs (1 to 8) ending in deploy where there is room, behind an approval if `held`."""
    jobs = [_with_tests(job, test_share) for job in _MAIN]
    if count < 4:
        return _scaled(WorkflowSpec("", tuple(jobs[:count])), scale).jobs
    body = jobs[: count - 1 - held]
    gate = tuple(range(2, len(body))) or (len(body) - 1,)
    if held:
        body.append(JobSpec("hold", 1200, gate, "approval"))
        gate = (len(body) - 1,)
    body.append(replace(_MAIN[7], requires=gate))
    return _scaled(WorkflowSpec("", tuple(body)), scale).jobs


def _with_tests(job: JobSpec, share: float) -> JobSpec:
    """Leave a share of the tests of a job that has some."""
    return replace(job, tests=min(job.tests, max(_TESTS_MIN, round(job.tests * share))))


def _scaled(spec: WorkflowSpec, scale: float) -> WorkflowSpec:
    """Stretch the build jobs; people take as long as they take."""
    return WorkflowSpec(
        spec.name,
        tuple(replace(job, seconds=job.seconds * scale) if job.type == "build" else job for job in spec.jobs),
    )
