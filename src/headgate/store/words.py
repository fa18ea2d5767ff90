"""Texts and project slugs as the numbers that columns hold; for questions, which may not add any."""

from __future__ import annotations

from collections.abc import Collection

from headgate.core.status import OUR_STATUSES, map_status, words_of
from headgate.store.sql import Database

__all__ = ["project_ids", "statuses_sql", "texts_of", "word"]


def word(db: Database, text: str) -> int | None:
    """The number of a word; None for one that no fact has."""
    found: int | None = db.execute("SELECT id FROM dim WHERE family = 0 AND text = ?", (text,)).get
    return found


def texts_of(db: Database, numbers: Collection[int | None]) -> dict[int | None, str]:
    """Words by their numbers; empty text for none, and for one that is lost."""
    wanted = set(numbers) - {None}
    listed = ", ".join(map(str, wanted))
    found = db.execute(f"SELECT id, text FROM dim WHERE id IN ({listed})").fetchall()
    return {**dict.fromkeys(wanted, ""), **dict(found), None: "", 0: ""}


def project_ids(db: Database, slug: str) -> list[int]:
    """Projects that bear this slug today: one, but for hosts with the same names."""
    return [row[0] for row in db.execute("SELECT id FROM dim_project WHERE slug = ?", (slug,))]


def statuses_sql(db: Database, column: str, statuses: Collection[str]) -> str:
    """The condition that a column of CircleCI's words means one of our `statuses`."""
    theirs = [theirs for ours in OUR_STATUSES for theirs in words_of(ours)]
    known = {text: number for text in theirs if (number := word(db, text)) is not None}
    chosen = [str(number) for text, number in known.items() if map_status(text) in statuses]
    if "unknown" not in statuses:
        chosen.append("0")  # no word's number: an empty list would hide the column from the planner
        return f"{column} IN ({', '.join(chosen)})"
    left_out = [str(number) for text, number in known.items() if map_status(text) not in statuses]
    return f"({column} IS NULL OR {column} NOT IN ({', '.join(left_out)}))"
