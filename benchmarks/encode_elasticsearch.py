"""Bulk bodies of 10,000 records: ours, beside the official helper with its default serializer.

The helper is given documents that are read and mapped already, so its share is expanding and writing alone; ours reads
the stored bytes and maps them too. CPU time of one thread, rounds in turn.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from statistics import median
from time import thread_time

import orjson

from benchmarks.jobs import RECORDS, RUN, batches
from benchmarks.report import Row, row
from headgate.core.packing import pack
from headgate.core.ports import LogEntry
from headgate.sinks import elasticsearch
from headgate.sinks.elasticsearch import ElasticsearchSignal
from headgate.testing.sink_harness import build_sink, make_entry

BATCH = 1_000


def entries() -> list[LogEntry]:
    """Jobs as CircleCI tells them, 1.2 kB each, no two alike."""
    return [
        make_entry(
            number,
            cicd__pipeline__run__url__full=RUN,
            cicd__pipeline__task__run__url__full=f"{RUN}/jobs/{number}",
            circleci__author__login=f"octocat{number % 50}",
            circleci__commit__subject=f"Make the page of orders faster, step {number}",
            circleci__created_at="2026-11-20T09:59:56.000Z",
            circleci__credits=number % 400,
            circleci__queue_ms=number % 60_000,
            circleci__started_at="2026-11-20T10:00:00.000Z",
            circleci__stopped_at="2026-11-20T10:02:10.000Z",
            vcs__ref__head__revision=f"{number:040x}",
        )
        for number in range(RECORDS)
    ]


def run(*, long: bool) -> list[Row]:
    """Microseconds a record for encoding, and for encoding and compressing; the target is half of the helper's."""
    parts = batches(entries(), BATCH)
    signal = build_sink(elasticsearch.PLUGINS[0], {"hosts": ["http://127.0.0.1:1"]}).signals()[0]
    assert isinstance(signal, ElasticsearchSignal)
    actions = [_actions(signal.encode(batch)) for batch in parts]
    assert all(_same(signal.encode(batch), _by_helper(given)) for batch, given in zip(parts, actions, strict=True))
    rounds = 41 if long else 11
    plain = _in_turn(
        lambda: [signal.encode(batch) for batch in parts], lambda: [_by_helper(given) for given in actions], rounds
    )
    packed = _in_turn(
        lambda: [pack(signal.encode(batch)) for batch in parts],
        lambda: [gzip.compress(_by_helper(given)) for given in actions],
        max(3, rounds // 5),
    )
    return [_judged("Elasticsearch bulk body", *plain), _judged("Elasticsearch bulk body, gzip", *packed)]


def _judged(name: str, ours: float, helper: float) -> Row:
    return row(name, ours, "µs a record", peer=("official helper", helper), target="<= 0.5", met=ours / helper <= 0.5)


def _actions(body: bytes) -> list[dict[str, object]]:
    """What a user of the helper would hand to it."""
    lines = [orjson.loads(line) for line in body.splitlines()]
    return [
        {"_op_type": "create", **action["create"], "_source": document}
        for action, document in zip(lines[::2], lines[1::2], strict=True)
    ]


def _by_helper(actions: list[dict[str, object]]) -> bytes:
    """The helper's own path up to the body: expand, serialize, chunk."""
    from elasticsearch.helpers.actions import _ActionChunker, expand_action
    from elasticsearch.serializer import JsonSerializer

    chunker = _ActionChunker(chunk_size=BATCH, max_chunk_bytes=100 << 20, serializer=JsonSerializer())
    for action in actions:
        chunker.feed(*expand_action(action))
    return b"\n".join([*chunker.bulk_actions, b""])


def _same(ours: bytes, theirs: bytes) -> bool:
    return [*map(orjson.loads, ours.splitlines())] == [*map(orjson.loads, theirs.splitlines())]


def _in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Medians of both, one after the other in each round, in microseconds a record."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, kept in zip((ours, theirs), times, strict=True):
            begin = thread_time()
            work()
            kept.append((thread_time() - begin) / RECORDS * 1e6)
    return median(times[0]), median(times[1])
