"""A sink gets what its `records` section leaves of the log: passed over, shaped, and kept whole where it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.unit.deliver.driving import make_engine, running, until_drained
from tests.unit.deliver.fakes import BASE_MS, FakeSink, FakeStore, Figures, ScriptedSignal, entry, run_virtual

from headgate.core.ports import Limits, LogEntry
from headgate.core.record import decode_record
from headgate.core.shaping import Globs, Shaper, ShapingRules
from headgate.core.verdicts import Reject, SendResult
from headgate.testing.sink_harness import make_entry

FILTERED = "headgate_sink_filtered_total"
DEVELOP = {"vcs__ref__head__name": "develop"}


def subjects(entries: list[LogEntry]) -> list[object]:
    """Commit subjects as they arrived."""
    return [decode_record(one.body).attributes.get("circleci.commit.subject") for one in entries]


def test_two_sinks_get_different_things_of_one_log() -> None:
    """Each by its own section; what is filtered is passed over, counted, and no dead letter or skip."""

    async def scenario() -> None:
        rows = [
            make_entry(1, circleci__commit__subject="one", project="gh/acme/api"),
            make_entry(2, circleci__commit__subject="two"),
            make_entry(3, circleci__commit__subject="three", **DEVELOP),
            make_entry(4, kind="workflow", circleci__commit__subject="four"),
        ]
        store, figures = FakeStore(live=rows), Figures()
        web, private = ScriptedSignal(kinds=frozenset({"job"})), ScriptedSignal()
        shapers = {
            "web": Shaper(ShapingRules(projects=Globs(("*/web",)), branches=Globs(exclude=("develop",)))),
            "private": Shaper(ShapingRules(privacy={"*.subject": "drop"}, tags={"team": "web"})),
        }
        engine = make_engine(
            store, FakeSink("web", web), FakeSink("private", private), metrics=figures, shapers=shapers
        )
        async with running(engine):
            await until_drained(engine)
        assert subjects(web.accepted) == ["two"]
        assert web.accepted[0] is rows[1]
        assert subjects(private.accepted) == [None] * 4
        assert {decode_record(one.body).attributes["tag.team"] for one in private.accepted} == {"web"}
        counts = {
            by: figures.get(FILTERED, sink="web", signal="main", by=by) for by in ("kinds", "projects", "branches")
        }
        assert counts == {"kinds": 0, "projects": 1, "branches": 1}
        assert (store.dead, store.skips) == ([], {"web.main": {}, "private.main": {}})
        assert store.cursor["web.main", "live"] == (4, ())

    run_virtual(scenario())


def test_a_dead_letter_keeps_the_record_of_the_log() -> None:
    """What the far side refuses is kept as it was before shaping: the rules of then apply when it goes again."""

    async def scenario() -> None:
        row = make_entry(1, circleci__author__login="octocat")
        store = FakeStore(live=[row, make_entry(2)])
        signal = ScriptedSignal(script=lambda batch, call: SendResult({0: Reject("rejected", 400, "no")}, frozenset()))
        rules = ShapingRules(privacy={"circleci.author.*": "hash"}, hash_key=b"k")
        engine = make_engine(store, FakeSink("a", signal), shapers={"a": Shaper(rules)})
        async with running(engine):
            await until_drained(engine)
        assert [letter[1] for letter in store.dead] == [row]

    run_virtual(scenario())


def test_size_is_judged_after_shaping() -> None:
    """What is cut fits; tags may make a record too large."""

    async def scenario() -> None:
        row = make_entry(1, circleci__commit__subject="x" * 3000)
        sizes = Limits(max_record_bytes=1500)
        cut, whole = ScriptedSignal(limits=sizes), ScriptedSignal(limits=sizes)
        store = FakeStore(live=[row])
        shapers = {"cut": Shaper(ShapingRules(max_text=100))}
        engine = make_engine(store, FakeSink("cut", cut), FakeSink("whole", whole), shapers=shapers)
        async with running(engine):
            await until_drained(engine)
        assert len(cut.accepted) == 1
        assert [(letter[0], letter[2].reason) for letter in store.dead] == [("whole.main", "too_large")]

    run_virtual(scenario())


def test_a_requeued_dead_letter_that_is_filtered_goes_back() -> None:
    """It says which filter; and bytes that are no record are never sent."""

    async def scenario() -> None:
        odd = LogEntry(2, "dead", "odd", "job", BASE_MS, "gh/acme/api", 2, b"{")
        store = FakeStore(dead=[make_entry(1, lane="dead"), odd])
        signal = ScriptedSignal()
        rules = ShapingRules(projects=Globs(exclude=("*/web",)), tags={"team": "a"})
        engine = make_engine(store, FakeSink("a", signal), shapers={"a": Shaper(rules)})
        async with running(engine):
            await asyncio.sleep(30)
        reasons = {letter[1].seq: (letter[2].reason, letter[2].answer) for letter in store.dead}
        assert reasons[1] == ("not_taken", "filtered by sinks.a.records.projects")
        assert reasons[2][0] == "invalid_record"
        assert signal.calls == []

    run_virtual(scenario())


def test_what_was_found_does_not_wait_for_the_end_of_a_long_look() -> None:
    """Among many filtered records a found one is sent while the rest is still to be read."""

    async def scenario() -> None:
        rows = [entry(seq, project="gh/acme/web" if seq in (1, 60_000) else "gh/acme/api") for seq in range(1, 60_001)]
        store = FakeStore(live=rows)
        reads: list[str] = []
        at_send: list[int] = []
        store.before = lambda unit, argument: reads.append(argument) if unit == "read" else None

        class Noting(ScriptedSignal):
            async def send(self, batch: Sequence[LogEntry]) -> SendResult:
                at_send.append(reads.count("live"))
                return await super().send(batch)

        signal = Noting()
        rules = ShapingRules(projects=Globs(("*/web",)))
        engine = make_engine(store, FakeSink("a", signal), shapers={"a": Shaper(rules)})
        async with running(engine):
            await until_drained(engine)
        assert signal.ids == ["live-1", "live-60000"]
        assert at_send[0] < at_send[1] // 2
        assert store.cursor["a.main", "live"] == (60_000, ())

    run_virtual(scenario())


def test_changed_rules_apply_to_what_is_sent_from_then_on() -> None:
    """A swapped sink goes on from its cursor, under its new rules."""

    async def scenario() -> None:
        store = FakeStore(live=[make_entry(1)])
        old, new = ScriptedSignal(), ScriptedSignal()
        engine = make_engine(store, FakeSink("a", old), shapers={"a": Shaper(ShapingRules(tags={"team": "old"}))})
        async with running(engine):
            await until_drained(engine)
            shapers = {"a": Shaper(ShapingRules(tags={"team": "new"}))}
            await engine.apply({"a": FakeSink("a", new)}, shapers=shapers)
            store.log["live"].append(make_entry(2))
            engine.wake()
            await until_drained(engine)
        tags = [decode_record(one.body).attributes["tag.team"] for one in (*old.accepted, *new.accepted)]
        assert tags == ["old", "new"]

    run_virtual(scenario())
