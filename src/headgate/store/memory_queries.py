"""Questions to the store in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from sys import maxsize
from typing import Any

from headgate.core.audits import Kept, ListedKind
from headgate.core.ids import record_id
from headgate.core.ports import JobRef, Lane, LogEntry, RunRef
from headgate.core.record import decode_record, encode_record
from headgate.core.render import APP_URL, make_record
from headgate.core.status import map_status
from headgate.core.storeport import NO_SOURCE, Explained, InboxRow, Replay, SpaceLevel, StoreFigures
from headgate.core.times import DAY_MS
from headgate.store.memory_delivery import MemoryDelivery, Stand
from headgate.store.memory_facts import MemoryFact, MemoryFacts
from headgate.store.releases import end_ms, render
from headgate.store.schema import LANES, encode_key
from headgate.store.unasked import ASKED_MS

__all__ = [
    "explain",
    "figures",
    "kept",
    "open_replay",
    "tail",
    "unasked",
    "unended",
    "unfinished",
    "wanting_enrichment",
]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def unfinished(facts: MemoryFacts, source: str, ended_since_ms: int, empty_since_ms: int, limit: int) -> list[RunRef]:
    """Workflows that have not ended, lately ended ones with jobs that have not, young pipelines without any."""
    found: list[RunRef] = []
    with_open_jobs = {
        fact.known.values.get("workflow_id")
        for fact in facts.all()
        if fact.kind == "job" and not fact.known.terminal and not fact.gone
    }
    with_runs = {fact.known.values.get("pipeline_id") for fact in facts.all() if fact.kind == "workflow"}
    for fact in facts.all():
        project, created = facts.projects.by_id[fact.project], fact.known.values.get("created_at")
        if fact.source != source or fact.gone:
            continue
        stopped = fact.known.values.get("stopped_at")
        young = isinstance(stopped, int) and stopped > ended_since_ms
        if fact.kind == "workflow" and (not fact.known.terminal or (young and fact.key in with_open_jobs)):
            at = created if isinstance(created, int) else fact.seen_ms
            above = _text(fact.known.values.get("pipeline_id"))
            found.append(RunRef(project.slug, project.key, above, fact.key, at, fact.known.terminal))
        elif (
            fact.kind == "pipeline"
            and isinstance(created, int)
            and created > empty_since_ms
            and fact.key not in with_runs
        ):
            found.append(RunRef(project.slug, project.key, fact.key, None, created))
    return sorted(found, key=_place, reverse=True)[:limit]


def unended(facts: MemoryFacts, source: str, before: tuple[int, str], limit: int) -> list[RunRef]:
    """Workflows that have not ended, after one by creation and id, newest first."""
    found = unfinished(facts, source, maxsize, maxsize, maxsize)
    return [run for run in found if _place(run) < before][:limit]


def _place(run: RunRef) -> tuple[int, str]:
    return run.created_ms, run.workflow_id or ""


def unasked(facts: MemoryFacts, source: str, now_ms: int, since_ms: int, limit: int) -> list[RunRef]:
    """Ended workflows of which webhooks alone told and which may hold jobs that no webhook tells of."""
    jobs: dict[object, list[MemoryFact]] = {}
    for fact in facts.all():
        if fact.kind == "job":
            jobs.setdefault(fact.known.values.get("workflow_id"), []).append(fact)
    more: dict[tuple[int, object, int], bool] = {}
    found: list[RunRef] = []
    ended = [fact for fact in facts.all() if fact.kind == "workflow" and fact.known.terminal]
    for fact in ended:
        told, name = jobs.get(fact.key, []), _like(facts, fact)
        if (
            _stamped(fact, "v2")
            and _succeeded(fact)
            and (end_ms(fact.known) or 0) > now_ms - ASKED_MS
            and any(_stamped(job, "webhook") for job in told)
        ):
            more[name] = more.get(name, False) or any(map(_is_untold, told))
    for fact in ended:
        stopped, project = end_ms(fact.known), facts.projects.by_id[fact.project]
        if fact.source != source or fact.gone or stopped is None or stopped <= since_ms or _stamped(fact, "v2"):
            continue
        clean = _succeeded(fact) and not more.get(_like(facts, fact), True)
        if _stamped(fact, "webhook") and not clean:
            above = _text(fact.known.values.get("pipeline_id"))
            found.append(RunRef(project.slug, project.key, above, fact.key, stopped, ended=True))
    return sorted(found, key=lambda run: -run.created_ms)[:limit]


def _stamped(fact: MemoryFact, source: str) -> bool:
    return any(stamp.source == source for stamp in fact.known.stamps.values())


def _like(facts: MemoryFacts, fact: MemoryFact) -> tuple[int, object, int]:
    return fact.project, fact.known.values.get("name"), facts.branch_class(fact)


def _is_untold(fact: MemoryFact) -> bool:
    return fact.known.values.get("type") == "approval" or "started_at" not in fact.known.values


def _succeeded(fact: MemoryFact) -> bool:
    return fact.known.values.get("status") == "success"


def wanting_enrichment(facts: MemoryFacts, source: str, due_by_ms: int, limit: int) -> list[JobRef]:
    """Ended, unreleased jobs that wait for enrichment; oldest due first."""
    found: list[tuple[int, JobRef]] = []
    for fact in facts.all():
        number = fact.known.values.get("number")
        if fact.kind != "job" or fact.source != source or fact.lane is not None or fact.enriched or fact.gone:
            continue
        if (
            fact.due_ms is None
            or fact.due_ms > due_by_ms
            or not isinstance(number, int)
            or fact.known.values.get("type") == "approval"
        ):
            continue
        project = facts.projects.by_id[fact.project]
        found.append((fact.due_ms, JobRef(project.slug, project.key, fact.key, number)))
    return [job for _, job in sorted(found, key=lambda row: row[0])][:limit]


def kept(facts: MemoryFacts, kind: ListedKind, keys: Sequence[str]) -> dict[str, Kept]:
    """What is known of each key."""
    found: dict[str, Kept] = {}
    for key in keys:
        fact = next((one for name, one in facts.by_key.items() if (name[0], name[2]) == (kind, key)), None)
        if fact is None:
            continue
        view = facts.view(fact)
        run, above = fact.known if kind == "workflow" else view.workflow, view.pipeline
        made = run.values.get("created_at") if run else None
        since = above.values.get("created_at") if above else None
        ended = fact.known.terminal
        if kind == "pipeline":
            named = any(one.known.values.get("pipeline_id") == key for one in facts.all() if one.kind == "workflow")
            ended = fact.gone or "errors" in fact.known.values or named
        late = isinstance(made, int) and isinstance(since, int) and made - since > DAY_MS
        announced = any(stamp.source == "webhook" and stamp.terminal for stamp in fact.known.stamps.values())
        stopped = fact.known.values.get("stopped_at")
        stopped_ms = stopped if isinstance(stopped, int) else None
        found[key] = Kept(ended, announced, late and kind != "pipeline", stopped_ms)
    return found


def jobs_of(facts: MemoryFacts, runs: Sequence[str]) -> dict[str, Kept]:
    """Ended jobs of pipelines or workflows."""
    above = {fact.key for fact in facts.all() if {fact.key, fact.known.values.get("pipeline_id")} & set(runs)}
    keys = [fact.key for fact in facts.all() if fact.known.values.get("workflow_id") in above and _ran(fact)]
    return kept(facts, "job", keys)


def _ran(fact: MemoryFact) -> bool:
    known = fact.known.values
    ended = fact.kind == "job" and fact.known.terminal and known.get("type") != "approval"
    return ended and known.get("started_at") is not None and isinstance(encode_key(fact.key), bytes)


def explain(facts: MemoryFacts, delivery: MemoryDelivery, given: str) -> list[Explained]:
    """Facts with this provider id or record id, or what an amendment is about."""
    return [_explain(facts, delivery, fact) for fact in _matching(facts, given)] or _amendment(facts, delivery, given)


def _matching(facts: MemoryFacts, given: str) -> list[MemoryFact]:
    found: list[MemoryFact] = []
    for name, fact in facts.by_key.items():
        if fact.kind in ("pipeline", "workflow", "job", "deployment") and fact not in found:
            own = fact.lane is not None and record_id(fact.kind, fact.host, fact.key) == given
            by_record = own or given in fact.also
            if by_record or name[2] == given:
                found.append(fact)
    return found


def _amendment(facts: MemoryFacts, delivery: MemoryDelivery, given: str) -> list[Explained]:
    """The fact that an amendment is about, with the amendment's own place and way."""
    for lane, log in enumerate(facts.log):
        for entry in log:
            if entry.record_id != given or entry.kind != "amendment":
                continue
            way = _path(delivery, given, lane, entry.seq)
            own: dict[str, Any] = {"record_id": given, "record": entry.body, "seq": entry.seq, "path": way}
            about = _matching(facts, str(decode_record(entry.body).attributes["headgate.amends"]))
            told = [_explain(facts, delivery, fact) for fact in about]
            return [replace(one, kind="amendment", lane=LANES[lane], **own) for one in told]
    return []


