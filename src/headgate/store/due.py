"""The unit of work `release_due`: facts leave because they have waited long enough.

Invariant: a fact that cannot leave holds up no other; it is told of, and waits for the next thing learnt of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from headgate.core.release import ReleasePolicy
from headgate.core.render import APP_URL
from headgate.core.storeport import MergeResult
from headgate.store.facts import Fact, Facts
from headgate.store.merging import Merge
from headgate.store.session import Session

__all__ = ["release_due_unit"]


def release_due_unit(
    session: Session,
    facts: Facts,
    policy: ReleasePolicy,
    source: str,
    *,
    now_ms: int,
    live_after_ms: int,
    limit: int,
) -> MergeResult:
    """Release what has waited long enough."""
    unit = Merge(
        session,
        facts,
        source=source,
        policy=policy,
        now_ms=now_ms,
        live_after_ms=live_after_ms,
        app_url=session.app_urls.get(source, APP_URL),
    )
    due: Iterable[Fact] = facts.due(source, now_ms, limit)
    for fact in due:
        unit.before.setdefault(fact, (fact.known, fact.terminal))
        _release(unit, fact)
    unit.write()
    return unit.result()


def _release(unit: Merge, fact: Fact) -> None:
    try:
        unit.consider(fact, unit.view(fact, before=False), unit.session.projects.by_id[fact.project])
    except (apsw.Error, MemoryError):
        raise
    except Exception as exc:  # noqa: BLE001  # told to the caller, which logs and counts it; the others must leave
        fact.due_ms = None
        unit.session.count("unreleased", -1)
        unit.withheld.append((fact.kind, fact.key, repr(exc)))
