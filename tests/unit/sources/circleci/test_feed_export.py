"""The usage export as a feed: waited for, resumed, within its limits, and honest about what it could not read."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.unit.collect.fakes import Recorder
from tests.unit.sources.circleci.exporting import LIVELY, NOW, Bench, history

from headgate.core.clock import ManualClock
from headgate.core.feeds import Span
from headgate.core.ports import Scope
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS, parse_ms
from headgate.sources.circleci import feed_export
from headgate.sources.circleci.export_jobs import CALLS_PER_HOUR, HourlyLimit
from headgate.testing.circleci import Knobs, Twin

ORDER = "/api/v2/organizations/{org_id}/usage_export_job"
LOOK = f"{ORDER}/{{usage_export_job_id}}"
FILE = "/_export/{signature}/{name}"
SMALL = Knobs(tag_rate=0.1, rerun_rate=0.6, insights_delay=0, export_rows_per_file=100)
TWO = {"poor": {"lacks": ["usage_export"]}, "blind": {"lacks": {"usage_export": 404}}}
DULL = {"dull": {"lacks": ["insights"]}}


@pytest.fixture(scope="module")
def shared():
    """Six days of one project, an export of several files."""
    with Twin(history(knobs=SMALL, rights=TWO | DULL)) as running:
        yield running


@pytest.fixture
def twin(shared):
    """The same, an hour later than whatever was asked of it before, and well."""
    shared.clear_faults()
    shared.advance(3600)
    shared.reset_calls()
    return shared


async def rows(bench):
    """How many usage facts are kept."""
    return (await bench.store.figures()).facts.get("usage", 0)


async def only_export(bench, **more):
    """A backfill through the export alone."""
    return await bench.backfill(feeds=("export",), **more)


def wanted(twin):
    """How many rows an export has."""
    return twin.credits()["rows"]


async def test_an_export_is_ordered_waited_for_and_read(twin):
    """One order, a look every six minutes, each file once; the order of a probe beside it."""
    async with Bench(twin, usage_export={"poll": "6m"}) as bench:
        began = bench.clock.now_ms()
        request = await only_export(bench)
        assert request.problems == ()
        assert await rows(bench) == wanted(twin) > 300
        assert bench.clock.now_ms() - began == 2 * 6 * MINUTE_MS
    made = twin.calls()
    assert (made[ORDER], made[LOOK], made[FILE]) == (2, 2, -(-wanted(twin) // 100))
    assert request.calls == 1 + 2 + made[FILE]


async def test_a_slow_export_is_waited_for(twin):
    """However often it has to be looked at, but no more often than may be."""
    twin.put_faults({"export_slow": {"count": 1, "polls": 13}})
    async with Bench(twin, usage_export={"poll": "1s"}) as bench:
        request = await only_export(bench)
        assert request.problems == ()
        assert await rows(bench) == wanted(twin)
    # 15 looks, and the twin refuses an eleventh within an hour.
    assert twin.calls()[LOOK] == 15


async def test_exports_of_all_windows_are_made_at_once():
    """They are ordered before any is read, as many as the hourly limit leaves room for; each is told once."""
    with Twin(history(days=3, runs_per_day=3.0, knobs=replace(SMALL, export_polls=1))) as twin:
        twin.put_faults({"export_slow": {"rate": 1.0, "polls": 0, "seconds": 1200}})
        async with Bench(twin, usage_export={"poll": "600s"}) as bench:
            began = bench.clock.now_ms()
            asked = await bench.ask(days=150, feeds=("export",))
            await bench.backfiller.work(asked)
            request = await bench.request()
            took_ms = bench.clock.now_ms() - began
            assert (request.state, request.problems) == ("done", ())
            assert await rows(bench) == wanted(twin)
        assert twin.calls()[ORDER] == 1 + 5  # one of them asked whether it may
        # Each takes twenty minutes; one after the other they would take five times as long.
        assert took_ms < 2 * 20 * MINUTE_MS


async def test_no_address_means_no_data(twin):
    """That is the end of it."""
    twin.put_faults({"export_no_urls": {"count": 1}})
    async with Bench(twin) as bench:
        request = await only_export(bench)
        assert (request.state, request.problems, await rows(bench)) == ("done", (), 0)


async def test_an_export_that_failed_is_ordered_again(twin):
    """Once is not worth a word to anybody who asked."""
    twin.put_faults({"export_failed": {"count": 1}})
    async with Bench(twin) as bench:
        request = await only_export(bench)
        assert request.problems == ()
        assert await rows(bench) == wanted(twin)
    assert twin.calls()[ORDER] == 1 + 2


async def test_exports_that_fail_again_and_again_are_given_up(twin):
    """With CircleCI's reason, and what to do; the request ends."""
    twin.put_faults({"export_failed": {"rate": 1.0}})
    async with Bench(twin) as bench:
        request = await only_export(bench)
    assert request.state == "done"
    (problem,) = request.problems
    assert "Internal error while the usage report was made" in problem
    assert "given up after 3 tries" in problem
    assert twin.calls()[ORDER] == 1 + 3


