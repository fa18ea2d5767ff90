"""Facts, releases and the log in plain dictionaries: the oracle that the SQLite adapter is compared with.

It recomputes instead of keeping differences: rollups from all facts, amendments from what was sent last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, cast

from headgate.core.facts import LEAF_KINDS, RELEASED_KINDS, RUN_KINDS, FactKind
from headgate.core.ids import number_key, record_id
from headgate.core.merge import EMPTY, Known, Observation, encode_stamps, merge
from headgate.core.ports import LogEntry
from headgate.core.record import Attribute, Record, decode_record, encode_record
from headgate.core.release import Release, ReleasePolicy, decide, needs_enrichment
from headgate.core.render import APP_URL, changed_attributes, ended_ms, make_amendment, make_record
from headgate.core.reruns import link_reruns
from headgate.core.rollup import SUMS, contribution
from headgate.core.storeport import MergeResult, MergeWork
from headgate.core.times import DAY_MS
from headgate.store.projects import Projects
from headgate.store.releases import View, order_key, render
from headgate.store.rollups import branch_class
from headgate.store.schema import LANES

__all__ = ["MemoryFact", "MemoryFacts"]


@dataclass(slots=True, eq=False)
class MemoryFact:
    """One thing and what is known about it. `sent`: the attributes as sinks have them, None before release.

    `also`: ids of records that left before two facts turned out to be this one.
    """

    kind: FactKind
    host: str
    key: str
    project: int
    source: str
    seen_ms: int
    known: Known = EMPTY
    enriched: bool = False
    gone: bool = False
    due_ms: int | None = None
    lane: int | None = None
    seq: int = 0
    revision: int = 0
    sent: dict[str, Attribute] | None = None
    sent_known: Known = EMPTY
    also: list[str] = field(default_factory=list)


class MemoryFacts:
    """All facts and the two lanes of the log."""

    def __init__(self) -> None:
        self.projects = Projects()
        self.by_key: dict[tuple[str, str, str], MemoryFact] = {}
        self.log: tuple[list[LogEntry], list[LogEntry]] = ([], [])
        self.appended_ms: tuple[list[int], list[int]] = ([], [])
        self.heads = [0, 0]
        self.app_urls: dict[str, str] = {}

    def all(self) -> Iterator[MemoryFact]:
        """Every fact once, in order of arrival."""
        yield from dict.fromkeys(self.by_key.values())

    # -- merging

    def merge(self, work: MergeWork) -> MergeResult:
        """Merge observations, then release and amend whatever follows."""
        for seen in work.observations:
            encode_stamps(seen.kind, merge(EMPTY, seen).stamps)  # a bad one fails before anything changed
        self.app_urls[work.source] = work.app_url
        before = {fact: _shape(fact) for fact in self.all()}
        unchanged = sum(not self._observe(seen, work) for seen in work.observations)
        for key in work.gone:
            for fact in self.all():
                if fact.key == key and fact.kind in ("job", "workflow"):
                    fact.gone = fact.enriched = True
        self._link()
        changed = {(fact.kind, fact.host, fact.key) for fact in self.all() if before.get(fact) != _shape(fact)}
        due = [fact for fact in self._releasable() if self._concerned(fact, changed)]
        return self._settle(
            due,
            work.source,
            work.policy,
            now_ms=work.now_ms,
            live_after_ms=work.live_after_ms,
            unchanged=unchanged,
        )

    def release_due(
        self, policy: ReleasePolicy, source: str, *, now_ms: int, live_after_ms: int, limit: int
    ) -> MergeResult:
        """Release what has waited long enough."""
        due = [
            fact
            for fact in self._releasable()
            if fact.lane is None and fact.source == source and fact.due_ms is not None and fact.due_ms <= now_ms
        ]
        due.sort(key=lambda fact: (fact.kind != "workflow", fact.due_ms))
        released: Counter[tuple[str, str]] = Counter()
        wants: set[str] = set()
        withheld: list[tuple[str, str, str]] = []
        for fact in due[:limit]:
            try:
                one = self._settle([fact], source, policy, now_ms=now_ms, live_after_ms=live_after_ms)
            except Exception as exc:  # noqa: BLE001  # told to the caller; one fact must not hold up the others
                fact.due_ms = None
                withheld.append((fact.kind, fact.key, repr(exc)))
            else:
                released.update(one.released)
                wants |= one.wants_enrichment
        rest = self._settle([], source, policy, now_ms=now_ms, live_after_ms=live_after_ms)
        return replace(rest, released=dict(released), wants_enrichment=frozenset(wants), withheld=tuple(withheld))

    def _observe(self, seen: Observation, work: MergeWork) -> bool:
        project = self.projects.resolve(seen.project, seen.observed_ms)
        for old, new in self.projects.joined:
            for fact in self.all():
                fact.project = new if fact.project == old else fact.project
        self.projects.joined.clear()
        fact, new_fact = self._find(seen, project.provider_id, project.id, work)
        known = merge(fact.known, seen)
        told = new_fact or known.values != fact.known.values or known.terminal != fact.known.terminal
        told = told or (seen.enriches and not fact.enriched)
        fact.known = known
        fact.enriched = fact.enriched or seen.enriches
        return told

    def _link(self) -> None:
        """Work out the reruns of every pipeline anew."""
        pipelines: dict[tuple[str, object], dict[str, MemoryFact]] = {}
        for fact in self.all():
            above = fact.known.values.get("pipeline_id")
            if fact.kind == "workflow" and above is not None:
                pipelines.setdefault((fact.host, above), {})[fact.key] = fact
        for runs in pipelines.values():
            for key, known in link_reruns({key: fact.known for key, fact in runs.items()}).items():
                runs[key].known = known

    def _find(
        self, seen: Observation, project_id: str | None, project: int, work: MergeWork
    ) -> tuple[MemoryFact, bool]:
        host = seen.project.host
        name = (seen.kind, host, seen.key)
        fact = self.by_key.get(name)
        number = seen.fields.get("number")
        if seen.kind == "job" and project_id is not None and isinstance(number, int):
            numbered = ("job", host, number_key(project_id, number))
            other = self.by_key.get(numbered)
            if name == numbered and fact is None:
                fact = next((f for f in self.all() if _is_job(f, host, project, number)), None)
            elif other is not None and fact is None:
                fact = other
                if other.lane is None:
                    other.key = seen.key
            elif other is not None and fact is not None and other is not fact and "#" not in seen.key:
                fact = self._unite(fact, other)
        made = fact is None
        fact = fact or MemoryFact(seen.kind, host, seen.key, project, work.source, work.now_ms)
        self.by_key[name] = fact
        return fact, made

    def _unite(self, by_id: MemoryFact, by_number: MemoryFact) -> MemoryFact:
        keep, drop = (by_number, by_id) if by_number.lane is not None and by_id.lane is None else (by_id, by_number)
        for name, stamp in drop.known.stamps.items():
            fields = {name: drop.known.values[name]}
            ref = self.projects.by_id[keep.project].ref
            one = Observation("job", keep.key, ref, stamp.source, stamp.observed_ms, stamp.terminal, fields)
            keep.known = merge(keep.known, one)
        keep.enriched = keep.enriched or drop.enriched
        keep.also += drop.also
        if drop.lane is not None:
            keep.also.append(record_id("job", drop.host, drop.key))
        for name_of, fact in list(self.by_key.items()):
            if fact is drop:
                self.by_key[name_of] = keep
        return keep

    # -- what follows

    def _releasable(self) -> list[MemoryFact]:
        found = [fact for fact in self.all() if fact.kind in RELEASED_KINDS]
        return sorted(found, key=lambda fact: fact.kind != "workflow")

    def _parents(self, fact: MemoryFact) -> tuple[MemoryFact | None, MemoryFact | None]:
        values = fact.known.values
        workflow = None
        if fact.kind in LEAF_KINDS:
            job = self._job(fact)
            if job is not None:
                return self._parents(job)
            workflow = self.by_key.get(("workflow", fact.host, str(values.get("workflow_id"))))
            return (workflow, self._parents(workflow)[1]) if workflow else (None, None)
        if fact.kind == "job":
            workflow = self.by_key.get(("workflow", fact.host, str(values.get("workflow_id"))))
        above = values.get("pipeline_id", workflow.known.values.get("pipeline_id") if workflow else None)
        return workflow, self.by_key.get(("pipeline", fact.host, str(above)))

    def _concerned(self, fact: MemoryFact, changed: set[tuple[FactKind, str, str]]) -> bool:
        above = () if fact.kind in LEAF_KINDS else self._parents(fact)
        return any(one and (one.kind, one.host, one.key) in changed for one in (fact, *above))

    def view(self, fact: MemoryFact, known: Known | None = None) -> View:
        """What the fact's record is rendered from; `known`: as it was once."""
        workflow, pipeline = self._parents(fact)
        job = self._job(fact)
        return View(
            known or fact.known,
            workflow.known if workflow else None,
            pipeline.known if pipeline else None,
            job.known if job else None,
        )

    def _job(self, leaf: MemoryFact) -> MemoryFact | None:
        key = leaf.known.values.get("job_id") if leaf.kind in LEAF_KINDS else None
        return self.by_key.get(("job", leaf.host, str(key))) if key is not None else None

    def _settle(
        self,
        facts: list[MemoryFact],
        source: str,
        policy: ReleasePolicy,
        *,
        now_ms: int,
        live_after_ms: int,
        unchanged: int = 0,
    ) -> MergeResult:
        released: Counter[tuple[str, str]] = Counter()
        wants: set[str] = set()
        amended = 0
        for fact in facts:
            view, project = self.view(fact), self.projects.by_id[fact.project]
            url = self.app_urls.get(source, APP_URL)
            if fact.lane is not None:
                if fact.kind in LEAF_KINDS:  # a change of its parents alone does not amend it
                    fact.sent = render(fact.kind, fact.key, self.view(fact, fact.sent_known), project.ref, url)
                fact.sent_known = fact.known
                amended += self._amend(fact, render(fact.kind, fact.key, view, project.ref, url), now_ms, live_after_ms)
                continue
            above = {**(view.pipeline or EMPTY).values, **(view.workflow or EMPTY).values}
            verdict = decide(
                fact.kind,
                fact.known,
                above,
                policy,
                enriched=fact.enriched,
                due_ms=fact.due_ms,
                now_ms=now_ms,
            )
            if verdict is Release.NOW:
                attributes = render(fact.kind, fact.key, view, project.ref, url)
                released[fact.kind, self._release(fact, attributes, now_ms, live_after_ms)] += 1
            elif verdict is Release.WAIT:
                fact.due_ms = now_ms + policy.wait_ms if fact.due_ms is None else fact.due_ms
                if not fact.enriched and needs_enrichment(fact.kind, fact.known.values, policy.profile):
                    wants.add(project.key)
        waiting = [f.due_ms for f in self.all() if f.lane is None and f.due_ms is not None and f.source == source]
        return MergeResult(dict(released), amended, unchanged, min(waiting, default=None), frozenset(wants))

    def _release(self, fact: MemoryFact, attributes: dict[str, Attribute], now_ms: int, live_after_ms: int) -> str:
        project = self.projects.by_id[fact.project].ref
        workflow = self.view(fact).workflow
        record = make_record(
            fact.kind, fact.key, fact.known, project, attributes, observed_ms=now_ms, workflow=workflow
        )
        ended = ended_ms(fact.known, workflow)
        fact.lane = int(ended is not None and ended < live_after_ms)
        fact.sent, fact.sent_known = attributes, fact.known
        occurred = now_ms if ended is None else ended
        fact.seq = self.append(fact.lane, record, occurred, self.order(fact), now_ms)
        return LANES[fact.lane]

    def _amend(self, fact: MemoryFact, attributes: dict[str, Attribute], now_ms: int, live_after_ms: int) -> int:
        changed = changed_attributes(fact.sent or {}, attributes)
        if not changed:
            return 0
        identity = record_id(fact.kind, fact.host, fact.key)
        # It may have left before, and been amended, and gone.
        fact.revision = 1 + (fact.revision or max((n for n, _ in self.amendments(identity)), default=0))
        fact.sent = attributes
        record = make_amendment(
            identity,
            fact.revision,
            changed,
            self.projects.by_id[fact.project].ref,
            sources=sorted({stamp.source for stamp in fact.known.stamps.values()}),
            observed_ms=now_ms,
        )
        ended = ended_ms(fact.known, self.view(fact).workflow)
        lane = int(ended is not None and ended < live_after_ms)
        self.append(lane, record, now_ms, self.order(fact), now_ms)
        return 1

    def amendments(self, identity: str) -> list[tuple[int, bytes]]:
        """Revision and body of what the log has of a record's amendments, in this order."""
        found: list[tuple[int, bytes]] = []
        # Most are of others, which need not be decoded to see that.
        mine = identity.encode()
        for entry in chain(*self.log):
            if entry.kind != "amendment" or mine not in entry.body:
                continue
            told = decode_record(entry.body).attributes
            if told["headgate.amends"] == identity:
                found.append((cast("int", told["headgate.revision"]), entry.body))
        return sorted(found)

    @staticmethod
    def order(fact: MemoryFact) -> int:
        """The order key of a fact's entries."""
        return order_key(fact.key if fact.kind == "workflow" else str(fact.known.values.get("workflow_id", fact.key)))

    def append(self, lane: int, record: Record, occurred_ms: int, order: int, now_ms: int) -> int:
        """Append a record; returns its seq."""
        body = encode_record(record)
        self.heads[lane] += 1
        seq, name = self.heads[lane], record.project or ""
        entry = LogEntry(seq, "backfill" if lane else "live", record.id, record.kind, occurred_ms, name, order, body)
        self.log[lane].append(entry)
        self.appended_ms[lane].append(now_ms)
        return seq

    # -- rollups

    def branch_class(self, fact: MemoryFact) -> int:
        """1 for the project's default branch."""
        view = self.view(fact)
        shared: dict[str, Any] = {}
        for known in (view.pipeline, view.workflow, view.known if fact.kind == "workflow" else None):
            shared.update({name: known.values[name] for name in _REF if name in known.values} if known else {})
        default = self.projects.by_id[fact.project].default_branch
        return branch_class(shared.get("ref_type"), shared.get("ref_name"), default)

    def rollup_days(self) -> dict[tuple[int, str, str, str, str, int], tuple[int, ...]]:
        """Sums by (day, kind, project key, workflow name, job name, branch class), from all facts."""
        sums: dict[tuple[int, str, str, str, str, int], list[int]] = {}
        for fact in (fact for fact in self.all() if fact.kind in RUN_KINDS):
            kind = "workflow" if fact.kind == "workflow" else "job"
            part = contribution(kind, fact.known.values, terminal=fact.known.terminal)  # type: ignore[arg-type]  # one of two
            if part is None:
                continue
            workflow = fact if kind == "workflow" else self._parents(fact)[0]
            run = str(workflow.known.values.get("name", "")) if workflow else ""
            job = str(fact.known.values.get("name", "")) if kind == "job" else ""
            key = self.projects.by_id[fact.project].key
            place = (part.at_ms // DAY_MS, kind, key, run, job, self.branch_class(fact))
            total = sums.setdefault(place, [0] * len(SUMS))
            total[:] = [a + b for a, b in zip(total, part.sums, strict=True)]
        return {place: tuple(total) for place, total in sums.items()}


_REF = ("ref_type", "ref_name")


def _shape(fact: MemoryFact) -> tuple[Any, ...]:
    """What a release or a rollup may hang on."""
    return (fact.known.values, fact.known.terminal, fact.enriched, fact.gone)


def _is_job(fact: MemoryFact, host: str, project: int, number: int) -> bool:
    return (
        fact.kind == "job"
        and fact.host == host
        and fact.project == project
        and fact.known.values.get("number") == number
    )
