"""A strict webhook of a Power Automate workflow that posts Adaptive Cards to Teams.

Source: learn.microsoft.com, "Microsoft Teams" connector (about 28 kB a message) and issue 11274 of
github.com/MicrosoftDocs/msteams-docs (28,672 at most; it counts a fifth more than what was sent), read 2026-11; the
elements of Adaptive Cards and the workflow's answers are known, not looked up. Really, a workflow answers 202 before
its card is posted; this fake refuses at once what Teams would refuse later. Invariant: one row per posted message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from headgate.testing.sinks.bodies import media_type, same
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply
from headgate.testing.sinks.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate.testing.sinks.ledger import Ledger

PATH = "/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke"
SIGNATURE = "c2lnbmF0dXJlLW9mLXRoZS13b3JrZmxvdw"
MOST_COUNTED = 28_672
TRACKING = "x-ms-client-tracking-id"
CARD = "application/vnd.microsoft.card.adaptive"
COLORS = ("default", "dark", "light", "accent", "good", "warning", "attention")


@dataclass(frozen=True, slots=True)
class TeamsOptions:
    """Options of the fake."""

    path: str = field(default=PATH, metadata={"help": "the one workflow that is there"})
    sig: str = field(default=SIGNATURE, metadata={"help": "its signature, in the query"})
    enabled: bool = field(default=True, metadata={"help": "whether the workflow is switched on"})


class Teams(Vendor):
    """Judges posts to one workflow."""

    def __init__(self, options: TeamsOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger

    def handle(self, request: Request) -> Reply:
        """Answer one request: 202 without a body, or an error object."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            body = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _error(400, "InvalidRequestContent", "The request content is not valid JSON")
        if counted(request.body) > MOST_COUNTED:
            return _error(413, "RequestEntityTooLarge", f"MessageSizeExceeded: at most {MOST_COUNTED} bytes")
        wrong = next(problems(body), None)
        if wrong:
            return _error(400, "TriggerInputSchemaMismatch", wrong)
        key = f"request-{self._ledger.stats.requests}"
        self._ledger.add(key, request.headers.get(TRACKING), body)
        return Reply(202)

    def _refused(self, request: Request) -> Reply | None:
        if request.path != self._options.path:
            return _error(404, "WorkflowNotFound", "The workflow could not be found")
        query = request.query
        if not {"api-version", "sp", "sv", "sig"} <= set(query) or not same(query["sig"], self._options.sig):
            return _error(401, "DirectApiAuthorizationRequired", "The request must be authenticated by its signature")
        if request.method != "POST" or media_type(request) != "application/json":
            return _error(400, "InvalidRequestContent", "POST application/json")
        if not self._options.enabled:
            return _error(400, "WorkflowTriggerIsNotEnabled", "The workflow is turned off")
        return None


def counted(body: bytes) -> int:
    """What Teams counts of a message: as measured, a fifth more than its bytes."""
    return len(body) * 6 // 5


def problems(body: Any) -> Iterator[str]:
    """What is wrong with a message."""
    if not isinstance(body, dict) or body.get("type") != "message":
        yield "type must be message"
        return
    attachments = body.get("attachments")
    if not isinstance(attachments, list) or not attachments:
        yield "attachments must be a list that is not empty"
        return
    for one in attachments:
        if not isinstance(one, dict) or one.get("contentType") != CARD:
            yield f"contentType must be {CARD}"
        elif not isinstance(one.get("content"), dict):
            yield "content must be a card"
        else:
            yield from _card(one["content"])


def _card(card: Mapping[str, Any]) -> Iterator[str]:
    if card.get("type") != "AdaptiveCard":
        yield "content.type must be AdaptiveCard"
    if card.get("version") not in ("1.0", "1.1", "1.2", "1.3", "1.4"):
        yield f"version {card.get('version')!r} is not rendered everywhere: at most 1.4"
    blocks = card.get("body")
    if not isinstance(blocks, list) or not blocks:
        yield "body must be a list that is not empty"
        return
    for block in blocks:
        yield from _block(block)
    for action in card.get("actions", []):
        yield from _action(action)


