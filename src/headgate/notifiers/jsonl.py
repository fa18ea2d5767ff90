"""Notifier `jsonl`: each message as one JSON object on a line of a file or of standard output.

A file is readable by its owner alone and rotates as the sink's. Invariant: a line in the file is a whole message.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from pydantic import Field

from headgate.core.errors import SinkUnavailable
from headgate.core.messages import Digest, Exchange, Message, Notification
from headgate.core.ports import BuildContext, Plugin, TransportOptions
from headgate.core.times import format_ms
from headgate.plugins.config import Duration, PluginConfig, duration_field
from headgate.plugins.lines import STDOUT, LineFile, Lines

__all__ = ["PLUGINS", "JsonlNotifier", "JsonlNotifierConfig"]

_SCHEMA = 1


class JsonlNotifierConfig(PluginConfig):
    """Configuration of a JSON Lines notifier."""

    path: str = Field(default=STDOUT, min_length=1, description="File to append to; `-` is standard output.")
    rotate_bytes: int | None = Field(
        default=None, ge=1, description="Start a new file before this one would grow beyond; none: never."
    )
    keep: int = Field(default=5, ge=1, description="Rotated files kept, as PATH.1 (newest) to PATH.N.")
    fsync: bool = Field(default=True, description="Flush each message to the disk, not only to the operating system.")
    timeout: Duration = duration_field("10s", "How long one line may take, where nobody reads standard output.")


def line(message: Message) -> dict[str, Any]:
    """A message as plain data."""
    if message.digest is not None:
        return {"schema": _SCHEMA, "key": message.key, "digest": _digest(message.digest)}
    return {
        "schema": _SCHEMA,
        "key": message.key,
        "state": message.state,
        "group": dict(message.group),
        "alerts": [_alert(one) for one in message.notifications],
    }


def _alert(one: Notification) -> dict[str, Any]:
    return {
        "key": one.key,
        "fingerprint": one.fingerprint,
        "rule": one.rule,
        "state": one.state,
        "reason": one.reason,
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "starts_at": format_ms(one.starts_ms),
        "ends_at": format_ms(one.ends_ms) if one.ends_ms is not None else None,
        "at": format_ms(one.at_ms),
        "numbers": dict(one.numbers),
        "good_news": one.good,
    }


def _digest(digest: Digest) -> dict[str, Any]:
    return {
        "title": digest.title,
        "since": format_ms(digest.since_ms),
        "until": format_ms(digest.until_ms),
        "markdown": digest.markdown,
        "data": dict(digest.data),
    }


class JsonlNotifier:
    """Appends one line a message."""

    grouped = True
    digests = True
    transport = TransportOptions()

    def __init__(self, name: str, config: JsonlNotifierConfig, context: BuildContext) -> None:
        del context  # nothing is asked of it
        self.name = name
        self._file = LineFile(config.path, config.rotate_bytes, config.keep, config.fsync, mode=0o600)
        self._timeout_seconds = config.timeout / 1000

    async def send(self, message: Message, *, now_ms: int, http: Exchange) -> None:
        """Append the message; nothing is remembered."""
        del now_ms, http
        await self._write(msgspec.json.encode(line(message)) + b"\n")

    async def reach(self, http: Exchange) -> None:
        """Open the target and write nothing."""
        del http
        await self._write(b"")

    async def _write(self, data: bytes) -> None:
        """The target is opened for each message: they are few, and nobody says when the notifier is done with."""
        lines = Lines(self._file)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await lines.write(data)
        except TimeoutError as exc:
            raise SinkUnavailable(f"{lines.destination}: not written in time") from exc
        finally:
            await lines.aclose()


PLUGINS = (Plugin("notifier", "jsonl", JsonlNotifierConfig, JsonlNotifier),)
