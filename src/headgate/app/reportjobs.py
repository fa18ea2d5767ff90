"""Scheduled reports: the files that come of the section `reports`, and who is sent them.

Invariant: a report is sent once: its message is keyed by its name and its period, so a retry stores no second one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from headgate import __version__
from headgate.alerting.mutetimes import zone
from headgate.app.atomicfile import in_one
from headgate.app.chores import Chore, Made
from headgate.app.filesections import ReportConfig, read_keep
from headgate.app.shelf import Shelf
from headgate.core.errors import ConfigError
from headgate.core.messages import payload_of
from headgate.core.storeport import AlertChange, OutboxEntry, Store
from headgate.insights.views.lens import Lens
from headgate.insights.views.periods import last_period
from headgate.insights.views.report import Of, report_page
from headgate.web.reviews import report_digest

__all__ = ["REPORT_SUFFIX", "Hints", "check_takers", "report_chores"]

REPORT_SUFFIX = "html"
# What readers must know of all figures, as that history is still read.
Hints = Callable[[], Awaitable[Sequence[str]]]


def check_takers(configs: Mapping[str, ReportConfig], takers: Mapping[str, bool]) -> None:
    """`takers`: notifier -> whether it takes digests. Raises ConfigError for one that does not."""
    problems = [
        f"reports.{name}.mail: {notifier!r} takes no digests"
        for name, config in configs.items()
        for notifier in config.mail
        if not takers.get(notifier)
    ]
    if problems:
        raise ConfigError(*problems)


def report_chores(
    configs: Mapping[str, ReportConfig], base: Path, store: Store, lens: Callable[[], Lens], hints: Hints
) -> list[Chore]:
    """Every configured report. `base`: where relative directories begin; `lens`: of this moment."""
    return [_chore(name, config, base, store, lens, hints=hints) for name, config in configs.items()]


def _chore(
    name: str, config: ReportConfig, base: Path, store: Store, lens: Callable[[], Lens], *, hints: Hints
) -> Chore:
    shelf = Shelf(base / config.to, name, (REPORT_SUFFIX,), read_keep(config.keep))

    async def make(due_ms: int) -> Made:
        where = zone(config.time_zone)
        window = last_period(config.every, due_ms, where)
        # Nothing of after the period may be missing from it, or be in it, because it is made late.
        page = await report_page(
            replace(lens(), now_ms=due_ms), every=config.every, window=window, of=Of(config.projects, config.teams)
        )
        digest = report_digest(page, __version__, name=name, hints=await hints(), where=where)

        async def send() -> None:
            payload = payload_of(digest)
            outbox = [OutboxEntry(notifier, digest.key, payload, due_ms) for notifier in config.mail]
            if outbox:
                await store.transition(AlertChange(outbox=outbox))

        path = shelf.file(window.since_ms, window.until_ms, REPORT_SUFFIX)
        return Made(path, in_one(digest.file.encode()), send, config.mail)

    return Chore("report", name, config.rhythm(), shelf, make)
