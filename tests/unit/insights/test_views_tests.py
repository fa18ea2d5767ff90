"""Pages of tests: lives, what was fixed, what slows down, suites, splits, and one test by itself."""

import pytest
from tests.unit.insights.details import DAY, NOW, SLUG, key, lens, result, step

from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.times import HOUR_MS as HOUR
from headgate.core.times import format_ms
from headgate.insights.views.foundtests import read_tests
from headgate.insights.views.lens import Filters
from headgate.insights.views.onetest import one_test
from headgate.insights.views.refusal import Refused
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.testing.store_data import WORKFLOW, job, merge, pipeline, workflow

WEEK = read_window(None, None, "7d", now_ms=NOW)


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    yield made
    await made.close()


async def commit(store, number, at, results, *, name="test", suite="unit", seconds=1.0, branch="main"):
    """A commit of a branch whose job `name` had these results of each test: test -> words."""
    run, task = key(41, number), key(42, number)
    await merge(
        store,
        pipeline(key(40, number), number=number, created_at=at - 9_000, revision=f"r{number}", ref_name=branch),
        workflow(run, pipeline_id=key(40, number), created_at=at - 9_000, stopped_at=at),
        job(
            task,
            workflow_id=run,
            name=name,
            number=number,
            started_at=at - 120_000,
            stopped_at=at,
            credits=20,
            parallelism=2,
        ),
        *(
            result(
                number * 1000 + test * 100 + place,
                word,
                test=test,
                job_id=task,
                stopped_at=at,
                suite=suite,
                run_ms=round(1000 * seconds),
            )
            for test, words in results.items()
            for place, word in enumerate(words)
        ),
    )


async def test_flaky_tests_have_lives(store):
    """One that began in the window, one that goes on, one that was fixed; with what they cost."""
    flake, clean = ["pass", "fail"], ["pass"] * 9
    for number in range(6):
        at = NOW - (12 - number) * DAY
        await commit(store, number, at, {1: clean, 2: flake, 3: flake})
    for number in range(10, 22):
        at = NOW - (22 - number) * 3_600_000
        await commit(store, number, at, {1: flake if number > 17 else clean, 2: flake, 3: clean}, name="other")
    page = await page_of_tests(lens(store), window=WEEK)
    states = {one.name: one.state for one in page.flaky}
    assert {"test_1": "new", "test_2": "flaky"} == states
    (fixed,) = page.fixed
    assert ("test_3", "fixed", 6, 1) == (fixed.name, fixed.state, fixed.flakes, page.fixed_tests)
    assert fixed.first_at == format_ms(NOW - 12 * DAY) < fixed.last_at < fixed.since
    for listed in (*page.flaky, *page.fixed):
        for limit in (1, 500):
            own = await one_test(lens(store), project=SLUG, test=listed.test_id, window=WEEK, limit=limit)
            assert (listed.state, listed.since) == (own.state, own.state_since)
    new, old = sorted(page.flaky, key=lambda one: one.name)
    assert (4, 8.0, 80.0, ("other",)) == (new.flakes, new.minutes, new.credits, new.jobs)
    assert ("other",) == old.jobs[:1]
    assert format_ms(NOW - 4 * 3_600_000) == new.since == new.first_at


async def test_a_test_on_several_jobs_is_one_test(store):
    """With all the jobs it hit."""
    for number in range(6):
        await commit(store, number, NOW - number * 60_000, {1: ["pass", "fail"]}, name=f"job{number % 2}")
    page = await page_of_tests(lens(store), window=WEEK)
    assert [("test_1", ("job0", "job1"), 6)] == [(one.name, one.jobs, one.flakes) for one in page.flaky]


async def test_slowing_tests_and_suites(store):
    """A test that became slower, and how long the suites take by day."""
    for number in range(24):
        at = NOW - (24 - number) * 3 * 3_600_000
        await commit(store, number, at, {1: ["pass"]}, seconds=1.0 if number < 12 else 2.0)
    page = await page_of_tests(lens(store), window=WEEK)
    (slowing,) = page.slowing
    assert ("test_1", 1.0, 2.0, 2.0, 12, 12) == (
        slowing.name,
        slowing.before,
        slowing.after,
        slowing.ratio,
        slowing.commits_before,
        slowing.commits_after,
    )
    (line,) = page.suites.lines
    assert (SLUG, "unit", 36.0, 24) == (line.project, line.suite, line.total, line.commits)
    assert len(page.suites.at) == len(line.values)
    assert {1.0, 2.0} >= {value for value in line.values if value in (1.0, 2.0)} != set()
    assert None in line.values


