"""Signed webhooks with values that nobody sends: each is kept or refused as unreadable, and nothing gets stuck."""

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.core.errors import Unparsable
from headgate.core.merge import Observation
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork
from headgate.sources.circleci import normalize
from headgate.sources.circleci.normalize import Context
from headgate.store import SqliteStore
from headgate.testing.store_data import NOW

SAMPLES = Path(__file__).parents[2] / "data" / "circleci" / "webhooks"
# JSON as it stands in the body.
VALUES = (
    r'"\u0000x"',
    r'"\ud800"',
    "1e400",
    "-1",
    "1.5",
    str((1 << 63) - 1),
    str(1 << 63),
    "true",
    "[[]]",
    '{"a": 1}',
    '" "',
    '"9999-12-31T99:99:99.999Z"',
    '"9999-12-31T23:59:59-23:59"',
    '"9999-12-31T23:59:59.999Z"',
    '"0001-01-01T00:00:00+23:59"',
    '"1969-12-31T23:59:59.999Z"',
)
WAITS = ReleasePolicy("batch", 60_000)


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*before, name)
        yield from _paths(inner, (*before, name))


def _body(sample: dict[str, Any], path: tuple[Any, ...], value: str, number: int) -> bytes:
    """The sample with one value replaced, about things of its own."""
    changed = copy.deepcopy(sample)
    for name in ("pipeline", "workflow", "job"):
        if isinstance(changed.get(name), dict):
            changed[name]["id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}{number}"))
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "@@@"
    return json.dumps(changed).replace('"@@@"', value).encode()


def _said(body: bytes) -> list[Observation]:
    try:
        return normalize.webhook(normalize.decode(body), Context("circleci.com", NOW, profile="batch"))
    except Unparsable:
        return []


@pytest.mark.parametrize("kind", ["job-completed", "workflow-completed"])
async def test_no_value_of_a_webhook_stops_the_store(store: SqliteStore, kind: str) -> None:
    """Every value in every place is merged, released when its wait is over, and shown."""
    found = (json.loads(path.read_bytes()) for path in sorted(SAMPLES.glob("*.json")))
    sample = next(one for one in found if one.get("type") == kind)
    number = 0
    for path in _paths(sample):
        seen: list[Observation] = []
        for value in VALUES:
            number += 1
            seen += _said(_body(sample, path, value, number))
        await store.merge_and_release(MergeWork("ci", seen, WAITS, NOW, 0))
    while (await store.release_due(WAITS, "ci", now_ms=NOW + 60_000, live_after_ms=0)).released:
        pass
    figures = await store.figures()
    assert figures.unreleased == 0
    assert sum(figures.log_head.values()) >= number // 2
    assert len(await store.recent_runs(50)) == (50 if kind == "workflow-completed" else 0)
