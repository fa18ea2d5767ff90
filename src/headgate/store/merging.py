"""The unit of work `merge_and_release`: observations into facts, rollups, releases and amendments.

Merging and deciding are core's; here is which other facts a change touches. Invariant: any order and any grouping of
the same observations ends in the same facts and the same net records.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.core.facts import LEAF_KINDS, RELEASED_KINDS
from headgate.core.ids import number_key
from headgate.core.merge import EMPTY, Known, Observation, merge
from headgate.core.release import Release, ReleasePolicy, decide, needs_enrichment
from headgate.core.render import SHARED_FIELDS
from headgate.core.rollup import Contribution, contribution
from headgate.core.status import map_status
from headgate.core.storeport import MergeResult, MergeWork
from headgate.store import inbox
from headgate.store.facts import Fact, Facts
from headgate.store.positions import remember
from headgate.store.projects import Project
from headgate.store.releases import Releases, View
from headgate.store.reruns import linked
from headgate.store.rollups import Place, Rollups, branch_class
from headgate.store.schema import KIND_NUMBER
from headgate.store.session import Session
from headgate.store.views import leaf_view

__all__ = ["Merge", "merge_unit"]

# Changes of these fields of a parent are seen in the records or rollups of its children.
_HANDED_DOWN = {
    "pipeline": (*SHARED_FIELDS, "number"),
    "workflow": (*SHARED_FIELDS, "name", "pipeline_id", "attempt", "rerun_of"),
}


def _word(known: Known) -> str:
    return map_status(str(known.values.get("status", "")))


_Spot = tuple[Place, Contribution] | None


class Merge:
    """One unit under way. Owned by the writer's thread; nothing of it outlives the unit."""

    def __init__(
        self,
        session: Session,
        facts: Facts,
        *,
        source: str,
        policy: ReleasePolicy,
        now_ms: int,
        live_after_ms: int,
        app_url: str,
    ) -> None:
        self.session = session
        self.facts = facts
        self.source = source
        self.policy = policy
        self.now_ms = now_ms
        self.rollups = Rollups()
        self.releases = Releases(session, now_ms=now_ms, live_after_ms=live_after_ms, app_url=app_url)
        self.unchanged = 0
        self.wants: set[str] = set()
        self.withheld: list[tuple[str, str, str]] = []
        # Every fact that this unit touched, with what was known of it before.
        self.before: dict[Fact, tuple[Known, bool]] = {}
        # Those of them whose values or flags changed, so that records and rollups may have.
        self.moved: dict[Fact, None] = {}
        # Those whose children were looked at for what their parents hand down.
        self._spread: set[Fact] = set()

    # -- observations

    def observe(self, seen: Observation) -> None:
        """Merge one observation."""
        project = self.session.projects.resolve(seen.project, seen.observed_ms)
        if self.session.projects.joined:
            self._join_projects()
        fact = self._fact(seen, project)
        known = merge(fact.known, seen)
        terminal = fact.terminal or (seen.terminal and bool(seen.fields))
        enriched = fact.enriched or seen.enriches
        told = fact not in self.before and fact.stored is None
        if known is not fact.known or told:
            self.before.setdefault(fact, (fact.known, fact.terminal))
            told = told or known.values != fact.known.values
            fact.known = known
        if terminal != fact.terminal or enriched != fact.enriched:
            self.before.setdefault(fact, (fact.known, fact.terminal))
            fact.terminal, fact.enriched = terminal, enriched
            told = True
        if told:
            self.moved[fact] = None
        else:
            self.unchanged += 1

    def _fact(self, seen: Observation, project: Project) -> Fact:
        host = seen.project.host
        fact = self.facts.find(seen.kind, host, seen.key)
        if seen.kind == "job":
            fact = self._one_job(seen, project, fact)
        if fact is None:
            fact = Fact(seen.kind, host, seen.key, project=project.id, source=self.source, seen_ms=self.now_ms)
            fact = self.facts.add(fact)
        return fact

    def _one_job(self, seen: Observation, project: Project, fact: Fact | None) -> Fact | None:
        """Follow the other name of a job: the number of a build without UUID, or the UUID learnt later."""
        number = seen.fields.get("number")
        if project.provider_id is None or not isinstance(number, int):
            return fact
        numbered = number_key(project.provider_id, number)
        if seen.key == numbered:
            return fact or self._by_number(seen, project, number)
        learnt = fact is None or fact.values.get("number") != number
        if not learnt or "#" in seen.key or not self.session.counters.get("numbered"):
            return fact
        other = self.facts.find("job", seen.project.host, numbered)
        if other is None or other is fact:
            return fact
        return self._same_job(seen, fact, other)

    def _by_number(self, seen: Observation, project: Project, number: int) -> Fact | None:
        fact = self.facts.by_number(project.id, seen.project.host, number)
        if fact is None:
            self.session.count("numbered")
        else:
            self.facts.alias(fact, seen.key)
        return fact

    def _same_job(self, seen: Observation, fact: Fact | None, other: Fact) -> Fact:
        if fact is not None:
            return self._unite(fact, other)
        if other.released:
            self.facts.alias(other, seen.key)
        else:
            self.facts.rekey(other, seen.key)
        return other

    def _unite(self, by_id: Fact, by_number: Fact) -> Fact:
        """Two facts turn out to be one job: the released one stays, else the one with the UUID."""
        keep, drop = (by_number, by_id) if by_number.released and not by_id.released else (by_id, by_number)
        self._settle(drop, gone=True)
        self.before.setdefault(keep, (keep.known, keep.terminal))
        for name, stamp in drop.known.stamps.items():
            one = Observation(
                kind="job",
                key=keep.key,
                project=self.session.projects.by_id[keep.project].ref,
                source=stamp.source,
                observed_ms=stamp.observed_ms,
                terminal=stamp.terminal,
                fields={name: drop.known.values[name]},
            )
            keep.known = merge(keep.known, one)
        keep.terminal, keep.enriched = keep.terminal or drop.terminal, keep.enriched or drop.enriched
        self.moved[keep] = None
        self.before.pop(drop, None)
        self.moved.pop(drop, None)
        self.facts.drop(drop, keep)
        self.facts.alias(keep, drop.key)
        return keep

    def _join_projects(self) -> None:
        """Two projects turned out to be one: a slug was used before its id was known."""
        for old, new in self.session.projects.joined:
            self.facts.move_project(old, new)
            for fact in self.before:
                if fact.project == old:
                    fact.project = new
        self.session.projects.joined.clear()

    def give_up(self, keys: Sequence[str]) -> None:
        """The source no longer has these jobs or workflows: they count as enriched."""
        for key in keys:
            for fact in self.facts.with_key(key):
                if not (fact.gone and fact.enriched):
                    self.before.setdefault(fact, (fact.known, fact.terminal))
                    fact.gone = fact.enriched = True
                    self.moved[fact] = None

    # -- what follows from them

    def settle(self) -> None:
        """Bring rollups, releases and amendments in line with every fact that moved, and write it all."""
        self._link()
        affected = {fact: None for fact in self.moved if fact.kind in RELEASED_KINDS}
        for fact in list(self.moved):
            if self._hands_down(fact):
                self._add_children(fact, affected)
        reclassed = self._reclass()
        for fact in sorted(affected, key=lambda fact: fact.kind != "workflow"):
            self._settle(fact)
        for fact in reclassed:
            if fact not in affected:
                self._roll(fact, self.view(fact, before=False), gone=False)
        self.write()

    def _link(self) -> None:
        """Reruns follow from all workflows of their pipeline, so what was learnt of one may change another."""
        for fact, known in list(linked(self.facts, self.before)):
            self.before.setdefault(fact, (fact.known, fact.terminal))
            if known.values != fact.known.values:
                self.moved[fact] = None
            fact.known = known

    def _reclass(self) -> dict[Fact, None]:
        """A project told its default branch: runs of the branches concerned change their class, and nothing else."""
        found: dict[Fact, None] = {}
        for project, branches in self.session.projects.reclassed.items():
            for fact in self.facts.on_branches(project, branches):
                if fact.kind == "workflow":
                    found[fact] = None
                self.before.setdefault(fact, (fact.known, fact.terminal))
                self._add_children(fact, found)
        self.session.projects.reclassed.clear()
        return found

    def write(self) -> None:
        """Write facts, log, rollups and counters."""
        self.facts.write(self.before)
        self.releases.flush()
        self.rollups.flush(self.session)
        self.session.flush()
        self.facts.shrink()

    def _hands_down(self, fact: Fact) -> bool:
        names = _HANDED_DOWN.get(fact.kind)
        if names is None:
            return False
        old, new = self.before[fact][0].values, fact.values
        return any(old.get(name) != new.get(name) for name in names)

    def _add_children(self, parent: Fact, affected: dict[Fact, None]) -> None:
        """Everything below; also below a workflow that moved by itself, whose jobs may hear of the pipeline alone."""
        if parent in self._spread:
            return
        self._spread.add(parent)
        for child in self.facts.children(parent):
            affected[child] = None
            if child.kind == "workflow":
                self._add_children(child, affected)
            self.before.setdefault(child, (child.known, child.terminal))

    def _parent(self, fact: Fact, kind: str, key: object) -> Fact | None:
        if not isinstance(key, str):
            return None
        return self.facts.find("workflow" if kind == "workflow" else "pipeline", fact.host, key)

    def view(self, fact: Fact, *, before: bool) -> View:
        """What the fact's record is rendered from, now or as it was when this unit began.

        A leaf's record is not amended when its parents change, so they are always as they are now.
        """
        known = self._known(fact, before=before)
        if fact.kind in LEAF_KINDS:
            return leaf_view(self.facts, fact, known)
        workflow = pipeline = None
        if fact.kind == "job":
            parent = self._parent(fact, "workflow", known.values.get("workflow_id"))
            workflow = self._known(parent, before=before) if parent else None
        of_workflow = workflow.values.get("pipeline_id") if workflow else None
        above = self._parent(fact, "pipeline", known.values.get("pipeline_id", of_workflow))
        if above is not None:
            pipeline = self._known(above, before=before)
        return View(known, workflow, pipeline)

    def _known(self, fact: Fact, *, before: bool) -> Known:
        if before and fact in self.before:
            return self.before[fact][0]
        return fact.known

    def _settle(self, fact: Fact, *, gone: bool = False) -> None:
        after = self.view(fact, before=False)
        if fact.kind not in LEAF_KINDS:
            self._roll(fact, after, gone=gone)
        if gone:
            return
        project = self.session.projects.by_id[fact.project]
        if fact.released:
            before = self.view(fact, before=True)
            if before != after:
                self.releases.amend(fact, before, after, project.ref)
            return
        self.consider(fact, after, project)

    def consider(self, fact: Fact, view: View, project: Project) -> None:
        """Release the fact if it may leave; else note until when it waits."""
        parents = (view.workflow or EMPTY).values
        if "ref_name" not in parents:
            parents = (view.pipeline or EMPTY).values
        verdict = decide(
            fact.kind,
            fact.known,
            parents,
            self.policy,
            enriched=fact.enriched,
            due_ms=fact.due_ms,
            now_ms=self.now_ms,
        )
        if verdict is Release.NOW:
            self.releases.release(fact, view, project.ref)
            if fact.due_ms is not None:
                self.session.count("unreleased", -1)
        elif verdict is Release.WAIT:
            if fact.due_ms is None:
                fact.due_ms = self.now_ms + self.policy.wait_ms
                self.session.count("unreleased")
            if not fact.enriched and needs_enrichment(fact.kind, fact.known.values, self.policy.profile):
                self.wants.add(project.key)

    def _roll(self, fact: Fact, view: View, *, gone: bool) -> None:
        """Move the fact's contribution from where it was to where it belongs now; keep the counts of statuses."""
        kind = "workflow" if fact.kind == "workflow" else "job"
        known, terminal = self.before.get(fact, (fact.known, fact.terminal))
        old = self._spot(fact, known, terminal=terminal) if fact.stored is not None else None
        self._place(fact, view)
        new = None if gone else self._spot(fact, fact.known, terminal=fact.terminal)
        if old != new:
            if old is not None:
                self.rollups.add(*old, -1)
            if new is not None:
                self.rollups.add(*new, 1)
        elif new is not None:
            self.rollups.touch(new[1])
        was = _word(known) if terminal and fact.stored is not None else None
        now = _word(fact.known) if fact.terminal and not gone else None
        if was != now:
            if was is not None:
                self.session.count(f"status:{kind}:{was}", -1)
            if now is not None:
                self.session.count(f"status:{kind}:{now}")

    def _spot(self, fact: Fact, known: Known, *, terminal: bool) -> _Spot:
        workflow = fact.kind == "workflow"
        part = contribution("workflow" if workflow else "job", known.values, terminal=terminal)
        if part is None:
            return None
        name = known.values.get("name")
        job = 0 if workflow or not isinstance(name, str) else self.session.dim(0, name)
        return (KIND_NUMBER[fact.kind], fact.project, fact.run, job, fact.branch_class), part

    def _place(self, fact: Fact, view: View) -> None:
        shared: dict[str, object] = {}
        for known in (view.pipeline, view.workflow, view.known if fact.kind == "workflow" else None):
            if known is not None:
                shared.update({name: known.values[name] for name in ("ref_type", "ref_name") if name in known.values})
        default = self.session.projects.by_id[fact.project].default_branch
        fact.branch_class = branch_class(shared.get("ref_type"), shared.get("ref_name"), default)
        named = view.known if fact.kind == "workflow" else view.workflow
        name = named.values.get("name") if named else None
        fact.run = self.session.dim(0, name) if isinstance(name, str) else 0

    # -- results

    def result(self) -> MergeResult:
        """What the unit did."""
        return MergeResult(
            released=dict(self.releases.released),
            amended=self.releases.amended,
            unchanged=self.unchanged,
            next_due_ms=self.facts.next_due(self.source),
            wants_enrichment=frozenset(self.wants),
            withheld=tuple(self.withheld),
        )


def merge_unit(session: Session, facts: Facts, work: MergeWork) -> MergeResult:
    """Facts, rollups, releases, amendments, inbox rows and cursor of one piece of work."""
    session.remember_app_url(work.source, work.app_url)
    unit = Merge(
        session,
        facts,
        source=work.source,
        policy=work.policy,
        now_ms=work.now_ms,
        live_after_ms=work.live_after_ms,
        app_url=work.app_url,
    )
    for seen in work.observations:
        unit.observe(seen)
    if work.gone:
        unit.give_up(work.gone)
    inbox.settle(session, work.inbox_done, work.inbox_dead, work.now_ms)
    remember(session.db, work)
    unit.settle()
    return unit.result()