async def test_splits_are_by_time_lost(store):
    """The slowest machine against the mean of all."""
    await commit(store, 1, NOW, {1: ["pass"]})
    task = key(42, 1)
    await merge(
        store,
        step(1, task, status="success", started_at=NOW - 120_000, stopped_at=NOW),
        step(2, task, status="success", started_at=NOW - 120_000, stopped_at=NOW - 60_000, node=1),
    )
    (one,) = (await page_of_tests(lens(store), window=WEEK)).splits
    assert ("test", 2, 1, 0.5, 30.0) == (one.job, one.nodes, one.runs, one.lost, one.lost_per_run)
    assert one.imbalance == pytest.approx(120 / 90)


async def test_one_test_has_its_history(store):
    """Each result with its run; failures by what they say; counts of what is shown."""
    await merge(
        store, pipeline(revision="abc", ref_name="main"), workflow(), job(), job(key(5, 1), name="again", number=8)
    )
    broken = job(key(5, 2), status="infrastructure_fail", name="test", number=9)
    results = [result(1, message="boom 1", stopped_at=NOW - 9), result(2, "pass", job_id=key(5, 1))]
    await merge(store, broken, *results, result(3, message="boom 2", stopped_at=NOW + 5, run_ms=None, job_id=key(5, 2)))
    page = await one_test(lens(store), project="github/acme/web", test=key(34, 1), window=WEEK)
    assert [("fail", False), ("pass", False), ("fail", True)] == [(r.result, r.infrastructure) for r in page.results]
    assert ("new", False, 1, 1, 1, 1, 1) == (
        page.state,
        page.flaky,
        page.flakes,
        page.passes,
        page.failures,
        page.infrastructure_failures,
        page.commits,
    )
    assert [("boom <n>", "boom 2", 2)] == [(one.text, one.sample, one.count) for one in page.messages]
    assert (WORKFLOW, "build", "main", "abc", 0.1) == (
        page.results[0].workflow_id,
        page.results[0].workflow,
        page.results[0].branch,
        page.results[0].revision,
        page.mean,
    )
    assert {"again": 1, "test": 2} == page.jobs
    cut = await one_test(lens(store), project=SLUG, test=key(34, 1), window=WEEK, limit=2)
    assert (True, 2, "pass") == (cut.more, len(cut.results), cut.results[0].result)
    with pytest.raises(Refused, match=r"store\.retention\.test_results"):
        await one_test(lens(store), project=SLUG, test="none", window=WEEK)


async def test_skipped_results_have_no_part_in_a_mean(store):
    """The page of a test has the mean that the list of the slowest has."""
    for number in range(5):
        await commit(store, number, NOW - (9 - number) * HOUR, {1: ["pass"]}, seconds=20.0)
        await commit(store, 10 + number, NOW - (4 - number) * HOUR, {1: ["skip"]}, seconds=0.0)
    (listed,) = (await page_of_tests(lens(store), window=WEEK)).slowest
    own = await one_test(lens(store), project=SLUG, test=listed.test_id, window=WEEK)
    assert (20.0, 20.0, 5) == (listed.test_duration, own.mean, own.skips)


async def test_classes_of_branches_have_verdicts_of_their_own(store):
    """Flaky on feature branches alone; the list, its numbers and the page of the test say so."""
    hour = 3_600_000
    for number in range(4):
        await commit(store, number, NOW - (9 - number) * hour, {1: ["pass"]})
    for number in range(10, 14):
        await commit(store, number, NOW - (19 - number) * hour + 1000, {1: ["fail", "pass"]}, branch="fix/a")
    everything = await page_of_tests(lens(store), window=WEEK)
    default = await page_of_tests(lens(store), window=WEEK, filters=Filters(branch_class="@default"))
    other = await page_of_tests(lens(store), window=WEEK, filters=Filters(branch_class="@other"), project=SLUG)
    assert [1, 0, 1] == [page.flaky_tests for page in (everything, default, other)]
    assert [(4, 8), (4, 4)] == [(page.flaky[0].flakes, page.flaky[0].passes) for page in (everything, other)]
    assert (0.0, 1) == (other.flaky[0].transition_rate, default.tests)
    page = await one_test(lens(store), project=SLUG, test=key(34, 1), window=WEEK)
    assert [("@default", False, 4, 0, 0.0), ("@other", True, 4, 4, 0.0)] == [
        (one.branch_class, one.flaky, one.passes, one.flakes, one.transition_rate) for one in page.classes
    ]
    assert (sum(one.commits for one in page.classes), 4) == (page.commits, page.passed_on_retry)
    for wrong in (Filters(branch="main"), Filters(branch_class="main")):
        with pytest.raises(Refused, match="branch"):
            await page_of_tests(lens(store), window=WEEK, filters=wrong, project=SLUG)


