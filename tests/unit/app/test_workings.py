"""What a daemon tells of itself: parts of the store, what is proven by hour, who is told, notifiers that fail."""

import asyncio

import pytest
from pydantic import TypeAdapter

from headgate.app.operations import StoreOperations
from headgate.app.running import Running
from headgate.app.settings import load
from headgate.collect.audit_state import AuditMark, Tally
from headgate.core.clock import ManualClock
from headgate.core.messages import payload_of
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import AlertChange, MergeWork, OutboxEntry
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.plugins import load_plugins
from headgate.store import MemoryStore
from headgate.testing.notifier_suite import notification
from headgate.testing.store_data import NOW, merge, seen, workflow
from headgate.web.answers import NotifierAnswer
from headgate.web.operations import Problem
from headgate.web.workings_answers import CompletenessAnswer, DataAnswer, RoutingAnswer

REGISTRY = load_plugins()
FILE = """
version: 1
store: {{url: "sqlite://{folder}/h.db", retention: {{facts: 90d}}}}
sinks: {{out: {{type: jsonl, path: "-"}}}}
alerts:
  notifiers: {{mail: {{type: jsonl, path: "-"}}, pager: {{type: jsonl, path: "-"}}}}
  default: [mail]
  routes:
    - match: {{team: web}}
      routes: [{{match: [severity=~critical|error], to: [pager], continue: true, mute: [nights]}}]
  mute_times: {{nights: {{times: ["00:00-24:00"]}}, never: {{weekdays: [mon], times: ["03:00-03:01"]}}}}
  digests: {{daily: {{to: [mail]}}}}
"""


def described(model, answer):
    """The answer is as the document describes it, and no more."""
    known = TypeAdapter(model).validate_python(answer, strict=True)
    assert answer == TypeAdapter(model).dump_python(known, by_alias=True)


class Bench:
    """Operations over a store in memory. `slow`: how long it takes to look at its parts."""

    def __init__(self, folder) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryStore(clock=self.clock)
        file = folder / "h.yaml"
        file.write_text(FILE.format(folder=folder))
        configuration = load(REGISTRY, file=file, environ={})
        running = Running(sources=lambda: {"ci": None}, configuration=lambda: configuration)
        self.ask = StoreOperations(self.store, self.clock, running)


@pytest.fixture
async def bench(tmp_path):
    made = Bench(tmp_path)
    await made.store.open()
    return made


async def test_each_part_says_how_long_it_is_kept(bench):
    """As configured; steps go with facts, sums by day stay for ever."""
    await merge(bench.store, workflow(stopped_at=NOW - HOUR_MS))
    data = await bench.ask.data()
    described(DataAnswer, data)
    kept = {one["part"]: one["kept"] for one in data["parts"]}
    assert {
        "facts": "90d",
        "steps": "90d",
        "rollups_hour": "8d",
        "rollups_day": "",
        "sums": "",
        "log": "1w",
    }.items() <= kept.items()
    facts = next(one for one in data["parts"] if one["part"] == "facts")
    assert (format_ms(NOW - HOUR_MS), format_ms(NOW)) == (facts["newest"], data["measured_at"])
    assert {"kind": "notifier", "name": "jsonl", "used": ["mail", "pager"]} in data["plugins"]
    assert ["ci"] == [one["source"] for one in data["sources"]]


async def test_a_large_store_is_measured_beside(bench, monkeypatch):
    """Nobody waits for it; the next one who asks has it, and it holds for minutes."""
    ready, looks = asyncio.Event(), []
    parts = bench.store.parts

    async def slow():
        looks.append(1)
        await ready.wait()
        return await parts()

    monkeypatch.setattr(bench.store, "parts", slow)
    assert [] == (await bench.ask.data())["parts"]
    assert [] == (await bench.ask.data())["parts"]
    ready.set()
    assert (await bench.ask.data())["parts"]
    assert (await bench.ask.data())["parts"]
    assert 1 == len(looks)
    bench.clock.advance(3600)
    assert format_ms(NOW + HOUR_MS) == (await bench.ask.data())["measured_at"]


