"""The audit: what is listed and not kept is fetched, everything is counted once, and only what is due is asked."""

import asyncio

import msgspec
import pytest
from tests.unit.collect.fakes import until

from headgate.collect import SourceSettings
from headgate.collect.audit import OVERLAP_MS, ROUND_SECONDS, Auditor
from headgate.collect.audit_state import AuditMark, Proof, Tally, load_marks
from headgate.collect.intake import Intake
from headgate.collect.requests import AUDITS, AuditRequest
from headgate.collect.state import Polled, ScopeState
from headgate.core.audits import Listed, Listing
from headgate.core.clock import ManualClock
from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.feeds import Span
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.ports import RunRef, Scope
from headgate.core.record import decode_record
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.store import MemoryStore
from headgate.testing.store_data import LOGS, read

NOW = 1_795_000_000_000
SCOPE = Scope("11111111-1111-4111-8111-111111111111", "gh/a/b")
PROJECT = ProjectRef("circleci.com", "gh/a/b", "gh/a", SCOPE.key)


def key(number):
    """A run's id."""
    return f"00000000-0000-4000-8000-{number:012d}"


def run(number, *, at=NOW - HOUR_MS, source="v2"):
    """A workflow that ended."""
    fields = {"name": "w", "status": "success", "created_at": at - 1, "stopped_at": at, "ref_name": "main"}
    return Observation("workflow", key(number), PROJECT, source, NOW, True, fields)


def listed(number, *, at=NOW - HOUR_MS, ended=True):
    """The same, as a list tells of it."""
    return Listed("workflow", key(number), at, RunRef("gh/a/b", SCOPE.key, None, key(number), at), ended)


class FakeSource:
    """`lists`: what is listed; `runs`: what can be fetched; `asked`: spans and runs that were asked for."""

    name, host, webhook = "ci", "circleci.com", None

    def __init__(self):
        self.lists, self.runs, self.asked, self.error = [], {}, [], None
        self.clock = ManualClock(NOW)

    async def listings(self, _scope, span, *, late):
        self.asked.append((span.since_ms, span.until_ms, late and late.since_ms))
        if self.error:
            raise self.error
        for items in self.lists:
            yield Listing(items)

    def deep_every_ms(self, _scope):
        return DAY_MS

    async def revisit(self, ref):
        self.asked.append(ref.workflow_id)
        if ref.workflow_id not in self.runs:
            raise NotFound("gone")
        return [self.runs[ref.workflow_id]]

    def now_ms(self):
        return self.clock.now_ms()


class Bench:
    """One walked scope, a store in memory, and an auditor."""

    def __init__(self):
        self.source = FakeSource()
        self.clock = self.source.clock
        self.store = MemoryStore(clock=self.clock)
        self.polled = Polled(self.source, SourceSettings(), self.clock, NullMetrics())
        self.state = ScopeState(SCOPE, walked=True)
        self.polled.scopes = {SCOPE.key: self.state}
        self.intake = Intake(self.store, clock=self.clock, metrics=NullMetrics())
        self.auditor = Auditor(self.store, self.intake, self.polled, self.source)

    async def keep(self, *observations):
        """What was collected before."""
        await self.intake.merge(self.polled, observations)

    async def hours(self):
        """Figures as they are remembered."""
        mark = (await load_marks(self.store, "ci"))[SCOPE.key]
        sums = {}
        for name, one in mark.hours.items():
            sums.setdefault(name.split()[0], Tally()).add(one)
        return {what: msgspec.structs.astuple(one) for what, one in sums.items()}


@pytest.fixture
async def bench():
    made = Bench()
    await made.store.open()
    await made.store.open_signals([LOGS], now_ms=NOW)
    return made


async def test_what_is_missing_is_fetched_and_counted(bench):
    """Kept, missing, gone: each counts once, however many lists tell of it; the next round finds it present."""
    await bench.keep(run(1))
    bench.source.lists = [[listed(1), listed(2), listed(3)], [listed(2), listed(1)]]
    bench.source.runs = {key(2): run(2)}
    await bench.auditor.once()
    assert await bench.hours() == {"runs": (3, 1, 1, 1, 0)}
    assert (await bench.store.figures()).facts["workflow"] == 2
    records = [decode_record(entry.body) for entry in [*await read(bench.store), *await read(bench.store, "backfill")]]
    (report,) = [record.attributes for record in records if record.kind == "audit"]
    assert (report["headgate.audit.expected"], report["headgate.audit.repaired"]) == (3, 1)
    # Once more: nothing new is missing but the one that the source itself no longer has.
    bench.clock.advance(ROUND_SECONDS)
    await bench.auditor.once()
    assert await bench.hours() == {"runs": (3, 1, 1, 1, 0)}


