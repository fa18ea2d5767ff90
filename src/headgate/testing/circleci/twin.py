"""A twin inside the test's own process.

Invariant: a twin lives in a thread and an event loop of its own, and speaks to the test over HTTP like any
other server; leaving the `with` block ends both.
"""

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from headgate.testing.circleci.clock import last_full_hour_ms
from headgate.testing.circleci.knobs import Options
from headgate.testing.circleci.server import TwinServer

_START_SECONDS = 60.0  # generating a large history takes some seconds
_WAIT_SECONDS = 900.0


class Twin:
    """A running twin: `with Twin(seed=7, days=3) as twin: ... twin.base_url ...`.

    Keyword arguments are the fields of `Options`; `now_ms` is the last full hour unless given. Safe to use
    from several threads.
    """

    def __init__(self, options: Options | None = None, *, port: int = 0, **fields: Any) -> None:
        """Take ready options, or their fields."""
        self.options = options or Options(**{"now_ms": last_full_hour_ms(), **fields})
        self._port = port
        self._server: TwinServer | None = None
        self._thread: threading.Thread | None = None
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._server = TwinServer(self.options, self._port, lambda _port: ready.set())
        serve = self._server.run_until_stopped
        self._thread = threading.Thread(target=serve, name="circleci-twin", daemon=True)
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            self._server.should_exit = True
            raise TimeoutError("the twin did not start")
        self._client = httpx.Client(base_url=self.base_url, timeout=_WAIT_SECONDS, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client:
            self._client.close()
        self._running.should_exit = True
        if self._thread:
            self._thread.join()

    @property
    def _running(self) -> TwinServer:
        if self._server is None:
            raise RuntimeError("the twin is not running: use it in a with statement")
        return self._server

    @property
    def base_url(self) -> str:
        """The address that stands for `https://circleci.com`, without a slash at the end."""
        return f"http://127.0.0.1:{self._running.port}"

    @property
    def token(self) -> str:
        """The token that is good everywhere."""
        return self.options.token

    def get(self, path: str, **query: str | int) -> Any:
        """Ask the API as the holder of the token and give the JSON. Raises httpx.HTTPStatusError."""
        return self._ask("GET", path, params=query or None, headers={"circle-token": self.token}).json()

    def truth(self, since: str | None = None) -> Iterator[dict[str, Any]]:
        """Give what has finished so far, one object each."""
        query = {"since": since} if since else {}
        if self._client is None:
            raise RuntimeError("the twin is not running")
        with self._client.stream("GET", "/_twin/truth", params=query) as answer:
            answer.raise_for_status()
            yield from (orjson.loads(line) for line in answer.iter_lines() if line)

    def stories(self) -> list[dict[str, Any]]:
        """Give the planted incidents."""
        told: list[dict[str, Any]] = self._ask("GET", "/_twin/stories").json()
        return told

    def about(self) -> dict[str, Any]:
        """Give the clock, the organizations and the projects."""
        told: dict[str, Any] = self._ask("GET", "/_twin").json()
        return told

    def advance(self, seconds: float, timeout_seconds: float = 600.0) -> dict[str, Any]:
        """Move the clock and wait until the webhooks for that time are delivered."""
        wanted = {"seconds": seconds, "timeout_seconds": timeout_seconds}
        done: dict[str, Any] = self._ask("POST", "/_twin/advance", json=wanted).json()
        return done

    def put_faults(self, faults: dict[str, dict[str, Any]]) -> None:
        """Replace the faults that are on."""
        self._ask("PUT", "/_twin/faults", json=faults)

    def clear_faults(self) -> None:
        """Behave well again."""
        self._ask("DELETE", "/_twin/faults")

    def calls(self) -> dict[str, int]:
        """Give how often each route was asked."""
        counted: dict[str, int] = self._ask("GET", "/_twin/calls").json()
        return counted

    def reset_calls(self) -> None:
        """Count from zero again."""
        self._ask("DELETE", "/_twin/calls")

    def deliveries(self) -> list[dict[str, Any]]:
        """Give the webhooks sent so far, with their answers."""
        sent: list[dict[str, Any]] = self._ask("GET", "/_twin/deliveries").json()
        return sent

    def emit(self, body: bytes, *, forged: bool = False) -> dict[str, Any]:
        """Send this body to the webhook URL once, signed (or signed with a wrong secret)."""
        query = {"forged": "true"} if forged else {}
        done: dict[str, Any] = self._ask("POST", "/_twin/emit", params=query, content=body).json()
        return done

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        if self._client is None:
            raise RuntimeError("the twin is not running: use it in a with statement")
        return self._client.request(method, path, **how).raise_for_status()
