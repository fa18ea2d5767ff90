"""Webhooks at a steady rate until killed: `python -m benchmarks.steady PORT START PER_SECOND BASE`."""

from __future__ import annotations

import sys
import time
from datetime import datetime

from benchmarks.daemon import HOOK, SECRET
from benchmarks.load import run_load
from benchmarks.payloads import webhook_requests

_CONNECTIONS = 32
_PARTS = 5  # of a second


def main() -> None:
    """Each fifth of a second its share; what cannot be sent in time is sent as fast as it goes."""
    port, start, per_second = map(int, sys.argv[1:4])
    base, some = datetime.fromisoformat(sys.argv[4]), per_second // _PARTS
    due = time.monotonic()
    while True:
        requests = webhook_requests(some, SECRET, HOOK, start=start, base=base)
        time.sleep(max(0.0, due - time.monotonic()))
        run_load(port, requests, _CONNECTIONS)
        start += some
        due = max(due + 1 / _PARTS, time.monotonic() - 1)


if __name__ == "__main__":
    main()
