"""Headgate that probes a held signal twice a second, not once a minute: `python -m tests.e2e.impatient run -c FILE`."""

from __future__ import annotations

import sys
from typing import Any

from headgate.cli import main
from headgate.deliver.gate import Gate

_true_init = Gate.__init__


def _impatient(self: Gate, concurrency: int, **more: Any) -> None:
    _true_init(self, concurrency, **{**more, "probe_seconds": 0.5})


Gate.__init__ = _impatient  # type: ignore[method-assign]  # the one place that counts the minute

if __name__ == "__main__":
    sys.exit(main())
