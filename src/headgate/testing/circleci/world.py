"""The organization as a whole: finds things by id and slug, and knows what finishes when.

Invariant: `events` holds what finishes after the start of the twin, each once, until it is taken.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

from headgate.testing.circleci.cast import Org, Person, people, projects
from headgate.testing.circleci.clock import TwinClock
from headgate.testing.circleci.history import History
from headgate.testing.circleci.ids import Ids, Place
from headgate.testing.circleci.knobs import Options
from headgate.testing.circleci.model import Job, Pipeline, Workflow
from headgate.testing.circleci.stories import plant
from headgate.testing.circleci.times import DAY, HOUR

PIPELINE, WORKFLOW, JOB = 1, 2, 3

_Created = TypeVar("_Created", Pipeline, Workflow)

_SHORT = {"github": "gh", "gh": "gh", "bitbucket": "bb", "bb": "bb", "circleci": "circleci"}
_AFTER_STOP_MS = 60  # a delivery is written some 60 to 95 ms after the end (real samples)
_WORKFLOW_AFTER_JOB_MS = 35


class World:
    """All projects of one twin and its clock."""

    def __init__(self, options: Options, clock: TwinClock | None = None) -> None:
        self.options = options
        self.ids = Ids(options.seed)
        self.clock = clock or TwinClock(options.now_ms, options.speed if options.live else 0.0)
        self.people: tuple[Person, ...] = people(self.ids)
        self.stories = plant(options)
        cast = projects(self.ids, options.projects, families=options.knobs.families)
        self.histories = [History(options, project, self.stories) for project in cast]
        self._by_slug = {history.project.slug: history for history in self.histories}
        self._events: list[tuple[int, int, Job | Workflow]] = []
        self._tie = count()
        self._day = 0  # generated to the end of this day
        self.reach(self.clock.now_ms())

    def now(self) -> int:
        """Give the present moment, after generating everything up to it."""
        now = self.clock.now_ms()
        self.reach(now)
        return now

    def reach(self, until: int) -> None:
        """Generate up to a moment, and a little more, so that a clock that runs finds its events in time."""
        day = (until + HOUR) // DAY
        if day <= self._day:
            return
        self._day = day
        for history in self.histories:
            for run in history.extend(until + HOUR):
                self._expect(run)

    def _expect(self, run: Workflow) -> None:
        start = self.options.now_ms
        for job in run.jobs:
            if job.workflow is run and job.ran and job.stopped > start:
                heappush(self._events, (self.happened_ms(job), next(self._tie), job))
        if run.stopped > start:
            heappush(self._events, (self.happened_ms(run), next(self._tie), run))

    def rerun(self, text: str, *, from_failed: bool) -> str:
        """Rerun a workflow of a pipeline now, and give the new one's id. Raises ValueError where there is none."""
        pipeline, now = self.pipeline(text), self.now()
        if pipeline is None:
            raise ValueError("there is no such pipeline")
        run = self.histories[pipeline.project.index].rerun(pipeline, now, from_failed=from_failed)
        self._expect(run)
        return self.id_of(run)

    def happened_ms(self, done: Job | Workflow) -> int:
        """Give when CircleCI writes the delivery for something that finished."""
        spread = done.stopped % 36
        extra = _WORKFLOW_AFTER_JOB_MS if isinstance(done, Workflow) else 0
        return done.stopped + _AFTER_STOP_MS + spread + extra

    def next_event_ms(self) -> int | None:
        """Give when the next delivery is due, among what is generated."""
        return self._events[0][0] if self._events else None

    def take_events(self, until: int) -> Iterator[tuple[int, Job | Workflow]]:
        """Take what has been due by a moment, in order, as (due, what)."""
        self.reach(until)
        while self._events and self._events[0][0] <= until:
            due, _, done = heappop(self._events)
            yield due, done

    def orgs(self) -> list[Org]:
        """Give the organizations that have a project, each once."""
        return list({history.project.org.slug: history.project.org for history in self.histories}.values())

    def history(self, vcs: str, org: str, repo: str) -> History | None:
        """Find a project by the three segments of any form of its slug."""
        return self._by_slug.get(f"{_SHORT.get(vcs, vcs)}/{org}/{repo}")

    def of_org(self, slug: str) -> list[History]:
        """Find the projects of an organization by any form of its slug."""
        vcs, _, name = slug.partition("/")
        short = f"{_SHORT.get(vcs, vcs)}/{name}"
        return [history for history in self.histories if history.project.org.slug == short]

    def pipeline(self, text: str) -> Pipeline | None:
        """Find a pipeline that exists by now and is kept still."""
        place = self._place(text, PIPELINE)
        return self._existing(self.histories[place.project].pipelines, place) if place else None

    def workflow(self, text: str) -> Workflow | None:
        """Find a workflow that exists by now and is kept still."""
        place = self._place(text, WORKFLOW)
        return self._existing(self.histories[place.project].workflows, place) if place else None

    def job(self, text: str) -> Job | None:
        """Find a job, by id, of a workflow that exists by now."""
        place = self._place(text, JOB)
        run = self._existing(self.histories[place.project].workflows, place) if place else None
        return run.jobs[place.job] if run and place and place.job < len(run.jobs) else None

    def build(self, history: History, number: int) -> Job | None:
        """Find a build that exists by now and is kept still."""
        now = self.now()
        first = history.builds_until(self.kept_since(now) - 1)
        return history.builds[number - 1] if first < number <= history.builds_until(now) else None

    def kept_since(self, now: int) -> int:
        """Give the moment before which the API has forgotten everything."""
        return now - self.options.retention_ms

    def _place(self, text: str, kind: int) -> Place | None:
        place = self.ids.locate(text)
        known = place and place.kind == kind and place.project < len(self.histories)
        return place if known else None

    def _existing(self, things: list[_Created], place: Place) -> _Created | None:
        """Give the thing at a place; an id of this seed's future names nothing yet, one past retention no more."""
        found = things[place.position] if place.position < len(things) else None
        now = self.now()
        return found if found and self.kept_since(now) <= found.created <= now else None

    def id_of(self, thing: Pipeline | Workflow | Job) -> str:
        """Give the id of a thing."""
        if isinstance(thing, Pipeline):
            return self.ids.make(Place(PIPELINE, thing.project.index, thing.index))
        if isinstance(thing, Workflow):
            return self.ids.make(Place(WORKFLOW, thing.pipeline.project.index, thing.index))
        run = thing.workflow
        return self.ids.make(Place(JOB, run.pipeline.project.index, run.index, thing.position))
