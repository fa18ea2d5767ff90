"""The part of the store's contract about people: silences, groups, notifiers that fail, project ages, the trail."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from headgate.core.alertdata import AlertState, Told, encode_alert, new_alert
from headgate.core.silences import Silence, history_name
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry, Store
from headgate.core.trail import TrailEntry
from headgate.testing.store_data import DAY, NOW, PROJECT, job, merge, workflow

__all__ = ["TellingSuite"]

_SILENCE = Silence(0, ("team=web", "branch!=main"), NOW, NOW + 100, "ann", "known")


class TellingSuite:
    """What the alert engine asks besides states."""

    async def test_a_silence_is_kept_with_its_history(self, store: Store) -> None:
        """Numbered from 1, changed in place, listed after its end until retention."""
        first = await store.put_silence(_SILENCE, b"made", at_ms=NOW)
        second = await store.put_silence(replace(_SILENCE, ends_ms=NOW + DAY), b"other", at_ms=NOW)
        ended = replace(_SILENCE, id=first, ends_ms=NOW + 50)
        assert (await store.put_silence(ended, b"ended", at_ms=NOW + 50), first != second) == (first, True)
        assert list(await store.silences()) == [ended, replace(_SILENCE, id=second, ends_ms=NOW + DAY)]
        lines = await store.alert_history(history_name(first), 9)
        assert list(lines) == [(history_name(first), NOW + 50, b"ended"), (history_name(first), NOW, b"made")]
        await store.trim({"alerts": 10}, now_ms=NOW + 61)
        assert [one.id for one in await store.silences()] == [second]

    async def test_groups_know_when_they_were_told_last(self, store: Store) -> None:
        """What waits counts with its time, what was sent with when; what nobody wanted does not count."""
        await store.transition(
            AlertChange(
                outbox=[
                    OutboxEntry("ops", "a", b"{}", NOW + 30, "g"),
                    OutboxEntry("ops", "b", b"{}", NOW, "sent"),
                    OutboxEntry("ops", "c", b"{}", NOW, "unwanted"),
                    OutboxEntry("ops", "d", b"{}", NOW),
                ]
            )
        )
        rows = {row.key: row.id for row in await store.outbox_due(now_ms=NOW + 30, limit=9)}
        await store.outbox_done([rows["b"]])
        await store.outbox_done([rows["c"]], sent=False)
        assert dict(await store.outbox_groups(since_ms=NOW)) == {("ops", "g"): NOW + 30, ("ops", "sent"): NOW}
        assert dict(await store.outbox_groups(since_ms=NOW + 1)) == {("ops", "g"): NOW + 30}

    async def test_a_notifier_fails_until_it_takes_something(self, store: Store) -> None:
        """Dead letters since the last acceptance, with the newest reason; what was not sent proves nothing."""
        entries = [OutboxEntry("ops", key, b"{}", NOW - 9) for key in "abcd"]
        await store.transition(AlertChange(outbox=[*entries, OutboxEntry("hook", "a", b"{}", NOW - 9)]))
        rows = [row.id for row in await store.outbox_due(now_ms=NOW, limit=9) if row.notifier == "ops"]
        assert dict(await store.outbox_failing()) == {}
        await store.outbox_dead(rows[:1], error="503", at_ms=NOW - 2)
        await store.outbox_dead(rows[1:2], error="504", at_ms=NOW - 1)
        await store.outbox_done(rows[2:3], sent=False)
        assert dict(await store.outbox_failing()) == {"ops": (NOW - 2, 2, "504")}
        await store.outbox_done(rows[3:])
        assert dict(await store.outbox_failing()) == {}

    async def test_a_memory_is_kept_while_an_alert_needs_it(self, store: Store) -> None:
        """Of whoever was told that it fires, by group or alone, and while a message waits; then until retention."""
        receivers = {"ops": Told(1, NOW, group="g"), "hook": Told(1, NOW, group="")}
        state = encode_alert(structs.replace(new_alert(NOW), state=AlertState.FIRING, receivers=receivers))
        open_ = AlertRow("f1", "Slow", {}, "firing", state, NOW)
        odd = AlertRow("f2", "Slow", {}, "firing", b"{}", NOW)
        await store.transition(AlertChange(rows=[open_, odd], outbox=[OutboxEntry("late", "k", b"{}", NOW)]))
        threads = [("ops", "g"), ("ops", "other"), ("hook", "f1"), ("hook", "f2"), ("late", "f9")]
        for name, thread in threads:
            await store.outbox_done([], memory=(name, thread, {"ts": "1"}))

        async def left() -> list[tuple[str, str]]:
            return [one for one in threads if await store.notifier_memory(*one)]

        much_later = NOW + 400 * DAY  # whatever the store's own clock says
        assert dict(await store.trim({"alerts": 800 * DAY}, now_ms=much_later)) == {"alerts": 0}
        assert dict(await store.trim({"alerts": DAY}, now_ms=much_later)) == {"alerts": 2}
        assert await left() == [("ops", "g"), ("hook", "f1"), ("late", "f9")]
        await store.transition(AlertChange(removed=["f1"]))
        await store.outbox_done([row.id for row in await store.outbox_due(now_ms=NOW, limit=9)])
        await store.trim({"alerts": DAY}, now_ms=much_later)
        assert await left() == []

    async def test_the_trail_is_read_from_its_end_in_pages(self, store: Store) -> None:
        """As it was written, numbered, until its retention."""
        rows = [
            TrailEntry(NOW + number, "anna", "token", "127.0.0.1", "read", f"/run/{number}", 200, number)
            for number in (1, 2, 3)
        ]
        await store.append_trail(rows[:2])
        await store.append_trail(rows[2:])
        newest = await store.trail(since_ms=0, limit=2)
        assert [replace(one, id=0) for one in newest] == rows[:0:-1]
        [oldest] = await store.trail(since_ms=0, before=newest[-1].id, limit=9)
        assert replace(oldest, id=0) == rows[0]
        assert [one.times for one in await store.trail(since_ms=NOW + 2, limit=9)] == [3, 2]
        assert [one.times for one in await store.trail(since_ms=0, limit=1, action="read")] == [3]
        assert list(await store.trail(since_ms=0, limit=9, action="backup")) == []
        assert dict(await store.trim({"trail": 10}, now_ms=NOW + 12)) == {"trail": 1}
        assert list(await store.trail(since_ms=0, limit=9)) == list(newest)

    async def test_a_project_is_as_old_as_its_first_run(self, store: Store) -> None:
        """The start of the day on which a workflow or job of it ended first."""
        assert dict(await store.projects_since()) == {}
        await merge(store, workflow(), job())
        assert dict(await store.projects_since()) == {PROJECT.slug: NOW // DAY * DAY}
