"""Which workflow of a pipeline repeats which: worked out from all of them together, since CircleCI does not say. Pure.

Invariant: a function of what is known of the pipeline's workflows, so the order in which it became known is nothing to
it. Times count in whole seconds, as the coarsest input tells them.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.facts import FIELDS
from headgate.core.merge import Known

__all__ = ["link_reruns"]

_DERIVED = tuple(field.name for field in FIELDS["workflow"] if field.family == "derived")
_SECOND_MS = 1000


def link_reruns(runs: Mapping[str, Known]) -> dict[str, Known]:
    """The workflows of one pipeline, by key, with `rerun_of` and `attempt` as they follow; only those that changed.

    A workflow repeats the newest one of its name that had ended when it was created. One that repeats none has neither
    field. What both fields rest on is when the workflow was created, so they carry that field's stamp.
    """
    begun = sorted((at, key) for key, known in runs.items() if (at := _second(known, "created_at")) is not None)
    attempts: dict[str, int] = {}
    changed: dict[str, Known] = {}
    for position, (at, key) in enumerate(begun):
        name = runs[key].values.get("name")
        before = (
            other
            for _, other in reversed(begun[:position])
            if name is not None and runs[other].values.get("name") == name and _ended_by(runs[other], at)
        )
        old = next(before, None)
        attempts[key] = 1 if old is None else attempts[old] + 1
        linked = _with(runs[key], old, attempts[key])
        if linked != runs[key]:
            changed[key] = linked
    return changed


def _second(known: Known, name: str) -> int | None:
    at = known.values.get(name)
    return at // _SECOND_MS if isinstance(at, int) else None


def _ended_by(known: Known, second: int) -> bool:
    stopped = _second(known, "stopped_at")
    return stopped is not None and stopped <= second


def _with(known: Known, rerun_of: str | None, attempt: int) -> Known:
    values = {name: value for name, value in known.values.items() if name not in _DERIVED}
    stamps = {name: stamp for name, stamp in known.stamps.items() if name not in _DERIVED}
    if rerun_of is not None:
        values |= {"attempt": attempt, "rerun_of": rerun_of}
        stamps |= dict.fromkeys(_DERIVED, stamps["created_at"])
    return Known(values, stamps)
