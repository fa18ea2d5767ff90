"""What differs between what a server shows and what it should have. Pure.

Servers add to what they were sent, and write numbers as texts; neither is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

__all__ = ["differences"]

_MISSING = object()


def differences(found: Any, wanted: Any) -> tuple[str, ...]:
    """Lines `+ path: value` and `- path: value`, in the order of `wanted`; empty when all of `wanted` is in `found`.

    Lists are equal or differ as a whole, except that their mappings are compared as mappings.
    """
    return tuple(_walk(found, wanted, ""))


def _walk(found: Any, wanted: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name, value in wanted.items():
            inner = f"{path}.{name}" if path else str(name)
            yield from _walk(found.get(name, _MISSING), value, inner)
        return
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for position, (left, right) in enumerate(zip(found, wanted, strict=True)):
            yield from _walk(left, right, f"{path}[{position}]")
        return
    if isinstance(wanted, Mapping) and wanted and found is _MISSING:
        yield from _walk({}, wanted, path)
        return
    if _equal(found, wanted):
        return
    if found is not _MISSING:
        yield f"- {path}: {_text(found)}"
    yield f"+ {path}: {_text(wanted)}"


def _equal(found: Any, wanted: Any) -> bool:
    if found is _MISSING or isinstance(found, Mapping | list) or isinstance(wanted, Mapping | list):
        return found is not _MISSING and bool(found == wanted)
    return _text(found).strip('"') == _text(wanted).strip('"')


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
