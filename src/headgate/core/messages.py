"""What people are told, and what a channel to them must do: notifications, messages that hold several, the ports.

A notification is about one transition of one alert and is stored in the outbox. A message is what one channel sends at
once: one notification, several of a group, or a digest. The rules for notifiers are docs/spec/notifiers.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from headgate.core.ports import HttpReply, HttpRequest, TransportOptions

__all__ = [
    "ACKNOWLEDGED",
    "Acknowledging",
    "CallNotifier",
    "Digest",
    "Exchange",
    "Message",
    "Notification",
    "Notifier",
    "Probing",
    "Refreshing",
    "Tone",
    "content_of",
    "payload_of",
]

State = Literal["firing", "resolved"]
# How it is meant: an event may be good news, which fires and alarms nobody.
Tone = Literal["firing", "good", "resolved"]
_GRAVEST: tuple[Tone, ...] = ("firing", "good", "resolved")
# Reason of a notification that goes to `Acknowledging` channels alone.
ACKNOWLEDGED = "acknowledged"
# Reasons of what is told of an alert that is open already.
_FOLLOWS = frozenset({"escalated", "repeat", "flapping", ACKNOWLEDGED})
# Sends one request over the engine's connections and gives the answer, whatever its status. Raises SinkUnavailable, or
# SinkRefused for an address that cannot be used.
Exchange = Callable[["HttpRequest"], Awaitable["HttpReply"]]


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell about one alert. Plain data; stored in the outbox as JSON before it is sent.

    `key`: idempotency key, fingerprint and transition number; a repeat has a key of its own. `state`: firing or
    resolved. `labels`, `annotations`: rendered. `numbers`: value, baseline, n as far as known. Times in milliseconds
    since the epoch. `good`: what fires is good news.
    """

    key: str
    fingerprint: str
    rule: str
    state: State
    reason: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int
    ends_ms: int | None
    at_ms: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    good: bool = False

    @property
    def tone(self) -> Tone:
        """How it must look."""
        return "good" if self.good and self.state == "firing" else self.state

    @property
    def opens(self) -> bool:
        """Whether the receiver hears of this alert for the first time, or again after its end."""
        return self.state == "firing" and self.reason not in _FOLLOWS


@dataclass(frozen=True, slots=True)
class Digest:
    """A report of a period for people. `markdown`, `html`: the same text in two forms; `data`: its numbers.

    `file`: a whole page of HTML for channels that carry files, under the name `file_name`; empty where there is none.
    """

    key: str
    title: str
    since_ms: int
    until_ms: int
    markdown: str
    html: str
    data: Mapping[str, Any] = field(default_factory=dict)
    file_name: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What one notifier sends at once. Either `notifications` (at least one, each alert once) or `digest`.

    `key`: idempotency key, the same on every attempt. `group`: labels that all of them share, empty for an alert by
    itself. `memory`: what the notifier asked to remember when it sent the group's message before; empty for the first.
    """

    key: str
    notifications: tuple[Notification, ...]
    group: Mapping[str, str] = field(default_factory=dict)
    digest: Digest | None = None
    memory: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """Firing while one of them is."""
        return "firing" if any(one.state == "firing" for one in self.notifications) else "resolved"

    @property
    def tone(self) -> Tone:
        """The gravest of how its notifications must look."""
        return min((one.tone for one in self.notifications), default="resolved", key=_GRAVEST.index)


class _Channel(Protocol):
    """What both forms of notifier have.

    `grouped`: takes several notifications in one message; else it is given one at a time. `digests`: takes digests.
    """

    name: str
    grouped: bool
    digests: bool
    transport: TransportOptions


@runtime_checkable
class Notifier(_Channel, Protocol):
    """A channel to people over HTTP. Like an HttpSignal: encodes and interprets, never sends, retries or logs."""

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:
        """The request for one message. `now_ms` for signed timestamps."""
        ...

    def interpret(self, reply: HttpReply, message: Message) -> Mapping[str, str] | None:
        """Return when accepted; raise SinkUnavailable, PartlyTaken, BatchRejected or SinkRefused otherwise.

        What is returned is `Message.memory` of the group's next message; None keeps what is remembered, an empty
        mapping forgets it.
        """
        ...


@runtime_checkable
class CallNotifier(_Channel, Protocol):
    """A channel that needs several requests, or another protocol than HTTP. It tries once, bounded, and never retries.

    `http` sends requests over the engine's connections, with the options in `transport`.
    """

    async def send(self, message: Message, *, now_ms: int, http: Exchange) -> Mapping[str, str] | None:
        """Send one message. Raises and returns as `Notifier.interpret`; every lower error is translated."""
        ...

    async def reach(self, http: Exchange) -> None:
        """Try address and key without telling anybody; raises as `send`."""
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """A channel whose far side can be told that somebody has seen an alert, which is not a new page.

    It is given notifications of state firing whose reason is `ACKNOWLEDGED`; annotation `summary` says who and why.
    """

    acknowledges: Literal[True]


@runtime_checkable
class Refreshing(Protocol):
    """A channel whose far side forgets what it is not told again."""

    refresh_seconds: float

    async def refresh(
        self,
        memories: Mapping[str, Mapping[str, str]],
        *,
        now_ms: int,
        open_alerts: Callable[[str], bool],
        http: Exchange,
    ) -> Sequence[str]:
        """Tell everything again, from what it remembers by thread; returns threads to forget. Raises as `send`.

        `open_alerts`: whether the alert with a fingerprint is open still.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A notifier whose far side can be asked about the key without telling anybody; `read_probe` reads the answer."""

    def probe(self) -> HttpRequest | None:
        """The request for `headgate check`; None where, as configured, only the connection can be tried."""
        ...

    def read_probe(self, reply: HttpReply) -> None:
        """Return when the key is good; raise as `Notifier.interpret` otherwise."""
        ...


class _WithDigest(msgspec.Struct, frozen=True):
    digest: Digest


_notification = msgspec.json.Decoder(Notification)
_digest = msgspec.json.Decoder(_WithDigest)
_DIGEST = b'{"digest":'


def payload_of(content: Notification | Digest) -> bytes:
    """What an outbox row holds."""
    return msgspec.json.encode(_WithDigest(content) if isinstance(content, Digest) else content)


def content_of(payload: bytes) -> Notification | Digest:
    """What `payload_of` was given. Raises msgspec.DecodeError for anything else."""
    return _digest.decode(payload).digest if payload.startswith(_DIGEST) else _notification.decode(payload)
