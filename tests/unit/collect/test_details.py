"""Ended jobs are asked about once each, across restarts, newest first, and never for ever."""

import asyncio

import pytest
from tests.unit.collect.fakes import FakeSource, Recorder

from headgate.collect import SourceSettings
from headgate.collect.details import Details
from headgate.collect.intake import Intake
from headgate.collect.state import Polled
from headgate.core.clock import ManualClock
from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable, StoreFailed
from headgate.core.ids import leaf_key
from headgate.core.merge import Observation, ProjectRef
from headgate.core.release import ReleasePolicy
from headgate.store.memory import MemoryStore
from headgate.testing.store_data import NOW

PROJECT = ProjectRef("host", "gh/acme/web", "gh/acme", "11111111-1111-4111-8111-111111111111")
RUN = "33333333-3333-4333-8333-333333333333"
MISSING = "headgate_source_missing_detail_total"
HOUR = 3_600_000


def _id(number):
    return f"44444444-4444-4444-8444-{number:012}"


def _job(number, *, ended_ms=NOW - 1000, **fields):
    fields = {"number": number, "name": "test", "status": "success", "workflow_id": RUN, "type": "build"} | fields
    fields |= {"started_at": ended_ms - 1000, "stopped_at": ended_ms}
    return Observation("job", _id(number), PROJECT, "v2", NOW, True, fields)


def _result(job, n):
    fields = {"job_id": job.job_id, "name": f"t{n}", "result": "pass", "stopped_at": job.stopped_ms}
    return Observation("test_result", leaf_key("t", job.job_id, n), PROJECT, "v2", NOW, True, fields)


class TellingSource(FakeSource):
    """Answers each question with two results in two parts, unless `trouble` has errors for its job."""

    asks = ("tests",)

    def __init__(self, **fields):
        super().__init__(**fields)
        del self.details  # the answers of another question
        self.trouble, self.told, self.rules = {}, [], []

    def calls_per_job(self):
        return {}

    def follows_jobs(self):
        return True

    def wants(self, job):
        return self.asks if job.number is not None else ()

    def deployments(self, job):
        if job.name not in self.rules:
            return ()
        fields = {"name": "web", "status": "succeeded", "job_id": job.job_id, "stopped_at": job.stopped_ms}
        return [Observation("deployment", leaf_key("d", job.job_id), PROJECT, "rule", NOW, True, fields)]

    async def details(self, job, want):
        self.told.append((job.number, want))
        waiting = self.trouble.get(job.number, [])
        error = waiting.pop(0) if waiting else None
        yield [_result(job, 0)]
        if error is not None:
            raise error
        yield [_result(job, 1)]


class Rig:
    """A memory store with a finished workflow, and the loops of one source on a clock that moves when told."""

    def __init__(self):
        self.clock, self.metrics = ManualClock(NOW), Recorder()
        self.store = MemoryStore(clock=self.clock)
        self.start()

    def start(self):
        """A process that knows what the store knows."""
        old = getattr(self, "source", None)
        self.source = TellingSource(clock=self.clock)
        if old is not None:
            self.source.trouble, self.source.asks = old.trouble, old.asks
        settings = SourceSettings(policy=ReleasePolicy("none"))
        self.polled = Polled(self.source, settings, self.clock, self.metrics)
        self.intake = Intake(self.store, clock=self.clock, metrics=self.metrics)
        self.details = Details(self.store, self.intake, self.polled, self.source)

    async def add(self, *jobs):
        """End jobs."""
        run = Observation(
            "workflow",
            RUN,
            PROJECT,
            "v2",
            NOW,
            True,
            {"name": "w", "status": "success", "created_at": NOW - 9000, "stopped_at": NOW, "ref_name": "main"},
        )
        await self.intake.merge(self.polled, [run, *jobs])

    async def all(self):
        """Look, and ask until nothing is due."""
        await self.details.look()
        while await self.details.once():
            await self.details.look()

    async def kept(self, kind="test_result"):
        """How many facts of a kind there are."""
        return (await self.store.figures()).facts.get(kind, 0)

    async def waiting(self):
        """What is said to be left."""
        return self.details.waiting((await self.store.figures()).log_head)


@pytest.fixture
async def rig():
    """The parts, on an open store."""
    made = Rig()
    await made.store.open()
    return made


