"""What a group's message says about each of its alerts, kept from one message to the next. Pure.

A message holds what has changed; what is edited in place must say all of it. Invariant: an alert that fires is never
forgotten, so a message is over only when every alert of it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headgate.core.messages import Message, Notification, State, Tone

__all__ = [
    "WORDS",
    "Entry",
    "broken_text",
    "entries_of",
    "firing",
    "in_words",
    "known",
    "link_of",
    "remembered",
    "severity_of",
    "state_of",
]

_ENTRIES = "alerts"
# What a message begins with.
WORDS: Mapping[Tone, str] = {"firing": "Firing", "good": "Good news", "resolved": "Resolved"}
# A text that is longer is cut, a link dropped: a memory is 50 kB at most, and 80 bytes for each alert beyond these.
_TEXT_LIMIT = 300
_MOST_NAMED = 40
_MOST_OVER = 40


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One alert of a message. `text`: its summary. `link`: an address, or empty. Of too many, `state` alone."""

    state: Tone
    rule: str = ""
    severity: str = ""
    text: str = ""
    link: str = ""


_decoder = msgspec.json.Decoder(dict[str, Entry])


def entries_of(message: Message) -> dict[str, Entry]:
    """All alerts of the thread by fingerprint: those remembered, as the message's notifications change them.

    What is over stays as long as another one fires, and begins nothing new: a thread that was over is forgotten.
    """
    before = known(message.memory)
    if not any(entry.state == "firing" for entry in before.values()):
        before = {}
    return {**before, **{one.fingerprint: _entry(one) for one in message.notifications}}


def known(memory: Mapping[str, str]) -> dict[str, Entry]:
    """What is remembered of each alert; nothing where it cannot be read."""
    try:
        return _decoder.decode(memory.get(_ENTRIES, "{}"))
    except msgspec.DecodeError:
        return {}


def remembered(entries: Mapping[str, Entry]) -> dict[str, str]:
    """What a notifier's memory holds of them."""
    kept = {key: one for key, one in entries.items() if one.state == "firing"}
    kept |= dict([item for item in entries.items() if item[1].state != "firing"][-_MOST_OVER:])
    short = {key: one if n < _MOST_NAMED else Entry(one.state) for n, (key, one) in enumerate(kept.items())}
    return {_ENTRIES: msgspec.json.encode(short).decode()}


def state_of(entries: Mapping[str, Entry]) -> State:
    """Firing while one of them is."""
    return "firing" if any(one.state == "firing" for one in entries.values()) else "resolved"


def firing(message: Message) -> tuple[Notification, ...]:
    """The notifications that say of an alert that it fires, now or still."""
    return tuple(one for one in message.notifications if one.state == "firing")


def in_words(entries: Mapping[str, Entry]) -> str:
    """How many fire and how many are over: `2 firing, 1 resolved`."""
    states = [one.state for one in entries.values()]
    return ", ".join(f"{n} {word.lower()}" for tone, word in WORDS.items() if (n := states.count(tone)))


def broken_text(notification: Notification) -> str:
    """That a text of the rule could not be made, and why; empty where all could."""
    error = notification.annotations.get("template_error", "")
    return f"A text of the rule could not be made: {error}" if error else ""


def link_of(notification: Notification) -> str:
    """The annotation `link` where it is an address for a browser, else nothing."""
    link = notification.annotations.get("link", "")
    return link if link.startswith(("http://", "https://")) else ""


def severity_of(notification: Notification) -> str:
    """The label `severity`, empty where it has none."""
    return notification.labels.get("severity", "")


def _entry(one: Notification) -> Entry:
    said = one.annotations.get("summary", "")
    text = said or ", ".join(f"{name}: {value}" for name, value in one.labels.items() if name != "severity")
    link = link_of(one)
    return Entry(
        one.tone,
        one.rule[:_TEXT_LIMIT],
        severity_of(one)[:_TEXT_LIMIT],
        (text or one.rule)[:_TEXT_LIMIT],
        link if len(link) <= _TEXT_LIMIT else "",
    )
