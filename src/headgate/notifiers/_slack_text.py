"""How an alert, a group of alerts and a digest look in Slack. Pure.

Invariant: what leaves here keeps Slack's limits, and no label or text can call a person or a channel. Source:
docs.slack.dev, "Formatting message text", read 2026-11; the limits of blocks ("Block Kit reference") and what the
block `markdown` makes of text are known, not looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.core.messages import Digest, Notification
from headgate.core.times import format_ms
from headgate.notifiers._threads import WORDS, Entry, broken_text, in_words, link_of, severity_of, state_of

__all__ = ["digest_shown", "group_shown", "reply_shown", "shown"]

_COLORS = {"firing": "#d92d20", "good": "#12873f", "resolved": "#12873f"}
_SECTION_LIMIT = 3000
_HEADER_LIMIT = 150
_CONTEXT_LIMIT = 3000
_TEXT_LIMIT = 1000
_KEY_LIMIT = 255
# Of all markdown blocks of a message together.
_MARKDOWN_LIMIT = 12_000
# 40 lines in sections of four are ten blocks of the 50 that a message may have.
_MOST_LINES = 40
_LINES_A_SECTION = 4
_LINE_LIMIT = 700
_MOST_REPLIED = 5


def _escaped(text: str) -> str:
    """Text without Slack's three control characters, so that a branch called <!channel> calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters, never inside an escape."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    start = kept.rfind("&")
    return (kept[:start] if start > limit - 7 and ";" not in kept[start:] else kept) + "…"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SECTION_LIMIT)}}


def _header(text: str, key: str) -> dict[str, Any]:
    # The key as block id lets a reader of the channel tell a repeat from a new message, in both modes.
    head = {"type": "plain_text", "text": _cut(text, _HEADER_LIMIT), "emoji": False}
    return {"type": "header", "block_id": key[:_KEY_LIMIT], "text": head}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(text, _CONTEXT_LIMIT)}]}


def _linked(text: str, link: str) -> str:
    safe = link.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C")
    return f"<{safe}|{text}>" if safe and len(safe) < 2000 else text


def _title(notification: Notification) -> str:
    severity = severity_of(notification)
    return f"{WORDS[notification.tone]}: {notification.rule}" + (f" ({severity})" if severity else "")


def _line_of(notification: Notification) -> str:
    summary = notification.annotations.get("summary", "")
    title = _title(notification)
    return _escaped(_cut(f"{title}: {summary}" if summary else title, _TEXT_LIMIT))


def shown(notification: Notification) -> dict[str, Any]:
    """One alert: a title, the summary, labels and times; `text` is the fallback of phones and screen readers."""
    summary, link = notification.annotations.get("summary", ""), link_of(notification)
    others = [
        f"*{_escaped(name)}*: {_escaped(value)}" for name, value in notification.labels.items() if name != "severity"
    ]
    until = f", until {format_ms(notification.ends_ms)}" if notification.ends_ms is not None else ""
    blocks = [_header(_title(notification), notification.key)]
    if summary or link:
        blocks.append(_section(_linked(_cut(_escaped(summary or "Details"), 900), link)))
    if others:
        blocks.append(_section("\n".join(others)))
    blocks.append(_context(f"since {format_ms(notification.starts_ms)}{until} · {_escaped(notification.reason)}"))
    if broken := broken_text(notification):
        blocks.append(_context(_escaped(broken)))
    attachment = {"color": _COLORS[notification.tone], "blocks": blocks}
    return {"text": _line_of(notification), "attachments": [attachment]}


def group_shown(entries: Mapping[str, Entry], group: Mapping[str, str], key: str) -> dict[str, Any]:
    """Several alerts, those that fire first; at most 40 by name, of the others how many they are."""
    rules = sorted({one.rule for one in entries.values() if one.rule})
    title = f"{in_words(entries)}: {', '.join(rules)}"
    ordered = sorted((one for one in entries.values() if one.text), key=lambda one: one.state)
    named, more = ordered[:_MOST_LINES], len(entries) - min(len(ordered), _MOST_LINES)
    lines = [_line(one, named=len(rules) > 1) for one in named]
    blocks = [_header(title, key)]
    starts = range(0, len(lines), _LINES_A_SECTION)
    blocks += [_section("\n".join(lines[start : start + _LINES_A_SECTION])) for start in starts]
    foot = [f"and {more} more"] if more else []
    foot += [f"{_escaped(name)}: {_escaped(value)}" for name, value in group.items()]
    if foot:
        blocks.append(_context(" · ".join(foot)))
    color = _COLORS[state_of(entries)]
    return {"text": _escaped(_cut(title, _TEXT_LIMIT)), "attachments": [{"color": color, "blocks": blocks}]}


def _line(one: Entry, *, named: bool) -> str:
    """One alert of a group; `named`: with its rule, since the group has several."""
    severity = f" ({_escaped(one.severity)})" if one.severity else ""
    rule = f" {_escaped(one.rule)}" if named else ""
    head = f"*{WORDS[one.state]}*{_cut(rule, 120)}{_cut(severity, 60)} "
    text = _cut(_escaped(one.text), _LINE_LIMIT - len(head))
    line = head + _linked(text, one.link)
    # A link is whole or absent: cut, it would swallow what follows.
    return line if len(line) <= _LINE_LIMIT else head + text


def reply_shown(notifications: Sequence[Notification]) -> dict[str, Any]:
    """A short text that tells what fires, for those whom an edit would not tell."""
    lines = [_cut(_line_of(one), 400) for one in notifications[:_MOST_REPLIED]]
    more = len(notifications) - len(lines)
    return {"text": "\n".join([*lines, *([f"and {more} more"] if more else [])])}


def digest_shown(digest: Digest) -> dict[str, Any]:
    """A digest, as the Markdown that Slack reads itself; `<` can begin a call to a channel and is written out."""
    text = digest.markdown.replace("<", "&lt;").strip() or digest.title
    if len(text) > _MARKDOWN_LIMIT:
        text = text[: _MARKDOWN_LIMIT - 2].rpartition("\n")[0] or text[: _MARKDOWN_LIMIT - 2]
        text += "\n…"
    blocks = [_header(digest.title or "Digest", digest.key), {"type": "markdown", "text": text}]
    return {"text": _escaped(_cut(digest.title or "Digest", _TEXT_LIMIT)), "blocks": blocks}