async def test_what_is_proven_is_told_by_hour(bench):
    """Complete, repaired, missing, nothing ran, not proven yet; the worst project first, the silent one last."""
    hour = NOW // HOUR_MS
    good = {f"runs {hour - 2}": Tally(3, 3), f"reruns {hour - 2}": Tally(1, 1), f"runs {hour - 1}": Tally(2, 1, 1)}
    marks = {
        "audit/a": AuditMark("gh/a/a", NOW - HOUR_MS // 2, hours=good).encode(),
        "audit/b": AuditMark("gh/a/b", NOW, hours={f"runs {hour - 1}": Tally(2, 1, 0, 1)}).encode(),
        "audit/c": AuditMark("gh/a/0", NOW).encode(),
        "audit/d": AuditMark("gh/a/d").encode(),
    }
    await bench.store.merge_and_release(MergeWork("ci", (), ReleasePolicy(), NOW, NOW, marks=marks))
    proven = await bench.ask.completeness()
    described(CompletenessAnswer, proven)
    assert (24, format_ms(hour * HOUR_MS)) == (len(proven["hours"]), proven["hours"][-1])
    assert ["gh/a/b", "gh/a/a", "gh/a/0"] == [one["project"] for one in proven["projects"]]
    cells = {one["project"]: [cell and cell["state"] for cell in one["cells"]][-3:] for one in proven["projects"]}
    later = "nothing" if NOW - HOUR_MS // 2 > hour * HOUR_MS else None
    silent = {"gh/a/0": ["nothing"] * 3}
    assert {"gh/a/a": ["complete", "repaired", later], "gh/a/b": ["nothing", "missing", "nothing"], **silent} == cells
    assert 4 == proven["projects"][1]["cells"][-3]["expected"]


async def test_what_is_proven_is_told_by_day(bench):
    """From what audits left, however long ago; what was not audited, as far as is known, is not called complete."""
    today = NOW // DAY_MS * DAY_MS
    figures = {"expected": 5, "present": 4, "repaired": 0, "unrepairable": 1, "unannounced": 2}
    for back in (0, 3, 40):
        hour = today - back * DAY_MS
        fields = {"what": "runs", "hour": hour, **figures}
        await merge(bench.store, seen("audit", f"runs|{hour}", fields, source="audit", terminal=True))
    marks = {"audit/a": AuditMark("gh/acme/web", NOW).encode(), "audit/b": AuditMark("gh/a/b", NOW).encode()}
    await bench.store.merge_and_release(MergeWork("ci", (), ReleasePolicy(), NOW, NOW, marks=marks))
    week, month = await bench.ask.completeness("7d"), await bench.ask.completeness("30d")
    for proven, count in ((week, 7), (month, 30)):
        described(CompletenessAnswer, proven)
        assert ("1d", count, format_ms(today)) == (proven["step"], len(proven["hours"]), proven["hours"][-1])
        (one,) = proven["projects"]
        assert ("gh/acme/web", 10, 2, 4) == (one["project"], one["expected"], one["unrepairable"], one["unannounced"])
        states = [cell and cell["state"] for cell in one["cells"]]
        assert [None, "missing", "nothing", "nothing", "missing"] == states[-5:]
    assert week is await bench.ask.completeness("7d")
    bench.clock.advance(61)
    assert week is not await bench.ask.completeness("7d")


async def test_who_is_told_is_as_configured_and_as_it_holds_now(bench):
    """Routes within routes, the mute time that holds, digests."""
    found = await bench.ask.routing()
    described(RoutingAnswer, found)
    assert [(0, ["team=web"], None), (1, ["severity=~critical|error"], ["pager"])] == [
        (one["depth"], one["match"], one["to"]) for one in found["routes"]
    ]
    assert [("never", False), ("nights", True)] == [(one["name"], one["holds"]) for one in found["mute_times"]]
    assert (["mail"], [{"name": "daily", "to": ["mail"]}], True) == (
        found["default"],
        found["digests"],
        found["routes"][1]["continue"],
    )


async def test_without_a_daemon_there_is_no_configuration(bench):
    """It is refused, with what to do."""
    alone = StoreOperations(bench.store, bench.clock)
    for ask in (alone.routing, alone.configuration, alone.data):
        with pytest.raises(Problem, match="headgate run"):
            await ask()


async def test_status_tells_of_notifiers_that_fail(bench):
    """Ok, retrying with its last error and age, failing since a message was given up."""
    entries = [OutboxEntry(name, key, payload_of(notification()), NOW) for name, key in [("mail", "a"), ("pager", "b")]]
    await bench.store.transition(AlertChange(outbox=entries))
    mail, pager = await bench.store.outbox_due(now_ms=NOW, limit=9)
    await bench.store.outbox_retry([pager.id], due_ms=NOW + HOUR_MS, error="answered 503")
    bench.clock.advance(60)
    found = (await bench.ask.status())["notifiers"]
    described(dict[str, NotifierAnswer], found)
    assert ("ok", 1, 60.0, None) == tuple(
        found["mail"][key] for key in ("state", "waiting", "lag_seconds", "last_error")
    )
    assert ("retrying", 60.0, "answered 503") == tuple(
        found["pager"][key] for key in ("state", "lag_seconds", "last_error")
    )
    await bench.store.outbox_dead([mail.id], error="no such channel", at_ms=NOW + 1)
    mail = (await bench.ask.status())["notifiers"]["mail"]
    assert ("failing", 0, 1, "no such channel", format_ms(NOW + 1)) == tuple(
        mail[key] for key in ("state", "waiting", "dead", "last_error", "failing_since")
    )
