"""JSON Lines in a file or on standard output: whole lines, rotation, and what a broken disk means."""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import os
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.verdicts import SendResult
from headgate.plugins import lines as lines_of
from headgate.sinks import jsonl
from headgate.sinks.jsonl import JsonlConfig, JsonlSignal
from headgate.testing.sink_harness import CONTEXT, make_batch, try_send


def signal(path: Path, **settings: object) -> JsonlSignal:
    """A signal that writes to this file."""
    return JsonlSignal(JsonlConfig.model_validate({"path": str(path), **settings}))


def lines(path: Path) -> list[bytes]:
    """The lines of a file."""
    return path.read_bytes().splitlines()


def names(folder: Path) -> list[str]:
    """What a folder holds, sorted."""
    return sorted(file.name for file in folder.iterdir())


async def test_records_are_lines(tmp_path: Path) -> None:
    """Each stored record is one line; a second signal appends; folders are made."""
    path = tmp_path / "a" / "b.jsonl"
    first, second = make_batch(3), make_batch(2, first=9)
    for batch in (first, second):
        sender = signal(path, fsync=True)
        assert await sender.send(batch) == SendResult()
        await sender.aclose()
    assert lines(path) == [entry.body for entry in [*first, *second]]
    assert path.stat().st_mode & 0o777 == 0o640


async def test_files_rotate_and_the_oldest_goes(tmp_path: Path) -> None:
    """A file never grows beyond the limit by a batch; only `keep` old ones stay; no line is cut."""
    path = tmp_path / "r.jsonl"
    size = len(make_batch(1)[0].body) + 1
    sender = signal(path, rotate_bytes=3 * size, keep=2)
    for n in range(10):
        await sender.send(make_batch(2, first=10 + 2 * n))
    await sender.aclose()
    assert names(tmp_path) == ["r.jsonl", "r.jsonl.1", "r.jsonl.2"]
    kept = [line for name in ("r.jsonl.2", "r.jsonl.1", "r.jsonl") for line in lines(tmp_path / name)]
    assert kept == [entry.body for n in (7, 8, 9) for entry in make_batch(2, first=10 + 2 * n)]


async def test_a_batch_larger_than_the_limit_is_written_whole(tmp_path: Path) -> None:
    """An empty file takes any batch: there is nothing to gain by rotating it."""
    path = tmp_path / "r.jsonl"
    sender = signal(path, rotate_bytes=10, keep=1)
    await sender.send(make_batch(2))
    assert len(lines(path)) == 2
    assert not (tmp_path / "r.jsonl.1").exists()
    await sender.aclose()


async def test_a_file_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    """Logrotate moves the file: the next batch goes to a new one."""
    path = tmp_path / "m.jsonl"
    sender = signal(path)
    await sender.send(make_batch(1))
    path.rename(tmp_path / "m.old")
    await sender.send(make_batch(1, first=2))
    await sender.aclose()
    assert (len(lines(path)), len(lines(tmp_path / "m.old"))) == (1, 1)


@pytest.mark.parametrize(("torn", "kept"), [(b'{"id":"cut', b""), (b'{"id":"a"}\n{"id":"cut', b'{"id":"a"}\n')])
async def test_what_a_killed_process_left_is_taken_back(tmp_path: Path, torn: bytes, kept: bytes) -> None:
    """A line without an end was never acknowledged and comes again; it must not spoil the next one."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(torn)
    sender = signal(path)
    await sender.send(make_batch(1))
    await sender.aclose()
    assert path.read_bytes() == kept + make_batch(1)[0].body + b"\n"


@pytest.mark.parametrize("held", [b"x" * (2 << 20), b"password: 1", b"two\nlines"], ids=["large", "small", "text"])
async def test_a_file_without_lines_of_ours_is_refused(tmp_path: Path, held: bytes) -> None:
    """What ends neither in a line end nor in the beginning of a record is somebody else's file: it is left alone."""
    path = tmp_path / "other"
    path.write_bytes(held)
    sender = signal(path)
    for _ in range(2):
        assert isinstance(await try_send(sender, make_batch(1)), SinkRefused)
    await sender.aclose()
    assert path.read_bytes() == held


async def test_a_full_disk_keeps_the_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of a batch that was written before the disk was full is taken back; later it goes through once."""
    path = tmp_path / "f.jsonl"
    sender = signal(path)
    await sender.send(make_batch(1))
    real = os.write
    calls = iter([40, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])

    def broken(fd: int, data: bytes) -> int:
        step = next(calls)
        if isinstance(step, OSError):
            raise step
        return real(fd, data[:step])

    monkeypatch.setattr(os, "write", broken)
    outcome = await try_send(sender, make_batch(2, first=5))
    monkeypatch.undo()
    assert isinstance(outcome, SinkUnavailable)
    assert "No space left" in str(outcome)
    assert lines(path) == [make_batch(1)[0].body]
    await sender.send(make_batch(2, first=5))
    await sender.aclose()
    assert lines(path) == [entry.body for entry in [*make_batch(1), *make_batch(2, first=5)]]


@pytest.mark.parametrize("name", ["folder", "file/below"])
async def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    """A folder, or a file in the way, needs a human; check names it too."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x\n")
    sink = jsonl.build("x", JsonlConfig(path=str(tmp_path / name)), CONTEXT)
    assert isinstance(await try_send(sink.signals()[0], make_batch(1)), SinkRefused | SinkUnavailable)
    (result,) = await sink.check()
    assert (result.ok, result.reason) == (False, "unwritable")
    assert str(tmp_path / name) in result.fix
    await sink.aclose()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe in place of standard output."""
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:  # closed by the test
            continue


def to_pipe(fd: int) -> JsonlSignal:
    """A signal for standard output that writes to another descriptor."""
    sender = JsonlSignal(JsonlConfig())
    sender._lines._writer = lines_of._Stdout(fd)
    return sender


async def test_standard_output_gets_lines(pipe: tuple[int, int]) -> None:
    """A small batch arrives whole, and closing leaves the descriptor open."""
    reader, writer = pipe
    sender = to_pipe(writer)
    assert sender.destination == "stdout"
    await sender.send(make_batch(2))
    await sender.aclose()
    assert os.read(reader, 65_536) == b"".join(entry.body + b"\n" for entry in make_batch(2))
    os.fstat(writer)


async def test_a_reader_that_went_away_is_refused(pipe: tuple[int, int]) -> None:
    """`headgate run | head`: nobody will ever read again, so a human must act."""
    reader, writer = pipe
    os.close(reader)
    assert isinstance(await try_send(to_pipe(writer), make_batch(1)), SinkRefused)


async def test_a_reader_that_sleeps_does_not_hold_the_end(pipe: tuple[int, int]) -> None:
    """With a full pipe, closing ends the waiting write, so that the process can end."""
    reader, writer = pipe
    sender = to_pipe(writer)
    sending = asyncio.create_task(try_send(sender, make_batch(400)))
    while _waiting_bytes(reader) < 4096:  # noqa: ASYNC110  # the writer is a thread that tells nobody
        await asyncio.sleep(0)
    await asyncio.wait_for(sender.aclose(), 5)
    assert isinstance(await sending, SinkUnavailable)


def _waiting_bytes(fd: int) -> int:
    """How much waits in a pipe."""
    size = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, size)
    return size[0]
