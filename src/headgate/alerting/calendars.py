"""Days on which nobody works: weekends and holidays in a time zone. Pure but for reading a file of dates while loading.

Invariant: a day is a day of the calendar's time zone, whatever the zone of the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

__all__ = ["Calendar", "read_dates"]

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are skipped. `holidays`: dates, empty where they are not skipped."""

    zone: ZoneInfo
    weekends: bool
    holidays: frozenset[date]

    def skips(self, at_ms: int) -> bool:
        """Whether a moment lies on a day without judgement."""
        day = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone).date()
        return (self.weekends and day.weekday() >= _SATURDAY) or day in self.holidays


def read_dates(path: Path) -> Sequence[date]:
    """Dates of a file, one a line (2026-12-25), `#` begins a remark. Raises ValueError that names the line, OSError."""
    found: list[date] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            found.append(date.fromisoformat(text))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {text!r} is not a date such as 2026-12-25") from error
    return found
