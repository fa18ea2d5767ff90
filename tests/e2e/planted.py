"""A twin's world as the history that rules are judged by, without the way over API and store; and a fair judge.

Invariant: rows say what a store would say of the same runs, tests included as far as one may be flaky.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.alerting.history import History
from headgate.alerting.load import load_rules
from headgate.alerting.replay import message_row, play_rules
from headgate.app.detectors import detector_factory
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.core.runrows import JobRow, RunRow, TestOutcome
from headgate.core.status import map_status
from headgate.plugins import load_plugins
from headgate.testing.circleci import results
from headgate.testing.circleci.knobs import Knobs, Options
from headgate.testing.circleci.model import Job, Workflow
from headgate.testing.circleci.plants import Plant, first_bad
from headgate.testing.circleci.times import DAY
from headgate.testing.circleci.world import World

NOW_MS = 1_795_219_200_000
_EVERY_MS = 15 * 60_000  # seldomer than the shipped rules: 40 days are long
# Which rule of the shipped ones must find a kind.
FINDERS = {
    "duration_regression": "JobDurationChanged",
    "success_rate_drop": "DefaultBranchFailing",
    "queue_jam": "QueueTimeHigh",
    "credit_spike": "CreditsSpike",
    "flaky_test": "FlakyTest",
    "silent_project": "ProjectSilent",
}


def planted_world(seed: int, *, days: int = 90, projects: int = 12, runs_per_day: float = 20.0) -> World:
    """Six regressions among healthy projects; tests fail for a reason unless one is planted."""
    knobs = Knobs(plants=True, flaky_share=0.0)
    return World(Options(NOW_MS, seed=seed, days=days, projects=projects, runs_per_day=runs_per_day, knobs=knobs))


def history_of(world: World) -> History:
    """Everything that had ended by the world's present."""
    now = world.now()
    runs: list[RunRow] = []
    jobs: list[JobRow] = []
    outcomes: list[TestOutcome] = []
    for history in world.histories:
        done = [run for run in history.workflows if 0 < run.stopped <= now]
        runs += map(_run_row, done, (world.id_of(run) for run in done))
        for run in done:
            identity = world.id_of(run)
            jobs += (
                _job_row(job, world.id_of(job), identity)
                for job in run.jobs
                if job.workflow is run and 0 < job.stopped <= now
            )
        outcomes += _outcomes(world, history.project.slug, done)
    return History(runs, jobs, outcomes)


def _revision(run: Workflow) -> str:
    return f"{run.pipeline.project.index:04x}{run.pipeline.number:036x}"


def _common(run: Workflow) -> dict[str, Any]:
    pipeline = run.pipeline
    return {
        "project": pipeline.project.slug,
        "workflow": run.spec.name,
        "ref": pipeline.branch or pipeline.tag or "",
        "branch_class": int(pipeline.branch == pipeline.project.default_branch),
        "revision": _revision(run),
        "trigger": pipeline.trigger,
        "url": f"https://app.circleci.com/pipelines/{pipeline.project.slug}/{pipeline.number}",
    }


def _run_row(run: Workflow, identity: str) -> RunRow:
    held = sum(job.stopped - job.started for job in run.jobs if job.approval and job.started and job.stopped)
    return RunRow(
        workflow_id=identity,
        status=map_status(run.status),
        stopped_ms=run.stopped,
        duration_ms=run.stopped - run.created,
        pipeline_number=run.pipeline.number,
        created_ms=run.created,
        hold_ms=held,
        credits=run.credits,
        attempt=run.attempt,
        rerun_of="before" if run.rerun_of is not None else "",
        **_common(run),
    )


def _job_row(job: Job, identity: str, workflow_id: str) -> JobRow:
    ran = job.ran
    return JobRow(
        job_id=identity,
        workflow_id=workflow_id,
        job=job.spec.name,
        status=map_status(job.status),
        type=job.spec.type,
        resource_class=job.spec.resource_class,
        executor=job.spec.executor,
        parallelism=job.spec.parallelism,
        started_ms=job.started or None,
        stopped_ms=job.stopped,
        duration_ms=job.stopped - job.started if ran else None,
        queue_ms=job.started - job.queued if ran else None,
        credits=job.credits,
        number=job.number or None,
        **_common(job.workflow),
    )