async def test_a_run_that_goes_on_need_only_be_known(bench):
    """What has not ended is not fetched again for that."""
    await bench.keep(Observation("workflow", key(1), PROJECT, "v2", NOW, False, {"name": "w", "status": "running"}))
    bench.source.lists = [[listed(1, ended=False)]]
    await bench.auditor.once()
    assert await bench.hours() == {"runs": (1, 1, 0, 0, 0)}
    assert key(1) not in bench.source.asked


async def test_a_run_counts_in_the_hour_of_its_end_whatever_job_names_it(bench):
    """A list of jobs tells of their runs, with the times of those jobs: of an early one today, of a late one later."""
    await bench.keep(run(1))
    for at in (NOW - 3 * HOUR_MS, NOW - 2 * HOUR_MS):
        bench.source.lists = [[listed(1, at=at, ended=False)]]
        await bench.auditor.once()
        bench.clock.advance(ROUND_SECONDS)
    mark = (await load_marks(bench.store, "ci"))[SCOPE.key]
    assert mark.hours == {f"runs {(NOW - HOUR_MS) // HOUR_MS}": Tally(1, 1)}


async def test_a_round_begins_a_little_before_the_last_one_ended(bench):
    """A call or two a quarter of an hour; once a day the whole day again, and three days of the late lists."""
    await bench.auditor.once()
    await bench.auditor.once()
    bench.clock.advance(ROUND_SECONDS)
    await bench.auditor.once()
    bench.clock.advance(DAY_MS / 1000)
    await bench.auditor.once()
    first, second, third = bench.source.asked
    assert first == (NOW - bench.polled.settings.initial_ms, NOW, NOW - bench.polled.settings.initial_ms)
    assert second == (NOW - OVERLAP_MS, NOW + ROUND_SECONDS * 1000, None)
    now_ms = bench.clock.now_ms()
    assert third == (NOW - OVERLAP_MS, now_ms, now_ms - 3 * DAY_MS)


async def test_a_failed_round_is_repeated_soon_from_the_same_place(bench):
    """Whoever waits for completeness waits for it."""
    bench.source.error = SourceUnavailable("down")
    await bench.auditor.once()
    assert not bench.state.audited
    bench.source.error = None
    bench.clock.advance(bench.polled.settings.poll_every_ms / 1000)
    await bench.auditor.once()
    assert bench.state.audited
    assert bench.source.asked[0][0] <= bench.source.asked[1][0] <= NOW


async def test_what_no_webhook_told_of_is_counted_once_webhooks_come(bench):
    """Before the first webhook of a project nothing is missed; the last minutes may still come."""
    old, told, silent, fresh = (NOW - hours * MINUTE_MS for hours in (70, 60, 50, 1))
    runs = [run(1, at=old), run(2, at=told, source="webhook"), run(3, at=silent), run(4, at=fresh)]
    await bench.keep(*runs)
    bench.source.lists = [[listed(n, at=at) for n, at in ((1, old), (2, told), (3, silent), (4, fresh))]]
    await bench.auditor.once()
    assert sum(one[4] for one in (await bench.hours()).values()) == 1


def job(number, *, at=NOW - HOUR_MS, source="v2"):
    """An ended job of the first run."""
    fields = {"name": "j", "status": "success", "workflow_id": key(1), "started_at": at - 1, "stopped_at": at}
    return Observation("job", key(number), PROJECT, source, NOW, True, fields)


def listed_job(number, *, at=NOW - HOUR_MS):
    """The same, as v1.1 tells of it."""
    return Listed("job", key(number), at, RunRef("gh/a/b", SCOPE.key, None, key(1), at))


async def test_jobs_that_no_list_shows_count_with_their_run(bench):
    """Told by polling alone: present, and its webhook was missed; a job that a list shows counts once."""
    told = NOW - 2 * HOUR_MS
    await bench.keep(run(1), job(11, at=told, source="webhook"), job(12), job(13, source="webhook"))
    bench.source.lists = [[listed(1), listed_job(11, at=told)]]
    await bench.auditor.once()
    sums = await bench.hours()
    assert sums == {"runs": (4, 4, 0, 0, 1)}


