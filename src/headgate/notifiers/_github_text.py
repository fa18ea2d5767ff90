"""How an alert or a group looks as a GitHub issue, and the hidden comment by which its issue is found again. Pure.

Invariant: what comes from labels and texts stands in code spans, so that it mentions nobody, links nowhere and ends no
comment. Title and body keep GitHub's limits: a body of 65,536 characters (docs.rs, "onetaskgraph-github-projects",
BODY_LIMIT, which quotes GitHub's refusal; read 2026-11), a title of 256 (known, not looked up).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from headgate.core.messages import Message, Notification
from headgate.core.times import format_ms
from headgate.notifiers._threads import WORDS, Entry, broken_text, in_words, link_of, severity_of

__all__ = ["body_of", "comment_of", "firing_in", "says", "thread_of", "title_of"]

_TITLE_LIMIT = 250
_TEXT_LIMIT = 1_000
_LABEL_LIMIT = 300
_RULE_LIMIT = 100
_MOST_LABELS = 50
_MOST_LINES = 40
# 64 characters each: what keeps the body below its limit together with the lines.
_MOST_MARKED = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f`]")
_MARK = re.compile(r"<!-- headgate thread=([0-9a-f]{32}) key=(\S*) firing=(\S*) -->")


def thread_of(message: Message) -> str:
    """What the message's issue is about, as 32 hexadecimal digits: its group, else its alert."""
    about = dict(sorted(message.group.items())) or message.notifications[0].fingerprint
    return hashlib.sha256(msgspec.json.encode(about)).hexdigest()[:32]


def _marker(message: Message, entries: Mapping[str, Entry]) -> str:
    fires = [key for key, one in entries.items() if one.state == "firing"][:_MOST_MARKED]
    return f"<!-- headgate thread={thread_of(message)} key={message.key} firing={','.join(fires)} -->"


def firing_in(body: str, thread: str) -> list[str] | None:
    """Fingerprints of what the issue with this body says to fire; None when it is not the thread's."""
    found = _MARK.search(body)
    if found is None or found[1] != thread:
        return None
    return [one for one in found[3].split(",") if one]


def says(body: str, key: str) -> bool:
    """Whether the issue with this body was written by the message with this key."""
    found = _MARK.search(body)
    return found is not None and found[2] == key


def _code(text: str, limit: int) -> str:
    clean = _CONTROL.sub(" ", text).strip()
    return f"`{clean[:limit]}`" if clean else "` `"


def _linked(text: str, link: str) -> str:
    safe = re.sub(r"[<>\\\s\x00-\x1f]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", link)
    return f"[{text}](<{safe}>)" if safe and len(safe) <= _TEXT_LIMIT else text


def title_of(message: Message, entries: Mapping[str, Entry]) -> str:
    """The rule and what happened, or the rules and the group."""
    if len(entries) == 1:
        (one,) = message.notifications
        said = one.annotations.get("summary", "")
        text = f"{one.rule}: {said}" if said else one.rule
    else:
        rules = sorted({one.rule for one in entries.values() if one.rule})
        group = [value for name, value in message.group.items() if name != "alertname"]
        text = ": ".join(part for part in (", ".join(rules), ", ".join(group)) if part)
    return _CONTROL.sub(" ", text)[:_TITLE_LIMIT].strip() or "Alert"


def body_of(message: Message, entries: Mapping[str, Entry]) -> str:
    """All alerts of the issue as they stand now, and the marker."""
    if len(entries) == 1:
        (one,) = message.notifications
        lines = _details(one)
    else:
        ordered = sorted((one for one in entries.values() if one.text), key=lambda one: one.state)
        more = len(entries) - min(len(ordered), _MOST_LINES)
        lines = [f"**{in_words(entries)}**", "", *map(_line, ordered[:_MOST_LINES])]
        lines += [f"- and {more} more"] if more else []
        lines += ["", *_labels(message.group)]
    foot = "Kept up to date by Headgate: closed when it is over, opened again when it fires again."
    return "\n".join([*lines, "", foot, "", _marker(message, entries)])


def comment_of(message: Message, changed: Sequence[Notification]) -> str:
    """What has changed, for those who follow the issue."""
    lines = [f"**{WORDS[one.tone]}** {_said(one)}" for one in changed[:_MOST_LINES]]
    more = len(changed) - len(lines)
    lines += [f"and {more} more"] if more else []
    return "\n\n".join([*lines, f"<!-- headgate key={message.key} -->"])


def _said(one: Notification) -> str:
    text = _code(one.annotations.get("summary", "") or one.rule, _TEXT_LIMIT)
    return f"{_linked(text, link_of(one))} ({_code(one.reason, _LABEL_LIMIT)})"


def _details(one: Notification) -> list[str]:
    severity = f" ({_code(severity_of(one), _LABEL_LIMIT)})" if severity_of(one) else ""
    until = f", until {format_ms(one.ends_ms)}" if one.ends_ms is not None else ""
    lines = [f"**{WORDS[one.tone]}**{severity} {_said(one)}", ""]
    lines += [f"since {format_ms(one.starts_ms)}{until}", ""]
    numbers = [f"- {_code(name, _LABEL_LIMIT)}: {value:g}" for name, value in one.numbers.items()]
    broken = [f"- {_code(text, _TEXT_LIMIT)}"] if (text := broken_text(one)) else []
    return [*lines, *_labels(one.labels), *numbers, *broken]


def _labels(labels: Mapping[str, str]) -> list[str]:
    shown = list(labels.items())[:_MOST_LABELS]
    return [f"- {_code(name, _LABEL_LIMIT)}: {_code(value, _LABEL_LIMIT)}" for name, value in shown]


def _line(one: Entry) -> str:
    return f"- **{WORDS[one.state]}** {_code(one.rule, _RULE_LIMIT)} {_linked(_code(one.text, _LABEL_LIMIT), one.link)}"