@pytest.fixture
def days():
    """A twin of its own, for tests in which days pass."""
    with Twin(history(days=3, runs_per_day=3.0, knobs=SMALL)) as running:
        yield running


async def test_an_export_that_is_never_made_is_ordered_again_after_a_day(days):
    """All other history waits behind it, over restarts too."""
    days.put_faults({"export_slow": {"count": 1, "polls": 10**6}})
    async with Bench(days, usage_export={"poll": "6h"}) as bench:
        request, began, due = await bench.ask(feeds=("export",)), bench.clock.now_ms(), wanted(days)
        for _ in range(2):
            working = asyncio.create_task(bench.backfiller.work(request))
            looks = days.calls().get(LOOK, 0)
            while days.calls().get(LOOK, 0) < looks + 2:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0)
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            await bench.source.aclose()
            bench.start()
            request = await bench.request()
        await bench.backfiller.work(request)
        assert (await bench.request()).problems == ()
        assert await rows(bench) == due > 0
        assert DAY_MS < bench.clock.now_ms() - began < 2 * DAY_MS


async def test_exports_that_are_never_made_are_given_up(days):
    """The request ends and says so, so that what waits behind it goes on."""
    days.put_faults({"export_slow": {"rate": 1.0, "polls": 10**6}})
    async with Bench(days, usage_export={"poll": "6h"}) as bench:
        began = bench.clock.now_ms()
        request = await only_export(bench)
        assert 3 * DAY_MS <= bench.clock.now_ms() - began < 4 * DAY_MS
    assert request.state == "done"
    (problem,) = request.problems
    assert "it is not made 24 hours after it was ordered" in problem
    assert "given up after 3 tries" in problem


@pytest.mark.parametrize("style", ["renamed", "missing"])
async def test_a_file_without_a_required_column_is_kept_and_told(twin, tmp_path, style):
    """The column is named; the file is ours alone."""
    twin.put_faults({"export_columns": {"count": 1, "style": style, "column": "TOTAL_CREDITS"}})
    kept = tmp_path / "bad"
    async with Bench(twin, usage_export={"keep_bad": str(kept)}) as bench:
        request = await only_export(bench)
        assert await rows(bench) == 0
    files = sorted(kept.iterdir())
    assert len(files) == len(request.problems) == -(-wanted(twin) // 100)
    assert all("has no column TOTAL_CREDITS; kept as" in problem for problem in request.problems)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert files[0].read_bytes()[:2] == b"\x1f\x8b"


async def test_an_inserted_column_harms_nothing(twin):
    """Columns are found by name."""
    twin.put_faults({"export_columns": {"count": 1, "style": "inserted", "column": "JOB_ID"}})
    async with Bench(twin) as bench:
        request = await only_export(bench)
        assert (request.problems, await rows(bench)) == ((), wanted(twin))


async def test_one_bad_file_leaves_the_others_and_the_estimates(twin, monkeypatch):
    """What can be read is read, but no workflow's sum is known to be whole then."""
    good = feed_export.rows

    def sometimes(path):
        if path.name == "1.csv.gz":
            path.write_bytes(path.read_bytes()[:500])
        return good(path)

    monkeypatch.setattr(feed_export, "rows", sometimes)
    async with Bench(twin) as bench:
        request = await bench.backfill(feeds=("insights", "export"))
        assert await rows(bench) == wanted(twin) - 100
        records = [json.loads(line) for line in await bench.lines()]
    (problem,) = request.problems
    assert "cannot be unpacked" in problem
    assert "set usage_export.keep_bad" in problem
    runs = [one["attributes"] for one in records if one["kind"] == "workflow"]
    assert {run["circleci.credits_estimated"] for run in runs if "circleci.credits" in run} == {True}


async def test_a_broken_download_gets_new_addresses(twin):
    """Expired, refused or cut: the export is looked at again, not ordered again."""
    twin.put_faults({"server_error": {"count": 2, "routes": "/_export/"}})
    async with Bench(twin) as bench:
        request = await only_export(bench)
        assert (request.problems, await rows(bench)) == ((), wanted(twin))
    made = twin.calls()
    assert (made[ORDER], made[LOOK]) == (2, 2 + 2)


async def test_addresses_that_expire_while_they_wait_are_asked_for_again(twin):
    """36 hours pass between the look and the download."""
    before = wanted(twin)
    async with Bench(twin) as bench:
        downloads = bench.source._feeds.export._downloads
        real, waited = type(downloads).fetched, []

        def late(self, urls):
            if not waited:
                waited.append(twin.advance(37 * 3600))
            return real(self, urls)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(downloads), "fetched", late)
            request = await only_export(bench)
        assert request.problems == ()
        assert await rows(bench) == before
    assert (twin.calls()[ORDER], twin.calls()[LOOK]) == (2, 3)


