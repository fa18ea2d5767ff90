"""Up to when projects are known: over restarts, while a source refuses us, and where webhooks alone tell of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from headgate.alerting.view import Watermark
from headgate.app.compose import build_plant
from headgate.app.engines import Engines
from headgate.app.settings import load
from headgate.app.watermarks import Marks
from headgate.core.clock import ManualClock
from headgate.core.discovery import MARK, Found, FoundProject
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, SourceCursor, Store
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.plugins import load_plugins
from headgate.store import MemoryStore, SqliteStore

NOW = 1_795_000_000_000
POLLED = {"type": "circleci", "token": "t", "orgs": ["gh/acme"], "poll": {"enabled": True}}
HEARD = {"type": "circleci", "webhook": {"secrets": ["a-secret"]}, "host": "server"}


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: Any, tmp_path: Path) -> AsyncIterator[Store]:
    clock, metrics = ManualClock(NOW), NullMetrics()
    one = MemoryStore(clock=clock) if request.param == "memory" else None
    found: Store = one or SqliteStore(tmp_path / "s.db", clock=clock, metrics=metrics)
    await found.open()
    yield found
    await found.close()


async def merged(store: Store, source: str, *observations: Observation, **more: Any) -> None:
    await store.merge_and_release(
        MergeWork(source, observations, ReleasePolicy("none"), NOW, NOW - 30 * DAY_MS, **more)
    )


def run(slug: str, stopped_ms: int, number: int = 0) -> Observation:
    fields = {"name": "build", "created_at": stopped_ms - 9_000, "stopped_at": stopped_ms, "status": "success"}
    key = f"00000000-0000-4000-8000-{crc32(slug.encode()):012x}"[:-3] + f"{number:03d}"
    return Observation("workflow", key, ProjectRef("server", slug, "gh/acme"), "webhook", NOW, True, fields)


def engines(store: Store, directory: Path, **sources: Any) -> Engines:
    file = directory / "headgate.yaml"
    file.write_text(json.dumps({"version": 1, "sources": sources, "sinks": {}}))
    configuration = load(load_plugins(), file=file, environ={})
    clock, metrics = ManualClock(NOW), NullMetrics()
    return Engines(configuration, store, build_plant(configuration, clock, metrics), clock, metrics)


def found(*slugs: str, gone: str = "") -> dict[str, bytes]:
    """What discovery stored."""
    projects = {slug: FoundProject("circleci.com", slug, "gh/acme", slug, gone=slug == gone) for slug in slugs}
    return {MARK: Found(projects).encode()}


async def test_what_was_found_before_a_restart_counts_until_the_source_answers(store: Store, tmp_path: Path) -> None:
    """However long it refuses us: each project up to its last complete walk, under the name of its own source."""
    cursor = SourceCursor("dark", "gh/acme/web", 7, None, NOW - HOUR_MS)
    await merged(
        store, "dark", marks=found("gh/acme/web", "gh/acme/new", "gh/acme/old", gone="gh/acme/old"), cursor=cursor
    )
    made = engines(store, tmp_path, dark=POLLED, heard=HEARD)
    assert {
        "gh/acme/web": Watermark("dark", NOW - HOUR_MS),
        "gh/acme/new": Watermark("dark", None),
    } == await made._watermarks("runs")
    await made.aclose()


async def test_a_project_that_only_sends_webhooks_is_known_while_its_runs_are_kept(
    store: Store, tmp_path: Path
) -> None:
    """However much others run meanwhile; not what is longer ago, nor what a source that polls has found and lost."""
    await merged(store, "heard", run("gh/acme/quiet", NOW - 20 * DAY_MS), run("gh/acme/past", NOW - 500 * DAY_MS))
    await merged(store, "dark", run("gh/acme/old", NOW - DAY_MS), marks=found("gh/acme/old", gone="gh/acme/old"))
    await merged(store, "heard", *(run("gh/acme/busy", NOW - number, number) for number in range(600)))
    made = engines(store, tmp_path, dark=POLLED, heard={**HEARD, "poll": {"enabled": False}})
    for _ in range(2):
        marks = await made._watermarks("runs")
        assert {"gh/acme/quiet", "gh/acme/busy"} == set(marks)
        assert {Watermark("heard", NOW, since_ms=NOW)} == set(marks.values())
        await merged(store, "heard", run("gh/acme/quiet", NOW, 2))
    await merged(store, "heard", run("gh/acme/first", NOW))
    assert {"gh/acme/quiet", "gh/acme/busy", "gh/acme/first"} == set(await made._watermarks("runs"))
    await made.aclose()


async def test_a_source_that_has_nothing_to_poll_is_one_that_only_sends_webhooks(store: Store, tmp_path: Path) -> None:
    """As one without a token is, whatever its configuration says of polling; not one that takes no webhook."""
    await merged(store, "heard", run("gh/acme/web", NOW - DAY_MS))
    for config, expected in (
        (HEARD, {"gh/acme/web": Watermark("heard", NOW, since_ms=NOW)}),
        ({**HEARD, "webhook": {}}, {}),
    ):
        made = engines(store, tmp_path, heard=config)
        assert expected == await made._watermarks("runs")
        await made.aclose()


async def test_what_polling_told_and_no_longer_wants_is_not_taken_for_heard(store: Store, tmp_path: Path) -> None:
    """Neither by a source beside it that only sends webhooks, nor by one that has found nothing yet."""
    await merged(store, "removed", run("gh/acme/web", NOW - DAY_MS), run("gh/acme/moved", NOW - DAY_MS))
    await merged(store, "heard", run("gh/acme/moved", NOW - HOUR_MS, 1))
    made = engines(store, tmp_path, polled=POLLED, heard=HEARD)
    assert {"gh/acme/moved": Watermark("heard", NOW, since_ms=NOW)} == await made._watermarks("runs")
    await made.aclose()
    marks = Marks(store, ManualClock(NOW), retention_ms=30 * DAY_MS, polling=["removed"], hearing={})
    assert {} == await marks.of("runs", {"removed": {}})
