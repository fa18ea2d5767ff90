"""Groups of failures: by what, since when, how often; what is not known; a run's own part."""

import pytest
from tests.unit.insights.details import DAY, JOB, NOW, SLUG, WINDOW, key, lens, result, step

from headgate.core.clock import ManualClock
from headgate.core.times import format_ms
from headgate.insights.views import failures as module
from headgate.insights.views.failures import failures_page, worst_failures
from headgate.insights.views.lens import Filters
from headgate.insights.views.run import run_page
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import WORKFLOW, job, merge, pipeline, workflow

WEEK = read_window(None, None, "7d", now_ms=NOW)


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    yield made
    await made.close()


def failed(number, at=NOW, **more):
    """A job that failed."""
    times = {"started_at": at - 60_000, "stopped_at": at, "number": number + 10, "credits": 7}
    return job(key(35, number), **({"status": "failed"} | times | more))


async def test_failures_are_grouped_by_what_they_say(store):
    """Whatever their numbers; in the window and before it; with jobs, branches, tests and last runs."""
    await merge(store, pipeline(ref_name="main", revision="abc"), workflow())
    old = NOW - 10 * DAY
    await merge(store, failed(1), failed(2, NOW - DAY, name="other"), failed(3, old))
    await merge(store, *(step(n, key(35, n), stopped_at=at) for n, at in ((1, NOW), (2, NOW - DAY), (3, old))))
    for n, at in ((1, NOW), (2, NOW - DAY), (3, old)):
        await merge(store, result(n, job_id=key(35, n), message=f"AssertionError: {n} != 0", stopped_at=at))
    page = await failures_page(lens(store), window=WEEK)
    (group,) = page.groups
    assert ("test", "make test", "AssertionError: <n> != <n>", "message") == (
        group.kind,
        group.step,
        group.text,
        group.known,
    )
    assert (2, 1, False, 1, 2, 14) == (group.count, group.before, group.new, group.runs, group.minutes, group.credits)
    assert (format_ms(old), format_ms(NOW)) == (group.first_at, group.last_at)
    assert [("other", 1), ("test", 1)] == sorted((one.job, one.n) for one in group.jobs)
    assert (("main",), True, "AssertionError: 1 != 0") == (group.branches, group.default_branch, group.sample)
    assert ([(key(34, 1), "test_1", 2)], 2) == ([(t.test_id, t.name, t.n) for t in group.tests], len(group.last_runs))
    assert (2, 0, 0, 1) == (page.failures, page.infrastructure_failures, page.without_reason, page.groups_found)


async def test_what_is_not_known_is_said(store):
    """A step without words, a test without a message, a job of which nothing is known."""
    await merge(store, pipeline(), workflow(), *(failed(n) for n in range(1, 6)))
    await merge(store, step(1, key(35, 1), exit_code=2), step(2, key(35, 2), output_tail="a\nfatal: boom 3\n"))
    await merge(store, result(3, job_id=key(35, 3)), step(4, key(35, 4), status="timedout"))
    page = await failures_page(lens(store), window=WEEK)
    assert {
        ("step", "step", "make test ended as failure with exit code 2"),
        ("step", "output", "fatal: boom <n>"),
        ("test", "test", "test_1"),
        ("timeout", "step", "make test ended as timeout"),
        ("unknown", "nothing", "test ended as failure"),
    } == {(group.kind, group.known, group.text) for group in page.groups}
    assert 1 == page.without_reason


async def test_the_infrastructure_is_apart(store):
    """With CircleCI's own note where there is one, else with the step."""
    await merge(
        store, pipeline(), workflow(), failed(1), failed(2, status="infrastructure_fail", messages=["no capacity 7"])
    )
    await merge(store, failed(3, status="infrastructure_fail"), step(3, key(35, 3), status="infrastructure_fail"))
    page = await failures_page(lens(store), window=WEEK)
    assert ["unknown"] == [group.kind for group in page.groups]
    assert {"no capacity <n>", "make test ended as error"} == {group.text for group in page.infrastructure}
    assert (3, 2) == (page.failures, page.infrastructure_failures)


