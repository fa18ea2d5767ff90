"""Lenient readers of decoded JSON: blank text, null and the wrong type all mean that nothing is known. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from headgate.core.facts import Value

__all__ = ["Json", "integer", "known", "objects", "repository", "sub", "text", "texts", "uuid_text"]

Json = Mapping[str, Any]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_LENGTH = 36
_SCP = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)/*(\S+)")
_DIGITS = re.compile(r"-?\d{1,18}")
_INT64 = 2**63
_NOTHING: Json = {}


def sub(value: object, *path: str) -> Json:
    """The object at a path; an empty one where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else _NOTHING


def objects(value: object) -> list[Json]:
    """The objects in a list; other items are passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Text without blanks around it; None for anything else and for blank text."""
    return (value.strip() or None) if isinstance(value, str) else None


def integer(value: object) -> int | None:
    """A whole number that fits 64 bits, also when it came as text; never a boolean."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64:
        return value
    return None


def uuid_text(value: object) -> str | None:
    """A UUID as lower-case text; None for anything that is none."""
    bare = value.strip() if isinstance(value, str) else ""
    return _uuid(bare) if len(bare) == _UUID_LENGTH else None


@lru_cache(maxsize=4096)
def _uuid(value: str) -> str | None:
    """Remembered, for the ids of projects, pipelines and workflows stand in every row about their jobs."""
    lower = value.lower()
    return lower if _UUID.fullmatch(lower) else None


def texts(value: object) -> list[str]:
    """The texts in a list, or the keys of an object; blank ones are passed over."""
    items: Sequence[object] = list(value) if isinstance(value, list | dict) else ()
    return [item for item in map(text, items) if item is not None]


def known(**fields: Value | None) -> dict[str, Value]:
    """The fields that are known: None, empty text and empty lists are left out."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


@lru_cache(maxsize=4096)
def repository(url: str | None) -> str | None:
    """A repository's address as https, without `.git`, credentials and query; None where it makes no sense."""
    if not url:
        return None
    if "://" not in url:
        scp = _SCP.fullmatch(url)
        return _https(scp[1], scp[2]) if scp else None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ssh", "git", "git+ssh") or not parts.hostname:
        return None
    # The port of an ssh address says nothing about https.
    host = f"{parts.hostname}:{port}" if port and parts.scheme in ("http", "https") else parts.hostname
    return _https(host, parts.path)


def _https(host: str, path: str) -> str | None:
    path = path.strip("/").removesuffix(".git").strip("/")
    return f"https://{host.lower()}/{path}" if path else None
