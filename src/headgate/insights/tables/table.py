"""What a table is: typed columns, the words it may be asked with, and where its rows come from.

Invariant: a question that is refused is refused before the first row is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, Protocol

from headgate.core.audits import ProvenWindow
from headgate.core.tally import DEFAULT_BRANCH
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import StepName, Window, read_step, read_window

__all__ = [
    "FILTERS",
    "STEP",
    "WINDOW",
    "Asking",
    "Cell",
    "Column",
    "Desk",
    "Kind",
    "Material",
    "Opened",
    "Pages",
    "Row",
    "Table",
    "open_table",
    "read_asking",
]

Kind = Literal["text", "integer", "number", "flag", "time", "json"]
# A time is RFC 3339 text; `json` is a list or a mapping; None is a cell without a value.
Cell = str | int | float | bool | Sequence[Any] | Mapping[str, Any] | None
Row = tuple[Cell, ...]
Pages = AsyncIterator[Sequence[Any]]

WINDOW = ("since", "until", "window")
FILTERS = ("branch", "branch_class", "trigger", "org", "team")
STEP = ("step",)
_SEVERAL = frozenset({"by", "where"})
# Rows that are turned into cells at once: a few milliseconds of the event loop.
_SLICE = 500
_MOST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `id`: stable, in the header of files; `unit`: of its numbers, as the catalogue writes units.

    `pick`: its cell of a row of the view.
    """

    id: str
    title: str
    kind: Kind
    unit: str
    doc: str
    pick: Callable[[Any], Cell]


class Desk(Protocol):
    """What only operations can tell, in their words."""

    async def alerts(self) -> list[dict[str, Any]]:
        """Alert instances that are not inactive."""
        ...

    async def overview(self) -> dict[str, Any]:
        """What the page of delivery shows."""
        ...

    async def completeness(self, window: ProvenWindow) -> dict[str, Any]:
        """What audits have proven: `hours`, when each cell begins, and `projects` with their `cells`."""
        ...

    async def data(self) -> dict[str, Any]:
        """What the page of data shows."""
        ...

    async def routing(self) -> dict[str, Any]:
        """Who is told of alerts."""
        ...

    async def silences(self) -> list[dict[str, Any]]:
        """All silences."""
        ...

    async def backfills(self) -> list[dict[str, Any]]:
        """History that was asked for."""
        ...

    async def dead_deliveries(
        self, limit: int, ids: Sequence[int] = (), before: int | None = None
    ) -> list[dict[str, Any]]:
        """Webhooks that were set aside, newest first; `before`: id of the last one of the page before."""
        ...

    async def trail(self, since_ms: int, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Who did what since a time, newest first; `before`: id of the last one of the page before."""
        ...

    async def saved_reports(self) -> list[dict[str, Any]]:
        """Saved reviews, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Material:
    """What tables are made from; of one moment."""

    lens: Lens
    desk: Desk


@dataclass(frozen=True, slots=True)
class Asking:
    """A question about a table, read and valid. `words`: as they were given, without those that are empty."""

    table: Table
    words: Mapping[str, tuple[str, ...]]
    window: Window
    step: StepName
    filters: Filters

    def one(self, name: str) -> str:
        """A word that is given once at most; empty where it is not."""
        return self.words.get(name, ("",))[0]


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `takes`: words of the question; `needs`: those of them without which there is no answer.

    `choices`: word -> what it may be, where that is a closed set. `columns`, `pages`: of a question.
    """

    name: str
    title: str
    doc: str
    takes: tuple[str, ...]
    columns: Callable[[Lens, Asking], Sequence[Column]]
    pages: Callable[[Material, Asking], Pages]
    needs: tuple[str, ...] = ()
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def windowed(self) -> bool:
        """Whether its rows are of a window; else of this moment."""
        return "window" in self.takes


@dataclass(frozen=True, slots=True)
class Opened:
    """A table whose question can be answered. `pages`: rows in the order of `columns`; to be read once, to the end."""

    asked: Asking
    columns: tuple[Column, ...]
    pages: AsyncIterator[Sequence[Row]]


def read_asking(table: Table, words: Mapping[str, Sequence[str]], *, now_ms: int) -> Asking:
    """A question as it was written. Raises Refused that names what is wrong and what is valid."""
    given = {name: tuple(values) for name, values in words.items() if any(values)}
    for name, values in given.items():
        _check(table, name, values)
    for name in table.needs:
        if name not in given:
            detail = f"table {table.name} needs {name}"
            raise Refused("bad-parameter", detail, parameter=name, valid=table.choices.get(name, ()))
    since, until, window = (given.get(name, ("",))[0] or None for name in WINDOW)
    chosen = read_window(since, until, window, now_ms=now_ms)
    step = read_step(given["step"][0] if "step" in given else None, chosen)
    return Asking(table, given, chosen, step, _filters(given))


def _check(table: Table, name: str, values: tuple[str, ...]) -> None:
    if name not in table.takes:
        near = get_close_matches(name, table.takes, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise Refused(
            "bad-parameter", f"table {table.name} does not take {name!r}{hint}", parameter=name, valid=table.takes
        )
    if len(values) > 1 and name not in _SEVERAL:
        raise Refused("bad-parameter", f"{name} is given more than once", parameter=name)
    for value in values:
        if len(value) > _MOST_TEXT:
            raise Refused("bad-parameter", f"{name} is longer than {_MOST_TEXT} characters", parameter=name)
        if name in table.choices and value not in table.choices[name]:
            detail = f"{name}: {value!r} is none of those that table {table.name} takes"
            raise Refused("bad-parameter", detail, parameter=name, valid=table.choices[name])


def _filters(given: Mapping[str, tuple[str, ...]]) -> Filters:
    """As the API reads them: the branch `@default` is a class."""
    told = {name: given[name][0] for name in FILTERS if name in given}
    if told.get("branch") == DEFAULT_BRANCH:
        told = {"branch_class": DEFAULT_BRANCH, **{name: told[name] for name in told if name != "branch"}}
    found = Filters(**told)
    found.matchers()
    return found


async def open_table(material: Material, asked: Asking) -> Opened:
    """Read the first page, so that what can be refused is. Raises Refused, and what the store raises."""
    columns = tuple(asked.table.columns(material.lens, asked))
    pages = asked.table.pages(material, asked)
    first = await anext(pages, None)
    return Opened(asked, columns, _cells(columns, first, pages))


async def _cells(columns: Sequence[Column], first: Sequence[Any] | None, pages: Pages) -> AsyncIterator[Sequence[Row]]:
    if first is None:
        return
    for start in range(0, len(first), _SLICE):
        yield [tuple(column.pick(row) for column in columns) for row in first[start : start + _SLICE]]
    async for page in pages:
        for start in range(0, len(page), _SLICE):
            yield [tuple(column.pick(row) for column in columns) for row in page[start : start + _SLICE]]