def _explain(facts: MemoryFacts, delivery: MemoryDelivery, fact: MemoryFact) -> Explained:
    identity = record_id(fact.kind, fact.host, fact.key)
    bodies = {} if fact.lane is None else {entry.seq: entry.body for entry in facts.log[fact.lane]}
    return Explained(
        kind=fact.kind,
        provider_id=fact.key,
        project=facts.projects.by_id[fact.project].slug,
        record_id=identity,
        released=fact.lane is not None,
        due_ms=fact.due_ms,
        fields={
            name: (value, stamp.source, stamp.observed_ms, stamp.terminal)
            for name, value in sorted(fact.known.values.items())
            for stamp in (fact.known.stamps[name],)
        },
        record=bodies.get(fact.seq),
        amendments=[body for _, body in facts.amendments(identity)],
        lane=None if fact.lane is None else LANES[fact.lane],
        seq=None if fact.lane is None else fact.seq,
        path={} if fact.lane is None else _path(delivery, identity, fact.lane, fact.seq),
        noted={key: _noted(stand) for key, stand in delivery.signals.items()} if fact.lane is not None else {},
    )


def _noted(stand: Stand) -> frozenset[str]:
    known = Counter(stand.skips.values())
    return frozenset(reason for reason, count in stand.skipped.items() if known[reason] == count)


