"""A store and a source that hold just enough to watch the engine."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

from headgate.collect import SourceSettings
from headgate.collect.intake import Intake
from headgate.collect.state import Polled, ScopeState
from headgate.core.clock import ManualClock
from headgate.core.errors import NotFound, Unparsable
from headgate.core.merge import EMPTY, Observation, ProjectRef, merge
from headgate.core.metrics import NullMetrics
from headgate.core.ports import Delivery, Enrichment, JobRef, RunRef, Scope, SourceUsage, WalkPage
from headgate.core.release import Release, ReleasePolicy, decide, needs_enrichment
from headgate.core.storeport import NO_SOURCE, InboxRow, MergeResult

PROJECT = ProjectRef("host", "gh/a/b", "gh/a", "p1")
SCOPE = Scope("p1", "gh/a/b")
NOW = 1_795_000_000_000


def job(number, *, status="success", terminal=True, enriches=False, key=None):
    """An observation of a job that ran for a second."""
    fields = {"number": number, "status": status, "ref_name": "main"}
    fields |= {"started_at": NOW - 2000, "stopped_at": NOW - 1000} if terminal else {}
    fields.pop("ref_name")
    return Observation("job", key or f"j{number}", PROJECT, "v2", NOW, terminal, fields, enriches)


def workflow(key, *, terminal=False, created_ms=NOW - 5000, pipeline="pl"):
    """An observation of a workflow."""
    fields = {"name": "w", "created_at": created_ms, "pipeline_id": f"{pipeline}-{key}", "ref_name": "main"}
    fields |= {"status": "success", "stopped_at": NOW - 1000} if terminal else {"status": "running"}
    return Observation("workflow", key, PROJECT, "v2", NOW, terminal, fields)


async def until(happened):
    """Let the loop run until something has happened; the test's own time-out bounds it."""
    while not happened():  # noqa: ASYNC110  # no event to wait for
        await asyncio.sleep(0.001)


