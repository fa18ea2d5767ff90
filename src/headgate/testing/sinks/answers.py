"""The orders a test gives to a fake: which answer, how often, with which fault.

Pure: an order is parsed, chosen and described here; vendor.py carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from headgate.testing.sinks.cases import Case, find_case

if TYPE_CHECKING:
    from collections.abc import Mapping


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `PUT /_fake/answer` takes; every key is optional and they combine.

    `case`: a row of sink-cases.json, `name` or `sink/name`. `status`, `headers`, `body` (text or JSON):
    the answer itself. `count`: use the order so many times, then drop it. `rate`: use it for this share
    of requests, 0 to 1. `path`: only for paths that begin so. `store`: overrules whether the request is
    judged and stored. `cut`: `before_store`, `after_store` or `mid_answer`. `slow_seconds`: wait before
    answering (the records are stored before the wait). `broken_json`: cut the body's second half off.
    `chunked`: answer in chunks of a few bytes. `hang`: never answer, store nothing.
    """

    case: str | None = None
    status: int | None = None
    headers: dict[str, str] | None = None
    body: Any = None
    count: int | None = None
    rate: float = 1.0
    path: str = "/"
    store: bool | None = None
    cut: str | None = None
    slow_seconds: float = 0.0
    broken_json: bool = False
    chunked: bool = False
    hang: bool = False

    def told(self) -> str:
        """Describe the order in a few words for the request list."""
        fields = {name: getattr(self, name) for name in ("case", "status", "cut")}
        words = [f"{name}={value}" for name, value in fields.items() if value is not None]
        words += [name for name in ("broken_json", "chunked", "hang") if getattr(self, name)]
        return " ".join(words + (["slow"] if self.slow_seconds else [])) or "judged"


@dataclass(frozen=True, slots=True)
class Told:
    """One order that applies to the request at hand, with its row looked up."""

    order: Order
    case: Case | None

    @property
    def stores(self) -> bool:
        """Whether the request is judged and its good records kept."""
        if self.order.store is not None:
            return self.order.store
        if self.order.cut == "before_store" or self.order.hang:
            return False
        status = self.status
        return status is None or status in range(200, 230)  # not 260: Loki's "blocked"

    @property
    def status(self) -> int | None:
        """The status told, None when the fake's own judgement gives it."""
        if self.order.status is not None:
            return self.order.status
        return self.case.status if self.case else None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers told; the row's unless the order names its own."""
        if self.order.headers is not None:
            return self.order.headers
        return self.case.headers if self.case else {}

    @property
    def body(self) -> Any:
        """The body told; the row's unless the order names its own; None when neither does."""
        if self.order.body is not None:
            return self.order.body
        return self.case.body if self.case else None


class Script:
    """The orders in force; the first that applies is used."""

    def __init__(self, vendor: str, seed: int = 0) -> None:
        self._vendor = vendor
        self._random = Random(seed)
        self._orders: list[tuple[Told, list[int]]] = []

    def put(self, raw: bytes | object) -> None:
        """Replace all orders by one object or a list of them; ValueError says what is wrong."""
        value = msgspec.json.decode(raw) if isinstance(raw, bytes) else raw
        orders = msgspec.convert(value if isinstance(value, list) else [value], list[Order])
        self._orders = [(self._check(order), [order.count or 0]) for order in orders]

    def clear(self) -> None:
        """Drop all orders."""
        self._orders = []

    def choose(self, path: str) -> Told | None:
        """Return the order for a request to `path` and use one of its count up."""
        for told, left in self._orders:
            order = told.order
            if (order.count is not None and left[0] <= 0) or not path.startswith(order.path):
                continue
            if order.rate < 1 and self._random.random() >= order.rate:
                continue
            left[0] -= 1
            return told
        return None

    def _check(self, order: Order) -> Told:
        if order.cut not in (None, "before_store", "after_store", "mid_answer"):
            raise ValueError(f"cut is before_store, after_store or mid_answer, not {order.cut!r}")
        if not 0 <= order.rate <= 1:
            raise ValueError(f"rate is a share from 0 to 1, not {order.rate}")
        if order.status is not None and order.status not in range(200, 600):
            raise ValueError(f"status is from 200 to 599, not {order.status}")
        try:
            return Told(order, find_case(order.case, self._vendor) if order.case else None)
        except LookupError as error:
            raise ValueError(str(error)) from error
