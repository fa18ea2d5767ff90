"""Text as Datadog takes it: tags in the form that it stores, and texts cut to a limit with a mark. Pure.

Invariant: a tag that leaves here is what Datadog would make of it, so two spellings never become one series behind our
back. Source: docs.datadoghq.com "Getting Started with Tags", read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from headgate.core.record import Record
from headgate.sinks._measures import TAG_PREFIX

__all__ = ["MARK", "cut", "project_of", "rule_tags", "service_of", "tag", "tags_of"]

# The end of a text that did not fit.
MARK = "…"
_MOST_CHARACTERS = 200
_NOT_ALLOWED = re.compile(r"[^\w\-:./]")
_UNDERSCORES = re.compile(r"__+")
_NO_LETTER_YET = re.compile(r"^[\W\d_]+")
_SERVICE = f"{TAG_PREFIX}service"


@lru_cache(maxsize=20_000)
def tag(name: str, value: str) -> str:
    """`name:value` in lower case, of letters, digits and `_ - : . /`, from its first letter on, 200 characters."""
    text = _UNDERSCORES.sub("_", _NOT_ALLOWED.sub("_", f"{name}:{value}".lower()))
    return _NO_LETTER_YET.sub("", text)[:_MOST_CHARACTERS].rstrip("_")


def tags_of(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """One tag for each pair whose value says something, in their order."""
    return [tag(name, str(value)) for name, value in pairs if value not in (None, "")]


def rule_tags(record: Record) -> list[str]:
    """The tags that the sink's records were given by rules and options, such as `team:web`."""
    named = record.attributes.items()
    return [tag(name[len(TAG_PREFIX) :], str(value)) for name, value in named if name.startswith(TAG_PREFIX)]


def service_of(record: Record) -> str:
    """The tag `service` of the record, else its project, else its organisation."""
    return str(record.attributes.get(_SERVICE) or project_of(record))


def project_of(record: Record) -> str:
    """What the record belongs to: its project, else its organisation, else the provider."""
    return record.project or record.org or record.tenant


def cut(text: str, characters: int) -> str:
    """The text, at most so long; one that is cut ends in MARK."""
    return text if len(text) <= characters else text[: characters - len(MARK)] + MARK
