"""A strict Slack: `chat.postMessage`, `chat.update`, `chat.delete`, `auth.test` and incoming webhooks.

Source: docs.slack.dev, "chat.postMessage", "chat.update", "chat.delete", "Sending messages using incoming
webhooks", "Rate limits" (from general knowledge, not re-read); the errors of chat.update as hexdocs.pm "Slack.Web.Chat"
lists them, and that it takes a channel's id alone as qiita.com reports (mk4f, 2023), read 2026-11. Invariant: one row
per message as it stands now; an edit replaces the row's text, a deletion marks it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from headgate.testing.sinks.bodies import media_type, same
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply, text_reply
from headgate.testing.sinks.vendors._slack_blocks import MAX_ATTACHMENTS, MAX_TEXT, problems
from headgate.testing.sinks.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.testing.sinks.ledger import Ledger

WEBHOOKS = "/services/"
TOKEN = "xoxb-fake"
SHOWN = ("text", "blocks", "attachments", "thread_ts", "reply_broadcast", "metadata")


@dataclass(frozen=True, slots=True)
class SlackOptions:
    """Options of the fake."""

    token: str = field(default=TOKEN, metadata={"help": "the bot's token, sent as bearer"})
    channels: str = field(default="", metadata={"help": "comma separated ids or #names; empty: any"})
    webhook_path: str = field(default="/services/T0/B0/secret", metadata={"help": "the one good webhook"})
    edit_window_seconds: int = field(default=0, metadata={"help": "older messages are not edited; 0: any is"})
    interval_ms: int = field(default=0, metadata={"help": "least time between posts to a channel (Slack: 1000)"})


class SlackError(Exception):
    """The API's `error` word, with messages for people."""

    def __init__(self, word: str, messages: list[str] | None = None) -> None:
        super().__init__(word)
        self.word = word
        self.messages = messages or []