async def test_each_ended_job_is_asked_about_once(rig):
    """Its answer is kept, nothing is left, and a second look and a restart ask nothing again."""
    await rig.add(_job(1), _job(2))
    assert await rig.waiting() == "ended jobs are not looked at for details yet"
    await rig.all()
    assert sorted(rig.source.told) == [(1, "tests"), (2, "tests")]
    assert (await rig.kept(), await rig.waiting()) == (4, "")
    await rig.all()
    rig.start()
    await rig.all()
    assert (rig.source.told, await rig.kept(), await rig.waiting()) == ([], 4, "")
    assert [key for key in await rig.store.source_marks("ci") if "todo" in key] == []


async def test_live_jobs_come_first_and_the_newest_of_them(rig):
    """What ended long ago waits for what people look at."""
    await rig.add(_job(1, ended_ms=NOW - 5 * HOUR), _job(2, ended_ms=NOW - 9000), _job(3), _job(4, ended_ms=NOW - HOUR))
    await rig.all()
    assert [number for number, _ in rig.source.told] == [3, 2, 4, 1]


async def test_jobs_that_never_ran_are_not_asked_about(rig):
    """No number, no question."""
    await rig.add(_without_number())
    await rig.all()
    assert (rig.source.told, await rig.waiting()) == ([], "")


def _without_number():
    fields = {"name": "hold", "status": "success", "workflow_id": RUN, "type": "approval", "stopped_at": NOW}
    return Observation("job", _id(9), PROJECT, "v2", NOW, True, fields)


async def test_a_process_that_dies_loses_no_question(rig):
    """Killed between two parts: the next process asks again, and no result is there twice."""
    rig.source.asks = ("steps", "tests")
    await rig.add(_job(1))
    await rig.details.look()
    real, calls = rig.store.merge_and_release, []

    async def dies(work):
        calls.append(work)
        if len(calls) == 4:
            raise asyncio.CancelledError
        return await real(work)

    rig.store.merge_and_release = dies
    with pytest.raises(asyncio.CancelledError):
        await rig.details.once()
    rig.store.merge_and_release = real
    assert rig.source.told == [(1, "steps"), (1, "tests")]
    rig.start()
    assert await rig.waiting() != ""
    await rig.all()
    assert rig.source.told == [(1, "tests")]
    assert (await rig.kept(), await rig.waiting()) == (2, "")


async def test_the_answer_and_the_end_of_its_question_are_one_transaction(rig):
    """The last part carries the mark."""
    await rig.add(_job(1))
    await rig.details.look()
    works, real = [], rig.store.merge_and_release

    async def watch(work):
        works.append((len(work.observations), dict(work.marks)))
        return await real(work)

    rig.store.merge_and_release = watch
    await rig.details.once()
    assert works == [(1, {}), (1, {f"details/todo/{_id(1)}": None})]


async def test_not_found_is_tried_a_few_times_while_young(rig):
    """CircleCI may not know a new job yet; then it is counted as missing, and asked about no more."""
    rig.source.trouble = {1: [NotFound("x")] * 9}
    await rig.add(_job(1))
    await rig.details.look()
    asked = 0
    for _ in range(400):
        rig.clock.advance(1)
        asked += await rig.details.once()
    assert (asked, len(rig.source.told)) == (4, 4)
    assert rig.metrics.counts[MISSING, "ci", "tests_not_found"] == 1
    assert await rig.waiting() == ""


async def test_attempts_are_counted_across_restarts(rig):
    """A daemon that restarts all the time gives up all the same."""
    rig.source.trouble = {1: [NotFound("x")] * 9}
    await rig.add(_job(1))
    for _ in range(6):
        await rig.all()
        rig.start()
    assert rig.metrics.counts[MISSING, "ci", "tests_not_found"] == 1


async def test_an_old_job_that_is_not_found_is_gone(rig):
    """Past retention: one question is enough, and the next one is asked all the same."""
    rig.source.asks = ("tests", "steps")
    rig.source.trouble = {1: [NotFound("x")]}
    await rig.add(_job(1, ended_ms=NOW - HOUR))
    await rig.all()
    assert rig.source.told == [(1, "tests"), (1, "steps")]
    assert rig.metrics.counts[MISSING, "ci", "tests_not_found"] == 1


async def test_an_outage_is_waited_out(rig):
    """However often the far side fails within a week, the answer comes in the end; the pauses grow to an hour."""
    rig.source.trouble = {1: [SourceUnavailable("down")] * 40}
    await rig.add(_job(1))
    await rig.details.look()
    for _ in range(60 * 60):
        rig.clock.advance(60)
        await rig.details.once()
    await rig.details.look()
    assert (len(rig.source.told), await rig.kept(), await rig.waiting()) == (41, 2, "")


