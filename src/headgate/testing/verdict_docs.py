"""The page of verdicts, generated from the common table and from the collected answers of the vendors. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from headgate.core.verdicts import Verdict, classify
from headgate.testing.sinks import Case, all_cases

__all__ = ["verdict_page"]

_MEANING: dict[Verdict, str] = {
    Verdict.OK: "the far side took everything: accepted",
    Verdict.OK_ASYNC: "taken, and looked at later: accepted, never called stored",
    Verdict.PARTIAL: "some records taken: each gets its own verdict, or halving finds the bad ones",
    Verdict.RETRY: "the same bytes are sent again, after the wait that was asked for or by back-off",
    Verdict.SPLIT: "too big: halved; a single record that is still too big is a dead letter",
    Verdict.AUTH: "key or rights: the signal holds, nothing is lost, a human is told",
    Verdict.DROP: "can never be taken: halved until the bad record is alone, which is a dead letter",
    Verdict.CONFIG: "wrong address, product or media type: the signal holds, a human is told",
}
_STATUSES = (200, 201, 202, 204, 301, 302, 307, 400, 401, 403, 404, 405, 406, 408, 411, 413, 414, 415, 422, 425, 429)
_LATER_STATUSES = (431, 500, 502, 503, 504)
_SHOWN_TEXT = 90
_HEAD = """# Verdicts

Every answer of a far side is read as one of eight classes. The tables below are generated: the first from the common
reading of a bare status (`headgate.core.verdicts`), the others from the collected answers that the fake vendors give.
Each row of a sink that exists is a test. A status that nobody foresaw is `retry`: warned about, never dropped.
"""


def verdict_page() -> str:
    """The whole of docs/sinks/verdicts.md."""
    classes = _table(("class", "what it means"), [(f"`{one.value}`", _MEANING[one]) for one in Verdict])
    statuses = _table(
        ("status", "class"),
        [(str(status), f"`{classify(status).value}`") for status in (*_STATUSES, *_LATER_STATUSES)]
        + [("any other 3xx", "`config`"), ("anything else", "`retry`")],
    )
    parts = [_HEAD, "## Classes\n", classes, "## A bare status\n", statuses]
    for sink, cases in groupby(all_cases(), attrgetter("sink")):
        parts += [f"## {sink}\n", _table(("answer", "status", "says", "class"), [_row(case) for case in cases])]
    return "\n".join(parts)


def _row(case: Case) -> tuple[str, str, str, str]:
    text = case.note or (case.body if isinstance(case.body, str) else "")
    shown = text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    if len(shown) > _SHOWN_TEXT:
        shown = f"{shown[:_SHOWN_TEXT]}…"
    return case.name, str(case.status), shown, f"`{case.expect}`"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
