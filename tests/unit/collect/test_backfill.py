"""Backfill: every page once, newest first, resumed behind the last page that was kept, one bad scope harms no other."""

import asyncio
from contextlib import suppress

import msgspec
import pytest
from tests.unit.collect.fakes import until

from headgate.collect import SourceSettings
from headgate.collect.backfill import Backfiller
from headgate.collect.intake import Intake
from headgate.collect.requests import BACKFILLS, BackfillRequest, load_spots
from headgate.collect.state import Polled
from headgate.core.clock import ManualClock
from headgate.core.errors import SourceRefused, SourceUnavailable
from headgate.core.feeds import FeedPage, Span, Strategy
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.ports import Scope
from headgate.core.times import DAY_MS
from headgate.store import MemoryStore

NOW = 1_795_000_000_000
SCOPES = [Scope("p1", "gh/a/one"), Scope("p2", "gh/a/two"), Scope("p3", "gh/b/three")]
MANY = [Scope(f"p{number}", f"gh/a/r{number}") for number in range(10)]


class FakeFeed:
    """One run a day and scope; a page tells of five of them. `asked`: (scope, position) of each page that was read."""

    per, gives = "project", "runs"

    def __init__(self, name="runs"):
        self.name = name
        self.asked, self.errors, self.scopes, self.only, self.problems = [], {}, SCOPES, {}, {}

    async def read(self, scope, span: Span, *, position=None):
        at = min(span.until_ms, int(position)) if position else span.until_ms
        while True:
            await asyncio.sleep(0)
            error = self.errors.pop((scope.slug, at), None)
            if error:
                raise error
            self.asked.append((scope.slug, (NOW - at) // DAY_MS))
            low = max(span.since_ms, at - 5 * DAY_MS)
            runs = [run(scope, when) for when in range(at - DAY_MS, low - 1, -DAY_MS)]
            at = low
            problems = self.problems.pop(scope.slug, ())
            yield FeedPage(runs, str(at), at <= span.since_ms, at, calls=1, problems=problems)
            if at <= span.since_ms:
                return


class FakeSource:
    """Discovers SCOPES and has one feed."""

    name, host, webhook, refresh = "ci", "circleci.com", None, None

    def __init__(self, feed):
        self.feed = feed

    async def strategy(self):
        return Strategy("runs", (self.feed,), why=("no export: the token lacks the right",), only=self.feed.only)

    async def scopes(self):
        return self.feed.scopes

    def now_ms(self):
        return NOW


def run(scope, at):
    """A workflow that ended then."""
    number = (at % 10**10) // 1000
    key = f"00000000-0000-4000-8000-{scope.key[1]}{number:011d}"
    fields = {"name": "build", "status": "success", "created_at": at - 1, "stopped_at": at, "ref_name": "main"}
    project = ProjectRef("circleci.com", scope.slug, scope.slug.rpartition("/")[0], scope.key)
    return Observation("workflow", key, project, "insights", NOW, True, fields, True)


async def _no_sleep(_seconds):
    await asyncio.sleep(0)


class Bench:
    """A store, a feed and a backfiller."""

    def __init__(self):
        self.clock, self.feed = ManualClock(NOW), FakeFeed()
        self.store = MemoryStore(clock=self.clock)
        self.start()

    def start(self):
        """As after a restart: nothing but the store is left."""
        source = FakeSource(self.feed)
        self.polled = Polled(source, SourceSettings(), self.clock, NullMetrics())
        intake = Intake(self.store, clock=self.clock, metrics=NullMetrics())
        self.backfiller = Backfiller(self.store, intake, self.polled, source, sleep=_no_sleep)

    async def ask(self, days=40, **more):
        """Store a request for the last `days`."""
        request = BackfillRequest("r1", NOW - days * DAY_MS, NOW, NOW, **more)
        await BACKFILLS.save(self.store, "ci", request, now_ms=NOW)
        return request

    async def kept(self):
        """How many runs are kept."""
        return (await self.store.figures()).facts.get("workflow", 0)


@pytest.fixture
async def bench():
    made = Bench()
    await made.store.open()
    return made


async def test_everything_asked_for_is_read_once_and_said_to_be_done(bench):
    """Two windows of three scopes; the second window goes on where the first ended."""
    assert bench.backfiller.done == 0
    await bench.backfiller.work(await bench.ask())
    assert await bench.kept() == 3 * 40
    assert bench.backfiller.done == 1
    assert sorted(bench.feed.asked) == sorted(
        (one.slug, day) for one in SCOPES for day in (0, 5, 10, 15, 20, 25, 30, 31, 36)
    )
    (request,) = await BACKFILLS.load(bench.store, "ci")
    assert (request.state, request.share, request.calls, request.observations) == ("done", 1.0, 27, 120)
    assert (request.strategy, request.why) == ("runs", ("no export: the token lacks the right",))
    assert await load_spots(bench.store, "ci", "r1") == {}


async def test_while_the_far_side_works_nobody_guesses_how_long(bench):
    """What is waited for is said in place of the time left, which the wait would only spoil."""
    request = BackfillRequest("r1", 0, 1, 0, share=0.5, began_ms=0)
    assert request.seconds_left(60_000) == 60
    assert msgspec.structs.replace(request, waits_for="an export").seconds_left(60_000) is None
    asked = await bench.ask(days=3)
    told = []

    async def read(scope, span, *, position=None):
        yield FeedPage((), "1", last=False, reached_ms=span.until_ms - 1, waits_for="an export")
        told.append(((await BACKFILLS.load(bench.store, "ci"))[0].waits_for, scope.slug))
        yield FeedPage((), "2", last=True)

    bench.feed.read = read
    await bench.backfiller.work(asked)
    assert {said for said, _ in told} == {"an export"}
    assert (await BACKFILLS.load(bench.store, "ci"))[0].waits_for == ""


async def test_why_it_stands_still_is_told(bench):
    """A refused token and a store without room hold all reading, and whoever waits learns of it."""
    asked, told = await bench.ask(days=3), []
    level = ["pause"]
    bench.store.space_level = lambda: level[0]

    async def sleep(_seconds):
        told.append((await BACKFILLS.load(bench.store, "ci"))[0].waits_for)
        level[0], bench.polled.refused = "ok", "" if "token_expired" in told[-1] else "token_expired"

    bench.polled._probe_at = 1e9  # nobody is let through
    bench.backfiller.sleep = sleep
    await bench.backfiller.work(asked)
    assert told[:1] == ["the store is too full (level pause)"]
    assert "ci takes no call of ours now (token_expired)" in told
    assert (await BACKFILLS.load(bench.store, "ci"))[0].waits_for == ""


async def test_history_of_nothing_is_told_to_be_that(bench):
    """A project that is not collected is said, with those that are."""
    await bench.backfiller.work(await bench.ask(days=3, projects=("gh/a/one", "gh/a/oen")))
    (request,) = await BACKFILLS.load(bench.store, "ci")
    assert request.unmatched == {"gh/a/oen": "no collected project matches; there is: gh/a/one, gh/a/two, gh/b/three"}


async def test_of_many_problems_it_is_said_how_many_there_are(bench):
    """The first twenty are kept, the others counted."""
    bench.feed.problems = {"gh/a/one": tuple(f"file {number}" for number in range(30)), "gh/a/two": ("other",)}
    await bench.backfiller.work(await bench.ask(days=5))
    (request,) = await BACKFILLS.load(bench.store, "ci")
    assert (len(request.problems), request.problems_more) == (20, 11)


async def test_only_what_was_asked_for(bench):
    """By organisation and by glob."""
    await bench.backfiller.work(await bench.ask(days=3, orgs=("gh/a",), projects=("*/t*",)))
    assert {slug for slug, _ in bench.feed.asked} == {"gh/a/two"}


async def test_a_feed_is_read_for_the_organisations_it_is_meant_for(bench):
    """Others are told by other feeds."""
    bench.feed.only = {"runs": {"gh/b"}}
    await bench.backfiller.work(await bench.ask(days=3))
    assert {slug for slug, _ in bench.feed.asked} == {"gh/b/three"}
    assert (await BACKFILLS.load(bench.store, "ci"))[0].share == 1.0


async def test_what_a_feed_could_not_read_is_a_problem_of_the_request(bench):
    """The rest of the scope is read."""
    bench.feed.problems = {"gh/a/one": ("a file cannot be read",)}
    await bench.backfiller.work(await bench.ask(days=10))
    assert await bench.kept() == 30
    assert (await BACKFILLS.load(bench.store, "ci"))[0].problems == ("a file cannot be read",)


async def test_a_feed_of_an_organisation_tells_of_wanted_projects_alone(bench):
    """What it tells of others is left out."""
    bench.feed.per = "org"
    source = bench.backfiller._source

    async def strategy():
        return Strategy("runs", (bench.feed,), orgs=(Scope("p1", "gh/a"), Scope("p2", "gh/b")))

    source.strategy = strategy
    await bench.backfiller.work(await bench.ask(days=3, projects=("gh/a/one",)))
    assert {slug for slug, _ in bench.feed.asked} == {"gh/a"}
    assert await bench.kept() == 0


async def test_the_newest_is_read_first_over_all_projects(bench):
    """No project is read to its end while another still lacks its newest days."""
    bench.feed.scopes = MANY
    await bench.backfiller.work(await bench.ask(days=20))
    days = [day for _, day in bench.feed.asked]
    assert all(later >= newest - 5 for place, later in enumerate(days) for newest in days[:place])


async def test_a_kill_between_pages_loses_and_repeats_nothing(bench):
    """A new process goes on behind the last page that was kept; the records are those of an undisturbed run."""
    request = await bench.ask(days=30)
    for _ in range(40):
        working = asyncio.create_task(bench.backfiller.work(request))
        read = len(bench.feed.asked)
        await until(lambda: len(bench.feed.asked) >= read + 2 or working.done())  # noqa: B023  # of this turn
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
            break
        bench.start()
        (request,) = await BACKFILLS.load(bench.store, "ci")
    assert await bench.kept() == 3 * 30
    heads = (await bench.store.figures()).log_head
    assert heads["live"] + heads["backfill"] == 90
    # A page that was read but not kept when the kill came is read again; nothing else is.
    assert len(bench.feed.asked) <= 18 + 2 * 40
    assert (await BACKFILLS.load(bench.store, "ci"))[0].state == "done"


async def test_a_project_that_refuses_is_told_and_the_rest_goes_on(bench):
    """One project without rights."""
    bench.feed.errors["gh/a/one", NOW - 5 * DAY_MS] = SourceRefused("403", reason="no_access", fix="ask for access")
    await bench.backfiller.work(await bench.ask(days=10))
    assert await bench.kept() == 5 + 10 + 10
    (request,) = await BACKFILLS.load(bench.store, "ci")
    assert request.state == "done"
    assert request.problems == ("runs of gh/a/one: 403; ask for access",)


async def test_a_refused_token_stops_it_until_it_is_taken_again(bench):
    """The request stays under way, with everything read so far."""
    bench.feed.errors["gh/a/one", NOW - 5 * DAY_MS] = SourceRefused("401", reason="token_expired", fix="renew")
    request = await bench.ask(days=10)
    with pytest.raises(SourceRefused, match="401"):
        await bench.backfiller.work(request)
    assert bench.polled.refused == "token_expired"
    bench.polled.answered()
    (request,) = await BACKFILLS.load(bench.store, "ci")
    await bench.backfiller.work(request)
    assert await bench.kept() == 30


async def test_an_outage_is_waited_for(bench):
    """The same page is asked for again."""
    bench.feed.errors["gh/a/two", NOW - 5 * DAY_MS] = SourceUnavailable("503", retry_after=9)
    await bench.backfiller.work(await bench.ask(days=10))
    assert await bench.kept() == 30


async def test_requests_are_worked_off_in_order_and_a_few_remembered(bench):
    """The loop takes the oldest request that is not done, and says while it reads."""
    for number in range(25):
        request = BackfillRequest(f"r{number:02}", NOW - DAY_MS, NOW, NOW + number, projects=("gh/a/one",))
        await BACKFILLS.save(bench.store, "ci", request, now_ms=NOW)
    running = asyncio.create_task(bench.backfiller.run())
    async with asyncio.timeout(10):
        await until(lambda: bench.backfiller.reading)
        await until(lambda: len(bench.feed.asked) == 25)
        while any(one.state != "done" for one in await BACKFILLS.load(bench.store, "ci")):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)
        await until(lambda: not bench.backfiller.reading)
    running.cancel()
    assert [one.id for one in await BACKFILLS.load(bench.store, "ci")] == [f"r{number:02}" for number in range(5, 25)]


async def test_a_feed_that_stays_down_is_given_up_and_told(bench):
    """One project whose list never answers becomes a problem; the others are read to their end."""

    async def down(scope, span, *, position=None):
        if scope.slug == "gh/a/one":
            raise SourceUnavailable("503 for ever")
        async for page in FakeFeed.read(bench.feed, scope, span, position=position):
            yield page

    bench.feed.read = down
    await bench.backfiller.work(await bench.ask(days=10))
    assert await bench.kept() == 20
    (request,) = await BACKFILLS.load(bench.store, "ci")
    assert (request.state, request.problems) == ("done", ("runs of gh/a/one: 503 for ever",))


async def test_a_request_that_cannot_begin_lets_others_go_first(bench):
    """Why it waits is told; the next request is done meanwhile."""
    broken = {"r0"}
    good = bench.backfiller._source.strategy  # the fake's own

    async def strategy():
        (first, *_) = [one for one in await BACKFILLS.load(bench.store, "ci") if one.state != "done"]
        if first.id in broken and not first.trouble:
            raise SourceUnavailable("503 at the door")
        return await good()

    bench.backfiller._source.strategy = strategy
    finished, finish = [], bench.backfiller._finish

    async def noted(work):
        finished.append((work.request.id, (await BACKFILLS.load(bench.store, "ci"))[0].trouble))
        await finish(work)

    bench.backfiller._finish = noted
    for number in range(2):
        request = BackfillRequest(f"r{number}", NOW - DAY_MS, NOW, NOW + number)
        await BACKFILLS.save(bench.store, "ci", request, now_ms=NOW)
    running = asyncio.create_task(bench.backfiller.run())
    async with asyncio.timeout(10):
        await until(lambda: len(finished) == 2)
    running.cancel()
    assert finished == [("r1", "503 at the door"), ("r0", "")]


async def test_what_goes_on_waits_for_nothing(bench):
    """Also where the feed refuses everything afterwards, so that no page says so."""
    asked, level = await bench.ask(days=3), ["pause"]
    bench.store.space_level = lambda: level[0]

    async def sleep(_seconds):
        assert (await BACKFILLS.load(bench.store, "ci"))[0].waits_for
        level[0] = "ok"

    async def read(scope, span, *, position=None):
        assert not (await BACKFILLS.load(bench.store, "ci"))[0].waits_for
        raise SourceRefused("403", reason="no_access", fix="")
        yield

    bench.feed.read, bench.backfiller.sleep = read, sleep
    await bench.backfiller.work(asked)
    (request,) = await BACKFILLS.load(bench.store, "ci")
    assert (request.state, request.waits_for) == ("done", "")
