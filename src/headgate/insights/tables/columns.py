"""Makes columns out of what views have: the fields of a dataclass, and figures of the catalogue. Pure.

Invariant: a field that a view gains is a column from then on; one whose type is not a cell's is refused at import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from headgate.insights.catalogue import CATALOGUE
from headgate.insights.metric import MetricDef
from headgate.insights.tables.table import Cell, Column, Kind

__all__ = ["column", "figures", "keys", "of_fields"]

_KINDS: Mapping[Any, Kind] = {str: "text", bool: "flag", int: "integer", float: "number"}
_TIMES = frozenset({"at", "since", "until"})
# Fields that are spans in every view, seconds.
_SECONDS = frozenset(
    {"duration", "queue", "approval_wait", "begin", "started", "ended", "critical_share", "exclusive", "total"}
)
_DOCS: Mapping[str, str] = {
    "project": "Slug of the project.",
    "team": "Whose it is, as `owners` of the configuration says.",
    "branch_class": "@default for the project's default branch, else @other.",
    "status": "How it ended, or what it does.",
    "duration": "Seconds that it took.",
    "queue": "Seconds that it waited for a machine.",
    "approval_wait": "Seconds that it waited for a person.",
    "credits": "Credits that it used; no value where they are not known.",
    "credits_estimated": "The credits are an estimate, no bill.",
    "attempt": "2 for the first rerun.",
    "rerun_of": "The run that it repeats.",
    "url": "Its page at CircleCI.",
    "health": "By the success rate of the window: good, warning, bad, or idle.",
}


def column(  # noqa: PLR0917  # the columns of a table are written as one
    name: str, kind: Kind, doc: str, pick: Callable[[Any], Cell] | None = None, unit: str = "", title: str = ""
) -> Column:
    """One column; it picks the field of its name unless told otherwise."""
    return Column(name, title or _title(name), kind, unit, doc or _DOCS.get(name, ""), pick or attrgetter(name))


def keys(*columns: tuple[str, Kind, str]) -> tuple[Column, ...]:
    """Columns of rows that are mappings; a key that a row does not have is a cell without a value."""
    return tuple(column(name, kind, doc, _key(name)) for name, kind, doc in columns)


def _key(name: str) -> Callable[[Mapping[str, Any]], Cell]:
    return lambda row: row.get(name)


def of_fields(view: type, *, leave: Collection[str] = (), docs: Mapping[str, str] | None = None) -> tuple[Column, ...]:
    """A column for each field of a dataclass but some. `docs`: what fields mean, beyond what they do everywhere."""
    told = docs or {}
    return tuple(_of_field(name, hint, told) for name, hint in get_type_hints(view).items() if name not in leave)


def _of_field(name: str, hint: Any, docs: Mapping[str, str]) -> Column:
    kind = _kind(name, hint)
    metric = CATALOGUE.names.get(name)
    unit = "s" if name in _SECONDS and kind == "number" else metric.unit if metric and kind == "number" else ""
    doc = docs.get(name) or _DOCS.get(name) or (metric.doc if metric else "")
    return Column(name, _title(name), kind, unit, doc, attrgetter(name))


def _kind(name: str, hint: Any) -> Kind:
    if get_origin(hint) in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is Literal:
        return "text"
    if get_origin(hint) is not None:
        return "json"
    kind = _KINDS.get(hint)
    if kind is None:
        raise TypeError(f"{name}: {hint} is no cell; leave it out or say how it is picked")
    return "time" if kind == "text" and (name in _TIMES or name.endswith("_at")) else kind


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def figures(
    metrics: Iterable[str],
    *,
    previous: bool = True,
    of: Callable[[Any], Mapping[str, Any]] = attrgetter("figures"),
    known: Mapping[str, MetricDef] | None = None,
) -> tuple[Column, ...]:
    """Columns of metrics: the value, its sample, and with `previous` the value of the window before."""
    found: list[Column] = []
    names = CATALOGUE.names if known is None else known
    for name in metrics:
        metric = names[name]
        doc = f"{metric.doc} {metric.counts}".strip()
        found.append(Column(name, _title(name), "number", metric.unit, doc, _figure(of, name, "value")))
        if previous:
            before = f"{_title(name)}, window before"
            found.append(Column(f"{name}_previous", before, "number", metric.unit, doc, _figure(of, name, "previous")))
            found += _known(name, metric, of) if metric.format == "credits" else ()
        size = f"How many runs, jobs or tests the value of {name} is made from."
        found.append(Column(f"{name}_n", f"{_title(name)}, sample", "integer", "", size, _figure(of, name, "n")))
    return tuple(found)


def _known(name: str, metric: MetricDef, of: Callable[[Any], Mapping[str, Any]]) -> Iterable[Column]:
    """Credits may be known up to a time before the end of the window alone, and are compared up to there."""
    parts: tuple[tuple[str, str, Kind, str], ...] = (
        ("known_until", "known until", "time", "Up to when it is known, where that is before the end of the window."),
        ("known", "known part", "number", "Its value up to there."),
        (
            "known_previous",
            "as long a part before",
            "number",
            "Its value in as long a first part of the window before.",
        ),
    )
    for part, words, kind, doc in parts:
        unit = metric.unit if kind == "number" else ""
        yield Column(f"{name}_{part}", f"{_title(name)}, {words}", kind, unit, doc, _figure(of, name, part))


def _figure(of: Callable[[Any], Mapping[str, Any]], name: str, part: str) -> Callable[[Any], Cell]:
    def pick(row: Any) -> Cell:
        one = of(row).get(name)
        found: Cell = None if one is None else getattr(one, part)
        return found

    return pick
