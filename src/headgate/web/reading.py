"""What is said of history while it is still read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.web.operations import Json

__all__ = ["history_hints"]


def history_hints(orders: Iterable[Json]) -> list[str]:
    """How far back history is known while it is still read, so that nobody takes what is not read yet for nothing."""
    return [
        f"History since {order['since'][:10]} is being read, the newest first: {order['share']:.0%} is here"
        + (f", everything back to {order['reached'][:10]}. " if order["reached"] else ". ")
        + "What is older fills up by itself; Delivery shows how far it is."
        for order in orders
        if order["state"] == "running" and not order["id"].startswith("refresh-")  # of days that are here already
    ]
