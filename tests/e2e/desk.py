"""What is behind the pages: operations over a store with an alert, a dead letter and a webhook set aside."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.hostile import EVIL
from tests.unit.insights import world
from tests.unit.insights.alarms import fired

from headgate.app.operations import StoreOperations
from headgate.app.running import Running
from headgate.app.settings import load
from headgate.core.clock import ManualClock
from headgate.core.messages import payload_of
from headgate.core.ports import Delivery
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import AlertChange, MergeWork, OutboxEntry, Outcomes, SignalSpec
from headgate.core.verdicts import Reject
from headgate.plugins import load_plugins
from headgate.store import SqliteStore
from headgate.testing.notifier_suite import notification

SECRET = "canary-secret-of-nobody"
CONFIGURATION = """
version: 1
store: {{url: "sqlite://{folder}/h.db"}}
sources: {{ci: {{type: circleci, token: "${{CI_TOKEN}}", orgs: [gh/acme]}}}}
sinks: {{loki: {{type: loki, url: "http://loki.example:3100/with/path", headers: {{x-key: "{secret}"}}}}}}
alerts:
  notifiers: {{pager: {{type: webhook, url: "https://pager.example/{secret}"}}, quiet: {{type: jsonl, path: "-"}}}}
  routes: [{{match: [severity=critical], to: [pager], mute: [nights]}}]
  mute_times: {{nights: {{times: ["00:00-24:00"]}}}}
"""


class Desk:
    """Use `prepare` for a site. `alert`: what fires, instead of one whose names are harmless."""

    def __init__(self, folder: Path, alert: AlertChange | None = None) -> None:
        self.alert = alert or fired()
        file = folder / "headgate.yaml"
        file.write_text(CONFIGURATION.format(folder=folder, secret=SECRET))
        environ = {"CI_TOKEN": SECRET + "-token"}
        self.configuration = load(load_plugins(), file=file, environ=environ)

    async def prepare(self, store: SqliteStore) -> StoreOperations:
        """Fill the store."""
        await store.transition(self.alert)
        told = [OutboxEntry("pager", "k", payload_of(notification()), world.NOW - 60_000)]
        await store.transition(AlertChange(outbox=told))
        [row] = await store.outbox_due(now_ms=world.NOW, limit=1)
        await store.outbox_retry([row.id], due_ms=world.NOW + 1000, error=f"refused {EVIL}")
        await store.open_signals([SignalSpec("loki", "logs", "http://loki", "retained")], now_ms=world.NOW)
        [entry] = await store.read_log("loki.logs", "backfill", 0, limit=1, max_bytes=10)
        reject = Reject("rejected", 400, f"no such field {EVIL}")
        dead = Outcomes("loki.logs", "backfill", entry.seq, dead=[(entry, reject, 2)], at_ms=world.NOW)
        await store.record_outcomes([dead])
        await store.accept([Delivery("ci", 1, "job-completed", "application/json", b'{"broken": ' + EVIL.encode())])
        [waiting] = await store.inbox(10)
        await store.merge_and_release(
            MergeWork("ci", (), ReleasePolicy(), world.NOW, 0, inbox_dead=[(waiting.id, "not_json")])
        )
        running = Running(sources=lambda: {"ci": None}, configuration=lambda: self.configuration)
        return StoreOperations(store, ManualClock(world.NOW), running)
