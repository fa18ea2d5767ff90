"""What of a request is noted, and how it gets into the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tests.unit.web.access.bench import ADMIN, COMMAND, PASSWORD, READER, Bench, basic, bearer

from headgate.core.clock import ManualClock
from headgate.core.errors import StoreFull
from headgate.core.trail import TrailEntry
from headgate.web.access.trail import LONGEST, Note, Trail, note, notes

OURS = {"x-headgate-request": "1"}
ENTRY = TrailEntry(1, "anna", "token", "10.0.0.1", "read", "/run/1", 200)


class Kept:
    """What was appended; `error` is raised in its place."""

    def __init__(self) -> None:
        self.entries: list[TrailEntry] = []
        self.error: Exception | None = None

    async def append(self, entries) -> None:
        """As the store."""
        if self.error is not None:
            raise self.error
        self.entries += entries


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def trail(kept):
    return Trail(kept.append, ManualClock())


def test_notes_of_a_request_are_kept_in_order():
    """The guard begins them, handlers add."""
    asked = SimpleNamespace(scope={})
    note(asked, "lost", "no guard asked for it")
    begun = notes(asked.scope)
    note(asked, "read", "run 1")
    note(asked, "export", "runs as csv")
    assert [Note("read", "run 1"), Note("export", "runs as csv")] == begun


async def test_entries_wait_for_a_flush_and_equal_ones_are_counted(trail, kept):
    """With the time of the first."""
    for number in range(5):
        trail.add(replace(ENTRY, at_ms=number))
    trail.add(replace(ENTRY, status=404))
    assert [] == kept.entries
    await trail.flush()
    await trail.flush()
    assert [replace(ENTRY, at_ms=0, times=5), replace(ENTRY, status=404)] == kept.entries


async def test_what_the_store_does_not_take_is_tried_again(trail, kept):
    """It waits, and what comes meanwhile too."""
    kept.error = StoreFull("full")
    trail.add(ENTRY)
    await trail.flush()
    trail.add(replace(ENTRY, at_ms=9))
    kept.error = None
    await trail.flush()
    assert [replace(ENTRY, times=2)] == kept.entries


async def test_what_does_not_fit_is_counted(trail, kept):
    """Memory is bounded whatever happens, and the trail says what it lacks."""
    kept.error = StoreFull("full")
    for number in range(10_003):
        trail.add(replace(ENTRY, about=str(number)))
    await trail.flush()
    kept.error = None
    await trail.flush()
    assert 10_001 == len(kept.entries)
    assert ("headgate", "lost", 3) == (kept.entries[-1].who, kept.entries[-1].action, kept.entries[-1].times)


async def test_texts_are_short_and_can_be_shown(trail, kept):
    """Whoever wrote them."""
    trail.add(replace(ENTRY, about="a\x1b[2Jb\n" + "x" * LONGEST))
    await trail.flush()
    [entry] = kept.entries
    assert entry.about.startswith("a?[2Jb?xxx")
    assert LONGEST == len(entry.about)


async def test_what_waits_at_the_end_is_kept(trail, kept):
    """A stop loses nothing."""
    running = asyncio.create_task(trail.run())
    await asyncio.sleep(0)
    trail.add(ENTRY)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert [ENTRY] == kept.entries


# -- through the guard


@pytest.fixture
async def bench():
    made = Bench()
    async with made.http:
        yield made


async def test_a_change_is_in_the_store_before_it_is_answered(bench):
    """Who, how known, from where, what, and what came of it."""
    await bench.http.post("/api/v1/deadletters/replay", headers=basic("anna", PASSWORD) | OURS)
    expected = TrailEntry(
        bench.clock.now_ms(), "anna", "password", "192.0.2.1", "POST", "/api/v1/deadletters/replay", 200
    )
    assert [expected] == bench.entries


async def test_a_change_that_the_role_forbids_is_kept_too(bench):
    """With its status; one of nobody is not, so that strangers cannot fill the store."""
    await bench.http.post("/api/v1/reload", headers=bearer(READER) | OURS)
    await bench.http.post("/api/v1/reload", headers=OURS)
    assert [("reader", "POST", 403)] == [(one.who, one.action, one.status) for one in bench.entries]


@pytest.mark.parametrize(
    "path",
    [
        "/run/abc",
        "/api/v1/tail?limit=3",
        "/api/v1/explain/x",
        "/api/v1/insights/run?run=a",
        "/api/v1/deadletters",
        "/api/v1/deaddeliveries",
        "/api/v1/trail?limit=5",
    ],
)
async def test_who_reads_of_a_person_is_kept(bench, path):
    """Reading does not wait for it."""
    await bench.http.get(path, headers=bearer(COMMAND) | {"x-headgate-user": "erik"})
    await bench.http.get("/api/v1/status", headers=bearer(COMMAND))
    assert [] == bench.entries
    await bench.trail.flush()
    assert [("erik", "command", "read", path)] == [(one.who, one.via, one.action, one.about) for one in bench.entries]


UUID = "33333333-3333-4333-8333-333333333333"


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/explain?query={'a' * 400}/{UUID}",
        f"/api/v1/explain?query={'%C3%A9' * 400}/{UUID}",
        f"/api/v1/explain?query={''.join(f'%{ord(one):02X}' for one in UUID)}",
        f"/api/v1/explain/{'a' * 1000}{UUID}",
    ],
    ids=["behind much", "behind much that is written long", "written otherwise", "in the path"],
)
async def test_what_is_read_is_in_the_trail_however_it_is_asked_for(bench, path):
    """An entry is not cut where the id stands, and says it in plain words."""
    assert 200 == (await bench.http.get(path, headers=bearer(READER))).status_code
    await bench.trail.flush()
    (entry,) = bench.entries
    assert entry.about.endswith(UUID)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"/api/v1/explain?query={'a' * LONGEST}{UUID}"), ("POST", f"/silences/{'0' * LONGEST}5/expire")],
)
async def test_what_would_not_be_in_the_trail_whole_is_refused(bench, method, path):
    """No handler hears of it; what nobody is told of may be as long as it likes."""
    answer = await bench.http.request(method, path, headers=bearer(ADMIN) | OURS)
    assert (414, "long", []) == (answer.status_code, answer.json()["error"], bench.done)
    assert 200 == (await bench.http.get("/api/v1/status?" + "a" * LONGEST, headers=bearer(ADMIN))).status_code


async def test_a_handler_says_in_its_own_words_what_it_does(bench):
    """Then nothing is noted beside."""
    await bench.log_in(ADMIN)
    assert [("root", "session", "login", "root", 303)] == [
        (one.who, one.via, one.action, one.about, one.status) for one in bench.entries
    ]


async def test_no_secret_is_in_the_trail(bench):
    """Whatever was tried with it."""
    for headers in (bearer(ADMIN), bearer("wrong-secret"), basic("anna", PASSWORD), basic("anna", "wrong-secret")):
        await bench.http.get("/run/1", headers=headers)
        await bench.http.post("/api/v1/reload", headers=headers | OURS)
    await bench.log_in("wrong-secret", "my-name-or-password")
    await bench.trail.flush()
    shown = repr(bench.entries)
    assert bench.entries
    assert not any(one in shown for one in (ADMIN, PASSWORD, "wrong-secret", "my-name-or-password"))
