"""Ranked lists that are read page by page while time goes on: each row once, in the order of the first page."""

import pytest
from tests.unit.insights.details import DAY, NOW, key, result, step, usage
from tests.unit.insights.world import sqlite

from headgate.core.clock import ManualClock
from headgate.insights.views.ask import query_page, series_page
from headgate.insights.views.charges import charges_page
from headgate.insights.views.credits import credits_page
from headgate.insights.views.failures import failures_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.reruns import reruns_page
from headgate.insights.views.rightsizing import rightsizing_page
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import job, merge, pipeline, workflow

LATER = NOW + DAY


def told():
    """Three of everything called `a`, which leave the window within a day, and two called `b`."""
    found, number = [], 0
    for name, at, times in (("a", NOW - 7 * DAY + DAY // 2, 3), ("b", NOW - DAY, 2)):
        for _ in range(times):
            number += 1
            of, run, again, task = (key(kind, number) for kind in (61, 62, 63, 64))
            flow = {"pipeline_id": of, "name": name, "credits": 10}
            found += [
                pipeline(of, number=number, revision=f"r{number}", created_at=at - 9_000, ref_name="main"),
                workflow(run, status="failed", created_at=at - 9_000, stopped_at=at, **flow),
                workflow(again, created_at=at + 1, stopped_at=at + 60_000, **flow),
                job(task, workflow_id=run, name=name, number=number, status="failed", stopped_at=at, credits=10),
                step(number, task, name=f"make {name}", stopped_at=at),
                result(number, test=1 if name == "a" else 2, job_id=task, stopped_at=at),
                usage(number, job_name=name, workflow_name=name, stopped_at=at),
            ]
    return found


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    made = MemoryStore(clock=ManualClock(NOW)) if request.param == "memory" else sqlite(tmp_path)
    await made.open()
    await merge(made, *told())
    yield made
    await made.close()


QUESTIONS = {
    "failures": (failures_page, {}, lambda page: [one.id for one in page.groups]),
    "credits": (credits_page, {"by": "workflow", "step": "1d"}, lambda page: [one.labels for one in page.lines]),
    "charges": (charges_page, {"by": "job"}, lambda page: [one.labels for one in page.lines]),
    "reruns": (reruns_page, {"by": "workflow"}, lambda page: [one.labels for one in page.lines]),
    "rightsizing": (rightsizing_page, {}, lambda page: [one.job for one in page.jobs]),
    "tests": (page_of_tests, {"lists": ("failing",)}, lambda page: [one.name for one in page.failing]),
    "query": (
        query_page,
        {"metric": "runs", "by": ("workflow",), "where": (), "step": "1d"},
        lambda page: [one.labels for one in page.groups],
    ),
    "series": (
        series_page,
        {"metric": "runs", "by": ("workflow",), "where": ()},
        lambda page: list(dict.fromkeys(str(one.labels) for one in page.rows)),
    ),
}


@pytest.mark.parametrize(("ask", "words", "rows"), QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("length", ["window", "since"])
async def test_a_ranking_does_not_move_between_pages(store, ask, words, rows, length):
    """What would be overtaken meanwhile is on the next page, of the window of the first one."""
    now, later = (
        read_window(**{"since": None, "until": None, "window": None, length: "7d"}, now_ms=at) for at in (NOW, LATER)
    )
    whole = await ask(Lens(store, NOW), window=now, limit=500, **words)
    assert (2, None) == (len(rows(whole)), whole.next)
    first = await ask(Lens(store, NOW), window=now, limit=1, **words)
    second = await ask(Lens(store, LATER), window=later, limit=1, cursor=first.next, **words)
    assert rows(whole) == rows(first) + rows(second)
    assert (whole.since, whole.until, None) == (second.since, second.until, second.next)
    anew = await ask(Lens(store, LATER), window=later, limit=500, **words)
    assert rows(whole)[1] == rows(anew)[0]
