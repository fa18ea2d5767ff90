"""Links the reruns of the pipelines that a unit of work touched.

Invariant: core.reruns decides; here is only which workflows it has to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headgate.core.merge import Known
from headgate.core.reruns import link_reruns
from headgate.store.facts import Fact, Facts

__all__ = ["linked"]

_TOLD = ("pipeline_id", "name", "created_at", "stopped_at")


def linked(facts: Facts, touched: Mapping[Fact, tuple[Known, bool]]) -> Iterable[tuple[Fact, Known]]:
    """Workflows whose links are no longer right, with what is known of them now.

    `touched`: facts of the unit, written or not, with what was known of them before it.
    """
    runs = [fact for fact in touched if fact.kind == "workflow"]
    pipelines = {
        (fact.host, key): None
        for fact in runs
        if isinstance(key := fact.values.get("pipeline_id"), str)
        if fact.stored is None or _told(touched[fact][0]) != _told(fact.known)
    }
    for host, key in pipelines:
        siblings = {fact.key: fact for fact in facts.of_pipeline(key, host)}
        siblings |= {one.key: one for one in runs if one.host == host and one.values.get("pipeline_id") == key}
        changed = link_reruns({name: fact.known for name, fact in siblings.items()})
        yield from ((siblings[name], known) for name, known in changed.items())


def _told(known: Known) -> tuple[object, ...]:
    """What the links rest on."""
    return (*(known.values.get(name) for name in _TOLD), known.stamps.get("created_at"))
