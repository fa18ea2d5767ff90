"""What a test does with a running twin, in words of Python.

Invariant: everything goes over HTTP, so it works the same for a twin in this process and one in another.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import orjson

_WAIT_SECONDS = 900.0  # an advance over a month waits for its webhooks


class TwinClient:
    """Speaks to a twin; `base_url` stands for `https://circleci.com`. Close it after use."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url, self.token = base_url, token
        self._client = httpx.Client(base_url=base_url, timeout=_WAIT_SECONDS, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:
        """Ask the API as the holder of the token and give the JSON. Raises httpx.HTTPStatusError."""
        return self._ask("GET", path, params=query or None, headers={"circle-token": self.token}).json()

    def truth(self, since: str | None = None) -> Iterator[dict[str, Any]]:
        """Give what has finished so far, one object each."""
        query = {"since": since} if since else {}
        with self._client.stream("GET", "/_twin/truth", params=query) as answer:
            answer.raise_for_status()
            yield from (orjson.loads(line) for line in answer.iter_lines() if line)

    def tests(self, project: str) -> Iterator[dict[str, Any]]:
        """Give the test results of each finished job of a project (its slug) that has some."""
        with self._client.stream("GET", "/_twin/tests", params={"project": project}) as answer:
            answer.raise_for_status()
            yield from (orjson.loads(line) for line in answer.iter_lines() if line)

    def flaky(self) -> list[dict[str, Any]]:
        """Give the tests that are flaky on purpose, and those that became so by chance."""
        told: list[dict[str, Any]] = self._ask("GET", "/_twin/flaky").json()
        return told

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

    def credits(self, since: str | None = None, until: str | None = None) -> dict[str, Any]:
        """Give what the rows of the usage export add up to, by kind of credits."""
        query = {name: text for name, text in (("since", since), ("until", until)) if text}
        told: dict[str, Any] = self._ask("GET", "/_twin/credits", params=query).json()
        return told

    def put_rights(self, rights: dict[str, dict[str, Any]]) -> None:
        """Replace the tokens that have rights of their own."""
        self._ask("PUT", "/_twin/rights", json=rights)

    def revoke(self, token: str) -> None:
        """Make a token worthless from now on."""
        self._ask("DELETE", f"/_twin/rights/{token}")

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

    def rerun(self, pipeline: str, *, from_failed: bool = False) -> str:
        """Rerun the newest workflow of a pipeline that has ended (or failed); gives the new workflow's id."""
        wanted = {"pipeline": pipeline, "from_failed": from_failed}
        return str(self._ask("POST", "/_twin/rerun", json=wanted).json()["workflow"])

    def emit(self, body: bytes, *, forged: bool = False) -> dict[str, Any]:
        """Send this body to the webhook URL once, signed (or signed with a wrong secret)."""
        query = {"forged": "true"} if forged else {}
        done: dict[str, Any] = self._ask("POST", "/_twin/emit", params=query, content=body).json()
        return done

    def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        return self._client.request(method, path, **how).raise_for_status()
