"""What a running daemon lends to the operations behind commands, API and page.

Invariant: the defaults are those of a command that opened the store alone: nobody to wake, nothing that runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from headgate.app.records import RecordsConfig
from headgate.app.settings import Configuration
from headgate.app.shelf import Shelf
from headgate.collect import CallRates
from headgate.core.ports import Signal, Source
from headgate.insights.catalogue import CATALOGUE, Catalogue
from headgate.insights.outlook import Budget
from headgate.insights.owners import Owners
from headgate.insights.resourceclasses import ResourceClasses
from headgate.web.operations import Json, Problem

__all__ = ["Running"]


async def _no_reload() -> Json:
    raise Problem("refused", "nothing is running here; start `headgate run`")


async def _no_files() -> list[Json]:
    return []


async def _no_hints() -> Sequence[str]:
    return ()


def _every_metric() -> Catalogue:
    return CATALOGUE


def _no_configuration() -> Configuration | None:
    return None


def _nothing() -> None:
    """Wakes nobody: without a daemon there is nobody to wake."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a daemon adds to a store. The defaults are those of a command that opened the store alone.

    `sources`: present ones by name; `idle`: those that poll nothing, with what to set; `signals`: by key; `app_urls`:
    where the links of each source lead to; `records`: sink -> its section of that name; `signal_hints`: why signals do
    not deliver now; `lags`: signal -> seconds, as its worker knows it; `wake`: deliveries have something to do;
    `reset`: replaces the store's reset where workers must let go first; `polled`: sources that can be asked for history
    -> how far back facts are kept, milliseconds; `wake_backfills`, `wake_audits`: a request was stored; `call_rates`:
    calls an hour by source; `turn`: held while alerts change; `catalogue`, `owners`, `classes`, `budgets`: metrics,
    teams, machine sizes, limits of forecasts as configured; `behind_ms`: project -> how far behind the present it is
    collected; `acknowledging`: notifiers that pass acknowledgements on; `wake_outbox`: something is there to be told;
    `rule_texts`: file and text of the rules in force; `files`: how scheduled exports and reports are; `kept_files`:
    with what is kept of them; `shelves`: where reports are; `configuration`: in force.
    """

    sources: Callable[[], Mapping[str, Source | None]] = field(default=dict)
    app_urls: Callable[[], Mapping[str, str]] = field(default=dict)
    idle: Callable[[], Mapping[str, str]] = field(default=dict)
    signals: Callable[[], Mapping[str, Signal]] = field(default=dict)
    records: Callable[[], Mapping[str, RecordsConfig]] = field(default=dict)
    signal_hints: Callable[[], Awaitable[Sequence[str]]] = _no_hints
    lags: Callable[[], Awaitable[Mapping[str, float]]] | None = None
    wake: Callable[[], None] = _nothing
    reset: Callable[[str, Literal["now", "retained"] | int], Awaitable[None]] | None = None
    reload: Callable[[], Awaitable[Json]] = _no_reload
    polled: Callable[[], Mapping[str, int]] = field(default=dict)
    wake_backfills: Callable[[], None] = _nothing
    wake_audits: Callable[[], None] = _nothing
    call_rates: Callable[[], Mapping[str, CallRates]] = field(default=dict)
    turn: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext
    catalogue: Callable[[], Catalogue] = _every_metric
    owners: Callable[[], Owners] = Owners
    classes: Callable[[], ResourceClasses] = ResourceClasses
    budgets: Callable[[], Sequence[Budget]] = tuple
    behind_ms: Callable[[], Mapping[str, int]] = field(default=dict)
    configuration: Callable[[], Configuration | None] = _no_configuration
    files: Callable[[], Mapping[str, Json]] = field(default=dict)
    kept_files: Callable[[], Awaitable[list[Json]]] = _no_files
    shelves: Callable[[], Mapping[str, Shelf]] = field(default=dict)
    acknowledging: Callable[[], Collection[str]] = frozenset
    wake_outbox: Callable[[], None] = _nothing
    rule_texts: Callable[[], Sequence[tuple[str, str]]] = tuple