def _path(delivery: MemoryDelivery, identity: str, lane: int, seq: int) -> dict[str, str]:
    dead = {letter.signal for letter in delivery.letters.values() if letter.record_id == identity}
    path: dict[str, str] = {}
    for key, stand in sorted(delivery.signals.items()):
        if key in dead:
            path[key] = "dead"
        elif seq <= stand.start[lane]:
            path[key] = "before_start"
        else:
            settled = seq <= stand.acked[lane] or seq in stand.holes[lane]
            reason = stand.skips.get((lane, seq))
            path[key] = (f"skipped: {reason}" if reason else "accepted") if settled else "waiting"
    return path


def records_between(
    facts: MemoryFacts, since_ms: int, until_ms: int, after: tuple[Lane, int] | None, limit: int
) -> list[LogEntry]:
    """Records of a time range: lane live first, each lane by number."""
    place = (LANES.index(after[0]), after[1]) if after else (0, 0)
    found = [
        (lane, entry)
        for lane, _ in enumerate(LANES)
        for entry in facts.log[lane]
        if since_ms <= entry.occurred_ms < until_ms and (lane, entry.seq) > place
    ]
    return [entry for _, entry in found[:limit]]


def tail(facts: MemoryFacts, after: Mapping[str, int], limit: int) -> list[LogEntry]:
    """The newest entries beyond the given seqs, in the order they were appended."""
    found = [
        (at_ms, lane, entry)
        for lane, name in enumerate(LANES)
        for entry, at_ms in zip(facts.log[lane], facts.appended_ms[lane], strict=True)
        if entry.seq > after.get(name, 0)
    ]
    found.sort(key=lambda row: (row[0], row[1], row[2].seq))
    return [entry for _, _, entry in found][-limit:]


