"""A Loki that remembers when each line came and whether its answer went out, and a clock over a file's growth.

Invariant: times are monotonic seconds of this process, so they can be held against the moments of a kill.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.e2e.harness import ancient_loki

from headgate.testing.sinks import FakeVendor


class Kill(NamedTuple):
    """One kill: the signal was sent, and the process was gone."""

    sent: float
    gone: float


class Arrival(NamedTuple):
    """One line reaching the fake, stored or folded. `request`: its number there."""

    at: float
    request: int
    record_id: str
    line: str


class RecordingLoki(FakeVendor):
    """A strict Loki of any age that keeps every arrival, repeats too, and which requests got no answer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__("loki", seed=seed, **ancient_loki())
        self.arrivals: list[Arrival] = []
        self.unanswered: set[int] = set()
        ledger = self._door.ledger
        add, note = ledger.add, ledger.note_request

        def remember_add(key: Any, record_id: str | None, native: dict[str, Any]) -> bool:
            self.arrivals.append(Arrival(time.monotonic(), ledger.stats.requests, str(record_id), native["line"]))
            return add(key, record_id, native)

        def remember_request(entry: dict[str, Any]) -> None:
            if entry["fault"] != "none" or entry["status"] >= 300:
                self.unanswered.add(entry["n"])
            note(entry)

        ledger.add = remember_add  # type: ignore[method-assign]  # this one ledger also tells us
        ledger.note_request = remember_request  # type: ignore[method-assign]  # the same

    def unexcused(self, kills: list[Kill], seconds: float) -> list[str]:
        """Repeats whose earlier arrival was answered, and not within `seconds` before a kill."""
        last: dict[str, Arrival] = {}
        found = []
        for one in self.arrivals:
            before = last.get(one.record_id)
            if before and before.request not in self.unanswered and not excused(before.at, kills, seconds):
                gap = min((kill.sent - before.at for kill in kills if kill.gone >= before.at), default=-1.0)
                found.append(f"{one.record_id}: again {one.at - before.at:.3f} s later; next kill after {gap:.3f} s")
            last[one.record_id] = one
        return found


def excused(at: float, kills: list[Kill], seconds: float) -> bool:
    """Whether something that was written at this moment may come again."""
    return any(kill.sent - seconds <= at <= kill.gone for kill in kills)


class Growth:
    """Looks at a file's size again and again, to tell later when each byte was written (at the latest)."""

    def __init__(self, path: Path, every_seconds: float = 0.01) -> None:
        self._path, self._every = path, every_seconds
        self._samples: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="growth", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.look()

    def look(self) -> None:
        """Note the size now."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if not self._samples or self._samples[-1][1] != size:
            self._samples.append((time.monotonic(), size))

    def written_at(self, offset: int) -> float:
        """When the file was first seen to be longer than `offset`."""
        return next(at for at, size in self._samples if size > offset)


def unexcused_lines(path: Path, grown: Growth, kills: list[Kill], seconds: float) -> list[str]:
    """Repeated lines of a file whose earlier writing was not within `seconds` before a kill."""
    grown.look()
    last: dict[bytes, float] = {}
    found, offset = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        at = grown.written_at(offset)
        offset += len(line)
        if line in last and not excused(last[line], kills, seconds):
            found.append(f"{line[:60]!r}: again {at - last[line]:.3f} s later")
        last[line] = at
    return found


def in_thread(work: Callable[[], None]) -> tuple[threading.Thread, list[BaseException]]:
    """Run something beside the test; what it raised is in the list."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  # handed to the test
            raised.append(exc)

    thread = threading.Thread(target=guarded, name="beside", daemon=True)
    thread.start()
    return thread, raised
