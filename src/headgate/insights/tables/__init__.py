"""Every table that a page shows, as rows for files: its columns, what it may be asked, and all of its rows.

Invariant: rows are those of the view of the same name, read page by page to the end; nothing is added up here. What is
held at once is one page of the view.
"""

from headgate.insights.tables.registry import TABLES, find_table
from headgate.insights.tables.table import Asking, Cell, Column, Material, Opened, Table, open_table, read_asking

__all__ = [
    "TABLES",
    "Asking",
    "Cell",
    "Column",
    "Material",
    "Opened",
    "Table",
    "find_table",
    "open_table",
    "read_asking",
]
