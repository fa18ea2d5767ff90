"""What single facts add to sums, said in SQL: the same as `core.rollup.contribution` says of one fact.

Invariant: an arm of a statement has its sign, the key, the sums in the order of `SUMS`, and for each measure that was
asked for a sketch, here NULL, and then for each of them a span, milliseconds or NULL.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.rollup import MEASURES, SUMS, Measure, RollupKind
from headgate.core.status import FAILED, words_of
from headgate.core.tally import Dimension, TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.sql import Database
from headgate.store.words import word

__all__ = ["fact_columns", "fact_filters", "fact_joins"]


def _told(table: str, name: str, pipeline: str) -> str:
    """What the workflow says, else what its pipeline says, which is then read alone."""
    above = f"SELECT pl.{name} FROM pipeline pl WHERE pl._key = {pipeline} AND pl._host = f._host"
    return f"coalesce({table}.{name}, ({above}))"


_OF_RUN: dict[Dimension, str] = {
    "org": "f._project",
    "project": "f._project",
    "workflow": "f._run",
    "job": "0",
    "branch_class": "f._class",
    "branch": _told("f", "ref_name", "f.pipeline_id"),
    "trigger": _told("f", "trigger_type", "f.pipeline_id"),
    "resource_class": "0",
    "hour": f"f.stopped_at / {HOUR_MS}",
    "day": f"f.stopped_at / {DAY_MS}",
}
_OF_JOB: dict[Dimension, str] = _OF_RUN | {
    "job": "f.name",
    "branch": _told("w", "ref_name", "coalesce(f.pipeline_id, w.pipeline_id)"),
    "trigger": _told("w", "trigger_type", "coalesce(f.pipeline_id, w.pipeline_id)"),
    "resource_class": "f.resource_class",
}
_SPAN = "max(0, f.{1} - f.{0})"


def fact_joins(query: TallyQuery) -> str:
    """What else must be read for the key; `f` is the fact."""
    if query.kind == "workflow" or {"branch", "trigger"}.isdisjoint(query.by):
        return ""
    return " LEFT JOIN workflow w ON w._key = f.workflow_id AND w._host = f._host"


def fact_filters(query: TallyQuery) -> Mapping[Dimension, str]:
    """Dimensions of which one value may be wanted -> the number of a fact's."""
    of = _OF_RUN if query.kind == "workflow" else _OF_JOB
    return {name: of[name] for name in ("workflow", "job", "branch_class", "branch", "trigger", "resource_class")}


def fact_columns(db: Database, query: TallyQuery, sign: str) -> str:
    """The columns of an arm; `sign`: SQL that is 1 or -1. Facts without a contribution give zeros."""
    sums, spans = _values(db, query.kind)
    key = [(_OF_RUN if query.kind == "workflow" else _OF_JOB)[name] for name in query.by]
    measures = [name for name in MEASURES if name in query.bins]
    columns = [sign, *(f"coalesce({name}, 0)" for name in key)]
    columns += [f"{sign} * ({sums[name]})" if name in sums else "0" for name in SUMS]
    return ", ".join(columns + ["NULL"] * len(measures) + [spans.get(name, "NULL") for name in measures])


def _values(db: Database, kind: RollupKind) -> tuple[dict[str, str], dict[Measure, str]]:
    """Name of a sum -> its value, and measure -> its span; those that are always 0 or NULL are left out."""

    def means(*ours: str) -> str:
        found = [word(db, theirs) for one in ours for theirs in words_of(one)]
        listed = ", ".join(str(number) for number in found if number is not None)
        return f"(f.status IS NOT NULL AND f.status IN ({listed}))" if listed else "0"

    ok, failed = means("success"), means(*FAILED)
    span = _SPAN.format("created_at" if kind == "workflow" else "started_at", "stopped_at")
    sums = {
        "n": "1",
        "ok": ok,
        "failed": failed,
        "errors": means("error"),
        "canceled": means("canceled"),
        "skipped": means("skipped"),
        "reruns": "f.rerun_of IS NOT NULL",
        "credits": "coalesce(f.credits, 0)",
        "duration_ok_ms": f"iif({ok}, coalesce({span}, 0), 0)",
        "timed_ok": f"{ok} AND {span} IS NOT NULL",
        "duration_ms": f"iif({ok} OR {failed}, coalesce({span}, 0), 0)",
        "timed": f"({ok} OR {failed}) AND {span} IS NOT NULL",
    }
    spans: dict[Measure, str] = {
        "duration_ok": f"iif({ok}, {span}, NULL)",
        "duration_failed": f"iif({failed}, {span}, NULL)",
    }
    if kind == "workflow":
        return sums | {"estimated": "iif(f.credits_estimated, coalesce(f.credits, 0), 0)"}, spans
    wait = _SPAN.format("queued_at", "started_at")
    sums |= {"queue_ms": f"coalesce({wait}, 0)", "queued": f"{wait} IS NOT NULL"}
    spans["queue"] = wait
    approval = word(db, "approval")
    if approval is None:
        return sums, spans
    # An approval is no run: nothing of it counts but how long it waited, where somebody gave it.
    hold = f"f.type IS {approval}"
    sums = {name: f"iif({hold}, 0, {value})" for name, value in sums.items()}
    spans = {name: f"iif({hold}, NULL, {value})" for name, value in spans.items()}
    given = f"{hold} AND {ok}"
    return (
        sums | {"hold_ms": f"iif({given}, coalesce({span}, 0), 0)", "held": f"{given} AND {span} IS NOT NULL"},
        spans | {"hold": f"iif({given}, {span}, NULL)"},
    )
