"""Up to when each project is known completely, as the alert engine asks it.

Invariant: a project is left out only where it is no longer collected. What a source found before it was asked again
counts, and so does a project that only sends webhooks and has been silent, while its runs are kept. What was polled
and is no longer wanted is not collected, whatever else webhooks tell of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headgate.alerting.view import Watermark, Watermarks
from headgate.app.creditmarks import credit_marks
from headgate.app.listening import Listening
from headgate.core.clock import Clock
from headgate.core.discovery import load_found
from headgate.core.storeport import Store
from headgate.core.tally import TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.metric import Family

__all__ = ["Marks"]

# A project that only sends webhooks and had no run for so long as runs are kept, or ever, is found among so many.
_RECENT = 500


class Marks:
    """Watermarks of all projects. Forget it when the configuration changes.

    `retention_ms`: how long runs are kept. `polling`: sources that have something to poll; `hearing`: those of the
    others that take webhooks, with the web application of each.
    """

    def __init__(
        self, store: Store, clock: Clock, *, retention_ms: int, polling: Collection[str], hearing: Mapping[str, str]
    ) -> None:
        self._store, self._clock = store, clock
        self._retention_ms = retention_ms
        self._polling = frozenset(polling)
        self.listening = Listening(store, clock, hearing)
        self._hearing = hearing
        # Hour and what polling knew in it; project -> source of its last run, where polling does not know it.
        self._heard: tuple[tuple[int, frozenset[str]], Mapping[str, str]] = ((0, frozenset()), {})

    async def of(self, family: Family, polled: Mapping[str, Mapping[str, int | None]]) -> Watermarks:
        """`polled`: source -> project -> start of its last complete walk.

        What a source that polls nothing told last, by webhooks alone, is known up to now.
        """
        marks = {
            slug: Watermark(name, complete_ms) for name, known in polled.items() for slug, complete_ms in known.items()
        }
        now_ms = self._clock.now_ms()
        if self._hearing:
            since = {source: await self.listening.since(source) for source in self._hearing}
            for slug, source in (await self._told(now_ms, await self._found())).items():
                if source in self._hearing:
                    marks.setdefault(slug, Watermark(source, now_ms, since_ms=since[source]))
        return await credit_marks(self._store, marks, now_ms) if family == "credits" else marks

    async def _found(self) -> frozenset[str]:
        """What is known by polling, with what is gone."""
        found = [await load_found(self._store, name) for name in self._polling]
        return frozenset(one.slug for each in found for one in each.projects.values())

    async def _told(self, now_ms: int, found: frozenset[str]) -> Mapping[str, str]:
        """Projects with runs that are kept and that polling does not know -> the source of the last run.

        Those of before this hour come from sums, which are asked for once an hour.
        """
        hour = now_ms // HOUR_MS
        if self._heard[0] != (hour, found):
            since_ms = (now_ms - self._retention_ms) // DAY_MS * DAY_MS
            slugs = [one.project for one in await self._store.projects() if one.project not in found]
            query = TallyQuery("workflow", dict.fromkeys(slugs, (since_ms, hour * HOUR_MS)), ("project",))
            heard = [slug for (slug,) in await self._store.tallies(query)]
            last = await self._store.newest_runs(dict.fromkeys(heard), since_ms=since_ms, before=(now_ms, ""), limit=1)
            self._heard = (hour, found), {run.project: run.source for run in last}
        newer = {run.project: run.source for run in reversed(await self._store.recent_runs(_RECENT))}
        return {slug: source for slug, source in {**self._heard[1], **newer}.items() if slug not in found}