async def test_a_file_that_is_too_long_is_given_up(twin):
    """The setting is named."""
    async with Bench(twin, usage_export={"max_bytes": 1024}) as bench:
        request = await only_export(bench)
        assert await rows(bench) == 0
    assert "longer than usage_export.max_bytes (1024)" in request.problems[0]


async def test_a_signed_address_is_told_to_nobody(twin):
    """Neither log nor metric nor store nor error has a signature, and the token goes to no file's host."""
    twin.put_faults({"server_error": {"count": 1, "routes": "/_export/"}})
    metrics = Recorder()
    with capture_logs() as logs:
        async with Bench(twin, metrics) as bench:
            request = await bench.ask(feeds=("export",))
            await bench.backfiller.work(request)
            marks = await bench.store.source_marks("ci")
            kept = repr((logs, vars(metrics), marks, await bench.request()))
    assert "500 instead of the file" in kept
    assert "_export/" not in kept
    assert ".csv.gz?" not in kept


async def test_a_kill_at_any_page_orders_nothing_twice(twin, monkeypatch):
    """While it is pending and between pages: one export, and in the end every row once."""
    monkeypatch.setattr("headgate.sources.circleci.export_files.PAGE", 40)
    async with Bench(twin) as bench:
        request, due, kills = await bench.ask(feeds=("export",)), wanted(twin), 0
        for turn in range(60):
            working = asyncio.create_task(bench.backfiller.work(request))
            for _ in range(1 + turn % 4):
                before = await bench.store.source_marks("ci", "backfill/r1/")
                while not working.done() and await bench.store.source_marks("ci", "backfill/r1/") == before:  # noqa: ASYNC110  # no event
                    await asyncio.sleep(0)
            if working.done():
                await working
                break
            kills += 1
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            # What the dead process knew is lost: its limits as well, but for what the position tells.
            await bench.source.aclose()
            bench.start()
            await bench.sleep(360)
            request = await bench.request()
        assert (await bench.request()).state == "done"
        assert await rows(bench) == due
        ids = Counter(json.loads(line)["id"] for line in await bench.lines())
    assert kills > 3
    assert set(ids.values()) == {1}
    # One order; each start asks once whether it may, which is an order of nothing.
    assert twin.calls()[ORDER] - (kills + 1) == 1


async def test_an_export_that_is_gone_is_ordered_again(twin):
    """The position of long ago names one that CircleCI no longer has."""
    async with Bench(twin) as bench:
        await bench.source.scopes()
        (org,) = bench.source._discovery.orgs()
        place = {"job": "00000000-0000-4000-8000-000000000000", "since_ms": NOW - 3 * DAY_MS, "until_ms": NOW}
        feed = bench.source._feeds.export
        told = [page async for page in feed.read(org, Span(NOW - 3 * DAY_MS, NOW), position=json.dumps(place))]
        assert sum(one.kind == "usage" for page in told for one in page.observations) > 100
        assert not [problem for page in told for problem in page.problems]
        assert told[-1].last
    assert twin.calls()[ORDER] == 1


async def test_orders_are_31_days_wide_and_reach_a_year_back(twin):
    """Newest first, without a gap, only days that are over; what is older than CircleCI allows is left out."""
    asked, now = [], NOW + 5 * HOUR_MS

    class Jobs:
        limit = HourlyLimit(lambda: now, asyncio.sleep)

        async def create(self, _org, span):
            asked.append(span)
            return f"job-{len(asked)}"

        async def look(self, _org, _job):
            return feed_export.Export("completed")

    async with Bench(twin) as bench:
        feed = bench.source._feeds.export
        feed._jobs, feed._now_ms = Jobs(), lambda: now
        told = [page async for page in feed.read(Scope("o", "gh/acme"), Span(0, now))]
    assert asked[0].until_ms == NOW
    assert [newer.since_ms for newer in asked[:-1]] == [older.until_ms for older in asked[1:]]
    assert {span.until_ms - span.since_ms for span in asked[:-1]} == {31 * DAY_MS}
    assert now - 366 * DAY_MS <= asked[-1].since_ms < now - 365 * DAY_MS
    assert told[-1].last
    assert told[-1].reached_ms == 0


