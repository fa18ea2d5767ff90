"""Groups of failures: by what, since when, how often; what is not known; a run's own part."""

import pytest
from tests.unit.insights.details import DAY, JOB, NOW, SLUG, WINDOW, key, lens, result, step

from headgate.core.clock import ManualClock
from headgate.core.times import format_ms
from headgate.insights.views import failures as module
from headgate.insights.views.failures import failures_page
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
    assert [("other", 1), ("test", 2)] == sorted((one.job, one.n) for one in group.jobs)
    assert (("main",), True, "AssertionError: 1 != 0") == (group.branches, group.default_branch, group.sample)
    assert ([(key(34, 1), "test_1", 3)], 2) == ([(t.test_id, t.name, t.n) for t in group.tests], len(group.last_runs))
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
