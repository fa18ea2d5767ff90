"""The alert part of a store in a dictionary, with its promises: one change whole or not at all, keys stored once."""

import dataclasses

from headgate.alerting.history import History
from headgate.core.errors import StoreFull
from headgate.core.runrows import JobRow, RunRow, TestOutcome
from headgate.core.silences import Silence, history_name
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry

# Questions about facts, which history answers.
ASKED = {
    "runs_between",
    "jobs_between",
    "recent_runs",
    "newest_runs",
    "series",
    "tallies",
    "in_flight",
    "test_outcomes",
}


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
        self.entries: list[OutboxEntry] = []
        self.silenced: dict[int, Silence] = {}
        self.failing: dict[str, tuple[int, int, str]] = {}
        self.since: dict[str, int] = {}

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
            if (notifier, key) not in self.outbox:
                self.entries.append(one)
            self.outbox.setdefault((notifier, key), payload)
        self.records |= {record.id: record for record in change.records}

    async def put_silence(self, silence, line, *, at_ms):
        number = silence.id or max(self.silenced, default=0) + 1
        self.silenced[number] = dataclasses.replace(silence, id=number)
        self.history.append((history_name(number), at_ms, line))
        return number

    async def silences(self):
        return list(self.silenced.values())

    async def outbox_groups(self, *, since_ms):
        found = {}
        for one in self.entries:
            if one.group and one.due_ms >= since_ms:
                found[one.notifier, one.group] = max(one.due_ms, found.get((one.notifier, one.group), 0))
        return found

    async def outbox_failing(self):
        return self.failing

    async def projects_since(self):
        return self.since

    async def alert_history(self, fingerprint, limit):
        return [line for line in reversed(self.history) if fingerprint in {None, line[0]}][:limit]
