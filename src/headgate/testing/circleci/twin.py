"""Twins for tests: one in a thread of this process, one in a process of its own.

Invariant: a twin has its own event loop and is spoken to over HTTP like any other server; leaving the `with`
block ends it.
"""

import json
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

from headgate.testing.circleci.client import TwinClient
from headgate.testing.circleci.clock import last_full_hour_ms
from headgate.testing.circleci.knobs import Options
from headgate.testing.circleci.server import TwinServer

_START_SECONDS = 60.0  # generating a large history takes some seconds
_END_SECONDS = 10.0


class Twin(TwinClient):
    """A twin in this process: `with Twin(seed=7, days=3) as twin: ... twin.base_url ...`.

    Keyword arguments are the fields of `Options`; `now_ms` is the last full hour unless given. Safe to use
    from several threads. It shares the interpreter with the test: measure with `TwinProcess`.
    """

    def __init__(self, options: Options | None = None, *, port: int = 0, **fields: Any) -> None:
        """Take ready options, or their fields, and generate the history. Raises OSError for a taken port."""
        self.options = options or Options(**{"now_ms": last_full_hour_ms(), **fields})
        self._ready = threading.Event()
        self._server = TwinServer(self.options, port, lambda _port: self._ready.set())
        self._thread = threading.Thread(target=self._server.run_until_stopped, name="circleci-twin", daemon=True)
        super().__init__(f"http://127.0.0.1:{self._server.port}", self.options.token)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            self.stop()
            raise TimeoutError("the twin did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the twin and wait for its thread."""
        self.close()
        self._server.should_exit = True
        self._thread.join()


class TwinProcess(TwinClient):
    """A twin in a process of its own: `with TwinProcess("--days", "3", "--projects", "2") as twin: ...`.

    The arguments are those of the command line. Raises RuntimeError with what it said if it does not start.
    """

    def __init__(self, *arguments: str, token: str = "twin-token") -> None:  # noqa: S107  # of a made-up vendor
        command = [sys.executable, "-m", "headgate.testing.circleci", "--token", token, *arguments]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own module
        line = self._process.stderr.readline() if self._process.stderr else ""
        if not line.startswith("{"):
            self._end()
            raise RuntimeError(f"the twin did not start: {line.strip()}")
        super().__init__(f"http://127.0.0.1:{json.loads(line)['port']}", token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process and wait for it."""
        self.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
