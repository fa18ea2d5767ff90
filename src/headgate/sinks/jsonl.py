"""Records as JSON Lines in a file or on standard output; `plugins.lines` writes them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, Limits, LogEntry, Plugin
from headgate.core.verdicts import SendResult
from headgate.plugins.config import PluginConfig
from headgate.plugins.lines import STDOUT, LineFile, Lines

__all__ = ["PLUGINS", "JsonlConfig", "JsonlSignal", "JsonlSink"]


class JsonlConfig(PluginConfig):
    """Options of a JSON Lines sink."""

    path: str = Field(default=STDOUT, min_length=1, description="File to append to; `-` is standard output.")
    rotate_bytes: int | None = Field(
        default=None, ge=1, description="Start a new file before this one would grow beyond; none: never."
    )
    keep: int = Field(default=5, ge=1, description="Rotated files kept, as PATH.1 (newest) to PATH.N.")
    fsync: bool = Field(default=False, description="Flush each batch to the disk, not only to the operating system.")
    batch_records: int = Field(default=1_000, ge=1, description="Records written at a time.")
    batch_bytes: int = Field(default=1_000_000, ge=1, description="Bytes written at a time.")


class JsonlSignal:
    """The file, as an endpoint."""

    name = "lines"
    kinds: frozenset[str] | None = None

    def __init__(self, config: JsonlConfig) -> None:
        self._lines = Lines(LineFile(config.path, config.rotate_bytes, config.keep, config.fsync))
        self.destination = self._lines.destination
        self.limits = Limits(max_records=config.batch_records, max_bytes=config.batch_bytes, concurrency=1)

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """Append the batch and flush it."""
        await self._lines.write(b"".join([part for entry in batch for part in (entry.body, b"\n")]))
        return SendResult()

    async def aclose(self) -> None:
        await self._lines.aclose()

    async def check(self) -> None:
        """Open the target; raises as `send`."""
        await self._lines.write(b"")


class JsonlSink:
    """One file or standard output."""

    def __init__(self, name: str, config: JsonlConfig) -> None:
        self.name = name
        self._signal = JsonlSignal(config)

    def signals(self) -> Sequence[JsonlSignal]:
        return (self._signal,)

    async def check(self) -> Sequence[CheckResult]:
        name = f"sinks.{self.name}"
        try:
            await self._signal.check()
        except (SinkUnavailable, SinkRefused) as error:
            return (CheckResult(name, ok=False, reason="unwritable", fix=str(error)),)
        return (CheckResult(name, ok=True, reason="ok"),)

    async def aclose(self) -> None:
        await self._signal.aclose()


def build(name: str, config: JsonlConfig, context: BuildContext) -> JsonlSink:
    """Make the sink; the file is opened by the first batch."""
    del context
    return JsonlSink(name, config)


PLUGINS = (Plugin(kind="sink", name="jsonl", config=JsonlConfig, build=build),)