def open_replay(facts: MemoryFacts, delivery: MemoryDelivery, key: str, since_ms: int, until_ms: int) -> Replay:
    """Fix what is sent again: released facts that the log no longer has, then log entries."""
    if key not in delivery.signals:
        raise KeyError(key)
    if delivery.signals[key].removed_ms is not None:
        raise ValueError(f"{key} was removed: configure it again first")
    if key in delivery.open_replays:
        raise ValueError(f"{key} has a replay under way: wait until it has ended")
    again: list[tuple[int, int, int, LogEntry]] = []
    for fact in facts.all():
        ended = end_ms(fact.known)
        if fact.lane is None or ended is None or not since_ms <= ended < until_ms:
            continue
        if fact.seq < delivery.first(fact.lane):
            again.append((ended, fact.lane, fact.seq, _rerender(facts, fact, ended)))
    logged = [
        (entry.occurred_ms, lane, entry.seq, entry)
        for lane in (0, 1)
        for entry in facts.log[lane]
        if since_ms <= entry.occurred_ms < until_ms
    ]
    parts = [*sorted(again, key=lambda row: row[:3]), *sorted(logged, key=lambda row: row[:3])]
    entries = [_at(entry, position) for position, (_, _, _, entry) in enumerate(parts, 1)]
    delivery.numbers["replay"] += 1
    replay = Replay(delivery.numbers["replay"], key, since_ms, until_ms, len(entries), 0)
    if entries:
        delivery.open_replays[key] = (replay, entries)
    return replay


def _at(entry: LogEntry, position: int) -> LogEntry:
    return LogEntry(
        position,
        "replay",
        entry.record_id,
        entry.kind,
        entry.occurred_ms,
        entry.project,
        entry.order_key,
        entry.body,
    )


def _rerender(facts: MemoryFacts, fact: MemoryFact, ended: int) -> LogEntry:
    project = facts.projects.by_id[fact.project].ref
    url = facts.app_urls.get(fact.source, APP_URL)
    view = facts.view(fact)
    attributes = render(fact.kind, fact.key, view, project, url) | {"headgate.rerendered": True}
    record = make_record(
        fact.kind,
        fact.key,
        fact.known,
        project,
        dict(sorted(attributes.items())),
        observed_ms=fact.seen_ms,
        workflow=view.workflow,
    )
    body = encode_record(record)
    return LogEntry(0, "replay", record.id, fact.kind, ended, record.project or "", facts.order(fact), body)


def figures(
    facts: MemoryFacts, deliveries: Mapping[int, InboxRow], outbox: int, gaps: int, level: SpaceLevel
) -> StoreFigures:
    """Numbers, counted one by one."""
    waiting = [row for row in deliveries.values() if row.state == "waiting"]
    kinds: dict[str, int] = {}
    statuses: dict[str, dict[str, int]] = {}
    unreleased = 0
    for fact in facts.all():
        kinds[fact.kind] = kinds.get(fact.kind, 0) + 1
        unreleased += fact.lane is None and fact.due_ms is not None
        if fact.kind in ("workflow", "job") and fact.known.terminal:
            word = map_status(str(fact.known.values.get("status", "")))
            statuses.setdefault(fact.kind, {})[word] = statuses.get(fact.kind, {}).get(word, 0) + 1
    return StoreFigures(
        inbox_waiting=len(waiting),
        inbox_dead=sum(row.state == "dead" and row.reason != NO_SOURCE for row in deliveries.values()),
        inbox_oldest_ms=waiting[0].delivery.arrived_ms if waiting else None,
        facts=kinds,
        statuses=statuses,
        log_head=dict(zip(LANES, facts.heads, strict=True)),
        unreleased=unreleased,
        outbox_waiting=outbox,
        bytes=sum(len(entry.body) for lane in facts.log for entry in lane),
        level=level,
        schema=1,
        store_id="memory",
        epoch=1,
        gaps=gaps,
        inbox_parked=dict(
            sorted(Counter(r.delivery.source for r in deliveries.values() if r.reason == NO_SOURCE).items())
        ),
    )
