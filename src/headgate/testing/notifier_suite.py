"""The rules that every notifier keeps, as tests: docs/spec/notifiers.md. Public, for authors of notifiers.

Subclass `NotifierSuite` in a test module and say how the notifier is built:

    class TestPager(NotifierSuite):
        subject = NotifierSubject(
            build=build, config=PagerConfig, secrets=("s3cret",), accepts=(HttpReply(202, {}, b""),)
        )

A notifier of several requests (`CallNotifier` over `http`) is tested alike: its requests go to the fake that the
subject names. Each test cites its rule. Nothing here opens a socket.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from headgate.core.errors import BatchRejected, SinkError, SinkRefused, SinkUnavailable
from headgate.core.messages import CallNotifier, Digest, Exchange, Message, Notification, Notifier
from headgate.core.ports import HttpReply, HttpRequest, TransportOptions
from headgate.testing.sinks.harness import front_door
from headgate.testing.sinks.vendor import FrontDoor
from headgate.testing.sinks.wire import Request

__all__ = ["NotifierSubject", "NotifierSuite", "asked", "exchange_with", "messages", "notification", "told"]

NOW_MS = 1_795_000_000_000
# What a bare status means where the channel documents nothing else: core.verdicts.
STATUSES: Mapping[int, tuple[type[SinkError], str]] = {
    301: (SinkRefused, "config"),
    302: (SinkRefused, "config"),
    307: (SinkRefused, "config"),
    400: (BatchRejected, "refused"),
    401: (SinkRefused, "auth"),
    403: (SinkRefused, "auth"),
    404: (SinkRefused, "config"),
    405: (SinkRefused, "config"),
    408: (SinkUnavailable, ""),
    413: (BatchRejected, "too_large"),
    415: (SinkRefused, "config"),
    418: (SinkUnavailable, ""),
    422: (BatchRejected, "refused"),
    425: (SinkUnavailable, ""),
    429: (SinkUnavailable, ""),
    500: (SinkUnavailable, ""),
    502: (SinkUnavailable, ""),
    503: (SinkUnavailable, ""),
    504: (SinkUnavailable, ""),
    599: (SinkUnavailable, ""),
}
_HOSTILE = '<!channel> & <@U1> "quoted" \\ \u2028 \U0001f525 e\u0301 {{ x }} \x07 ' + "ä" * 40


def notification(**values: Any) -> Notification:
    """A firing notification; every field can be given."""
    base = Notification(
        key="f" * 64 + ":1795000000000:2",
        fingerprint="f" * 64,
        rule="DefaultBranchFailing",
        state="firing",
        reason="breach",
        labels={"project": "gh/acme/web", "severity": "warning", "workflow": "build"},
        annotations={"summary": "gh/acme/web build: 60% of 30 runs", "link": "https://app.circleci.com/x?a=1&b=2"},
        starts_ms=NOW_MS - 60_000,
        ends_ms=None,
        at_ms=NOW_MS - 1_000,
        numbers={"value": 0.6, "n": 30.0},
    )
    return dataclasses.replace(base, **values)


def told(*notifications: Notification, **values: Any) -> Message:
    """A message about these, alone or as a group; every field can be given."""
    if len(notifications) == 1:
        return dataclasses.replace(Message(notifications[0].key, notifications), **values)
    return dataclasses.replace(Message("g" * 64, notifications, {"alertname": notifications[0].rule}), **values)


NOTIFICATIONS: Mapping[str, Notification] = {
    "firing": notification(),
    "resolved": notification(state="resolved", ends_ms=NOW_MS - 2_000, reason="clear"),
    "bare": notification(labels={}, annotations={}, numbers={}),
    "hostile": notification(
        labels={"workflow": _HOSTILE, "branch": "`rm -rf`|x>"},
        annotations={"summary": _HOSTILE, "link": "javascript:alert(1)|>"},
    ),
    "huge": notification(
        labels={f"label_{index}": "v" * 300 for index in range(60)},
        annotations={"summary": "&<>" * 5_000, "link": "https://e.example/" + "x" * 5_000},
        rule="R" * 400,
    ),
}


DIGEST = Digest(
    key="digest:daily:1795000000000",
    title="CI, 20 November",
    since_ms=NOW_MS - 86_400_000,
    until_ms=NOW_MS,
    markdown="**3** alerts <script>&\n\n| a | b |\n|---|---|\n| x | y |\n" * 40,
    html="<h1>CI</h1><p>3 alerts &amp; more</p>",
    data={"alerts": 3},
)
_FOREIGN_KEY = "digest:w\u00f6chentlich\n:1795000000000"  # digests are named by people
GROUP = tuple(
    notification(key=f"{number:064d}:1:1", fingerprint=f"{number:064d}", labels={"workflow": f"build-{number}"})
    for number in range(40)
)


def messages(notifier: Notifier | CallNotifier) -> Mapping[str, Message]:
    """What a notifier may be asked to send: each notification, and as it says groups and digests."""
    found = {name: told(one) for name, one in NOTIFICATIONS.items()}
    if notifier.grouped:
        mixed = (
            NOTIFICATIONS["firing"],
            *GROUP[:3],
            notification(fingerprint="e" * 64, state="resolved", ends_ms=NOW_MS),
        )
        found |= {"group": told(*mixed), "large": told(*GROUP), "over": told(*map(_ended, GROUP[:2]))}
    if notifier.digests:
        found["digest"] = Message(DIGEST.key, (), digest=DIGEST)
    return found


def _ended(one: Notification) -> Notification:
    return dataclasses.replace(one, state="resolved", ends_ms=NOW_MS - 2_000)


@dataclasses.dataclass(frozen=True, slots=True)
class NotifierSubject:
    """What is tested. `build`: makes the notifier; `config`: its model; `secrets`: texts nobody may ever see.

    `accepts`: answers that mean accepted. `fake`, `fake_options`: a fake vendor of `headgate.testing.sinks` that judges
    its requests; needed by a notifier of several requests. `statuses`: where the channel documents another reading than
    the shared table. `untold`: messages that this channel has nothing to say about when it has said nothing before.
    """

    build: Callable[[], Notifier | CallNotifier]
    config: type[Any]
    secrets: tuple[str, ...]
    accepts: tuple[HttpReply, ...]
    fake: str | None = None
    fake_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    statuses: Mapping[int, tuple[type[SinkError], str]] = dataclasses.field(default_factory=dict)
    untold: frozenset[str] = frozenset()

    def messages(self) -> Mapping[str, Message]:
        """Those that it says something about."""
        return {name: one for name, one in messages(self.build()).items() if name not in self.untold}

    def door(self) -> FrontDoor:
        """Its fake, empty, at the time of the tests. Raises ValueError where it has none."""
        if self.fake is None:
            raise ValueError("a notifier of several requests needs a fake that answers them")
        return front_door(self.fake, clock_ms=lambda: NOW_MS, **self.fake_options)


class NotifierSuite:
    """The rules. A subclass sets `subject`; pytest collects the rest."""

    subject: NotifierSubject

    def _notifier(self) -> Notifier | CallNotifier:
        return type(self).subject.build()

    def _requests(self, message: Message, now_ms: int = NOW_MS) -> list[HttpRequest]:
        """What a notifier asks for one message."""
        made = self._notifier()
        if isinstance(made, Notifier):
            return [made.encode(message, now_ms=now_ms)]
        return _told_to(type(self).subject.door(), made, message, now_ms)

    def test_notif_01_is_a_notifier(self) -> None:
        """NOTIF-01: it keeps the port, with a name and transport options."""
        made = self._notifier()
        assert isinstance(made, Notifier | CallNotifier)
        assert made.name
        assert isinstance(made.transport, TransportOptions)

    def test_notif_02_encode_is_pure(self) -> None:
        """NOTIF-02: the same notification at the same time gives the same request, from any instance."""
        for one in type(self).subject.messages().values():
            assert self._requests(one) == self._requests(one)

    def test_notif_03_retries_repeat_the_body(self) -> None:
        """NOTIF-03: a later attempt sends the same body; only headers may carry the time of the attempt."""
        for one in type(self).subject.messages().values():
            later = self._requests(one, NOW_MS + 60_000)
            assert [request.body for request in self._requests(one)] == [request.body for request in later]

    def test_notif_04_the_key_travels(self) -> None:
        """NOTIF-04: the idempotency key is somewhere in the request that tells, the last one."""
        for one in type(self).subject.messages().values():
            request = self._requests(one)[-1]
            assert one.key in [value for _, value in request.headers] or one.key.encode() in request.body

    def test_notif_05_requests_can_be_sent(self) -> None:
        """NOTIF-05: address, headers and time-out are such that any HTTP client can send them."""
        given = [*type(self).subject.messages().values()]
        if self._notifier().digests:
            given.append(Message(_FOREIGN_KEY, (), digest=dataclasses.replace(DIGEST, key=_FOREIGN_KEY)))
        for one in given:
            for request in self._requests(one):
                assert request.url.startswith(("http://", "https://"))
                assert 0 < request.timeout_seconds <= 60
                names = [name.lower() for name, _ in request.headers]
                assert len(names) == len(set(names))
                for name, value in request.headers:
                    assert re.fullmatch(r"[A-Za-z0-9-]+", name)
                    assert value.isascii()
                    assert value.isprintable()

    def test_notif_06_the_vendor_takes_every_notification(self) -> None:
        """NOTIF-06: whatever is in labels and texts, the strict fake takes it and the answer reads as accepted."""
        subject = type(self).subject
        if subject.fake is None:
            return
        for name, one in messages(self._notifier()).items():
            door, made = subject.door(), self._notifier()
            if isinstance(made, Notifier):
                made.interpret(asked(door, made.encode(one, now_ms=NOW_MS)), one)
            else:
                _told_to(door, made, one, NOW_MS)
            assert len(list(door.ledger.rows())) == (name not in subject.untold), name

    def test_notif_07_acceptance(self) -> None:
        """NOTIF-07: the channel's own words for accepted raise nothing."""
        for reply in type(self).subject.accepts:
            self._answered(reply)

    def test_notif_08_statuses(self) -> None:
        """NOTIF-08: statuses read by the shared table or as documented; what nobody foresaw is tried again."""
        subject = type(self).subject
        for status, (kind, reason) in {**STATUSES, **subject.statuses}.items():
            error = self._error(HttpReply(status, {}, b"<html>no</html>"))
            assert type(error) is kind, status
            assert getattr(error, "reason", "") == reason, status

    def test_notif_09_retry_after(self) -> None:
        """NOTIF-09: Retry-After is obeyed in both forms and bounded."""
        date = "Sat, 21 Nov 2026 06:00:00 GMT"
        for headers, seconds in (
            ({"retry-after": "7"}, 7.0),
            ({"retry-after": "Sat, 21 Nov 2026 06:00:30 GMT", "date": date}, 30.0),
            ({"retry-after": "999999"}, 3600.0),
            ({"retry-after": "soon"}, None),
            ({}, None),
        ):
            error = self._error(HttpReply(429, headers, b""))
            assert isinstance(error, SinkUnavailable)
            assert error.retry_after == seconds

    def test_notif_10_no_secret_is_told(self) -> None:
        """NOTIF-10: neither errors nor representations hold a secret, even when the far side repeats it."""
        made = self._notifier()
        texts = [repr(made), str(made.transport), *(f"{value!r}" for value in vars(made).values())]
        texts += [str(self._error(HttpReply(status, {}, b"no"))) for status in STATUSES]
        for secret in type(self).subject.secrets:
            echo = f'{{"ok": false, "error": "{secret} is wrong"}}'.encode()
            texts += [str(self._error(HttpReply(status, {}, echo))) for status in STATUSES]
        for secret in type(self).subject.secrets:
            assert not [text for text in texts if secret in text]

    def test_notif_11_config(self) -> None:
        """NOTIF-11: the configuration is frozen, refuses unknown keys and describes each of its own."""
        config = type(self).subject.config
        assert config.model_config.get("frozen")
        assert config.model_config.get("extra") == "forbid"
        assert not [name for name, info in config.model_fields.items() if not info.description]

    def test_notif_12_long_answers_are_cut(self) -> None:
        """NOTIF-12: an answer of any length and encoding gives a short text, never another exception."""
        for body in (b"\xff" * 100_000, b"x" * 5_000_000, b"", b"{", b'{"ok": false}', b"[]", b"null"):
            error = self._error(HttpReply(503, {}, body))
            assert len(str(error)) < 1_000

    def _error(self, reply: HttpReply) -> SinkError:
        try:
            self._answered(reply)
        except SinkError as error:
            return error
        raise AssertionError(f"{reply.status} was read as accepted")

    def _answered(self, reply: HttpReply) -> None:
        """Tell something and get this answer, to each request."""
        made, message = self._notifier(), told(NOTIFICATIONS["firing"])
        if isinstance(made, Notifier):
            made.interpret(reply, message)
            return

        async def http(_request: HttpRequest) -> HttpReply:
            return reply

        asyncio.run(_send(made, message, NOW_MS, http))


async def _send(made: CallNotifier, message: Message, now_ms: int, http: Exchange) -> None:
    await made.send(message, now_ms=now_ms, http=http)


def _told_to(door: FrontDoor, made: CallNotifier, message: Message, now_ms: int) -> list[HttpRequest]:
    """Tell a fake; gives the requests that it took."""
    requests: list[HttpRequest] = []
    asyncio.run(_send(made, message, now_ms, exchange_with(door, requests)))
    return requests


def exchange_with(door: FrontDoor, requests: list[HttpRequest] | None = None) -> Exchange:
    """What a notifier of several requests is given to talk to a fake; `requests` gets what it asks."""

    async def http(request: HttpRequest) -> HttpReply:
        if requests is not None:
            requests.append(request)
        return asked(door, request)

    return http


def asked(door: FrontDoor, request: HttpRequest) -> HttpReply:
    """A fake's answer, without a socket."""
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers}
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    reply = door(Request(request.method, unquote(parts.path), query, headers, request.body))
    return HttpReply(reply.status, dict(reply.headers), reply.body)