async def test_a_week_without_an_answer_is_enough(rig):
    """Then it is counted as missing."""
    rig.source.trouble = {1: [SourceUnavailable("down")] * 400}
    await rig.add(_job(1))
    await rig.details.look()
    for _ in range(9 * 24):
        rig.clock.advance(3600)
        await rig.details.once()
    assert rig.metrics.counts[MISSING, "ci", "tests_unavailable"] == 1
    assert await rig.waiting() == ""


async def test_a_refused_token_holds_everything(rig):
    """Nothing is given up while the source refuses us."""
    rig.source.trouble = {1: [SourceRefused("401", reason="token_expired", fix="new")] * 20}
    await rig.add(_job(1), _job(2, ended_ms=NOW - 5000))
    await rig.all()
    assert (rig.polled.refused, len(rig.source.told)) == ("token_expired", 1)
    assert await rig.waiting() == "2 jobs wait for their details"
    assert MISSING not in {key[0] for key in rig.metrics.counts}


async def test_a_project_that_refuses_us_is_given_up(rig):
    """Its jobs must not fill the room of others."""
    rig.source.trouble = {1: [SourceRefused("403", reason="no_access", fix="x")] * 9}
    await rig.add(_job(1))
    await rig.details.look()
    for _ in range(400):
        rig.clock.advance(1)
        await rig.details.once()
    assert rig.metrics.counts[MISSING, "ci", "tests_no_access"] == 1


async def test_an_answer_that_breaks_our_code_is_left(rig):
    """Counted after a few attempts; the loop goes on."""
    rig.source.trouble = {1: [ZeroDivisionError()] * 9}
    await rig.add(_job(1), _job(2))
    await rig.details.look()
    for _ in range(400):
        rig.clock.advance(1)
        await rig.details.once()
    await rig.details.look()
    assert rig.metrics.counts[MISSING, "ci", "tests_internal"] == 1
    assert await rig.waiting() == ""


async def test_a_full_store_is_not_filled_further(rig):
    """At the rung of the ladder where polling stops, nothing is asked; afterwards it goes on."""
    await rig.add(_job(1))
    await rig.details.look()
    rig.store.level = "pause"
    assert await rig.details.once() is False
    rig.store.level = "ok"
    assert await rig.details.once() is True


async def test_deployments_enter_with_the_position(rig):
    """They cost no question, and a restart does not tell them again."""
    rig.source.asks, rig.source.rules = (), ["deploy"]
    await rig.add(_job(1, name="deploy"), _job(2))
    await rig.details.look()
    assert (await rig.kept("deployment"), rig.source.told) == (1, [])
    assert int((await rig.store.source_marks("ci"))["details/at/live"]) > 0


async def test_there_is_room_for_so_many(rig, monkeypatch):
    """The rest stays in the log until there is room again; nothing is forgotten."""
    monkeypatch.setattr("headgate.collect.details._ROOM", {"live": 9, "backfill": 9})
    monkeypatch.setattr("headgate.collect.details._PAGE", 5)
    await rig.add(*(_job(number, ended_ms=NOW - HOUR - number) for number in range(1, 41)))
    await rig.details.look()
    held = len([key for key in await rig.store.source_marks("ci") if "todo" in key])
    assert held == 10
    await rig.all()
    assert (len(rig.source.told), len(set(rig.source.told))) == (40, 40)


async def test_what_retention_took_before_us_is_said(rig):
    """Switched off for longer than the log is kept: counted, and the rest is asked about."""
    await rig.add(_job(1))
    await rig.all()
    await rig.add(_job(2), _job(3))
    del rig.store.facts.log[0][:-1]
    rig.start()
    await rig.all()
    assert rig.metrics.counts[MISSING, "ci", "log_trimmed"] >= 1
    assert [number for number, _ in rig.source.told] == [3]


async def test_the_loops_run_until_canceled(rig):
    """The log is followed and jobs are asked about without anybody calling; a failed store ends them."""
    await rig.add(_job(1))
    running = asyncio.create_task(rig.details.run())
    while await rig.waiting():  # noqa: ASYNC110  # no event to wait for; the test's own time-out bounds it
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await rig.kept() == 2

    async def failed(*_args, **_options):
        raise StoreFailed("flush")

    rig.start()
    rig.store.source_marks = failed
    with pytest.raises(BaseExceptionGroup) as caught:
        await rig.details.run()
    assert caught.group_contains(StoreFailed)
