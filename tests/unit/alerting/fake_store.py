"""The alert part of a store in a dictionary, with its promises: one change whole or not at all, keys stored once."""

import dataclasses

from headgate.alerting.history import History
from headgate.core.errors import StoreFull
from headgate.core.runrows import JobRow, RunRow, TestOutcome
from headgate.core.storeport import AlertChange, AlertRow

# Questions about facts, which history answers.
ASKED = {"runs_between", "jobs_between", "recent_runs", "series", "tallies", "in_flight", "test_outcomes"}


class FakeStore:
    """Rows, history, outbox and records in memory; `offered` has every outbox key, repeats too."""

    def __init__(self, now_ms=lambda: 0) -> None:
        self.now_ms = now_ms
        self.runs: list[RunRow] = []
        self.jobs: list[JobRow] = []
        self.outcomes: list[TestOutcome] = []
        self._given: tuple = ()
        self._facts = History([])
        self.rows: dict[str, AlertRow] = {}
        self.history: list[tuple[str, int, bytes]] = []
        self.outbox: dict[tuple[str, str], bytes] = {}
        self.offered: list[tuple[str, str]] = []
        self.records: dict[str, object] = {}
        self.changes: list[AlertChange] = []
        self.full = False

    async def alerts(self):
        return [dataclasses.replace(row, state_json=bytes(row.state_json)) for row in self.rows.values()]

    @property
    def facts(self) -> History:
        """What is told of the given runs, jobs and outcomes."""
        given = (tuple(self.runs), tuple(self.jobs), tuple(self.outcomes))
        if given != self._given:
            self._given, self._facts = given, History(*given)
        self._facts.now_ms = self.now_ms()
        return self._facts

    def __getattr__(self, name):
        if name not in ASKED:
            raise AttributeError(name)
        return getattr(self.facts, name)

    async def transition(self, change):
        if self.full:
            raise StoreFull("no space left")
        self.changes.append(change)
        self.rows |= {row.fingerprint: row for row in change.rows}
        for fingerprint in change.removed:
            self.rows.pop(fingerprint)
        self.history += change.history
        for one in change.outbox:
            notifier, key, payload = one.notifier, one.key, one.payload
            self.offered.append((notifier, key))
            self.outbox.setdefault((notifier, key), payload)
        self.records |= {record.id: record for record in change.records}
