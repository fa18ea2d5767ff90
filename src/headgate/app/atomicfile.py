"""Files that are whole or not there: written beside their place, flushed, and only then put there.

Invariant: whoever looks sees the file of before or the new one, also after a crash; what a killed process leaves behind
begins with a dot and ends in `.part`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

__all__ = ["PART", "in_one", "put_file", "write_file"]

PART = ".part"
_MODE = 0o640


async def write_file(path: Path, chunks: AsyncIterator[bytes]) -> int:
    """Write a file of these chunks in place of any that is there; returns its bytes.

    Raises OSError, and whatever the chunks raise; nothing has changed then.
    """
    held: list[tuple[BinaryIO, Path]] = []
    size = 0
    try:
        await _in_thread(lambda: held.append(_begin(path)))
        ((target, part),) = held
        async for chunk in chunks:
            size += len(chunk)
            await _in_thread(partial(_write, target, chunk))
        await _in_thread(partial(_put, target, part, path))
    except BaseException:
        for target, part in held:
            target.close()
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise
    return size


async def _in_thread(act: Callable[[], None]) -> None:
    """Do it to its end, also while that is canceled: nobody may let go of a file that a thread still writes."""
    work = asyncio.ensure_future(asyncio.to_thread(act))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


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


def _put(target: BinaryIO, part: Path, path: Path) -> None:
    os.fsync(target.fileno())
    target.close()
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
