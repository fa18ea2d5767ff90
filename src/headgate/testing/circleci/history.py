"""Generates what happens in one project, day by day, and numbers its builds.

Each day has a random source of its own, made of seed, project and day. Invariant: builds are numbered in
the order in which they are queued, without gaps, and a number is given before anybody can see the build.
"""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from math import exp
from random import Random

from headgate.testing.circleci.cast import Family, Project
from headgate.testing.circleci.knobs import Options
from headgate.testing.circleci.model import FAILED, Job, Pipeline, Trigger, Workflow
from headgate.testing.circleci.plan import WorkflowSpec, plan_for
from headgate.testing.circleci.simulate import Mood, Player
from headgate.testing.circleci.stories import Stories
from headgate.testing.circleci.times import DAY, HOUR, MINUTE, SECOND, weekday

_BY_WEEKDAY = (1.25, 1.3, 1.3, 1.25, 1.1, 0.4, 0.4)  # mean 1
_BY_HOUR = (1, 1, 1, 1, 1, 2, 4, 9, 14, 16, 15, 12, 13, 16, 17, 15, 12, 8, 5, 4, 3, 2, 2, 1)
_TOPICS = ("login", "search-box", "retry-policy", "dark-mode", "audit-log", "pagination", "cache", "export")
_DEPENDENCIES = ("lodash", "requests", "axios", "pytest", "react", "serde")
_ATTEMPTS_MAX = 4


