"""The jobs that the benchmarks of encoding give to a sink."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.core.ports import LogEntry
from headgate.core.record import Attribute
from headgate.testing.sink_harness import NOW_MS, make_entry

__all__ = ["RECORDS", "RUN", "Batches", "batches", "jobs"]

RECORDS = 10_000
RUN = "https://app.circleci.com/pipelines/github/acme/web/25/workflows/fda08377-fe7e-46b1-8992-3a7aaecac9c3"
Batches = Sequence[Sequence[LogEntry]]


def jobs(**more: Attribute) -> list[LogEntry]:
    """Finished jobs with all that is usually known of one, about 1.3 kB each, and `more` attributes."""
    return [
        make_entry(
            n,
            occurred_ms=NOW_MS - n * 10,
            project=f"gh/acme/p{n % 12}",
            cicd__pipeline__run__url__full=RUN,
            cicd__pipeline__task__name=f"job-{n % 8}",
            cicd__pipeline__task__run__url__full=f"{RUN}/jobs/{n}",
            circleci__author__login="octocat",
            circleci__commit__subject=f"Change number {n}",
            circleci__created_at="2026-11-20T09:59:56.000Z",
            circleci__credits=120,
            circleci__job__contexts=["aws", "deploy"],
            circleci__pipeline__number=n // 8,
            circleci__queue_ms=4200 + n,
            circleci__resource_class="medium",
            circleci__started_at="2026-11-20T10:00:00.000Z",
            circleci__stopped_at="2026-11-20T10:02:10.000Z",
            vcs__ref__head__revision="1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
            vcs__repository__url__full="https://github.com/acme/web",
            **more,
        )
        for n in range(RECORDS)
    ]


def batches(entries: Sequence[LogEntry], size: int) -> list[Sequence[LogEntry]]:
    """The records as the engine would cut them."""
    return [entries[n : n + size] for n in range(0, len(entries), size)]
