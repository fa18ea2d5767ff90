"""One row of a benchmark's result, and the table on the terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """`peer`: what the figure is held against, `ratio`: value / peer_value. `met`: None where no target is set."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    target: str = ""
    met: bool | None = None


def row(
    name: str,
    value: float,
    unit: str,
    *,
    peer: tuple[str, float] | None = None,
    target: str = "",
    met: bool | None = None,
) -> Row:
    """A rounded row; the ratio is computed from the peer."""
    return Row(
        name,
        round(value, 3),
        unit,
        peer[0] if peer else "",
        round(peer[1], 3) if peer else None,
        round(value / peer[1], 3) if peer and peer[1] else None,
        target,
        met,
    )


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """Plain data, in the shape that docs and scripts rely on."""
    return [asdict(item) for item in rows]


def table(rows: list[Row]) -> str:
    """A table for people, also valid Markdown."""
    lines = ["| what | value | peer | ratio | target | met |", "|---|---|---|---|---|---|"]
    for item in rows:
        peer = f"{item.peer} {item.peer_value:,}" if item.peer_value is not None else ""
        met = {True: "yes", False: "no", None: ""}[item.met]
        ratio = "" if item.ratio is None else str(item.ratio)
        lines.append(f"| {item.name} | {item.value:,} {item.unit} | {peer} | {ratio} | {item.target} | {met} |")
    return "\n".join(lines)
