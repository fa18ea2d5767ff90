"""What a webhook is on its way into the inbox, who decides whether it may enter, and who sets it up at the far side.

Part of the source port. Invariant: a signing secret never leaves the source that was configured with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

__all__ = [
    "Delivery",
    "Refusal",
    "WantedWebhook",
    "Webhook",
    "WebhookAdmin",
    "WebhookPolicy",
    "WebhookSource",
]


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


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as the far side has it. `signed`: a secret is set; which one nobody tells."""

    id: str
    name: str
    url: str
    events: frozenset[str]
    verify_tls: bool
    signed: bool


@dataclass(frozen=True, slots=True)
class WantedWebhook:
    """The webhook that every selected project should have, always with a secret."""

    name: str
    url: str
    events: frozenset[str]
    verify_tls: bool = True


class WebhookAdmin(Protocol):
    """Looks after the webhooks of one source at its far side.

    `wanted`: what the configuration asks for. `limit`: webhooks that one project may have, everybody's counted. `key`:
    of a `Scope`. Methods raise as those of a source do; SourceRefused with reason `no_access` means that the token
    lacks the right. Every change may be asked for again: what is gone already is no error.
    """

    wanted: WantedWebhook
    limit: int

    async def webhooks(self, key: str) -> Sequence[Webhook]:
        """All webhooks of a project, in the far side's order."""
        ...

    async def create(self, key: str) -> None:
        """Make the wanted webhook, signed with the first secret."""
        ...

    async def update(self, webhook_id: str) -> None:
        """Give a webhook every wanted property, and the first secret again."""
        ...

    async def delete(self, webhook_id: str) -> None:
        """Take a webhook away."""
        ...


@runtime_checkable
class WebhookSource(Protocol):
    """A source that can set up its own webhooks; None where its configuration does not ask for it."""

    webhook_admin: WebhookAdmin | None