async def test_filters_and_pages(store):
    """By branch; cursors go on where a page ended."""
    await merge(store, pipeline(ref_name="main"), workflow(), failed(1), failed(2))
    await merge(store, result(1, job_id=key(35, 1), message="a"), result(2, job_id=key(35, 2), message="b"))
    assert 2 == (await failures_page(lens(store), window=WEEK, filters=Filters(branch="main"))).failures
    assert 0 == (await failures_page(lens(store), window=WEEK, filters=Filters(branch="fix"))).failures
    first = await failures_page(lens(store), window=WEEK, limit=1)
    rest = await failures_page(lens(store), window=WEEK, limit=1, cursor=first.next)
    assert (["a"], ["b"], None) == ([g.text for g in first.groups], [g.text for g in rest.groups], rest.next)


async def test_more_than_is_read_is_said(store, monkeypatch):
    """The newest are read, and since when."""
    monkeypatch.setattr(module, "MOST_READ", 2)
    await merge(store, pipeline(), workflow(), *(failed(n, NOW - n) for n in range(4)))
    page = await failures_page(lens(store), window=WEEK)
    assert (2, format_ms(NOW - 1)) == (page.failures, page.read_from)
    assert WINDOW.previous.since == (await failures_page(lens(store), window=WINDOW, filters=Filters())).previous_since


