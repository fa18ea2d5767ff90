"""A closed-loop HTTP load generator: N keep-alive connections, one request in flight on each, one process, one core.

Requests are prebuilt bytes, so that what is measured is the server. Bounded by the number of requests.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.payloads import webhook_requests


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`rate`: answers per second. `p50_ms`, `p99_ms`, `max_ms`: from send to answer. `statuses`: code -> answers."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    statuses: dict[str, int]


def run_load(port: int, requests: Sequence[bytes], connections: int) -> LoadResult:
    """Send every request once over `connections` connections and wait for every answer."""
    poller = select.epoll()
    sockets: dict[int, socket.socket] = {}
    started: dict[int, int] = {}
    buffers: dict[int, bytes] = {}
    pending = iter(requests)
    latencies: list[int] = []
    statuses: dict[str, int] = {}
    begin = time.perf_counter_ns()
    for request in (next(pending) for _ in range(min(connections, len(requests)))):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fd = sock.fileno()
        sockets[fd] = sock
        buffers[fd] = b""
        poller.register(fd, select.EPOLLIN)
        started[fd] = time.perf_counter_ns()
        sock.send(request)
    clock = time.perf_counter_ns
    while sockets:
        for fd, _ in poller.poll(10):
            sock = sockets[fd]
            data = buffers[fd] + sock.recv(65536)
            head = data.find(b"\r\n\r\n")
            if head < 0 or len(data) < head + 4 + _length(data[:head]):
                buffers[fd] = data
                continue
            now = clock()
            latencies.append(now - started[fd])
            status = data[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
            buffers[fd] = b""
            following = next(pending, None)
            if following is None:
                poller.unregister(fd)
                sockets.pop(fd).close()
                continue
            started[fd] = now
            sock.send(following)
    seconds = (time.perf_counter_ns() - begin) / 1e9
    latencies.sort()
    return LoadResult(
        rate=len(latencies) / seconds,
        p50_ms=latencies[len(latencies) // 2] / 1e6,
        p99_ms=latencies[int(len(latencies) * 0.99)] / 1e6,
        max_ms=latencies[-1] / 1e6,
        statuses=statuses,
    )


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        return 0
    end = lower.find(b"\r\n", at)
    return int(lower[at + 15 : end if end > 0 else None])


def spawn_load(port: int, *, count: int, connections: int, secret: str, path: str, start: int = 0) -> LoadResult:
    """`run_load` of signed webhooks in a process of its own, as a neighbour of the server on the same machine."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", str(port), str(count), str(connections), secret, path, str(start)],
        check=True,
        capture_output=True,
        timeout=600,
        cwd=Path(__file__).resolve().parents[1],
    )
    return LoadResult(**json.loads(done.stdout))


def main() -> None:
    """Command form: PORT COUNT CONNECTIONS SECRET PATH START; prints the result as JSON."""
    port, count, connections, secret, path, start = sys.argv[1:]
    result = run_load(int(port), webhook_requests(int(count), secret, path, start=int(start)), int(connections))
    print(json.dumps({name: getattr(result, name) for name in LoadResult.__slots__}))


if __name__ == "__main__":
    main()
