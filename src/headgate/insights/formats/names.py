"""Names of formats and of files. Pure.

Invariant: a file's name has ASCII letters, digits, dot, dash and underscore alone, and does not begin with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from headgate.insights.tables.table import Asking
from headgate.insights.views.refusal import Refused

__all__ = ["FORMATS", "FormatName", "file_name", "media_type", "read_format", "safe_name"]

FormatName = Literal["csv", "json", "jsonl", "xlsx"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
_MEDIA: Mapping[FormatName, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_MOST = 60


def read_format(text: str) -> FormatName:
    """A format by its name. Raises Refused."""
    for name in FORMATS:
        if name == text:
            return name
    raise Refused("bad-parameter", f"{text!r} is no format", parameter="format", valid=FORMATS)


def media_type(name: FormatName) -> str:
    """Its media type; JSON Lines has none that is registered."""
    return _MEDIA[name]


def safe_name(text: str) -> str:
    """A text as a part of a file's name; may be empty."""
    return _UNSAFE.sub("-", text).strip("-_")[:_MOST]


def file_name(asked: Asking, form: FormatName) -> str:
    """`headgate-runs-gh-acme-web-2026-11-13-2026-11-20.csv`."""
    parts = ["headgate", asked.table.name, safe_name(asked.one("project"))]
    if asked.table.windowed:
        parts += [asked.window.since[:10], asked.window.until[:10]]
    return "-".join(part for part in parts if part) + f".{form}"