@pytest.mark.parametrize("most", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("filters", [Filters(), Filters(branch="main")], ids=["all", "a branch"])
async def test_a_file_has_all_that_failed(store, monkeypatch, most, filters):
    """Read page by page, whatever ended at one moment: the same groups as in one piece."""
    await merge(store, pipeline(ref_name="main"), workflow())
    ends = [NOW - 1] * 3 + [NOW - 2, NOW - 3, NOW - 3, NOW - DAY, WEEK.since_ms - 1, WEEK.since_ms - 2]
    await merge(store, *(failed(n, at, name=f"job {n % 2}") for n, at in enumerate(ends)))
    await merge(store, *(result(n, job_id=key(35, n), message=f"{n} is {'odd' * (n % 2)}") for n in range(len(ends))))
    expected = await failures_page(lens(store), window=WEEK, filters=filters)
    assert (7, WEEK.previous.since) == (expected.failures, expected.read_from)
    monkeypatch.setattr(module, "MOST_READ", most)
    assert expected == await failures_page(lens(store), window=WEEK, filters=filters, in_file=True)


@pytest.mark.parametrize(("jobs", "groups"), [(2, 99), (99, 1)], ids=["many jobs", "many reasons"])
async def test_a_file_that_is_cut_says_since_when_it_is_whole(store, monkeypatch, jobs, groups):
    """No job of an earlier time is in it."""
    monkeypatch.setattr(module, "MOST_READ", 3)
    monkeypatch.setattr(module, "MOST_IN_FILE", jobs)
    monkeypatch.setattr(module, "MOST_GROUPS_IN_FILE", groups)
    await merge(store, pipeline(), workflow(), *(failed(n, NOW - n) for n in range(9)))
    page = await failures_page(lens(store), window=WEEK, in_file=True)
    assert (2, format_ms(NOW - 1)) == (page.failures, page.read_from)


async def test_a_run_says_why_it_failed(store):
    """Each failed job with its group, as often as it occurred within a week."""
    await merge(store, pipeline(), workflow(status="failed"), job(status="failed"), failed(1, workflow_id=key(36, 1)))
    await merge(store, result(1, message="boom 1"), result(2, job_id=key(35, 1), message="boom 2"))
    (one,) = (await run_page(lens(store), run=WORKFLOW)).failures
    assert (JOB, "boom <n>", 2, 1) == (one.job_id, one.text, one.count, one.tests_failed)
    (hit,) = one.tests
    (known,) = (await failures_page(lens(store), window=WEEK, project=SLUG)).groups[0].tests
    assert (known.test_id, known.name) == (hit.test_id, hit.name)
    page = await failures_page(lens(store), window=WEEK, project=SLUG)
    assert [one.group] == [group.id for group in page.groups]


async def test_a_run_says_why_it_failed_however_many_failed_since(store, monkeypatch):
    """Its jobs are read by themselves; how often is counted of those that were read, and that is said."""
    monkeypatch.setattr(module, "MOST_READ", 2)
    mine = [job(status="failed", stopped_at=NOW - DAY), failed(9, NOW - DAY + 5, workflow_id=WORKFLOW)]
    late = [failed(n, NOW - n, workflow_id=key(36, 1)) for n in range(1, 5)]
    await merge(
        store, pipeline(), workflow(status="failed"), *mine, *late, failed(8, NOW - DAY, workflow_id=key(36, 1))
    )
    await merge(store, *(result(n, message="boom", job_id=key(35, n)) for n in (1, 2, 3, 8, 9)), result(5, message="x"))
    failures = (await run_page(lens(store), run=WORKFLOW)).failures
    assert [(JOB, "x", 1), (key(35, 9), "boom", 3)] == [(one.job_id, one.text, one.count) for one in failures]
    assert {format_ms(NOW - 2)} == {one.read_from for one in failures}
    monkeypatch.setattr(module, "MOST_READ", 5_000)
    failures = (await run_page(lens(store), run=WORKFLOW)).failures
    assert [("x", 1, None), ("boom", 5, None)] == [(one.text, one.count, one.read_from) for one in failures]


@pytest.mark.parametrize(
    ("most", "new", "before"), [(3, None, 0), (4, False, 1), (5, False, 2)], ids=["window", "part", "whole"]
)
async def test_what_is_new_is_known_where_the_time_before_was_read(store, monkeypatch, most, new, before):
    """Else it may have been there."""
    monkeypatch.setattr(module, "MOST_READ", most)
    ends = [NOW - 1, NOW - 2, NOW - 3, WEEK.since_ms - 1, WEEK.since_ms - 2]
    await merge(store, pipeline(), workflow(), *(failed(n, at) for n, at in enumerate(ends)))
    (group,) = (await failures_page(lens(store), window=WEEK)).groups
    assert (3, new, before) == (group.count, group.new, group.before)
    (reason,), read_from = await worst_failures(lens(store), window=WEEK, slugs={SLUG}, teams=(), most=9)
    assert (reason.new, read_from) == (new, max(WEEK.previous.since, format_ms(ends[most - 1])))


async def test_what_failed_for_the_first_time_is_new(store):
    """Where all of the window before was read, and had none."""
    await merge(store, pipeline(), workflow(), failed(1))
    assert (await failures_page(lens(store), window=WEEK)).groups[0].new is True


async def test_a_group_is_of_its_window(store):
    """Jobs, branches and tests add up to the failures that are counted, and not to those of the time before."""
    await merge(store, pipeline(), workflow(), failed(1), failed(2, WEEK.since_ms - 5, name="old"))
    await merge(store, result(1, message="a", job_id=key(35, 1)), result(2, message="a", test=2, job_id=key(35, 2)))
    (group,) = (await failures_page(lens(store), window=WEEK)).groups
    assert (1, 1, 1, [("test", 1)]) == (group.count, group.before, group.jobs_hit, [(j.job, j.n) for j in group.jobs])
    assert (1, ["test_1"]) == (group.tests_hit, [one.name for one in group.tests])


async def test_groups_of_the_infrastructure_have_pages_too(store):
    """Each once, by the same cursor."""
    notes = ["no capacity", "lost", "no disk"]
    broken = [failed(n, status="infrastructure_fail", messages=[note]) for n, note in enumerate(notes)]
    await merge(store, pipeline(), workflow(), failed(5), *broken)
    found, cursor = [], None
    for _ in range(4):
        page = await failures_page(lens(store), window=WEEK, limit=1, cursor=cursor)
        found += [group.text for group in page.infrastructure]
        if (cursor := page.next) is None:
            break
    assert (sorted(notes), None) == (sorted(found), cursor)
