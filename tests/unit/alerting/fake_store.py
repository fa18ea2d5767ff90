"""The alert part of a store in a dictionary, with its promises: one change whole or not at all, keys stored once."""

import dataclasses

from headgate.core.errors import StoreFull
from headgate.core.storeport import AlertChange, AlertRow, RunRow


class FakeStore:
    """Rows, history, outbox and records in memory; `offered` has every outbox key, repeats too."""

    def __init__(self) -> None:
        self.runs: list[RunRow] = []
        self.rows: dict[str, AlertRow] = {}
        self.history: list[tuple[str, int, bytes]] = []
        self.outbox: dict[tuple[str, str], bytes] = {}
        self.offered: list[tuple[str, str]] = []
        self.records: dict[str, object] = {}
        self.changes: list[AlertChange] = []
        self.full = False

    async def alerts(self):
        return [dataclasses.replace(row, state_json=bytes(row.state_json)) for row in self.rows.values()]

    async def runs_between(self, since_ms, until_ms, *, after=None, limit):
        runs = [run for run in self.runs if since_ms <= run.stopped_ms < until_ms]
        runs.sort(key=lambda run: (run.stopped_ms, run.workflow_id))
        return [run for run in runs if after is None or (run.stopped_ms, run.workflow_id) > after][:limit]

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