def test_a_look_at_a_part_of_an_hour_takes_nothing_back():
    """A missed webhook stays counted when the next round begins behind it, until its hour is looked at whole."""
    mark, name = AuditMark(), f"runs {NOW // HOUR_MS}"
    for found, missed in ((Tally(3, 3, unannounced=2), 2), (Tally(1, 1), 2), (Tally(3, 3, unannounced=1), 1)):
        proof = Proof()
        proof.hours[name] = found
        mark.take(proof, NOW)
        assert (mark.hours[name].expected, mark.hours[name].unannounced) == (3, missed)


async def test_jobs_that_come_with_a_repaired_run_are_repaired(bench):
    """Whether a list shows them, in the same page or a later one, or none."""
    at = NOW - 2 * HOUR_MS
    await bench.keep(job(11, at=at, source="webhook"))
    bench.source.lists = [[listed_job(11, at=at)], [listed(1), listed_job(12)], [listed_job(13)]]

    async def revisit(_ref):
        return [run(1), *(job(number) for number in (12, 13, 14)), job(11, at=at)]

    bench.source.revisit = revisit
    await bench.auditor.once()
    assert await bench.hours() == {"runs": (5, 1, 4, 0, 3)}


async def test_jobs_that_no_list_shows_prove_no_webhooks(bench):
    """Where nothing lists jobs a lost one may never be known, so webhooks are not relied on."""
    await bench.keep(run(1), job(11, source="webhook"))
    bench.source.lists = [[listed(1)]]
    await bench.auditor.once()
    assert (await bench.hours())["runs"] == (2, 2, 0, 0, 0)
    mark = (await load_marks(bench.store, "ci"))[SCOPE.key]
    assert not mark.announces(NOW)


async def test_webhooks_that_stop_and_come_again(bench):
    """Runs that end without theirs while we listen are counted once, over restarts too, until one comes again."""
    bench.polled.cursors = {}

    async def ends(numbers, source="v2", minutes=40):
        """Runs end; so much later the next audit comes by."""
        bench.clock.advance(60)
        at = bench.clock.now_ms()
        await bench.keep(*(run(number, at=at + number, source=source) for number in numbers))
        bench.source.lists = [[listed(number, at=at + number) for number in numbers], *bench.source.lists]
        bench.clock.advance(minutes * 60)
        await bench.auditor.once()
        mark = (await load_marks(bench.store, "ci"))[SCOPE.key]
        return mark.silent(bench.clock.now_ms())

    async def begin():
        bench.auditor = Auditor(bench.store, bench.intake, bench.polled, bench.source)
        bench.state.audit_at = 0.0

    assert await ends(range(1, 9)) is None  # none has come before
    assert await ends([10], "webhook") is None
    assert await ends(range(11, 15)) is None  # as many may be lost
    assert (await ends([15])).missing == 5
    await begin()
    assert (await ends([16])).missing == 6  # those of before were counted
    assert await ends([17], "webhook") is None
    bench.clock.advance(60)
    await bench.keep(*(run(number, at=bench.clock.now_ms() + number) for number in range(20, 30)))
    bench.source.lists = [[listed(number, at=bench.clock.now_ms() + number) for number in range(20, 30)]]
    bench.clock.advance(60)
    await begin()
    assert await ends([]) is None  # these ended while nobody listened


async def test_no_webhook_is_missed_for_a_pipeline(bench):
    """No webhook tells of a pipeline by itself; what webhooks of its runs mention says nothing of the others."""
    made = {key(1): "webhook", key(2): "v2"}
    at = NOW - 2 * HOUR_MS
    for number, (name, source) in enumerate(made.items()):
        fields = {"number": number, "created_at": at + number, "errors": ["config"]}
        await bench.keep(Observation("pipeline", name, PROJECT, source, NOW, False, fields))
    run_of = {name: RunRef("gh/a/b", SCOPE.key, name, None, at) for name in made}
    bench.source.lists = [[Listed("pipeline", name, at + n, run_of[name]) for n, name in enumerate(made)]]
    await bench.auditor.once()
    assert await bench.hours() == {"runs": (2, 2, 0, 0, 0)}


