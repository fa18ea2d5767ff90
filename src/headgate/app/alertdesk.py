"""What people decide about alerts, stored: acknowledgements and silences, each with its line of history.

Invariant: an alert is changed only while the engine is not between reading and writing it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, get_args

from headgate.alerting.listing import list_alerts
from headgate.alerting.silencing import (
    acknowledge,
    check_silence,
    expire,
    find_alert,
    list_silences,
    silence_line,
    silence_state,
)
from headgate.core.alertdata import Acknowledgement, Verdict
from headgate.core.clock import Clock
from headgate.core.messages import Acknowledging
from headgate.core.silences import Silence
from headgate.core.storeport import Store
from headgate.web.operations import Json, NewSilence, Problem

__all__ = ["AlertDesk", "acknowledging"]


def acknowledging(notifiers: Mapping[str, object]) -> frozenset[str]:
    """Names of those that tell their far side that somebody has seen an alert."""
    return frozenset(name for name, one in notifiers.items() if isinstance(one, Acknowledging))


@dataclass(frozen=True, slots=True)
class AlertDesk:
    """`turn`: gives what keeps the engine from working meanwhile.

    `passing`: notifiers that pass acknowledgements on; `wake`: something was written to the outbox.
    """

    store: Store
    clock: Clock
    turn: Callable[[], AbstractAsyncContextManager[Any]]
    passing: Callable[[], Collection[str]]
    wake: Callable[[], None]

    async def acknowledge(self, fingerprint: str, *, by: str, comment: str, verdict: str) -> Json:
        """The alert as listed. Raises Problem."""
        if not by.strip() or not comment.strip():
            raise Problem("refused", "say who acknowledges (by) and why (comment)")
        if verdict not in get_args(Verdict):
            raise Problem("refused", f"no verdict is called {verdict!r}; write good, noise or new_normal")
        said = Acknowledgement(by, self.clock.now_ms(), comment, verdict)  # type: ignore[arg-type]  # checked above
        async with self.turn():
            clocks = await self.store.outbox_groups(since_ms=said.at_ms)
            try:
                row = find_alert(await self.store.alerts(), fingerprint)
            except ValueError as exc:
                raise Problem("unknown", str(exc)) from exc
            try:
                change = acknowledge(row, said, self.passing(), clocks)
            except ValueError as exc:
                raise Problem("refused", str(exc)) from exc
            await self.store.transition(change)
        self.wake()
        return list_alerts(change.rows)[0]

    async def silences(self) -> list[Json]:
        """Silences as listed."""
        return list_silences(await self.store.silences(), self.clock.now_ms())

    async def silence(self, wanted: NewSilence) -> Json:
        """A new silence as listed. Raises Problem."""
        now_ms = self.clock.now_ms()
        made = Silence(0, wanted.matchers, wanted.starts_ms, wanted.ends_ms, wanted.author, wanted.comment)
        wrong = check_silence(made, now_ms)
        if wrong is not None:
            raise Problem("refused", wrong)
        line = silence_line(made, made.author, "silenced", made.comment)
        return await self._listed(await self.store.put_silence(made, line, at_ms=now_ms))

    async def expire(self, number: int, *, by: str, comment: str) -> Json:
        """The silence as listed, ended. Raises Problem."""
        if not by.strip() or not comment.strip():
            raise Problem("refused", "say who ends it (by) and why (comment)")
        now_ms = self.clock.now_ms()
        found = next((one for one in await self.store.silences() if one.id == number), None)
        if found is None:
            raise Problem("unknown", f"no silence {number}")
        if silence_state(found, now_ms) == "expired":
            raise Problem("refused", f"silence {number} has ended already")
        ended = expire(found, now_ms)
        return await self._listed(
            await self.store.put_silence(ended, silence_line(ended, by, "expired", comment), at_ms=now_ms)
        )

    async def _listed(self, number: int) -> Json:
        return next(one for one in await self.silences() if one["id"] == number)