class Slack(Vendor):
    """Judges API calls and webhook posts; `ts` values rise by one microsecond."""

    def __init__(self, options: SlackOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._serial = 0
        self._last_post_ms: dict[str, int] = {}

    def clear(self) -> None:
        """Forget when channels were last posted to."""
        self._last_post_ms.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request; API errors are 200 with `ok` false, as Slack gives them."""
        if request.path.startswith(WEBHOOKS):
            return self._webhook(request)
        method = request.path.removeprefix("/api/")
        call = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "auth.test": self._auth_test,
        }.get(method)
        if call is None or not request.path.startswith("/api/"):
            return json_reply(200, {"ok": False, "error": "unknown_method", "req_method": method})
        try:
            arguments = self._arguments(request)
            wait = self._wait_seconds(arguments) if method == "chat.postMessage" else 0
            if wait:
                limited = {"ok": False, "error": "ratelimited"}
                return json_reply(429, limited, {"retry-after": str(wait)})
            return json_reply(200, {"ok": True, **call(arguments)})
        except SlackError as error:
            answer: dict[str, Any] = {"ok": False, "error": error.word}
            if error.messages:
                answer |= {"errors": error.messages, "response_metadata": {"messages": error.messages}}
            return json_reply(200, answer)

    def _arguments(self, request: Request) -> Mapping[str, Any]:
        if request.method != "POST":
            raise SlackError("invalid_post_type")
        kind = media_type(request)
        arguments = _parsed(kind, request.body)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        token = bearer or (arguments.get("token", "") if kind != "application/json" else "")
        if not token:
            raise SlackError("not_authed")
        if not same(token, self._options.token):
            raise SlackError("invalid_auth")
        return arguments

    def _wait_seconds(self, arguments: Mapping[str, Any]) -> int:
        channel, interval = str(arguments.get("channel", "")), self._options.interval_ms
        if not interval:
            return 0
        now = self._ledger.clock_ms()
        left = self._last_post_ms.get(channel, -interval) + interval - now
        if left > 0:
            return left // 1000 + 1
        self._last_post_ms[channel] = now
        return 0

    def _channel(self, arguments: Mapping[str, Any]) -> str:
        channel = arguments.get("channel")
        known = [name.strip() for name in self._options.channels.split(",") if name.strip()]
        if not isinstance(channel, str) or not channel or (known and channel not in known):
            raise SlackError("channel_not_found")
        return channel_id(channel)

    def _post(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments)
        check_message(arguments)
        thread = arguments.get("thread_ts")
        if thread is not None:
            self._check_thread(channel, thread)
        elif arguments.get("reply_broadcast"):
            raise SlackError("invalid_arguments", ["reply_broadcast needs thread_ts"])
        self._serial += 1
        ts = f"{self._ledger.clock_ms() // 1000}.{self._serial:06d}"
        native = {"channel": channel, "ts": ts, "edits": 0, "deleted": False, **_shown(arguments)}
        self._ledger.add((channel, ts), _record_id(arguments) or f"{channel}:{ts}", native)
        return {"channel": channel, "ts": ts, "message": {"type": "message", "ts": ts, **_shown(arguments)}}

    def _check_thread(self, channel: str, thread: Any) -> None:
        row = self._ledger.get((channel, thread)) if isinstance(thread, str) else None
        if row is None or row.native["deleted"]:
            raise SlackError("thread_not_found")

    def _update(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel, ts, native, identity = self._message(arguments)
        window = self._options.edit_window_seconds
        if window and self._ledger.clock_ms() / 1000 - float(ts) > window:
            raise SlackError("edit_window_closed")
        check_message(arguments)
        changed = {**native, **_shown(arguments), "edits": native.get("edits", 0) + 1}
        self._ledger.replace((channel, ts), _record_id(arguments) or identity, changed)
        return {"channel": channel, "ts": ts, "text": arguments.get("text", "")}

    def _delete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel, ts, native, identity = self._message(arguments)
        self._ledger.replace((channel, ts), identity, {**native, "deleted": True})
        return {"channel": channel, "ts": ts}

    def _message(self, arguments: Mapping[str, Any]) -> tuple[str, str, dict[str, Any], str | None]:
        channel, ts = self._channel(arguments), arguments.get("ts")
        if str(arguments["channel"]).startswith("#"):
            raise SlackError("channel_not_found")
        row = self._ledger.get((channel, ts)) if isinstance(ts, str) else None
        if row is None or row.native.get("deleted"):
            raise SlackError("message_not_found")
        return channel, str(ts), row.native, row.record_id

    def _auth_test(self, _arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"url": "https://fake.slack.com/", "team": "Fake", "user": "headgate", "team_id": "T0"}

    def _webhook(self, request: Request) -> Reply:
        if request.path != self._options.webhook_path:
            return text_reply(403, "invalid_token")
        if request.method != "POST":
            return text_reply(400, "invalid_payload")
        try:
            arguments = _webhook_payload(request)
            check_message(arguments)
        except SlackError as error:
            return text_reply(400, error.word)
        key = f"request-{self._ledger.stats.requests}"
        native = {"channel": "webhook", "ts": None, "edits": 0, "deleted": False, **_shown(arguments)}
        self._ledger.add(key, _record_id(arguments) or key, native)
        return Reply(200, b"ok", {"content-type": "text/html"})


def channel_id(channel: str) -> str:
    """The id of a channel that is named `#ci`; an id is its own."""
    return "C0" + channel[1:].upper() if channel.startswith("#") else channel


def check_message(message: Mapping[str, Any]) -> None:
    """Check texts, blocks and attachments of a message; raises SlackError."""
    text, blocks, attachments = (message.get(name) for name in ("text", "blocks", "attachments"))
    if not text and not blocks and not attachments:
        raise SlackError("no_text")
    if text is not None and not isinstance(text, str):
        raise SlackError("invalid_arguments", ["text must be a string"])
    if len(text or "") > MAX_TEXT:
        raise SlackError("msg_too_long")
    found = problems(blocks or [])
    if found:
        raise SlackError("invalid_blocks", found)
    if attachments and (not isinstance(attachments, list) or len(attachments) > MAX_ATTACHMENTS):
        raise SlackError("too_many_attachments")
    for attachment in attachments or []:
        if not isinstance(attachment, dict):
            raise SlackError("invalid_attachments")
        found = problems(attachment.get("blocks") or [])
        if found:
            raise SlackError("invalid_blocks", found)


def _parsed(kind: str, body: bytes) -> dict[str, Any]:
    if kind == "application/json":
        try:
            value = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise SlackError("invalid_json") from error
        if not isinstance(value, dict):
            raise SlackError("json_not_object")
        return value
    if kind != "application/x-www-form-urlencoded":
        raise SlackError("invalid_form_data" if kind else "missing_post_type")
    form: dict[str, Any] = {name: values[-1] for name, values in parse_qs(body.decode("latin-1")).items()}
    for name in ("blocks", "attachments", "metadata"):
        if name in form:
            try:
                form[name] = orjson.loads(form[name])
            except orjson.JSONDecodeError as error:
                raise SlackError(f"invalid_{name}_format") from error
    return form


def _webhook_payload(request: Request) -> dict[str, Any]:
    try:
        if media_type(request) == "application/x-www-form-urlencoded":
            value = orjson.loads(parse_qs(request.body.decode()).get("payload", [""])[-1])
        else:
            value = orjson.loads(request.body)
    except ValueError as error:
        raise SlackError("invalid_payload") from error
    if not isinstance(value, dict):
        raise SlackError("invalid_payload")
    return value


def _shown(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in SHOWN if name in arguments}


def _record_id(arguments: Mapping[str, Any]) -> str | None:
    """Return the id a sender put into message metadata: `event_payload.record_id` or `.id`."""
    metadata = arguments.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
    if not isinstance(payload, dict):
        return None
    found = payload.get("record_id") or payload.get("id")
    return found if isinstance(found, str) else None


JSON = {"content-type": "application/json; charset=utf-8", "authorization": f"Bearer {TOKEN}"}
POST_MESSAGE = "/api/chat.postMessage"
HOOK = "/services/T0/B0/secret"


def _bad(name: str, reason: str, message: object, path: str = POST_MESSAGE) -> BadBody:
    return BadBody(name, 200, orjson.dumps(message), f'"{reason}"', path=path, headers=JSON)


def _section_of(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _blocks(*blocks: object) -> dict[str, Any]:
    return {"channel": "C1", "text": "x", "blocks": blocks}


BAD_BODIES = (
    BadBody("not-json", 200, b"{text", '"invalid_json"', path=POST_MESSAGE, headers=JSON),
    BadBody(
        "wrong-token",
        200,
        b'{"channel":"C1","text":"x"}',
        '"invalid_auth"',
        path=POST_MESSAGE,
        headers={**JSON, "authorization": "Bearer xoxb-other"},
    ),
    BadBody(
        "no-token",
        200,
        b'{"channel":"C1","text":"x","token":"xoxb-fake"}',
        '"not_authed"',
        path=POST_MESSAGE,
        headers={"content-type": "application/json"},
    ),
    _bad("no-channel", "channel_not_found", {"text": "x"}),
    _bad("no-text", "no_text", {"channel": "C1"}),
    _bad("text-too-long", "msg_too_long", {"channel": "C1", "text": "x" * 40_001}),
    _bad("51-blocks", "invalid_blocks", _blocks(*([{"type": "divider"}] * 51))),
    _bad("section-too-long", "invalid_blocks", _blocks(_section_of("x" * 3_001))),
    _bad("empty-section", "invalid_blocks", _blocks(_section_of(""))),
    _bad("unknown-block", "invalid_blocks", _blocks({"type": "table-of-contents"})),
    _bad(
        "header-with-mrkdwn",
        "invalid_blocks",
        _blocks({"type": "header", "text": {"type": "mrkdwn", "text": "x"}}),
    ),
    _bad(
        "update-of-nothing",
        "message_not_found",
        {"channel": "C1", "ts": "1.0", "text": "x"},
        "/api/chat.update",
    ),
    _bad("update-by-name", "channel_not_found", {"channel": "#ci", "ts": "1.0", "text": "x"}, "/api/chat.update"),
    _bad("reply-to-nothing", "thread_not_found", {"channel": "C1", "text": "x", "thread_ts": "1.000001"}),
    _bad("broadcast-of-no-reply", "invalid_arguments", {"channel": "C1", "text": "x", "reply_broadcast": True}),
    BadBody("webhook-not-json", 400, b"text", "invalid_payload", path=HOOK, headers=JSON),
    BadBody("webhook-no-text", 400, b"{}", "no_text", path=HOOK, headers=JSON),
    BadBody("webhook-wrong-secret", 403, b'{"text":"x"}', "invalid_token", path="/services/T0/B0/x", headers=JSON),
)
FAKE = Fake(name="slack", options=SlackOptions, build=Slack, bad_bodies=BAD_BODIES)
