"""All that is known about one thing, and its path through every signal; rendering a fact again from its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headgate.core.facts import FactKind
from headgate.core.ids import amendment_id, record_id
from headgate.core.merge import ProjectRef
from headgate.core.ports import LogEntry
from headgate.core.record import encode_record
from headgate.core.render import APP_URL, ended_ms, make_record
from headgate.core.storeport import Explained
from headgate.store.delivery import decode_holes
from headgate.store.facts import Fact, Facts
from headgate.store.releases import order_key, render, with_record_id
from headgate.store.schema import KINDS, LANES, decode_key, encode_key
from headgate.store.session import Session
from headgate.store.skips import noted, skipped_as
from headgate.store.sql import Database
from headgate.store.views import view_of

__all__ = ["explain", "rerender"]


def rerender(session: Session, facts: Facts, kind: FactKind, number: int, position: int) -> LogEntry | None:
    """A released fact's record as it is known now, marked as rendered again; None where the fact is gone."""
    try:
        fact = facts.by_id(kind, number)
    except KeyError:
        return None
    project = session.projects.by_id[fact.project].ref
    app_url = session.app_urls.get(fact.source, APP_URL)
    view = view_of(facts, fact)
    attributes = render(kind, fact.key, view, project, app_url) | {"headgate.rerendered": True}
    record = make_record(
        kind,
        fact.key,
        fact.known,
        project,
        dict(sorted(attributes.items())),
        observed_ms=fact.seen_ms,
        workflow=view.workflow,
    )
    ended = ended_ms(fact.known, view.workflow)
    workflow = fact.key if kind == "workflow" else str(fact.values.get("workflow_id", fact.key))
    return LogEntry(
        position,
        "replay",
        record.id,
        kind,
        fact.seen_ms if ended is None else ended,
        record.project or "",
        order_key(workflow),
        encode_record(record),
    )


def explain(db: Database, given: str) -> list[Explained]:
    """Workflows and jobs (and their pipelines) with this provider id or record id, or what an amendment is about."""
    session = Session(db).load()
    facts = Facts(session)
    found = [_explain(db, session, fact) for fact in _matching(db, session, facts, given)]
    return found or _amendment(db, session, facts, given.lower())


def _amendment(db: Database, session: Session, facts: Facts, given: str) -> list[Explained]:
    """The fact that an amendment is about, with the amendment's own place and way. Reads all amendments there are."""
    for key, revision, lane, seq in db.execute("SELECT record_id, revision, lane, seq FROM amended").fetchall():
        if amendment_id(decode_key(key), revision) != given:
            continue
        body = db.execute(f"SELECT body FROM log_{LANES[lane]} WHERE seq = ?", (seq,)).get
        about = [_explain(db, session, fact) for fact in _matching(db, session, facts, decode_key(key))]
        own = [replace(one, kind="amendment", record_id=given, record=body) for one in about]
        return [replace(one, lane=LANES[lane], seq=seq, path=_path(db, given, lane, seq)) for one in own]
    return []


def _matching(db: Database, session: Session, facts: Facts, given: str) -> list[Fact]:
    given = given.lower()
    encoded = encode_key(given)
    row = with_record_id(db, encoded)
    if row is not None:
        try:
            return [facts.by_id(KINDS[row[0]], row[1])]
        except KeyError:  # the record left, and its fact was lost with a damaged page
            return []
    found = facts.with_key(given)
    kinds: tuple[FactKind, ...] = ("pipeline", "deployment")
    for kind in kinds:
        rows = db.execute(f"SELECT _host FROM {kind} WHERE _key = ?", (encoded,)).fetchall()
        found += [fact for row in rows if (fact := facts.find(kind, session.text(row[0]), given))]
    return found


def _explain(db: Database, session: Session, fact: Fact) -> Explained:
    project: ProjectRef = session.projects.by_id[fact.project].ref
    identity = record_id(fact.kind, fact.host, fact.key)
    lane, seq = (fact.released % 2, fact.released // 2) if fact.released else (None, None)
    body = None
    if lane is not None:
        body = db.execute(f"SELECT body FROM log_{LANES[lane]} WHERE seq = ?", (seq,)).get
    amendments = db.execute(
        "SELECT lane, seq FROM amended WHERE record_id = ? ORDER BY revision", (encode_key(identity),)
    ).fetchall()
    bodies = [db.execute(f"SELECT body FROM log_{LANES[where]} WHERE seq = ?", (at,)).get for where, at in amendments]
    stamps = fact.known.stamps
    path = _path(db, identity, lane, seq) if lane is not None and seq is not None else {}
    return Explained(
        kind=fact.kind,
        provider_id=fact.key,
        project=project.slug,
        record_id=identity,
        released=bool(fact.released),
        due_ms=fact.due_ms,
        fields={
            name: (value, stamps[name].source, stamps[name].observed_ms, stamps[name].terminal)
            for name, value in sorted(fact.values.items())
        },
        record=body,
        amendments=[text for text in bodies if text is not None],
        lane=None if lane is None else LANES[lane],
        seq=seq,
        path=path,
        noted={signal: noted(db, signal) for signal in path},
    )


def _path(db: Database, identity: str, lane: int, seq: int) -> dict[str, str]:
    """Where the record is on its way to each signal. A purged dead letter reads accepted here."""
    dead = {row[0] for row in db.execute("SELECT signal FROM dead_letter WHERE record_id = ?", (identity,))}
    path: dict[str, str] = {}
    rows: Sequence[tuple[str, int, bytes, int]] = db.execute(
        "SELECT signal, acked, holes, start FROM cursor WHERE lane = ? ORDER BY signal", (lane,)
    ).fetchall()
    for signal, acked, holes, start in rows:
        if signal in dead:
            path[signal] = "dead"
        elif seq <= start:
            path[signal] = "before_start"
        elif seq <= acked or seq in decode_holes(holes):
            reason = skipped_as(db, signal, lane, seq)
            path[signal] = f"skipped: {reason}" if reason else "accepted"
        else:
            path[signal] = "waiting"
    return path
