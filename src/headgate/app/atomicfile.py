"""Files that are whole or not there: written beside their place, flushed, and only then put there.

Invariant: whoever looks sees the file of before or the new one, also after a crash; what a killed process leaves behind
begins with a dot and ends in `.part`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["PART", "in_one", "put_file", "write_file"]

PART = ".part"
_MODE = 0o640


async def write_file(path: Path, chunks: AsyncIterator[bytes]) -> int:
    """Write a file of these chunks in place of any that is there; returns its bytes.

    Raises OSError, and whatever the chunks raise; nothing has changed then.
    """
    target, part = await asyncio.to_thread(_begin, path)
    size = 0
    try:
        with target:
            async for chunk in chunks:
                size += len(chunk)
                await asyncio.to_thread(_write, target, chunk)
            await asyncio.to_thread(_flush, target)
        await asyncio.to_thread(_put, part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return size


def put_file(path: Path, body: bytes) -> None:
    """As `write_file`, outside of an event loop."""
    asyncio.run(write_file(path, in_one(body)))


async def in_one(body: bytes) -> AsyncIterator[bytes]:
    """A body as the chunks of a file."""
    yield body


def _begin(path: Path) -> tuple[BinaryIO, Path]:
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    os.fchmod(number, _MODE)
    # Without a buffer, so that a disk that refuses does so here and not once more when the file is closed.
    return os.fdopen(number, "wb", buffering=0), Path(name)


def _write(target: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[target.write(view) :]


def _flush(target: BinaryIO) -> None:
    target.flush()
    os.fsync(target.fileno())


def _put(part: Path, path: Path) -> None:
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
