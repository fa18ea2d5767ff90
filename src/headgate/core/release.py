"""When a fact may leave: once, when it has ended, is complete, and its enrichment is done or overdue. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from headgate.core.facts import LEAF_KINDS, FactKind, Value
from headgate.core.merge import Known

__all__ = ["Profile", "Release", "ReleasePolicy", "decide", "missing_fields", "needs_enrichment"]

# none: at once. batch: wait for one v1.1 page of the project. each: wait for one detail call per job.
Profile = Literal["none", "batch", "each"]


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """How long a source's facts wait to be enriched. `wait_ms`: at most this long after they ended for us."""

    profile: Profile = "batch"
    wait_ms: int = 60_000


class Release(Enum):
    """What to do with a fact now."""

    NOT_YET = "not ended"
    WAIT = "ended, waiting for enrichment or for missing fields"
    NOW = "release"


_REQUIRED: dict[FactKind, tuple[str, ...]] = {
    "workflow": ("status", "created_at", "stopped_at"),
    "job": ("status", "started_at", "stopped_at"),
}


def missing_fields(kind: FactKind, values: Mapping[str, Value], parents: Mapping[str, Value]) -> tuple[str, ...]:
    """What a complete record would still need, in the order of asking. `parents`: fields of workflow and pipeline.

    A job without a number never ran: it was skipped, refused or an approval, and may have no times at all.
    """
    required = ("status",) if kind == "job" and "number" not in values else _REQUIRED[kind]
    missing = [name for name in required if name not in values]
    if "ref_name" not in values and "ref_name" not in parents:
        missing.append("ref_name")
    return tuple(missing)


def needs_enrichment(kind: FactKind, values: Mapping[str, Value], profile: Profile) -> bool:
    """Whether any call of this profile could tell more about the fact. Approvals and jobs that never ran: no."""
    if profile == "none":
        return False
    if kind == "job":
        return "number" in values and values.get("type") != "approval"
    return profile == "batch"


def decide(
    kind: FactKind,
    known: Known,
    parents: Mapping[str, Value],
    policy: ReleasePolicy,
    *,
    enriched: bool,
    due_ms: int | None,
    now_ms: int,
) -> Release:
    """Whether to release now. `due_ms`: stored when the fact was first seen to have ended; None before that."""
    if not known.terminal:
        return Release.NOT_YET
    if kind in LEAF_KINDS:
        return Release.NOW
    if due_ms is not None and now_ms >= due_ms:
        return Release.NOW
    if missing_fields(kind, known.values, parents):
        return Release.WAIT
    if needs_enrichment(kind, known.values, policy.profile) and not enriched:
        return Release.WAIT
    return Release.NOW
