"""Deleting what is past retention from the store in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from headgate.core.storeport import NO_SOURCE, GapRow
from headgate.core.times import DAY_MS
from headgate.store.schema import LANES

if TYPE_CHECKING:
    from headgate.store.memory import MemoryStore

__all__ = ["PARTS"]


def _inbox(store: MemoryStore, before_ms: int, _now_ms: int) -> int:
    low = min((row.id for row in store.deliveries.values() if row.state == "waiting"), default=1 << 62)
    gone = [
        number
        for number, row in store.deliveries.items()
        if row.state == "done" and number < low and row.delivery.arrived_ms < before_ms
    ]
    return _drop(store, gone)


def _inbox_dead(store: MemoryStore, before_ms: int, _now_ms: int) -> int:
    return _drop(store, [n for n in _set_aside(store, before_ms) if store.deliveries[n].reason != NO_SOURCE])


def _inbox_parked(store: MemoryStore, before_ms: int, now_ms: int) -> int:
    gone = [n for n in _set_aside(store, before_ms) if store.deliveries[n].reason == NO_SOURCE]
    return store.forget_deliveries(gone, now_ms, "which was not configured")


def _set_aside(store: MemoryStore, before_ms: int) -> list[int]:
    return [n for n, row in store.deliveries.items() if row.state == "dead" and store.dead_ms[n] < before_ms]


def _drop(store: MemoryStore, gone: list[int]) -> int:
    for number in gone:
        del store.deliveries[number]
    return len(gone)


def _log(store: MemoryStore, before_ms: int, now_ms: int) -> int:
    _give_up_removed(store, now_ms)
    total = 0
    for lane in range(len(LANES)):
        log, at_ms = store.facts.log[lane], store.facts.appended_ms[lane]
        cut = min([_held(store, lane, now_ms), *_replayed(store, lane)])
        n = 0
        while n < len(log) and at_ms[n] < before_ms and log[n].seq <= cut:
            n += 1
        if n:
            _drop_oldest(store, lane, log[n - 1].seq, now_ms)
            del log[:n], at_ms[:n]
            total += n
    return total


def _give_up_removed(store: MemoryStore, now_ms: int) -> None:
    for key, stand in store.delivery.signals.items():
        if stand.removed_ms is not None and stand.removed_ms <= now_ms - DAY_MS:
            store.delivery.give_up(key)


def _held(store: MemoryStore, lane: int, now_ms: int) -> int:
    return min(
        (
            stand.acked[lane]
            for stand in store.delivery.signals.values()
            if stand.overflow == "keep" and (stand.removed_ms is None or stand.removed_ms > now_ms - DAY_MS)
        ),
        default=1 << 62,
    )


def _replayed(store: MemoryStore, lane: int) -> list[int]:
    ids = {entry.record_id for _, entries in store.delivery.open_replays.values() for entry in entries}
    return [entry.seq - 1 for entry in store.facts.log[lane] if entry.record_id in ids][:1]


def _drop_oldest(store: MemoryStore, lane: int, cut: int, now_ms: int) -> None:
    for stand in store.delivery.signals.values():
        acked = stand.acked[lane]
        if acked >= cut or stand.removed_ms is not None or stand.overflow == "keep":
            continue
        lost = cut - acked - sum(1 for seq in stand.holes[lane] if seq <= cut)
        if lost:
            store.delivery.gaps.append(GapRow(now_ms, stand.sink, acked + 1, cut, lost, "overflow: drop_oldest"))
        store.delivery.move(stand, lane, cut, stand.holes[lane])


def _dead_letters(store: MemoryStore, before_ms: int, now_ms: int) -> int:
    _give_up_removed(store, now_ms)
    old = [n for n, letter in store.delivery.letters.items() if letter.last_ms < before_ms and not letter.requeued]
    return store.delivery.purge(old, now_ms, "past retention")


def _facts(store: MemoryStore, before_ms: int, *, tests: bool) -> int:
    names = ("created_at",), ("stopped_at", "occurred_at")
    gone = set()
    for fact in store.facts.all():
        if (fact.kind == "test_result") is tests:
            ends = [fact.known.values.get(name) for name in names[fact.kind != "pipeline"]]
            end = next((end for end in ends if isinstance(end, int)), fact.seen_ms)
            if end < before_ms:
                gone.add(fact)
    store.facts.by_key = {name: fact for name, fact in store.facts.by_key.items() if fact not in gone}
    return len(gone)


def _alerts(store: MemoryStore, before_ms: int, _now_ms: int) -> int:
    kept = [row for row in store.alerting.history if row[1] >= before_ms]
    ended = [number for number, one in store.alerting.silences.items() if one.ends_ms < before_ms]
    deleted = len(store.alerting.history) - len(kept) + len(ended)
    store.alerting.history = kept
    for number in ended:
        del store.alerting.silences[number]
    deleted += store.alerting.forget(lambda row: row.created_ms < before_ms)
    return deleted + store.alerting.forget_memories(before_ms)


def _trail(store: MemoryStore, before_ms: int, _now_ms: int) -> int:
    kept = [one for one in store.entries if one.at_ms >= before_ms]
    deleted = len(store.entries) - len(kept)
    store.entries = kept
    return deleted


# Part of the store -> deletes what is older than a time; returns how many rows it was.
PARTS: Mapping[str, Callable[[MemoryStore, int, int], int]] = {
    "inbox": _inbox,
    "inbox_dead": _inbox_dead,
    "inbox_parked": _inbox_parked,
    "log": _log,
    "dead_letters": _dead_letters,
    "test_results": lambda store, before_ms, _now_ms: _facts(store, before_ms, tests=True),
    "facts": lambda store, before_ms, _now_ms: _facts(store, before_ms, tests=False),
    "alerts": _alerts,
    "rollups": lambda _store, _before_ms, _now_ms: 0,  # they are made of facts, which go no later
    "trail": _trail,
}
