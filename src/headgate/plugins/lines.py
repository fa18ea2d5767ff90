"""Lines in a file that rotates, or on standard output, for plugins that write them.

Invariant: a line in the file is whole; what could not be written whole is taken back, so that writing it again does not
double it. Standard output cannot be taken back: there a cut line is ended before the next one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headgate.core.errors import SinkRefused, SinkUnavailable

__all__ = ["STDOUT", "LineFile", "Lines"]

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


@dataclass(frozen=True, slots=True)
class LineFile:
    """Where lines go. `path`: a file, or `-` for standard output. `mode`: of a file that is made."""

    path: str
    rotate_bytes: int | None = None
    keep: int = 5
    fsync: bool = False
    mode: int = 0o640


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

    def __init__(self, file: LineFile) -> None:
        self._options = file
        self._path = Path(file.path)
        self._fd: int | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        fd = self._opened()
        limit = self._options.rotate_bytes
        if limit and self._size and self._size + len(data) > limit:
            self._rotate()
            fd = self._opened()
        try:
            _write_all(fd, data)
            if self._options.fsync:
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
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, self._options.mode)
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
        numbered = [self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._options.keep + 1)]
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


class Lines:
    """Appends whole lines, in threads, so that a slow disk or reader stops nobody else."""

    def __init__(self, file: LineFile) -> None:
        self.destination = "stdout" if file.path == STDOUT else str(Path(file.path).absolute())
        self._writer: _Writer = _Stdout() if file.path == STDOUT else _File(file)
        self._lock = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Append lines and flush them; none at all opens the target. Raises SinkUnavailable and SinkRefused."""
        await asyncio.to_thread(self._locked, lambda: self._writer.write(data))

    async def aclose(self) -> None:
        """End a write that waits for its reader, and free what is held. Safe before any write and twice."""
        self._writer.stop()
        await asyncio.to_thread(self._locked, self._writer.close)

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
