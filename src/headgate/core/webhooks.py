"""What a webhook is on its way into the inbox, and who decides whether it may enter. Part of the source port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

__all__ = ["Delivery", "Refusal", "WebhookPolicy"]


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One inbound webhook as it came. `body`: the raw bytes. Headers are kept by allow-list, never the signature."""

    source: str
    arrived_ms: int
    event_type: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a webhook is not taken. `status`: HTTP status; `reason`: fixed word for counting; `detail` for people."""

    status: int
    reason: str
    detail: str


class WebhookPolicy(Protocol):
    """Decides whether a delivery may enter the inbox. Pure, fast, called on the event loop for each request."""

    max_body_bytes: int

    def refuse(self, headers: Mapping[bytes, bytes], body: bytes) -> Refusal | None:
        """Why not, or None. `headers`: lower-case names. Signatures are compared in constant time."""
        ...

    def event_type(self, headers: Mapping[bytes, bytes]) -> str:
        """What the sender says the delivery is; empty where it does not say."""
        ...
