"""The connection type of this package, and inserting many rows in few steps.

apsw gives Python's lock away around every step of a statement and may have to wait for it afterwards; a statement that
inserts fifty rows waits once instead of fifty times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import apsw

__all__ = ["Database", "insert"]

if TYPE_CHECKING:

    class Database(apsw.Connection):
        """What the type checker sees: rows are untyped tuples; columns are declared in the migrations."""

        def execute(self, *args: Any, **kwargs: Any) -> Any:
            """A cursor over untyped rows."""

else:
    Database = apsw.Connection

# Rows per statement; each size is one prepared statement for each table.
_SIZES = (64, 16, 4, 1)


@lru_cache(maxsize=512)
def _statement(head: str, width: int, n: int, tail: str) -> str:
    row = f"({','.join('?' * width)})"
    return f"{head} VALUES {','.join([row] * n)} {tail}"


def insert(db: Database, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Insert rows of equal width; `head` ends before VALUES, `tail` may say what happens on a conflict."""
    start, left = 0, len(rows)
    for size in _SIZES:
        while left >= size:
            chunk = rows[start : start + size]
            db.execute(_statement(head, len(chunk[0]), size, tail), tuple(chain.from_iterable(chunk)))
            start += size
            left -= size