class History:
    """Everything that happens in one project up to the day generated last."""

    def __init__(self, options: Options, project: Project, stories: Stories) -> None:
        self.project = project
        self.pipelines: list[Pipeline] = []  # ordered by creation; number is position + 1
        self.workflows: list[Workflow] = []  # ordered by generation
        self.builds: list[Job] = []  # ordered by queueing; number is position + 1
        self._options, self._knobs, self._stories = options, options.knobs, stories
        self._runs_per_day = options.runs_by_project[project.index]
        self._plan = plan_for(Random(f"{options.seed}/{project.index}/plan"), options.knobs)
        self._player = Player(options.knobs, stories)
        self._unnumbered: list[tuple[int, int, Job]] = []
        self._tie = count()
        self._latest: dict[tuple[str | None, str, str], int] = {}
        self._day = options.start_ms // DAY - 1

    def extend(self, until: int) -> Iterator[Workflow]:
        """Generate all days up to the one of `until`, yielding each new workflow once it is complete."""
        while self._day < until // DAY:
            self._day += 1
            first = len(self.workflows)
            self._generate(self._day)
            self._number((self._day + 1) * DAY)
            yield from self.workflows[first:]

    def pipelines_until(self, now: int) -> int:
        """Count the pipelines created by a moment."""
        return bisect_right(self.pipelines, now, key=lambda pipeline: pipeline.created)

    def builds_until(self, now: int) -> int:
        """Count the builds queued by a moment."""
        return bisect_right(self.builds, now, key=lambda build: build.queued)

    def _generate(self, day: int) -> None:
        rng = Random(f"{self._options.seed}/{self.project.index}/{day}")
        old = len(self.pipelines)
        for created, trigger in self._starts(rng, day):
            pipeline = self._pipeline(rng, created, trigger)
            if created >= self._options.start_ms:
                pipeline.index = len(self.pipelines)
                self.pipelines.append(pipeline)
                self._run(rng, pipeline)
        if old and rng.random() < self._knobs.late_reruns_per_day and not self._silent(day * DAY + 12 * HOUR):
            self._late_rerun(rng, day)

    def _starts(self, rng: Random, day: int) -> list[tuple[int, Trigger]]:
        """Draw when and how the pipelines of a day start, in order."""
        mean = self._runs_per_day * self._options.activity(day * DAY) * _BY_WEEKDAY[weekday(day)]
        number = int(mean * exp(rng.gauss(0, 0.1)) + rng.random())
        hours = rng.choices(range(24), weights=_BY_HOUR, k=number)
        starts: list[tuple[int, Trigger]] = [
            (
                day * DAY + hour * HOUR + rng.randrange(HOUR),
                "api" if rng.random() < self._knobs.api_rate else "push",
            )
            for hour in hours
        ]
        if self._knobs.schedules:
            starts.append((day * DAY + 2 * HOUR + rng.randrange(SECOND), "schedule"))
        return sorted(start for start in starts if not self._silent(start[0]))

    def _silent(self, at: int) -> bool:
        return self._stories.plants.silent(self.project.index, at)

    def _pipeline(self, rng: Random, created: int, trigger: Trigger) -> Pipeline:
        knobs, project = self._knobs, self.project
        branch: str | None = project.default_branch
        tag, coin, topic = None, rng.random(), rng.random()
        if trigger == "push" and rng.random() < knobs.tag_rate:
            day = created // DAY
            branch, tag = None, f"v{day % 7}.{day % 30}.{created // SECOND % 1000}"
        elif trigger != "schedule" and coin >= knobs.default_branch_rate:
            renovate = coin < knobs.default_branch_rate + knobs.renovate_rate
            branch = _renovate(topic) if renovate else _feature(topic, created)
        return Pipeline(
            project=project,
            index=0,
            created=created,
            trigger=trigger,
            branch=branch,
            tag=tag,
            actor=rng.randrange(10),
            errored=trigger == "push" and rng.random() < knobs.errored_rate,
            bare_tag=bool(tag) and project.family is Family.OAUTH and topic < 0.3,
        )

    def _run(self, rng: Random, pipeline: Pipeline) -> None:
        """Start the workflows of a new pipeline, and what people rerun of them soon."""
        if pipeline.errored:
            return
        for spec in self._specs(rng, pipeline):
            run = self._workflow(rng, pipeline, spec, pipeline.created + rng.randint(60, 400))
            while run.status == "failed" and run.attempt < _ATTEMPTS_MAX and rng.random() < self._rerun_rate(run):
                wait = int(8 * MINUTE * exp(rng.gauss(0, 1.2)))
                run = self._rerun(rng, run, run.stopped + wait)

    def _rerun_rate(self, run: Workflow) -> float:
        """Seldom does somebody rerun what is the commit's own fault."""
        return self._knobs.rerun_rate / (6 if self._knobs.plants and _at_fault(run) else 1)

    def _specs(self, rng: Random, pipeline: Pipeline) -> list[WorkflowSpec]:
        plan = self._plan
        if pipeline.tag:
            return [plan.release]
        if pipeline.trigger == "schedule":
            return [plan.nightly]
        main = plan.main if pipeline.branch == self.project.default_branch else plan.branch
        return [main, plan.extra] if rng.random() < self._knobs.second_workflow_rate else [main]

    def _late_rerun(self, rng: Random, day: int) -> None:
        """Rerun some workflow of at least two days ago."""
        reach = self.pipelines_until((day - 2) * DAY)
        if not reach:
            return
        pipeline = self.pipelines[rng.randrange(reach)]
        created = day * DAY + 9 * HOUR + rng.randrange(8 * HOUR)
        ended = [run for run in pipeline.workflows if 0 < run.stopped < created]
        if ended:
            self._rerun(rng, ended[-1], created)

    def _rerun(self, rng: Random, old: Workflow, created: int) -> Workflow:
        """Run a workflow again as a new one in the old pipeline, whole or from failed."""
        whole = old.status != "failed" or rng.random() < self._knobs.rerun_whole_share
        return self._workflow(rng, old.pipeline, old.spec, created, old=old, kept={} if whole else _kept(old))

    def rerun(self, pipeline: Pipeline, now: int, *, from_failed: bool) -> Workflow:
        """Rerun the newest workflow of a pipeline, once it has ended. Raises ValueError where none can be rerun."""
        newest = {run.spec.name: run for run in sorted(pipeline.workflows, key=lambda run: run.created)}
        ended = [run for run in newest.values() if run.done_at(now) and (run.status == "failed" or not from_failed)]
        if not ended:
            raise ValueError("no workflow of this pipeline has ended so that it could be rerun")
        old = max(ended, key=lambda run: run.created)
        rng = Random(f"{self._options.seed}/{self.project.index}/rerun/{len(self.workflows)}")
        run = self._workflow(rng, pipeline, old.spec, now, old=old, kept=_kept(old) if from_failed else {})
        self._number_again(now)
        return run

    def _number_again(self, now: int) -> None:
        """Take back the numbers of builds to come, which nobody has seen, and give them anew in order."""
        while self.builds and self.builds[-1].queued >= now:
            job = self.builds.pop()
            heappush(self._unnumbered, (job.queued, next(self._tie), job))
        self._latest = {_place(job): job.number for job in self.builds}
        self._number((self._day + 1) * DAY)

    def _workflow(
        self,
        rng: Random,
        pipeline: Pipeline,
        spec: WorkflowSpec,
        created: int,
        *,
        old: Workflow | None = None,
        kept: dict[int, Job] | None = None,
    ) -> Workflow:
        run = Workflow(pipeline, len(self.workflows), spec, created, pipeline.actor, old)
        if old:
            run.attempt, run.actor = old.attempt + 1, rng.randrange(10)
        self._player.play(rng, run, self._mood(run), kept or {})
        self.workflows.append(run)
        pipeline.workflows.append(run)
        for job in run.jobs:
            if job.workflow is run and job.queued and not job.approval:
                heappush(self._unnumbered, (job.queued, next(self._tie), job))
        return run

    def _mood(self, run: Workflow) -> Mood:
        knobs, pipeline = self._knobs, run.pipeline
        on_default = pipeline.branch == self.project.default_branch and run.spec is self._plan.main
        if self._stories.regressed(self.project.index, run.created, on_default_branch=on_default):
            return Mood(knobs.regression_success_rate, knobs.regression_slowdown)
        planted = self._stories.plants.success_rate(self.project.index, run.created) if on_default else None
        if planted is not None:
            return Mood(planted)
        if run.rerun_of is not None:
            return Mood(_again(run.rerun_of) if knobs.plants else knobs.rerun_success_rate)
        return Mood(knobs.main_success_rate if on_default or not pipeline.branch else knobs.branch_success_rate)

    def _number(self, until: int) -> None:
        """Give numbers to what is queued before `until`; nothing generated later is queued earlier."""
        while self._unnumbered and self._unnumbered[0][0] < until:
            job = heappop(self._unnumbered)[2]
            self.builds.append(job)
            job.number = len(self.builds)
            place = _place(job)
            job.previous = self._latest.get(place, 0)
            self._latest[place] = job.number

    def fixed(self, job: Job) -> bool:
        """Say whether v1.1 calls this success `fixed`: the build before, ended by then, had failed."""
        if job.status != "success" or not job.previous:
            return False
        before = self.builds[job.previous - 1]
        return before.status in FAILED and 0 < before.stopped <= job.queued


def _again(old: Workflow) -> float:
    """Give how often a rerun succeeds: a fault of the commit stays, one of a flaky test or a machine seldom returns."""
    return 0.02 if _at_fault(old) else 0.98


def _at_fault(run: Workflow) -> bool:
    """Say whether a job failed because of the commit."""
    return any(job.status == "failed" and not job.flaky for job in run.jobs)


def _place(job: Job) -> tuple[str | None, str, str]:
    """Name what a build repeats on its branch."""
    return job.workflow.pipeline.branch, job.workflow.spec.name, job.spec.name


def _kept(old: Workflow) -> dict[int, Job]:
    """Give the jobs that a rerun from failed takes over."""
    return {at: job for at, job in enumerate(old.jobs) if job.status == "success"}


def _feature(topic: float, created: int) -> str:
    """Name a feature branch; a branch lives for about three days."""
    return f"feature/{_TOPICS[int(topic * len(_TOPICS))]}-{created // DAY // 3 % 100}"


def _renovate(topic: float) -> str:
    return f"renovate/{_DEPENDENCIES[int(topic * len(_DEPENDENCIES))]}-{1 + int(topic * 97) % 9}.x"
