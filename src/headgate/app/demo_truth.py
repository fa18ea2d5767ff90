"""What the twin says that happened, held against what the daemon counts.

History comes from the usage export, which has the jobs that ran and no others; so jobs that were canceled or skipped
and approvals, of which only a walk tells, are left out on both sides. Invariant: the twin stands still meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from headgate.app.remote import RemoteOperations
from headgate.core.times import DAY_MS
from headgate.web.operations import Asked

__all__ = ["counted", "differences", "happened", "truth_of"]

_FAILED = frozenset({"failure", "error", "timeout"})
_ENDS = _FAILED | {"success"}  # of jobs that ran to an end


async def truth_of(twin: str) -> Counter[str]:
    """Ended workflows and jobs that ran, by kind, as the twin at that address tells them."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=120) as client,
        client.stream("GET", f"{twin}/_twin/truth") as reply,
    ):
        return happened([orjson.loads(line) async for line in reply.aiter_lines()])


def happened(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The lines of the truth that count, by kind."""
    return Counter(str(line["kind"]) for line in lines if line["kind"] == "workflow" or _ran(line["final"]))


def _ran(final: Mapping[str, Any]) -> bool:
    return final["circleci.job.type"] == "build" and final["headgate.status"] in _ENDS


async def counted(ask: RemoteOperations, now_ms: int) -> Counter[str]:
    """What the daemon counts: the same, off its API. Approvals may be successful jobs too, so a metric counts those."""
    ended = (await ask.overview())["ended"]
    asked = Asked(metric="success_rate_of_jobs", since=_day(now_ms - 400 * DAY_MS), until=_day(now_ms + DAY_MS))
    succeeded = sum(group["hits"] for group in (await ask.query(asked))["groups"])
    failed = sum(count for word, count in ended.get("job", {}).items() if word in _FAILED)
    return Counter(workflow=sum(ended.get("workflow", {}).values()), job=succeeded + failed)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).date().isoformat()


def differences(truth: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Where they do not agree, in words; empty when they do."""
    return [
        f"{kind}s: {found.get(kind, 0)} counted, {truth.get(kind, 0)} happened"
        for kind in ("workflow", "job")
        if found.get(kind, 0) != truth.get(kind, 0)
    ]
