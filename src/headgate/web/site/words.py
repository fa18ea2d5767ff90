"""Numbers, times and addresses as people read them: the filters of all templates. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from headgate.core.times import format_ms
from headgate.insights.metric import Format

__all__ = ["FILTERS", "duration", "shown"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
NOTHING = "–"  # noqa: RUF001  # an en dash stands for a value that there is not


def number(value: float | None) -> str:
    """1234567 as 1,234,567; nothing as a dash."""
    return "-" if value is None else f"{value:,.0f}"


def span(seconds: float | None) -> str:
    """Seconds in the largest fitting unit."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"


def size(count: float) -> str:
    """Bytes in a readable unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def link(url: str | None) -> str:
    """An address that may be linked: http or https only; empty for everything else."""
    if not url:
        return ""
    return url if urlsplit(url).scheme in ("http", "https") else ""


def clock(text: str | None) -> str:
    """`2026-11-20T10:02:10.000Z` as `11-20 10:02:10`."""
    return "-" if not text else text[5:19].replace("T", " ")


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units: 75 as `1m 15s`, 0.25 as `0.3s`."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{round(seconds, 1):g}s"
    rest = round(seconds)
    parts: list[str] = []
    for amount, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if rest >= amount or parts:
            parts.append(f"{rest // amount}{unit}")
            rest %= amount
    return " ".join(part for part in parts[:2] if not part.startswith("0"))


def percentage(ratio: float | None) -> str:
    """0.9764 as `97.6 %`; only all is 100 %, and only none is 0 %. More than all is what was spent beyond a limit."""
    if ratio is None:
        return NOTHING
    if ratio in (0, 1):
        return f"{ratio:.0%}".replace("%", " %")
    return f"{max(ratio * 100, 100.1) if ratio > 1 else min(max(ratio * 100, 0.1), 99.9):.1f} %"


def _count(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.1f}"


def _score(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


_FORMATS: Mapping[Format, Callable[[float | None], str]] = {
    "percentage": percentage,
    "duration": duration,
    "number": _count,
    "credits": _count,
    "score": _score,
}


def shown(value: float | None, form: Format) -> str:
    """A metric's value in its format."""
    return _FORMATS[form](value)


# Units of the catalogue that are things, as people write one and several of them.
_THINGS: Mapping[str, tuple[str, str]] = {
    "{run}": ("run", "runs"),
    "{job}": ("job", "jobs"),
    "{test}": ("test", "tests"),
    "{credit}": ("credit", "credits"),
    "{failure}": ("failure", "failures"),
    "{recovery}": ("recovery", "recoveries"),
    "{deployment}": ("deployment", "deployments"),
}


def quantity(value: float | None, form: str, unit: str | None) -> str:
    """A value with its unit: `60 %`, `3m 25s`, `1,234 credits`, `0.5 deployments a day`; a plain count without one."""
    if value is None:
        return NOTHING
    known = next((one for one in _FORMATS if one == form), None)
    text = figures(value) if known is None else shown(value, known)
    what, slash, _ = (unit or "").partition("/")
    if known in ("percentage", "duration", "score") or what in ("", "1", "s"):
        return text
    one, several = _THINGS.get(what, (what.strip("{}"),) * 2)
    return f"{text} {one if value == 1 and not slash else several}{' a day' if slash else ''}"


def rate(value: float | None) -> str:
    """How often a day, in three figures: 0.0213."""
    return NOTHING if value is None else f"{value:,.3g}"


def moment(ms: int | None) -> str:
    """Milliseconds since the epoch as `2026-11-20 10:02:10`."""
    return NOTHING if ms is None else format_ms(ms)[:19].replace("T", " ")


def second(text: str | None) -> str:
    """`2026-11-20T10:02:10.000Z` as `2026-11-20 10:02:10`."""
    return NOTHING if not text else text[:19].replace("T", " ")


def figures(value: float | None) -> str:
    """A value whose unit is not known, in four figures, or whole from a thousand on."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def word(status: str) -> str:
    """A status as people write it."""
    return status.replace("_", " ")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "clock": clock,
    "duration": duration,
    "figures": figures,
    "link": link,
    "moment": moment,
    "number": number,
    "percentage": percentage,
    "quantity": quantity,
    "rate": rate,
    "second": second,
    "shown": shown,
    "size": size,
    "span": span,
    "word": word,
}
