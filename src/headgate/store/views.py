"""Which facts a record is rendered from: a fact with the things that it belongs to."""

from __future__ import annotations

from headgate.core.facts import LEAF_KINDS
from headgate.core.merge import Known
from headgate.store.facts import Fact, Facts
from headgate.store.releases import View

__all__ = ["leaf_view", "view_of"]


def view_of(facts: Facts, fact: Fact) -> View:
    """What a stored fact's record is rendered from."""
    if fact.kind in LEAF_KINDS:
        return leaf_view(facts, fact, fact.known)
    workflow = None
    if fact.kind == "job" and "workflow_id" in fact.values:
        workflow = facts.find("workflow", fact.host, fact.values["workflow_id"])
    above = fact.values.get("pipeline_id", workflow.values.get("pipeline_id") if workflow else None)
    pipeline = facts.find("pipeline", fact.host, above) if isinstance(above, str) else None
    return View(fact.known, workflow.known if workflow else None, pipeline.known if pipeline else None)


def leaf_view(facts: Facts, fact: Fact, known: Known) -> View:
    """The same for a leaf, told from `known`: with its job and everything above that, as known now."""
    job = facts.find("job", fact.host, found) if isinstance(found := known.values.get("job_id"), str) else None
    if job is not None:
        above = view_of(facts, job)
        return View(known, above.workflow, above.pipeline, job.known)
    key = known.values.get("workflow_id")
    workflow = facts.find("workflow", fact.host, key) if isinstance(key, str) else None
    if workflow is None:
        return View(known, None, None)
    return View(known, workflow.known, view_of(facts, workflow).pipeline)
