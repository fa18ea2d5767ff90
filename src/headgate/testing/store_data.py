"""Observations, deliveries and short cuts for tests of a store, made of one project, pipeline, workflow and job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import Delivery, Lane, LogEntry
from headgate.core.record import decode_record
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import (
    CursorView,
    MergeResult,
    MergeWork,
    SignalSpec,
    Store,
)

__all__ = [
    "AT_ONCE",
    "DAY",
    "JOB",
    "LOGS",
    "NOW",
    "PIPELINE",
    "PROJECT",
    "WORKFLOW",
    "approval",
    "cursor",
    "delivery",
    "job",
    "jobs",
    "made_id",
    "merge",
    "net_records",
    "pipeline",
    "read",
    "seen",
    "workflow",
]

NOW = 1_795_000_000_000
DAY = 86_400_000
AT_ONCE = ReleasePolicy("none")
PROJECT = ProjectRef("circleci.com", "gh/acme/web", "gh/acme", "11111111-1111-4111-8111-111111111111")
PIPELINE = "22222222-2222-4222-8222-222222222222"
WORKFLOW = "33333333-3333-4333-8333-333333333333"
JOB = "44444444-4444-4444-8444-444444444444"
LOGS = SignalSpec("loki", "logs", "http://loki")


def seen(
    kind: Any, key: str, values: Mapping[str, Any], *, source: str = "v2", observed_ms: int = NOW, **flags: bool
) -> Observation:
    """An observation about something of the project."""
    return Observation(
        kind=kind,
        key=key,
        project=PROJECT,
        source=source,
        observed_ms=observed_ms,
        terminal=flags.get("terminal", False),
        fields=dict(values),
        enriches=flags.get("enriches", False),
    )


def pipeline(key: str = PIPELINE, *, at: int = NOW, source: str = "v2", **more: Any) -> Observation:
    """A pipeline on branch main."""
    fields = {"number": 7, "created_at": NOW - 9_000, "ref_name": "main", "ref_type": "branch"} | more
    return seen("pipeline", key, fields, source=source, observed_ms=at)


def workflow(
    key: str = WORKFLOW, *, ended: bool = True, at: int = NOW, source: str = "webhook", **more: Any
) -> Observation:
    """A workflow, ended unless told otherwise."""
    fields = {"name": "build", "created_at": NOW - 8_000, "pipeline_id": PIPELINE, "status": "running"}
    if ended:
        fields |= {"status": "success", "stopped_at": NOW}
    return seen("workflow", key, fields | more, source=source, observed_ms=at, terminal=ended)


def job(
    key: str = JOB,
    *,
    ended: bool = True,
    at: int = NOW,
    source: str = "webhook",
    enriches: bool = False,
    **more: Any,
) -> Observation:
    """A job of that workflow, ended unless told otherwise."""
    fields = {"name": "test", "number": 41, "workflow_id": WORKFLOW, "started_at": NOW - 5_000, "status": "running"}
    if ended:
        fields |= {"status": "success", "stopped_at": NOW}
    return seen("job", key, fields | more, source=source, observed_ms=at, terminal=ended, enriches=enriches)


def made_id(kind: int, number: int) -> str:
    """An id like CircleCI's."""
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


def approval(number: int = 0, *, ended: bool = True, **more: Any) -> Observation:
    """An approval of that workflow, given unless told otherwise."""
    times = {"started_at": NOW - 4_000, "name": "ship?", "type": "approval"}
    words: dict[str, Any] = {"status": "success", "stopped_at": NOW - 1_000} if ended else {"status": "on_hold"}
    fields = {"workflow_id": WORKFLOW} | times | words | more
    return seen("job", made_id(4, number), fields, terminal=ended)


def jobs(ends: dict[int, str], **more: Any) -> list[Observation]:
    """One job for each end; it ran a second for each hour that it ended before `NOW`, at least one."""
    found = []
    for number, (at, status) in enumerate(ends.items()):
        began = at - 1_000 * max(1, (NOW - at) // (DAY // 24))
        told: dict[str, Any] = {"number": 100 + number, "status": status, "started_at": began, "stopped_at": at} | more
        found.append(job(made_id(5 + len(str(more.get("name", ""))), NOW - at), at=NOW, **told))
    return found


async def merge(
    store: Store, *seen: Observation, policy: ReleasePolicy = AT_ONCE, now: int = NOW, live_after: int = 0, **more: Any
) -> MergeResult:
    """Merge observations of source `ci`."""
    return await store.merge_and_release(MergeWork("ci", seen, policy, now, live_after, **more))


async def read(store: Store, lane: Lane = "live", after: int = 0, key: str = LOGS.key) -> list[LogEntry]:
    """Everything after a seq."""
    return list(await store.read_log(key, lane, after, limit=100_000, max_bytes=1 << 40))


def net_records(entries: list[LogEntry]) -> dict[str, dict[str, Any]]:
    """What a sink that applies amendments holds in the end: record id -> attributes."""
    held: dict[str, dict[str, Any]] = {}
    for entry in entries:
        record = decode_record(entry.body)
        attributes = dict(record.attributes)
        if record.kind == "amendment":
            amended = str(attributes.pop("headgate.amends"))
            attributes.pop("headgate.revision")
            held[amended] |= attributes
        else:
            held[record.id] = attributes
    return held


async def cursor(store: Store, key: str = LOGS.key) -> CursorView:
    """The live cursor of a signal."""
    return next(one for one in await store.cursors() if (one.signal, one.lane) == (key, "live"))


def delivery(number: int) -> Delivery:
    """A webhook that arrived `number` milliseconds after `NOW`."""
    return Delivery("ci", NOW + number, "job-completed", "application/json", b'{"n": %d}' % number)
