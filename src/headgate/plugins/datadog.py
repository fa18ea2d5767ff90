"""What Datadog's sink and notifier share: its sites, and text as it takes it, tags and texts cut with a mark. Pure.

Invariant: a tag that leaves here is what Datadog would make of it, so two spellings never become one series behind our
back. Source: docs.datadoghq.com "Getting Started with Tags", read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

__all__ = ["MARK", "Site", "cut", "tag", "tags_of"]

Site = Literal[
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
]
# The end of a text that did not fit.
MARK = "…"
_MOST_CHARACTERS = 200
_NOT_ALLOWED = re.compile(r"[^\w\-:./]")
_UNDERSCORES = re.compile(r"__+")
_NO_LETTER_YET = re.compile(r"^[\W\d_]+")


@lru_cache(maxsize=20_000)
def tag(name: str, value: str) -> str:
    """`name:value` in lower case, of letters, digits and `_ - : . /`, from its first letter on, 200 characters."""
    text = _UNDERSCORES.sub("_", _NOT_ALLOWED.sub("_", f"{name}:{value}".lower()))
    return _NO_LETTER_YET.sub("", text)[:_MOST_CHARACTERS].rstrip("_")


def tags_of(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """One tag for each pair whose value says something, in their order."""
    return [tag(name, str(value)) for name, value in pairs if value not in (None, "")]


def cut(text: str, characters: int) -> str:
    """The text, at most so long; one that is cut ends in MARK."""
    return text if len(text) <= characters else text[: characters - len(MARK)] + MARK
