"""Quantities that people write in rules: `5m`, `80%`, `10pp`, `> 90%`. Each is a type, so none passes for another."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, InstanceOf, WithJsonSchema

from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.insights.metric import Format

__all__ = [
    "Condition",
    "ConditionField",
    "Difference",
    "Duration",
    "DurationField",
    "Percent",
    "Points",
    "Quantity",
    "QuantityField",
    "as_difference",
    "duration_text",
    "in_metric_unit",
    "parse_quantity",
]

_UNITS_MS = {"ms": 1, "s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_PART = re.compile(r"(\d+)(ms|[smhdw])")
_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?$")
_CONDITION = re.compile(r"^\s*(<=|>=|<|>)\s*(\S+)\s*$")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    ms: int

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read `90s`, `1h30m`, `7d`. Raises ValueError; a bare number has no unit and is refused."""
        if isinstance(value, cls):
            return value
        text = str(value).strip()
        parts = _PART.findall(text)
        if not isinstance(value, str) or not parts or "".join(f"{n}{unit}" for n, unit in parts) != text:
            raise ValueError(f"{value!r} is not a duration; write a number and a unit: 90s, 15m, 1h30m, 7d")
        return cls(sum(int(n) * _UNITS_MS[unit] for n, unit in parts))


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of a whole, as a ratio: 80% is 0.8."""

    ratio: float


@dataclass(frozen=True, slots=True)
class Points:
    """A difference between two percentages, as a ratio: 10pp is 0.1."""

    ratio: float


Quantity = Duration | Percent | Points | float


def parse_quantity(value: Any) -> Quantity:
    """Read any quantity. Raises ValueError."""
    if isinstance(value, (Duration, Percent, Points)):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    for suffix, kind in (("pp", Points), ("%", Percent)):
        number = text.removesuffix(suffix)
        if number != text and _NUMBER.match(number):
            return kind(float(number) / 100)
    return float(text) if _NUMBER.match(text) else Duration.parse(text)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with a fixed quantity: `< 80%`."""

    op: str
    quantity: Quantity

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read `< 80%`, `>= 5m`. Raises ValueError."""
        if isinstance(value, cls):
            return value
        form = _CONDITION.match(value) if isinstance(value, str) else None
        if form is None:
            raise ValueError(f"{value!r} is not a condition; write <, <=, > or >= and a value: < 80%")
        return cls(form.group(1), parse_quantity(form.group(2)))

    @property
    def below(self) -> bool:
        """Whether small values meet it."""
        return self.op.startswith("<")

    @property
    def comparison(self) -> Callable[[float, float], bool]:
        """What says whether a value meets a limit, both in the metric's unit."""
        return _OPERATORS[self.op]

    def holds(self, value: float, limit: float) -> bool:
        """Whether `value` meets it; `limit` is the quantity in the metric's unit."""
        return _OPERATORS[self.op](value, limit)


_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def in_metric_unit(quantity: Quantity, form: Format) -> float:
    """The quantity in a metric's unit. Raises ValueError where the kinds differ."""
    if form == "percentage":
        if isinstance(quantity, Percent):
            return quantity.ratio
        if isinstance(quantity, float) and 0 <= quantity <= 1:
            return quantity
        raise ValueError("a percentage is compared with a percentage (80%) or a ratio from 0 to 1; pp are differences")
    if form == "duration":
        if isinstance(quantity, Duration):
            return quantity.ms / 1000
        raise ValueError("a duration is compared with a duration: 90s, 15m, 1h30m")
    if isinstance(quantity, float):
        return quantity
    raise ValueError("this metric is a plain number; it takes no unit")


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a value lies from its baseline. `relative`: as a share of the baseline, else in the metric's unit."""

    amount: float
    relative: bool

    def between(self, value: float, baseline: float) -> float:
        """The distance from baseline to value as this is written, rises positive; infinite where it has no share."""
        moved = value - baseline
        if not self.relative:
            return moved
        if baseline == 0:
            return 0.0 if moved == 0 else math.copysign(math.inf, moved)
        return moved / abs(baseline)


def as_difference(quantity: Quantity, form: Format) -> Difference:
    """A difference between two values of a metric. Raises ValueError where the kinds do not go together."""
    if isinstance(quantity, Percent):
        if form == "percentage":
            raise ValueError("a difference between percentages is written in percentage points: 10pp")
        return Difference(quantity.ratio, relative=True)
    if isinstance(quantity, Points):
        if form != "percentage":
            raise ValueError("pp are differences between percentages; this metric has none")
        return Difference(quantity.ratio, relative=False)
    if form == "percentage":
        raise ValueError("a difference between percentages is written in percentage points: 10pp")
    return Difference(in_metric_unit(quantity, form), relative=False)


def duration_text(seconds: float) -> str:
    """A length of time for people, two units at most: 45 s, 12 min 5 s, 3 h, 2 d 4 h."""
    left = round(seconds)
    if 0 < seconds < 1:
        return f"{round(seconds * 1000)} ms"
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


DurationField = Annotated[
    InstanceOf[Duration], BeforeValidator(Duration.parse), _schema(r"^(\d+(ms|[smhdw]))+$", "15m")
]
ConditionField = Annotated[
    InstanceOf[Condition], BeforeValidator(Condition.parse), _schema(r"^\s*(<=|>=|<|>)\s*\S+\s*$", "< 80%")
]
QuantityField = Annotated[
    Any, BeforeValidator(parse_quantity), WithJsonSchema({"type": ["string", "number"], "examples": ["85%"]})
]