async def test_a_pipeline_without_workflows_is_asked_about_once(bench):
    """A skipped commit, say: neither the next round nor one after a restart asks again."""
    seen = Observation("pipeline", key(1), PROJECT, "v2", NOW, False, {"number": 1, "created_at": NOW - HOUR_MS})
    ref = RunRef("gh/a/b", SCOPE.key, key(1), None, NOW - HOUR_MS)
    bench.source.lists = [[Listed("pipeline", key(1), NOW - HOUR_MS, ref, observations=[seen], webhook=False)]]

    async def nothing(ref):
        bench.source.asked.append(ref.pipeline_id)
        return []

    bench.source.revisit = nothing
    for _ in range(2):
        for _ in range(2):
            bench.clock.advance(ROUND_SECONDS)
            await bench.auditor.once()
        bench.auditor = Auditor(bench.store, bench.intake, bench.polled, bench.source)
    assert bench.source.asked.count(key(1)) == 1
    assert (await bench.hours())["runs"] == (1, 0, 1, 0, 0)


async def test_an_audit_that_is_asked_for_is_done_project_by_project(bench):
    """Its result is stored; a project that is not asked for is not touched."""
    request = AuditRequest("a1", NOW - 24 * HOUR_MS, NOW, NOW, projects=("gh/a/*",))
    await AUDITS.save(bench.store, "ci", request, now_ms=NOW)
    bench.source.lists = [[listed(1), listed(2)]]
    bench.source.runs = {key(1): run(1)}
    await bench.auditor.answer()
    (done,) = await AUDITS.load(bench.store, "ci")
    assert done.state == "done"
    found = done.results["gh/a/b"]
    assert (found.expected, found.present, found.repaired, found.unrepairable) == (2, 0, 1, 1)


async def test_words_that_no_project_is_of_are_told(bench):
    """An audit of nothing proves nothing: each organisation and glob without a project is said, and what there is."""
    asked = [
        ({"projects": ("gh/a/*",)}, []),
        ({}, []),
        ({"projects": ("gh/a/b", "gh/a/bb")}, ["gh/a/bb"]),
        ({"orgs": ("gh/aa",)}, ["gh/aa"]),
        ({"orgs": ("gh/aa",), "projects": ("gh/a/*",)}, ["gh/aa", "gh/a/*"]),
    ]
    for number, (words, _) in enumerate(asked):
        await AUDITS.save(bench.store, "ci", AuditRequest(f"a{number}", 0, NOW, number, **words), now_ms=NOW)
    await bench.auditor.answer()
    done = await AUDITS.load(bench.store, "ci")
    assert [words for _, words in asked] == [list(one.unmatched) for one in done]
    assert done[2].unmatched["gh/a/bb"] == "no collected project matches; there is: gh/a/b"
    bench.polled.scopes = {}
    await AUDITS.save(bench.store, "ci", AuditRequest("b", 0, NOW, NOW), now_ms=NOW)
    await bench.auditor.answer()
    assert (await AUDITS.load(bench.store, "ci"))[-1].unmatched == {"*": "no collected project matches; there is: none"}


async def test_what_a_request_waits_for_is_told(bench):
    """Projects that are not found yet, a refused token, a store without room; when it goes on, nothing more."""
    bench.polled.discovered = False
    level = ["ok"]
    bench.store.space_level = lambda: level[0]
    await AUDITS.save(bench.store, "ci", AuditRequest("a1", NOW - HOUR_MS, NOW, NOW), now_ms=NOW)
    told = []

    async def sleep(_seconds):
        (request,) = await AUDITS.load(bench.store, "ci")
        told.append((request.state, request.waits_for))
        bench.polled.discovered = True
        bench.polled.refused = "token_expired" if len(told) == 1 else ""
        level[0] = "pause" if len(told) == 2 else "ok"

    bench.auditor = Auditor(bench.store, bench.intake, bench.polled, bench.source, sleep=sleep)
    bench.state.walked = False
    running = asyncio.create_task(bench.auditor._requests())
    await until(lambda: not bench.auditor._wanted.is_set() and len(told) > 2)
    running.cancel()
    assert told == [
        ("waiting", "projects are not found yet"),
        ("waiting", "ci takes no call of ours now (token_expired)"),
        ("waiting", "the store is too full (level pause)"),
    ]
    (done,) = await AUDITS.load(bench.store, "ci")
    assert (done.state, done.waits_for) == ("done", "")


async def test_a_failed_audit_holds_no_walk(bench):
    """Polling goes on whatever the audit is answered."""
    for error in (SourceUnavailable("503", retry_after=600), SourceRefused("403", reason="no_access", fix="ask")):
        bench.source.error = error
        bench.state.audit_at = 0.0
        await bench.auditor.once()
        assert bench.state.not_before <= bench.clock.monotonic()


