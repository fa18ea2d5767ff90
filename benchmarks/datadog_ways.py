"""Three ways to get 10,000 logs to a Datadog, each in a process of its own: processor time, memory, import time.

`client`: the vendor's models and transport. `bytes`: our bytes through the connections of the vendor's client, whose
`request` would encode them once more, from threads, for it blocks. `ours`: our bytes and the engine's transport, as the
sink does. `python -m benchmarks.datadog_ways WAY URL` measures one and prints it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.jobs import Batches, batches, jobs
from benchmarks.report import Row, row
from headgate.core.ports import HttpReply, LogEntry
from headgate.testing.sinks import FakeVendor

WAYS = ("ours", "bytes", "client")
BATCH = 1_000
AT_ONCE = 4
ROUNDS = 3


def _signal(url: str) -> Any:
    from headgate.sinks.datadog import PLUGINS
    from headgate.testing.sink_harness import build_sink

    settings = {"api_key": "k" * 32, "endpoints": {"api": url, "logs": url, "events": url}, "signals": ["logs"]}
    return build_sink(PLUGINS[0], settings).signals()[0]


def _ours(url: str) -> Callable[[Batches], None]:
    from headgate.deliver.transport import HttpTransport, prepare

    signal = _signal(url)

    async def send(parts: Batches) -> None:
        transport, free = HttpTransport(), asyncio.Semaphore(AT_ONCE)

        async def one(part: Sequence[LogEntry]) -> None:
            async with free:
                reply = await transport.send(prepare(signal.encode(part)), signal.transport)
                signal.interpret(reply, part)

        await asyncio.gather(*map(one, parts))
        await transport.aclose()

    return lambda parts: asyncio.run(send(parts))


def _bytes(url: str) -> Callable[[Batches], None]:
    from datadog_api_client import ApiClient, Configuration

    from headgate.deliver.transport import prepare

    signal = _signal(url)

    def send(parts: Batches) -> None:
        with ApiClient(Configuration(host=url)) as client, ThreadPoolExecutor(AT_ONCE) as threads:
            pool = client.rest_client.pool_manager

            def one(part: Sequence[LogEntry]) -> None:
                wire = prepare(signal.encode(part))
                answer = pool.request(wire.method, wire.url, body=wire.body, headers=dict(wire.headers), retries=False)
                signal.interpret(HttpReply(answer.status, dict(answer.headers), answer.data), part)

            list(threads.map(one, parts))

    return send


def _client(url: str) -> Callable[[Batches], None]:
    from datadog_api_client import ApiClient, Configuration

    from benchmarks.encode_datadog import client_logs

    def send(parts: Batches) -> None:
        with ApiClient(Configuration(host=url, api_key={"apiKeyAuth": "k" * 32})) as client:
            for part in parts:
                client_logs(part, client)

    return send


def measure(way: str, url: str) -> dict[str, float]:
    """Processor milliseconds of one way, imports aside, and the most memory that the process had."""
    parts = batches(jobs(), BATCH)
    send = {"ours": _ours, "bytes": _bytes, "client": _client}[way](url)
    send(parts[:1])
    begin = time.process_time()
    send(parts)
    spent = (time.process_time() - begin) * 1000
    return {"ms": spent, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _import_ms(statement: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    done = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(ROUNDS)]
    return min(float(one.stdout) for one in done)


def run(*, long: bool) -> list[Row]:
    """Rows of all ways, and what importing the client costs."""
    del long
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            with FakeVendor("datadog", keep="none", max_age_seconds=0) as vendor:
                command = [sys.executable, "-m", "benchmarks.datadog_ways", way, vendor.url]
                done = subprocess.run(command, check=True, capture_output=True)
            found[way].append(json.loads(done.stdout))
    rows = []
    best = {way: {name: min(one[name] for one in all_of) for name in ("ms", "mb")} for way, all_of in found.items()}
    for way in WAYS:
        rows.append(row(f"10,000 logs, {way}", best[way]["ms"], "ms", peer=("client", best["client"]["ms"])))
        rows.append(row(f"10,000 logs, {way}", best[way]["mb"], "MB", peer=("client", best["client"]["mb"])))
    rows.append(row("import of the routes", _import_ms("import headgate.sinks._datadog_client"), "ms"))
    rows.append(row("import of the client's models", _import_ms("import datadog_api_client.v2.models"), "ms"))
    return rows


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
