"""Encoding and compressing 10,000 jobs for Sumo Logic, in batches of its size, on one core.

The vendor has no client for its HTTP sources. The peer is what a script would do with the same documents, mapped and at
hand: `json.dumps` and `gzip` of the standard library, at the level that both use.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from functools import partial

import orjson

from benchmarks.jobs import RECORDS, RUN, Batches, batches
from benchmarks.report import Row, row
from headgate.core.packing import pack
from headgate.core.ports import HttpSignal, LogEntry
from headgate.sinks.sumologic import PLUGINS
from headgate.testing.sink_harness import NOW_MS, build_sink, make_entry

BATCH = 1_000


def _entry(number: int) -> LogEntry:
    return make_entry(
        number,
        occurred_ms=NOW_MS + number,
        project=f"gh/acme/p{number % 12}",
        cicd__pipeline__task__name=f"job-{number % 8}",
        cicd__pipeline__task__run__url__full=f"{RUN}/jobs/{number}",
        circleci__author__login="octocat",
        circleci__commit__subject="Change something",
        circleci__queue_ms=4200,
        circleci__resource_class="large",
        circleci__started_at="2026-11-20T10:00:00.000Z",
        circleci__stopped_at="2026-11-20T10:02:10.000Z",
        vcs__ref__head__revision="1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
    )


def _best_ms(work: Callable[[], object], times: int) -> float:
    """Processor time of the cheapest of some runs, milliseconds: a busy machine only ever adds."""
    taken = []
    for _ in range(times):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken) * 1000


def run(*, long: bool = False) -> list[Row]:
    """One row a signal."""
    times = 20 if long else 5
    parts = batches([_entry(number) for number in range(RECORDS)], BATCH)
    rows: list[Row] = []
    for name in ("logs", "metrics", "job_feed"):
        settings = {"url": "http://127.0.0.1:1/receiver/v1/http/code", "signals": [name]}
        signal = build_sink(PLUGINS[0], settings).signals()[0]
        assert isinstance(signal, HttpSignal)
        peer = None if name == "metrics" else ("json.dumps and gzip, mapped already", _dumped_ms(signal, parts, times))
        taken = _best_ms(partial(_encoded, signal, parts), times)
        rows.append(row(f"Sumo Logic {name}: encode and gzip {RECORDS:,} jobs", taken, "ms", peer=peer))
    return rows


def _encoded(signal: HttpSignal, parts: Batches) -> None:
    for batch in parts:
        request = signal.encode(batch)
        assert request is not None
        pack(request.body)


def _dumped_ms(signal: HttpSignal, parts: Batches, times: int) -> float:
    requests = [signal.encode(batch) for batch in parts]
    documents = [[orjson.loads(line) for line in request.body.splitlines()] for request in requests if request]

    def dump() -> None:
        for batch in documents:
            gzip.compress("".join(json.dumps(document) + "\n" for document in batch).encode(), 1)

    return _best_ms(dump, times)