async def test_a_request_outlives_an_outage(bench):
    """It is tried again and told in the end; a lasting outage becomes a problem of the project."""
    await AUDITS.save(bench.store, "ci", AuditRequest("a1", NOW - HOUR_MS, NOW, NOW), now_ms=NOW)
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            bench.source.error = None

    bench.auditor = Auditor(bench.store, bench.intake, bench.polled, bench.source, sleep=sleep)
    bench.source.error = SourceUnavailable("503", retry_after=7)
    await bench.auditor.answer()
    (done,) = await AUDITS.load(bench.store, "ci")
    assert (done.state, waits, set(done.results), done.problems) == ("done", [7, 7], {"gh/a/b"}, {})
    await AUDITS.save(bench.store, "ci", AuditRequest("a2", NOW - HOUR_MS, NOW, NOW + 1), now_ms=NOW)
    bench.source.error = SourceUnavailable("down")
    await bench.auditor.answer()
    assert (await AUDITS.load(bench.store, "ci"))[1].problems == {"gh/a/b": "down"}


@pytest.mark.parametrize(
    ("announced", "hours", "expected"),
    [
        ({"job": 1, "workflow": 1}, {}, True),
        ({"job": 1}, {}, True),
        ({"workflow": 1, "pipeline": 1}, {}, False),
        ({"job": 1 << 62, "workflow": 1}, {}, False),
        ({"job": 1, "workflow": 1}, {1: Tally(5, 5, unannounced=1)}, False),
        ({"job": 1, "workflow": 1}, {9: Tally(5, 5, unannounced=1)}, True),
        ({"job": 1, "workflow": 1}, {1: Tally(5, 4, 1)}, True),
    ],
    ids=["both come", "jobs alone", "v1.1 shows no jobs", "none yet", "missed lately", "missed long ago", "repaired"],
)
def test_webhooks_are_relied_on(announced, hours, expected):
    """Only where those of jobs come, as v1.1 shows, and none was missed in the last hours."""
    mark = AuditMark(announced=announced, hours={f"runs {NOW // HOUR_MS - ago}": one for ago, one in hours.items()})
    assert expected is mark.announces(NOW)


async def test_young_pipelines_are_left_to_proven_webhooks(bench):
    """What the list says of them is kept and no call is made; older ones are asked about, and all by a deep audit."""
    bench.state.proven_at, bench.state.ends_told = 0.0, True
    keys = {"young": key(1), "old": key(2)}
    for name, age in (("young", MINUTE_MS), ("old", 15 * MINUTE_MS)):
        at = NOW - age
        seen = Observation("pipeline", keys[name], PROJECT, "v2", NOW, True, {"number": 1, "created_at": at})
        ref = RunRef("gh/a/b", SCOPE.key, keys[name], None, at)
        bench.source.lists.append([Listed("pipeline", keys[name], at, ref, observations=[seen], webhook=False)])
    asked = []

    async def revisit(ref):
        asked.append(ref.pipeline_id)
        return []

    bench.source.revisit = revisit
    mark = AuditMark()
    proof = await bench.auditor.audit(SCOPE, Span(NOW - HOUR_MS, NOW), mark, late=None)
    assert (asked, proof.total().expected) == ([keys["old"]], 1)
    assert set(await bench.store.kept("pipeline", list(keys.values()))) == set(keys.values())
    await bench.auditor.audit(SCOPE, Span(NOW - HOUR_MS, NOW), mark, late=Span(NOW - HOUR_MS, NOW))
    assert keys["young"] in asked


async def test_a_round_proves_that_webhooks_come_or_takes_it_back(bench):
    """Jobs by webhook and none missed: proven now; one missed: not any more."""
    bench.clock.advance(10)
    job = Observation("job", key(7), PROJECT, "webhook", NOW, True, {"stopped_at": NOW - HOUR_MS, "status": "success"})
    late = {"stopped_at": NOW - HOUR_MS + MINUTE_MS, "status": "success"}
    missed = Observation("job", key(8), PROJECT, "v1.1", NOW, True, late)
    await bench.keep(job)
    ref = RunRef("gh/a/b", SCOPE.key, None, key(9), NOW - HOUR_MS)
    bench.source.lists = [[Listed("job", key(7), NOW - HOUR_MS, ref)]]
    await bench.auditor.once()
    assert bench.state.proven_at == bench.clock.monotonic()
    await bench.keep(missed)
    bench.source.lists[0].append(Listed("job", key(8), NOW - HOUR_MS, ref))
    bench.clock.advance(ROUND_SECONDS)
    await bench.auditor.once()
    assert bench.state.proven_at is None
