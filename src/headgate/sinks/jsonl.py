"""Records as JSON Lines in a file or on standard output.

Invariant: a line in the file is a whole record; a batch that could not be written is taken back, so that sending it
again does not double it. Standard output cannot be taken back: there a cut line is ended before the next one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import Field

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, Limits, LogEntry, Plugin
from headgate.core.verdicts import SendResult
from headgate.plugins.config import PluginConfig

__all__ = ["PLUGINS", "JsonlConfig", "JsonlSignal", "JsonlSink"]

STDOUT = "-"
_STDOUT_FD = 1
# A pipe that polls as writable has room for one page; a longer write could block for as long as its reader sleeps.
_PIPE_BYTES = 4096
_POLL_MS = 100
_TAIL_BYTES = 1 << 20
# What an operator must mend; everything else (no space, I/O error, stale handle) may pass.
_REFUSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ESPIPE, errno.ENXIO}
)


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


class _Writer(Protocol):
    """Where lines go. Called in one thread at a time; raises OSError."""

    def write(self, data: bytes) -> None:
        """Write whole lines, all or nothing as far as the target allows."""
        ...

    def stop(self) -> None:
        """Let a write that waits for its reader end; called from another thread."""
        ...

    def close(self) -> None:
        """Free what is held; safe twice."""
        ...


class _File:
    """Appends to a file and rotates it."""

    def __init__(self, config: JsonlConfig) -> None:
        self._config = config
        self._path = Path(config.path)
        self._fd: int | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        fd = self._opened()
        limit = self._config.rotate_bytes
        if limit and self._size and self._size + len(data) > limit:
            self._rotate()
            fd = self._opened()
        try:
            _write_all(fd, data)
            if self._config.fsync:
                os.fsync(fd)
        except OSError:
            try:
                os.ftruncate(fd, self._size)
            finally:
                self.close()
            raise
        self._size += len(data)

    def stop(self) -> None:
        """Nothing: a disk does not wait for a reader."""

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _opened(self) -> int:
        """The descriptor; opens again when somebody else moved or removed the file."""
        if self._fd is not None and self._moved(self._fd):
            self.close()
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                self._size = _cut_torn_line(self._fd)
            except (OSError, SinkRefused):
                self.close()
                raise
        return self._fd

    def _moved(self, fd: int) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(fd)
        except FileNotFoundError:
            return True
        return (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev)

    def _rotate(self) -> None:
        self.close()
        numbered = [self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._config.keep + 1)]
        for older, newer in zip(reversed(numbered), [*reversed(numbered[:-1]), self._path], strict=True):
            if newer.exists():
                newer.replace(older)


class _Stdout:
    """Writes to standard output without waiting for its reader beyond `stop`."""

    def __init__(self, fd: int = _STDOUT_FD) -> None:
        self._fd = fd
        self._stopped = threading.Event()
        self._torn = False

    def write(self, data: bytes) -> None:
        view = memoryview(b"\n" + data if self._torn else data)
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while view:
            if self._stopped.is_set():
                raise OSError(errno.ECANCELED, "stopped while standard output took nothing")
            if poll.poll(_POLL_MS):
                written = os.write(self._fd, view[:_PIPE_BYTES])
                self._torn = view[written - 1] != ord("\n")
                view = view[written:]

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        """Nothing: standard output is not ours to close."""


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _cut_torn_line(fd: int) -> int:
    """Take back what a killed process left without a line end; it was never acknowledged. Gives the file's size."""
    size = os.lseek(fd, 0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(fd, size - start, start)
    if not tail or tail.endswith(b"\n"):
        return size
    cut = tail.rfind(b"\n") + 1
    if not tail.startswith(b"{", cut) or (cut == 0 and start > 0):
        raise SinkRefused("the file does not hold lines of ours", reason="config", fix="point path at another file")
    os.ftruncate(fd, start + cut)
    return start + cut


class JsonlSignal:
    """The file, as an endpoint."""

    name = "lines"
    kinds: frozenset[str] | None = None

    def __init__(self, config: JsonlConfig) -> None:
        self.destination = "stdout" if config.path == STDOUT else str(Path(config.path).absolute())
        self.limits = Limits(max_records=config.batch_records, max_bytes=config.batch_bytes, concurrency=1)
        self._writer: _Writer = _Stdout() if config.path == STDOUT else _File(config)
        self._lock = threading.Lock()

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """Append the batch and flush it; written in a thread, so that a slow disk stops nobody else."""
        data = b"".join([part for entry in batch for part in (entry.body, b"\n")])
        await asyncio.to_thread(self._locked, lambda: self._writer.write(data))
        return SendResult()

    async def aclose(self) -> None:
        self._writer.stop()
        await asyncio.to_thread(self._locked, self._writer.close)

    async def check(self) -> None:
        """Open the target; raises as `send`."""
        await asyncio.to_thread(self._locked, lambda: self._writer.write(b""))

    def _locked(self, act: Callable[[], None]) -> None:
        """Run one act alone; a canceled send may still be in its thread when the next begins."""
        try:
            with self._lock:
                act()
        except BrokenPipeError as exc:
            raise SinkRefused(
                f"{self.destination}: nobody reads it any more", reason="config", fix="start again with a reader"
            ) from exc
        except OSError as exc:
            message = f"{self.destination}: {exc.strerror or exc}"
            if exc.errno in _REFUSED:
                raise SinkRefused(
                    message, reason="config", fix="point path at a file that this user may write"
                ) from exc
            raise SinkUnavailable(message) from exc


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
