"""All tables by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from headgate.insights.tables.advice import ADVICE
from headgate.insights.tables.deployed import DEPLOYED
from headgate.insights.tables.lists import LISTS
from headgate.insights.tables.operation import OPERATION
from headgate.insights.tables.places import PLACES
from headgate.insights.tables.runs import RUNS
from headgate.insights.tables.single import SINGLE
from headgate.insights.tables.table import Table
from headgate.insights.tables.workings import WORKINGS
from headgate.insights.views.refusal import Refused

__all__ = ["TABLES", "find_table"]

_ALL = (*PLACES, *RUNS, *LISTS, *SINGLE, *ADVICE, *DEPLOYED, *OPERATION, *WORKINGS)
TABLES: Mapping[str, Table] = {table.name: table for table in _ALL}


def find_table(name: str) -> Table:
    """One of them. Raises Refused that names others."""
    if name not in TABLES:
        near = get_close_matches(name, TABLES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        valid = [*near, *(one for one in TABLES if one not in near)]
        raise Refused("unknown-table", f"no table is called {name!r}{hint}", parameter="table", valid=valid)
    return TABLES[name]
