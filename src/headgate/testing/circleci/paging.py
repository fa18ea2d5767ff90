"""Pages whose token names the last item given.

Invariant: new items neither repeat nor skip one that was there when the first page was read.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import TypeVar

import orjson

_Item = TypeVar("_Item")
_Key = tuple[int | str, ...]


def page(
    items: Iterable[_Item], key: Callable[[_Item], _Key], token: str | None, size: int
) -> tuple[list[_Item], str | None]:
    """Give the items after the one a token names, by rising key, and the next token (None at the end).

    Raises ValueError for a token that no page of these items has.
    """
    ordered = sorted(items, key=key)
    if token:
        last = _read(token)
        try:
            ordered = [item for item in ordered if key(item) > last]
        except TypeError as exc:
            raise ValueError("a token of another list") from exc
    given = ordered[:size]
    return given, _write(key(given[-1])) if len(ordered) > size else None


def _write(key: _Key) -> str:
    return urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _read(token: str) -> _Key:
    value = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004  # a bad value of the caller's, not a bad type of ours
    return tuple(value)
