"""Headgate with a wall clock that a file moves: `python -m tests.e2e.jumpy OFFSET_FILE run -c FILE`.

The file holds seconds, which are added to the machine's time from the next look on; monotonic time is left alone, as
when NTP or an operator sets the clock.
"""

from __future__ import annotations

import sys
from pathlib import Path

from headgate.cli import main
from headgate.core.clock import SystemClock

_offset = Path(sys.argv.pop(1))
_true_ms = SystemClock.now_ms


def _jumped_ms(self: SystemClock) -> int:
    return _true_ms(self) + round(float(_offset.read_text()) * 1000)


SystemClock.now_ms = _jumped_ms  # type: ignore[method-assign]  # the one place that looks at the clock

if __name__ == "__main__":
    sys.exit(main())
