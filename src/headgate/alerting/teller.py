"""Gathers how things stand from the store and turns the steps of a pass into the one change that it writes.

Invariant: keeps nothing that must survive; what it remembers only saves questions to the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from headgate.alerting.change import Subject, Telling, build_change
from headgate.alerting.digest import Health, count_run, digest_of
from headgate.alerting.digestplan import DigestPlan
from headgate.alerting.inhibition import Firing
from headgate.alerting.matching import seen_labels
from headgate.alerting.routes import Routes
from headgate.alerting.silencing import Silences
from headgate.core.alertdata import Alert, AlertState, Step
from headgate.core.alerts import accept
from headgate.core.messages import payload_of
from headgate.core.runs import run_pages
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry, Store
from headgate.core.times import DAY_MS

__all__ = ["Teller"]

_Known = Mapping[str, tuple[AlertRow, Alert]]
_FIRES = (AlertState.FIRING, AlertState.RECOVERING)
# A digest that could not be written for so long is not written any more: the next one is near.
_DIGEST_LATE_MS = DAY_MS
_HISTORY = 100_000  # lines of history that one digest reads at most


def _accepted(subject: Subject) -> Subject:
    """The subject as it is where somebody said that what it is about is normal from now on."""
    alert, said = subject.step.alert, subject.step.alert.acknowledged
    if said is None or said.verdict != "new_normal" or alert.state not in _FIRES:
        return subject
    made = accept(alert, alert.at_ms)
    moves = (*subject.step.transitions, *made.transitions)
    return replace(subject, step=Step(made.alert, moves, made.notify, made.reason))


class Teller:
    """One per engine. `tenant`: host for records; `app_url`: of the provider's pages."""

    def __init__(self, store: Store, *, tenant: str, app_url: str) -> None:
        self._store, self._tenant, self._app_url = store, tenant, app_url
        self._old: dict[str, int] = {}
        self._written: dict[str, int] = {}

    async def change(
        self, subjects: Sequence[Subject], known: _Known, groups: Mapping[str, str], routes: Routes, now_ms: int
    ) -> AlertChange:
        """What a pass writes. `known`: stored alerts; `groups`: rule -> its group. Raises what the store raises."""
        subjects = [_accepted(subject) for subject in subjects]
        judged = {subject.fingerprint for subject in subjects}
        telling = Telling(
            routes,
            now_ms,
            self._tenant,
            self._app_url,
            silences=Silences.at(await self._store.silences(), now_ms),
            firing=[
                Firing(row.rule, seen_labels(row.rule, groups.get(row.rule, ""), row.labels))
                for name, (row, alert) in known.items()
                if name not in judged and alert.state in _FIRES
            ],
            clocks=await self._clocks(routes, now_ms),
            since=await self._since(routes, subjects, now_ms),
        )
        change = build_change(subjects, telling)
        digests = await self._digests(routes.digests, groups, now_ms)
        return replace(change, outbox=[*change.outbox, *digests]) if digests else change

    def written(self, routes: Routes, now_ms: int) -> None:
        """The change of a pass at `now_ms` is stored; its digests need not be made again."""
        self._written = {plan.name: plan.period(now_ms)[1] for plan in routes.digests}

    async def _clocks(self, routes: Routes, now_ms: int) -> Mapping[tuple[str, str], int]:
        longest_ms = routes.longest_interval_ms()
        return await self._store.outbox_groups(since_ms=now_ms - longest_ms) if longest_ms is not None else {}

    async def _since(self, routes: Routes, subjects: Sequence[Subject], now_ms: int) -> Mapping[str, int]:
        """First days of projects; the store is asked only while one that fires may be new."""
        quiet_ms = routes.longest_quiet_ms()
        firing = {subject.labels.get("project", "") for subject in subjects if subject.step.alert.state in _FIRES}
        unsure = [name for name in firing if name and now_ms - self._old.get(name, now_ms) < quiet_ms]
        if quiet_ms and unsure:
            self._old = dict(await self._store.projects_since())
        return self._old

    async def _digests(self, plans: Sequence[DigestPlan], groups: Mapping[str, str], now_ms: int) -> list[OutboxEntry]:
        """Entries of the digests that are due. A key that was stored before is not stored again, so each goes once."""
        entries: list[OutboxEntry] = []
        for plan in plans:
            period = plan.period(now_ms)
            if self._written.get(plan.name) == period[1] or now_ms - period[1] >= _DIGEST_LATE_MS:
                continue
            health = Health()
            async for page in run_pages(self._store, *period):
                for run in page:
                    count_run(health, run)
            history = await self._store.alert_history(None, _HISTORY)
            digest = digest_of(
                plan, period, history=history, rows=await self._store.alerts(), groups=groups, health=health
            )
            if digest is not None:
                payload = payload_of(digest)
                entries += [OutboxEntry(name, digest.key, payload, now_ms) for name in plan.to]
        return entries