class Recorder(NullMetrics):
    """Metrics that tests can look at."""

    def __init__(self):
        self.counts, self.gauges = {}, {}

    def count(self, name, amount=1, **labels):
        super().count(name, amount, **labels)
        key = (name, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + amount

    def set(self, name, value, **labels):
        super().set(name, value, **labels)
        self.gauges[(name, *labels.values())] = value


class FakeStore:
    """Facts in a dict. `works`: every MergeWork in order; `failing`: raised by the next merges, one each."""

    def __init__(self):
        self.rows, self.settled = [], {}
        self.facts, self.enriched, self.gone, self.due, self.released = {}, set(), set(), {}, set()
        self.cursors, self.marks, self.works, self.failing = {}, {}, [], []
        self.level, self.bursts = "ok", []

    def deliver(self, body, source="ci"):
        """Put a delivery into the inbox."""
        row = InboxRow(len(self.rows) + 1, Delivery(source, NOW, "x", "application/json", body))
        self.rows.append(row)
        return row.id

    async def inbox(self, limit):
        return [row for row in self.rows if row.id not in self.settled][:limit]

    async def park_inbox(self, ids, *, now_ms):
        self.settled |= dict.fromkeys(ids, NO_SOURCE)
        return len(ids)

    async def inbox_dead_ids(self, *, source=None, reason=None, after=0, limit):
        return [row.id for row in self.rows if self.settled.get(row.id) == reason and row.delivery.source == source]

    async def requeue_inbox(self, ids):
        for number in ids:
            del self.settled[number]
        return len(ids)

    async def due_sources(self):
        return []

    async def merge_and_release(self, work):
        if self.failing:
            error = self.failing.pop(0)
            if error is not None:
                raise error
        if any(found.key == "poison" for found in work.observations):
            raise ValueError("poison")
        self.works.append(work)
        self.marks |= work.marks
        for found in work.observations:
            at = (found.kind, found.key)
            self.facts[at] = merge(self.facts.get(at, EMPTY), found)
            if found.enriches:
                self.enriched.add(at)
        self.gone |= set(work.gone)
        self.settled |= dict.fromkeys(work.inbox_done, "done") | dict(work.inbox_dead)
        if work.cursor:
            self.cursors[work.cursor.scope] = work.cursor
        return self._release(work.policy, work.now_ms)

    async def release_due(self, policy, source, *, now_ms, live_after_ms, limit=500):
        return self._release(policy, now_ms)

    def _release(self, policy, now_ms):
        released = 0
        for (kind, key), known in self.facts.items():
            if (kind, key) in self.released or not known.terminal:
                continue
            due = self.due.setdefault((kind, key), now_ms + policy.wait_ms)
            enriched = (kind, key) in self.enriched or key in self.gone
            verdict = decide(kind, known, {"ref_name": "x"}, policy, enriched=enriched, due_ms=due, now_ms=now_ms)
            if verdict is Release.NOW:
                self.released.add((kind, key))
                released += 1
        waiting = [due for at, due in self.due.items() if at not in self.released]
        return MergeResult(
            released={("job", "live"): released} if released else {},
            next_due_ms=min(waiting, default=None),
            wants_enrichment=frozenset({"p1"}) if waiting else frozenset(),
        )

    async def unended(self, source, *, before, limit):
        runs = await self.unfinished(source, ended_since_ms=0, empty_since_ms=0, limit=None)
        return [run for run in runs if (run.created_ms, run.workflow_id) < before][:limit]

    async def unfinished(self, source, *, ended_since_ms, empty_since_ms, limit):
        found = [
            RunRef("gh/a/b", "p1", known.values["pipeline_id"], key, known.values["created_at"])
            for (kind, key), known in self.facts.items()
            if kind == "workflow" and not known.terminal and key not in self.gone
        ]
        return sorted(found, key=lambda run: (run.created_ms, run.workflow_id), reverse=True)[:limit]

    async def unasked(self, source, *, since_ms, limit):
        return []

    async def wanting_enrichment(self, source, *, due_by_ms, limit):
        return [
            JobRef("gh/a/b", "p1", key, known.values["number"])
            for (kind, key), known in self.facts.items()
            if kind == "job"
            and known.terminal
            and (kind, key) not in self.released
            and needs_enrichment(kind, known.values, "batch")
            and (kind, key) not in self.enriched
        ]

    async def source_cursors(self, source):
        return dict(self.cursors)

    async def source_marks(self, source, prefix=""):
        return {key: value for key, value in self.marks.items() if key.startswith(prefix)}

    async def figures(self):
        waiting = len([row for row in self.rows if row.id not in self.settled])
        ended = [at for at, known in self.facts.items() if known.terminal]
        parked = Counter(row.delivery.source for row in self.rows if self.settled.get(row.id) == NO_SOURCE)
        return SimpleNamespace(
            inbox_waiting=waiting, unreleased=len(set(ended) - self.released), inbox_parked=dict(parked)
        )

    def accept_wait_seconds(self):
        return 0.0

    def in_burst(self):
        return self.bursts.pop(0) if self.bursts else False

    def space_level(self):
        return self.level


@dataclass
class FakeSource:
    """Answers from lists. `pages`: scope key -> walks, each a list of pages or errors; the last walk repeats."""

    name: str = "ci"
    host: str = "host"
    webhook: object = None
    found: list = field(default_factory=lambda: [SCOPE])
    pages: dict = field(default_factory=dict)
    revisits: dict = field(default_factory=dict)
    recent: list = field(default_factory=list)
    details: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    skew_ms: int = 0
    per_second: float | None = None
    clock: object = None

    def normalize(self, delivery):
        if delivery.body == b"bad":
            raise Unparsable("not_json")
        if delivery.body == b"bug":
            raise ZeroDivisionError
        return [
            job(int(number)) if number.isdigit() else job(1, key=number) for number in delivery.body.decode().split()
        ]

    async def scopes(self):
        self.asked.append(("scopes",))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def walk(self, scope, *, after, since_ms, below):
        self.asked.append(("walk", scope.key, after, since_ms))
        walks = self.pages.get(scope.key, [[WalkPage((), None, True)]])
        walk = walks.pop(0) if len(walks) > 1 else walks[0]
        for page in walk:
            await asyncio.sleep(0)
            if isinstance(page, BaseException):
                raise page
            yield page

    async def revisit(self, run):
        self.asked.append(("revisit", run.workflow_id))
        answer = self.revisits.get(run.workflow_id, NotFound("gone"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def enrich_recent(self, scope, jobs):
        self.asked.append(("recent", scope.key, tuple(one.number for one in jobs)))
        answer = self.recent.pop(0) if self.recent else Enrichment(())
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def enrich_job(self, one):
        self.asked.append(("detail", one.number))
        answer = self.details.get(one.number, Enrichment((), (one.job_id,), "retention"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def check(self):
        return ()

    def now_ms(self):
        return (self.clock.now_ms() if self.clock else NOW) + self.skew_ms

    def usage(self):
        return SourceUsage(len(self.asked), None, None, 0.0, per_second=self.per_second)

    async def aclose(self):
        """Nothing to close."""


class Rig:
    """The parts of the engine around one fake source, on a clock that moves when told."""

    def __init__(self, *, profile="none", wait_ms=60_000, **settings):
        self.clock, self.metrics, self.store = ManualClock(NOW), Recorder(), FakeStore()
        self.source = FakeSource(clock=self.clock)
        made = SourceSettings(policy=ReleasePolicy(profile, wait_ms), **settings)
        self.polled = Polled(self.source, made, self.clock, self.metrics)
        self.intake = Intake(self.store, clock=self.clock, metrics=self.metrics, sleep=self.sleep)
        self.slept = []

    async def sleep(self, seconds):
        """Wait without waiting."""
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def state(self, scope=SCOPE):
        """The state of a scope, as discovery makes it."""
        return self.polled.scopes.setdefault(scope.key, ScopeState(scope))

    def asked(self, what):
        """Questions of one kind, in order."""
        return [one for one in self.source.asked if one[0] == what]