def _block(block: Any) -> Iterator[str]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "TextBlock":
        yield from _text(block)
    elif kind == "RichTextBlock":
        inlines = block.get("inlines")
        if not isinstance(inlines, list) or not inlines:
            yield "inlines must be a list that is not empty"
            return
        for run in inlines:
            if not isinstance(run, dict) or run.get("type") != "TextRun":
                yield "an inline must be a TextRun"
                continue
            yield from _text(run)
            if "selectAction" in run:
                yield from _action(run["selectAction"])
    else:
        yield f"unknown element {kind}"


def _text(block: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(block.get("text"), str):
        yield "text must be a string"
    if block.get("color", "default") not in COLORS:
        yield f"color {block.get('color')!r} is not known"
    if block.get("size", "default") not in ("default", "small", "medium", "large", "extraLarge"):
        yield f"size {block.get('size')!r} is not known"


def _action(action: Any) -> Iterator[str]:
    if not isinstance(action, dict) or action.get("type") != "Action.OpenUrl":
        yield "an action must be Action.OpenUrl"
    elif not str(action.get("url", "")).startswith(("http://", "https://")):
        yield "url of an action must be an address"


def _error(status: int, code: str, words: str) -> Reply:
    return json_reply(status, {"error": {"code": code, "message": words}})


def sample(**changes: Any) -> bytes:
    """A good message of one text; keywords replace keys of its card, None removes one."""
    text = {"type": "TextBlock", "text": "x"}
    card = {"type": "AdaptiveCard", "version": "1.4", "body": [text], **changes}
    content = {name: value for name, value in card.items() if value is not None}
    return msgspec.json.encode({"type": "message", "attachments": [{"contentType": CARD, "content": content}]})


def _bad(name: str, reason: str, body: bytes, status: int = 400, **more: Any) -> BadBody:
    return BadBody(name, status, body, reason, path=more.pop("path", ADDRESS), headers=JSON, **more)


JSON = {"content-type": "application/json"}
ADDRESS = f"{PATH}?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}"
BAD_BODIES = (
    _bad("not-json", "not valid JSON", b"card"),
    _bad("wrong-signature", "DirectApiAuthorizationRequired", sample(), 401, path=ADDRESS[:-1]),
    _bad("no-signature", "DirectApiAuthorizationRequired", sample(), 401, path=PATH),
    _bad("another-workflow", "WorkflowNotFound", sample(), 404, path="/workflows/0/triggers/manual/paths/invoke"),
    _bad("switched-off", "WorkflowTriggerIsNotEnabled", sample(), options={"enabled": False}),
    _bad("text-alone", "type must be message", b'{"text":"x"}'),
    _bad("no-attachment", "not empty", b'{"type":"message","attachments":[]}'),
    _bad("old-card", "contentType", b'{"type":"message","attachments":[{"contentType":"message/card"}]}'),
    _bad("no-body", "body must be", sample(body=[])),
    _bad("newer-version", "at most 1.4", sample(version="1.6")),
    _bad("no-version", "at most 1.4", sample(version=None)),
    _bad("unknown-element", "unknown element", sample(body=[{"type": "Html", "text": "x"}])),
    _bad("no-text", "text must be a string", sample(body=[{"type": "TextBlock"}])),
    _bad("empty-line", "inlines", sample(body=[{"type": "RichTextBlock", "inlines": []}])),
    _bad("unknown-color", "color", sample(body=[{"type": "TextBlock", "text": "x", "color": "red"}])),
    _bad("script-link", "an address", sample(actions=[{"type": "Action.OpenUrl", "url": "javascript:alert(1)"}])),
    _bad("too-large", "MessageSizeExceeded", sample(body=[{"type": "TextBlock", "text": "x" * 24_000}]), 413),
)
FAKE = Fake(name="teams", options=TeamsOptions, build=Teams, bad_bodies=BAD_BODIES)