def _outcomes(world: World, project: str, runs: Sequence[Workflow]) -> Iterator[TestOutcome]:
    """By test and commit, of tests that failed and passed on one: others tell nothing of flakiness."""
    reported = [job for run in runs for job in run.jobs if job.workflow is run and results.reports(world, job)]
    blamed = {job: results.failing(world, job) for job in reported}
    suspects: dict[str, set[int]] = defaultdict(set)
    for job, index in blamed.items():
        if index >= 0:
            suspects[job.spec.name].add(index)
    found: dict[tuple[str, int, str], list[Job]] = defaultdict(list)
    for job in reported:
        for index in suspects[job.spec.name]:
            found[job.spec.name, index, _revision(job.workflow)].append(job)
    flaked = {
        (name, index) for (name, index, _), builds in found.items() if len({blamed[job] == index for job in builds}) > 1
    }
    for (name, index, revision), builds in found.items():
        if (name, index) not in flaked:
            continue
        failed = sum(blamed[job] == index for job in builds)
        yield TestOutcome(
            project=project,
            test_id=f"{name}/{index}",
            revision=revision,
            name=results.name_of(world, builds[0], index),
            suite="",
            class_name=f"tests.test_{name}_{index % 7}",
            file="",
            passed=len(builds) - failed,
            failed=failed,
            infra=0,
            jobs=(name,),
            first_ms=min(job.stopped for job in builds),
            last_ms=max(job.stopped for job in builds),
            run_ms=0,
        )


@dataclass
class Verdict:
    """What the rules said of one world. `late`: runs between the first bad one and the alert."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    missed: list[Plant] = field(default_factory=list)
    doubled: list[dict[str, Any]] = field(default_factory=list)
    false: list[dict[str, Any]] = field(default_factory=list)


async def judge(world: World, *, since_days: int = 40, every_ms: int = _EVERY_MS, but: Container[str] = ()) -> Verdict:
    """Play the shipped rules, `but` some, over the last days; each message is right once, doubled, or false."""
    now = world.now()
    rules = [replace(rule, every_ms=max(rule.every_ms, every_ms)) for rule in load_rules(()) if rule.name not in but]
    verdict = Verdict()
    plants = {
        (FINDERS[plant.kind], world.histories[plant.project].project.slug): plant for plant in world.stories.plants.all
    }
    open_plants = {key: plant for key, plant in plants.items() if key[0] not in but}
    history = history_of(world)
    registry = load_plugins()
    detectors = detector_factory(registry, BuildContext(ManualClock(), NullMetrics(), "headgate/0"))
    async for at_ms, rule, group in play_rules(rules, history, now - since_days * DAY, now, detectors=detectors):
        if group.step.notify != "firing" or group.step.reason == "escalated":
            continue  # an alert that becomes critical is the same one
        row = message_row(rule, group, at_ms)
        plant = plants.get((row["rule"], row["labels"].get("project", "")))
        if plant is None or at_ms < plant.since:
            verdict.false.append(row)
        elif open_plants.pop((row["rule"], row["labels"]["project"]), None) is None:
            verdict.doubled.append(row)
        else:
            verdict.found[plant.kind] = row | {"late": _runs_between(world, plant, at_ms)}
    verdict.missed = list(open_plants.values())
    return verdict


def _runs_between(world: World, plant: Plant, at_ms: int) -> int:
    """Runs of the workflow on the default branch from the first bad one to a moment."""
    history = world.histories[plant.project]
    return sum(
        plant.since <= run.created and 0 < run.stopped <= at_ms
        for run in history.workflows
        if run.spec.name == plant.workflow and run.pipeline.branch == history.project.default_branch
    )


def names_right(world: World, plant: Plant, row: dict[str, Any]) -> Iterable[str]:
    """What an alert about a plant says wrongly: workflow, job, first bad run (within ten runs)."""
    labels = row["labels"]
    if "workflow" in labels and labels["workflow"] != plant.workflow:
        yield f"workflow {labels['workflow']}"
    if "job" in labels and plant.job is not None and labels["job"] != plant.job:
        yield f"job {labels['job']}"
    history = world.histories[plant.project]
    first = first_bad(plant, history.workflows)
    if plant.kind in {"duration_regression", "success_rate_drop"} and first is not None:
        runs = sorted(
            (
                run
                for run in history.workflows
                if run.spec.name == plant.workflow and run.pipeline.branch == history.project.default_branch
            ),
            key=lambda run: run.created,
        )
        places = {world.id_of(run): place for place, run in enumerate(runs)}
        places |= {world.id_of(job): place for place, run in enumerate(runs) for job in run.jobs if job.workflow is run}
        told = places.get(str(row["first_bad"]))
        if told is None or abs(told - places[world.id_of(first)]) > 10:
            yield f"first bad run {row['first_bad']}"
