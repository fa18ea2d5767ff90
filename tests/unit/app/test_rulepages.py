"""The rules in force and results of tests, from the store and over HTTP alike."""

import httpx
import pytest
from fastapi import FastAPI

from headgate.app.operations import StoreOperations
from headgate.app.remote import RemoteOperations
from headgate.app.rulepages import add_rule_pages
from headgate.app.running import Running
from headgate.core.clock import ManualClock
from headgate.store import MemoryStore
from headgate.testing.store_data import JOB, NOW, job, merge, pipeline, seen, workflow

TEXTS = [("rules.yaml", "version: 1"), ("more.yaml", "version: 2")]
SLUG = "gh/acme/web"


@pytest.fixture(params=["store", "api"])
async def ask(request):
    """Operations over a store with three results of two tests."""
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    await store.open()
    await merge(store, pipeline(revision="abc"), workflow(), job())
    for number, (test, word) in enumerate((("a", "pass"), ("a", "fail"), ("b", "pass"))):
        told = {"job_id": JOB, "name": test, "result": word, "run_ms": 10, "test_id": f"{test}" * 8, "stopped_at": NOW}
        await merge(store, seen("test_result", f"{number:032x}", told))
    direct = StoreOperations(store, clock, Running(rule_texts=lambda: TEXTS))
    if request.param == "store":
        yield direct
        return
    app = FastAPI()
    add_rule_pages(app, direct)
    remote = RemoteOperations("http://127.0.0.1", None, httpx.ASGITransport(app))
    yield remote
    await remote.aclose()


async def test_the_rules_in_force_are_told_with_their_files(ask):
    """In their order."""
    assert await ask.rule_texts() == [{"file": file, "text": text} for file, text in TEXTS]


async def test_results_of_tests_come_in_pages(ask):
    """Each begins after the last of the one before; those that failed can be had alone."""
    first = await ask.test_outcomes(SLUG, 0, NOW + 1, None, 1, failing=False)
    after = (first[0]["test_id"], first[0]["revision"])
    rest = await ask.test_outcomes(SLUG, 0, NOW + 1, after, 9, failing=False)
    assert [(one["name"], one["passed"], one["failed"]) for one in [*first, *rest]] == [("a", 1, 1), ("b", 1, 0)]
    assert [one["name"] for one in await ask.test_outcomes(SLUG, 0, NOW + 1, None, 9, failing=True)] == ["a"]
    assert await ask.test_outcomes(SLUG, 0, NOW, None, 9, failing=False) == []