async def test_the_hourly_limit_holds_over_any_hour_and_a_restart():
    """Ten of each kind; what was made before the restart counts."""
    clock, made = ManualClock(NOW), []

    async def sleep(seconds):
        clock.advance(seconds)

    limit = HourlyLimit(clock.now_ms, sleep)
    for number in range(45):
        await limit.take("org", "POST")
        made.append(clock.now_ms())
        clock.advance(number % 7 * 20)
        if number % 10 == 4:
            before = limit.made("org", "POST")
            limit = HourlyLimit(clock.now_ms, sleep)
            limit.recall("org", "POST", before)
    assert all(sum(at <= one < at + HOUR_MS for one in made) <= CALLS_PER_HOUR for at in made)
    await limit.take("other", "POST")
    assert limit.made("other", "POST") == (clock.now_ms(),)


async def test_a_limit_that_is_reached_holds_up_nothing_else(twin):
    """The 429 of an organisation's exports is waited for by the feed alone."""
    async with Bench(twin) as bench:
        await bench.source.scopes()
        (org,) = bench.source._discovery.orgs()
        async with Bench(twin) as other:
            for _ in range(CALLS_PER_HOUR):
                await other.source._export_jobs.may(org.key)
        with pytest.raises(feed_export.SourceUnavailable) as caught:
            await bench.source._export_jobs.create(org.key, Span(NOW - DAY_MS, NOW))
        assert 3000 < caught.value.retry_after <= 3600
        assert bench.source._api.budget_left() > 90_000


@pytest.mark.parametrize("token", TWO)
async def test_a_token_without_the_right_uses_builds_and_says_so_once(twin, token):
    """The right is named."""
    async with Bench(twin, token=token) as bench:
        request = await bench.backfill()
        (why,) = request.why
    assert request.strategy == "builds"
    assert "gh/acme" in why
    assert "usage_export" in why


async def test_without_insights_the_export_adds_to_the_walk(twin):
    """The export does not say how a run ended that did not succeed."""
    async with Bench(twin, token="dull") as bench:
        request = await bench.backfill()
        records = [json.loads(line) for line in await bench.lines()]
    assert request.strategy == "walk and export"
    ended = {one["provider_id"] for one in twin.truth() if one["kind"] == "workflow"}
    assert {one["attributes"]["cicd.pipeline.run.id"] for one in records if one["kind"] == "workflow"} == ended
    assert any(one["kind"] == "usage" for one in records)


@pytest.mark.parametrize(
    ("word", "strategy"), [(False, "builds"), ("off", "builds"), (True, "export"), ("on", "export")]
)
async def test_the_setting_decides_before_the_probe(twin, word, strategy):
    """YAML makes true and false of on and off."""
    async with Bench(twin, usage_export={"enabled": word}) as bench:
        assert (await bench.source.strategy()).name == strategy
    assert ORDER not in twin.calls()


async def test_organisations_that_may_not_be_exported_use_builds():
    """Each project is told by what its own organisation allows, and all of them are told."""
    with Twin(history(projects=4, knobs=LIVELY)) as twin:
        async with Bench(twin) as bench:
            scopes = await bench.source.scopes()
            refused = {org.key for org in bench.source._discovery.orgs() if org.slug != "gh/acme"}
            jobs = bench.source._export_jobs
            real = jobs.may

            async def may(org_id):
                return "missing right: usage_export" if org_id in refused else await real(org_id)

            jobs.may = may
            request = await bench.backfill()
            told = {}
            for record in map(json.loads, await bench.lines()):
                told.setdefault(record["project"], set()).update(record["sources"])
        assert request.strategy == "export and builds"
        assert len(request.why) == 1
        assert told.keys() == {scope.slug for scope in scopes}
        for slug, sources in told.items():
            assert ("export" in sources) == slug.startswith("gh/acme/")


async def test_the_day_that_no_export_covers_is_told_by_builds(twin):
    """Runs of this morning are there, too."""
    twin.advance(14 * 3600)
    async with Bench(twin) as bench:
        await bench.backfill(days=12)
        sources = {
            record["attributes"]["cicd.pipeline.task.run.id"]: record["sources"]
            for record in map(json.loads, await bench.lines())
            if record["kind"] == "job"
        }
        midnight = bench.clock.now_ms() // DAY_MS * DAY_MS
        ran = [one for one in twin.truth() if one["kind"] == "job" and one["knowable"]["export"]]
    fresh = [one for one in ran if parse_ms(one["final"]["circleci.started_at"]) >= midnight]
    assert fresh
    assert {one["provider_id"] for one in ran} <= sources.keys()
    assert all(sources[one["provider_id"]] == ["v1.1"] for one in fresh)