async def test_a_broken_test_changes_once_and_a_restless_one_often(store):
    """By the share of commits on which they did otherwise than on the one before."""
    for number in range(8):
        at = NOW - (9 - number) * 3_600_000
        restless = ["fail" if number % 2 else "pass"]
        await commit(store, number, at, {1: ["fail" if number > 3 else "pass"], 2: restless})
    page = await page_of_tests(lens(store), window=WEEK)
    assert page.flaky == ()
    rates = {one.name: one.transition_rate for one in page.failing}
    assert {"test_1": 1 / 7, "test_2": 1.0} == rates
    one = await one_test(lens(store), project=SLUG, test=key(34, 2), window=WEEK)
    assert (1.0, 0) == (one.transition_rate, one.passed_on_retry)


@pytest.mark.parametrize("words", ["7d", "30h", "3d", "14d"])
async def test_sums_say_what_every_commit_says(tmp_path, store, words):
    """Whatever was added up: of tests that flake, fail, vary, slow down and are skipped, on commits of several days."""
    disk = SqliteStore(tmp_path / "s.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await disk.open()
    for told in (store, disk):
        for number in range(40):
            at = NOW - (40 - number) * 9 * HOUR
            results = {1: ["pass", "fail"] if number % 9 == 4 else ["pass"], 2: ["skip"] if number % 3 else ["fail"]}
            results |= {3: ["pass"], 4: ["fail"] if number in {20, 33, 34} else ["pass", "pass"]}
            slow = 0.4 if number < 25 else 2.0 + number / 100
            suite, branch = "other" if number == 17 else "unit", "fix/a" if number % 7 == 3 else "main"
            await commit(told, number, at, results, suite=suite, seconds=slow, branch=branch)
            await commit(told, 100 + number, at - HOUR // 2, {5: ["pass"]}, seconds=slow / 2, branch=branch)
            if number % 5 == 0:  # the same commit again, two days later
                await merge(told, *_again(number, min(NOW - 1, at + 2 * DAY)))
    window = read_window(None, None, words, now_ms=NOW)
    asked = [Filters(), Filters(branch_class="@default"), Filters(branch_class="@other")]
    pages = [await page_of_tests(lens(store), window=window, filters=one) for one in asked]
    assert pages[0].failing
    assert words not in {"7d", "14d"} or {"test_5"} <= {one.name for one in pages[0].slowing}
    for _ in range(2):
        assert pages == [await page_of_tests(lens(disk), window=window, filters=one) for one in asked]
        await disk.trim({}, now_ms=NOW)
    await disk.close()


async def test_what_slows_down_is_not_read_result_by_result():
    """Its commits are added up; its results are many."""

    class Asked(MemoryStore):
        async def outcomes_of(self, bounds, tests):
            """Note of which tests."""
            asked.update(test for _, test in tests)
            return await super().outcomes_of(bounds, tests)

    asked, store = set(), Asked(clock=ManualClock(NOW))
    await store.open()
    for number in range(30):
        spent = 0.4 if number < 15 else 2.0
        words = {1: ["pass"], 2: ["pass", "fail"] if number == 3 else ["pass"]}
        await commit(store, number, NOW - (30 - number) * HOUR, words, seconds=spent)
    page = await page_of_tests(lens(store), window=WEEK)
    assert ["test_1", "test_2"] == [one.name for one in page.slowing]
    assert {key(34, 2)} == asked
    await store.close()


async def test_tests_of_many_projects_are_not_told_at_once():
    """The store is asked for a hundred projects at a time; of each test there is what one question would tell."""

    class Asked(MemoryStore):
        async def test_sums(self, bounds, before, *, branch_class=None):
            """Note of which projects."""
            asked.append(sorted(bounds))
            return await super().test_sums(bounds, before, branch_class=branch_class)

    asked, store = [], Asked(clock=ManualClock(NOW))
    await store.open()
    await commit(store, 1, NOW - HOUR, {1: ["pass"], 2: ["pass", "fail"], 3: ["fail"]})
    slugs = [SLUG, *(f"gh/acme/zz{number:03d}" for number in range(230))]
    found = await read_tests(lens(store), slugs, WEEK)
    assert [100, 100, 31] == [len(one) for one in asked]
    assert slugs == [slug for one in asked for slug in one]
    assert found == await read_tests(lens(store), [SLUG], WEEK)
    assert (3, 1) == (len(found.slow), len(found.lives))
    await store.close()


def _again(number, at):
    """A further run on a commit, on which test 3 fails and test 1 passes."""
    run, task = key(51, number), key(52, number)
    yield workflow(run, pipeline_id=key(40, number), created_at=at - 9_000, stopped_at=at)
    yield job(task, workflow_id=run, name="again", number=100 + number, started_at=at - 9_000, stopped_at=at)
    for test, word in ((1, "pass"), (3, "fail")):
        yield result(90_000 + number * 10 + test, word, test=test, job_id=task, stopped_at=at, suite="unit", run_ms=300)
