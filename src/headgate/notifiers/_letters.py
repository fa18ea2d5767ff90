"""How a message reads as a letter: subject, text, HTML. Pure; everything of the outside is escaped."""

from __future__ import annotations

import unicodedata
from html import escape

from headgate.core.messages import Message, Notification
from headgate.core.times import format_ms
from headgate.notifiers._threads import WORDS

__all__ = ["body_html", "body_text", "subject"]

_SUBJECT_LIMIT = 200
_TEXT_LIMIT = 4_000
_COLORS = {"firing": "#b42318", "good": "#067647", "resolved": "#067647"}


def subject(message: Message) -> str:
    """One line without control characters."""
    if message.digest is not None:
        return _line(message.digest.title)
    word = WORDS[message.tone].upper()
    if len(message.notifications) == 1:
        one = message.notifications[0]
        return _line(f"[{word}] {one.rule} {_place(one)}")
    count = sum(one.tone == message.tone for one in message.notifications)
    return _line(f"[{word}:{count}] {' '.join(value for _, value in sorted(message.group.items()))}")


def body_text(message: Message) -> str:
    """For people who read mail as text."""
    if message.digest is not None:
        return message.digest.markdown + "\n"
    return "\n\n".join(_text_of(one) for one in message.notifications) + "\n"


def body_html(message: Message) -> str:
    """A whole document; styles are inline, since mail programs drop others. It loads nothing from anywhere."""
    inside = message.digest.html if message.digest is not None else "".join(map(_html_of, message.notifications))
    return (
        '<!doctype html><html><head><meta charset="utf-8"></head>'
        f'<body style="font-family:sans-serif;font-size:14px;color:#101828">{inside}</body></html>'
    )


def _line(text: str) -> str:
    clean = "".join(" " if unicodedata.category(letter) in {"Cc", "Zl", "Zp", "Cs"} else letter for letter in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= _SUBJECT_LIMIT else clean[: _SUBJECT_LIMIT - 1] + "…"


def _cut(text: str) -> str:
    """Texts have no limit of their own; a lone half of a surrogate pair cannot be sent at all."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _place(one: Notification) -> str:
    return " ".join(one.labels[name] for name in ("project", "workflow", "job") if name in one.labels)


def _times(one: Notification) -> str:
    until = f", until {format_ms(one.ends_ms)}" if one.ends_ms is not None else ""
    return f"since {format_ms(one.starts_ms)}{until} ({one.reason})"


def _facts(one: Notification) -> list[tuple[str, str]]:
    """Labels, then annotations beyond the two that have a place of their own."""
    more = [(name, text) for name, text in one.annotations.items() if name not in {"summary", "link"} and text]
    return [*sorted(one.labels.items()), *more]


def _text_of(one: Notification) -> str:
    link = one.annotations.get("link", "")
    lines = [f"{WORDS[one.tone].upper()}: {one.rule}", one.annotations.get("summary", ""), link, _times(one)]
    lines += [f"  {name}: {value}" for name, value in _facts(one)]
    return "\n".join(_cut(line) for line in lines if line)


def _html_of(one: Notification) -> str:
    link = one.annotations.get("link", "")
    summary = escape(_cut(one.annotations.get("summary") or "Details"))
    if link.startswith(("http://", "https://")):
        summary = f'<a href="{escape(_cut(link), quote=True)}">{summary}</a>'
    rows = "".join(map(_row, _facts(one)))
    return (
        f'<div style="border-left:4px solid {_COLORS[one.tone]};padding:4px 12px;margin:0 0 16px">'
        f'<p style="margin:0 0 4px"><strong>{WORDS[one.tone].upper()}: {escape(_cut(one.rule))}</strong></p>'
        f'<p style="margin:0 0 4px">{summary}</p>'
        f'<p style="margin:0 0 8px;color:#667085">{escape(_cut(_times(one)))}</p>'
        f'<table style="border-collapse:collapse;font-size:13px">{rows}</table></div>'
    )


def _row(fact: tuple[str, str]) -> str:
    cell = "padding:2px 12px 2px 0;vertical-align:top"
    name, value = (escape(_cut(text)) for text in fact)
    return f'<tr><td style="{cell};color:#667085">{name}</td><td style="{cell}">{value}</td></tr>'
