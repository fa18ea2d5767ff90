"""Reports that people ask for: one made now, and those that were saved.

Invariant: only files that a configured report made are read, by names that its directory lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from headgate import __version__
from headgate.app.reportjobs import Hints
from headgate.app.shelf import Kept, Shelf
from headgate.core.times import format_ms
from headgate.insights.views.lens import Lens
from headgate.insights.views.periods import last_period
from headgate.insights.views.refusal import Refused
from headgate.insights.views.report import Of, ReportEvery, report_page
from headgate.insights.views.window import Window, read_window
from headgate.web.operations import Json, Problem, WantedReport
from headgate.web.reviews import report_html
from headgate.web.shared import Shared

__all__ = ["SHARED_SECONDS", "ReportDesk"]


# Whoever gets a mail about a review opens it, all of them on the same morning.
SHARED_SECONDS = 60.0
_SHARED_MOST = 16


class ReportDesk:
    """`shelves`: where the files of each configured report are; `lens`: of this moment; `hints`: about all figures."""

    def __init__(self, lens: Callable[[], Lens], shelves: Callable[[], Mapping[str, Shelf]], hints: Hints) -> None:
        self._lens = lens
        self._hints = hints
        self._shelves = shelves
        self._made = Shared(self._make, SHARED_SECONDS, _SHARED_MOST)

    async def make(self, wanted: WantedReport) -> str:
        """The review of the last whole week or month before a time, as HTML, a minute old at most. Raises Problem."""
        now_ms = self._lens().now_ms
        try:
            # Read as the end of a window is, which says what a time may look like.
            until_ms = read_window(None, wanted.until, None, now_ms=now_ms).until_ms if wanted.until else now_ms
            window = last_period(wanted.every, until_ms, ZoneInfo("UTC"))
            return await self._made.get((wanted.every, window, Of(wanted.projects, wanted.teams)))
        except Refused as exc:
            valid = f"; valid: {', '.join(exc.valid)}" if exc.valid else ""
            raise Problem("unknown" if exc.missing else "refused", f"{exc}{valid}") from exc

    async def _make(self, which: tuple[ReportEvery, Window, Of]) -> str:
        """Raises Refused."""
        every, window, of = which
        page = await report_page(self._lens(), every=every, window=window, of=of)
        return report_html(page, __version__, await self._hints())

    async def saved(self) -> list[Json]:
        """Saved reports, the newest first."""
        found: list[tuple[str, Kept]] = []
        for name, shelf in self._shelves().items():
            found += [(name, one) for one in await self._files(shelf)]
        found.sort(key=lambda pair: (-pair[1].until_ms, pair[0]))
        return [
            {"report": name, "file": one.path.name, "until": format_ms(one.until_ms), "bytes": one.bytes}
            for name, one in found
        ]

    async def read(self, name: str, file: str) -> str:
        """One of them. Raises Problem."""
        shelf = self._shelves().get(name)
        kept = [one for one in await self._files(shelf) if one.path.name == file] if shelf is not None else []
        if not kept:
            raise Problem("unknown", f"there is no report {name}/{file}; /reports lists those that are kept")
        try:
            return await asyncio.to_thread(kept[0].path.read_text, "utf-8")
        except OSError as exc:
            raise Problem("busy", f"{file}: {exc.strerror or exc}") from exc

    @staticmethod
    async def _files(shelf: Shelf) -> list[Kept]:
        try:
            return list(await asyncio.to_thread(shelf.files))
        except OSError as exc:
            raise Problem("busy", f"{shelf.folder}: {exc.strerror or exc}") from exc
