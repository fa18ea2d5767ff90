"""Processes forked from one that has imported Headgate, since each of hundreds would take more than a second for that.

A forked process is as any other: it has its own memory and files, gets signals by its number, and ends as Python does.
What depends on how an interpreter starts (its path, what it imports) is shown by tests that start one.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

__all__ = ["Forked", "fork"]

_MOST_BYTES = 200_000
# What `headgate run` and commands that ask it import anyway.
_IMPORTED = ("headgate.cli.application", "headgate.app.lifecycle", "headgate.app.remote", "rich.table")


class Forked:
    """A process as `subprocess.Popen` has it, as far as tests use that."""

    def __init__(self, args: Sequence[str], end: socket.socket) -> None:
        self.args = list(args)
        self.returncode: int | None = None
        self._end = end
        self.pid = int(end.recv(20))

    def poll(self) -> int | None:
        """The exit code, or minus the signal, once it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same, as soon as it has ended. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = os.waitstatus_to_exitcode(int(self._end.recv(20)))
            self._end.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def fork(module: str, arguments: Sequence[str], env: Mapping[str, str], out: int, err: int) -> Forked:
    """Run a module as `python -m` does, with nothing to read. `out`, `err`: numbers of open files."""
    mine, its = socket.socketpair()
    wanted = json.dumps(
        {"module": module, "arguments": list(arguments), "env": dict(env), "cwd": str(Path.cwd())}
    ).encode()
    assert len(wanted) < _MOST_BYTES
    with its:
        socket.send_fds(_server(env["PYTHONPATH"]), [wanted], [out, err, its.fileno()])
    return Forked([sys.executable, "-m", module, *arguments], mine)


@cache
def _server(path: str) -> socket.socket:
    """The process that is forked, by what it imports from; it ends as soon as this one has."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        serving = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            env={**os.environ, "PYTHONPATH": path, "LANG": "C.UTF-8"},
        )
    atexit.register(_end, ours, serving)
    return ours


def _end(asked: socket.socket, serving: subprocess.Popen[bytes]) -> None:
    asked.close()
    serving.wait(10)


def _serve(asked: socket.socket) -> None:
    """Fork for each that asks, and say how they ended; in a forked process return once it has run."""
    for name in _IMPORTED:
        __import__(name)
    gc.collect()
    gc.freeze()
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ends: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([asked, woken], [], [])
        if woken in ready:
            woken.recv(1000)
            _tell(ends)
        if asked in ready:
            said, files, _, _ = socket.recv_fds(asked, _MOST_BYTES, 3)
            if not said:
                break
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for one in (asked, woken, waking, *ends.values()):
                    one.close()
                _become(json.loads(said), files)
                return
            ends[pid] = socket.socket(fileno=files[2])
            ends[pid].send(b"%d" % pid)
            os.close(files[0])
            os.close(files[1])
    for pid in ends:
        os.kill(pid, signal.SIGKILL)


def _tell(ends: dict[int, socket.socket]) -> None:
    for pid in [*ends]:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with ends.pop(pid) as end, contextlib.suppress(OSError):
                end.send(b"%d" % status)


def _become(wanted: Mapping[str, object], files: Iterable[int]) -> None:
    """Go on as the interpreter that was asked for. Raises SystemExit as the module does."""
    out, err, end = files
    os.dup2(out, 1)
    os.dup2(err, 2)
    for number in (out, err, end):
        os.close(number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(wanted["env"])  # type: ignore[call-overload]  # texts
    time.tzset()
    os.chdir(str(wanted["cwd"]))
    sys.path[0] = str(Path.cwd())
    module = str(wanted["module"])
    sys.argv = [module, *wanted["arguments"]]  # type: ignore[misc]  # texts
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
