"""The ways the twin misbehaves on request, and the coins that decide when.

Each fault is `{"rate": 0.1}` or `{"count": 3}` (the next three times) plus options; `routes` limits a fault
of the API to routes (`GET /api/v2/me`) that contain the text. Invariant: the same seed, faults and order of requests
give the same misbehaviour.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from headgate.testing.circleci import export
from headgate.testing.circleci.http import Answer, refuse, reply
from headgate.testing.circleci.ids import Ids

API_FAULTS = (
    "slow", "rate_limited", "server_error", "token_expired", "not_found", "repeated_page_token", "cut_body",
)  # fmt: skip
WEBHOOK_FAULTS = ("webhook_lost", "webhook_doubled", "webhook_late", "webhook_reordered", "webhook_forged")
EXPORT_FAULTS = ("export_failed", "export_no_urls", "export_columns", "export_slow")
ARTIFACT_FAULTS = ("junit_broken", "junit_bomb")
NAMES = (*API_FAULTS, *WEBHOOK_FAULTS, *EXPORT_FAULTS, *ARTIFACT_FAULTS, "list_hides")
LISTS = ("v2", "v1.1", "insights")
STYLES = ("retry_after", "reset", "x_reset", "none", "text")

_COIN = 1 << 61


@dataclass(slots=True)
class Fault:
    """One fault that is on; `fired` counts how often it struck."""

    name: str
    rate: float
    count: int | None
    options: dict[str, Any]
    rng: Random
    fired: int = 0
    hidden: set[str] = field(default_factory=set)

    def strikes(self) -> bool:
        """Toss the coin, or take one of the counted times."""
        hit = self.rng.random() < self.rate if self.count is None else self.fired < self.count
        self.fired += hit
        return hit


class Faults:
    """The faults that are on; none at first."""

    def __init__(self, seed: int, ids: Ids) -> None:
        self._seed, self._ids = seed, ids
        self._on: dict[str, Fault] = {}

    def put(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Replace all faults. Raises ValueError with the reason for a name or value that is not known."""
        self._on = {name: self._read(name, options) for name, options in wanted.items()}

    def _read(self, name: str, options: dict[str, Any]) -> Fault:
        if name not in NAMES:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(NAMES)}")
        rest = dict(options)
        rate, count = rest.pop("rate", None), rest.pop("count", None)
        if (rate is None) == (count is None):
            raise ValueError(f"fault {name!r} needs either rate or count")
        if name == "rate_limited" and rest.get("style", STYLES[0]) not in STYLES:
            raise ValueError(f"style of rate_limited is one of {', '.join(STYLES)}")
        if name == "list_hides" and rest.get("list") not in LISTS:
            raise ValueError(f"list_hides needs list: {', '.join(LISTS)}")
        if name == "export_columns":
            rest = {"style": export.STYLES[0], "column": "JOB_ID"} | rest
            if rest["style"] not in export.STYLES or rest["column"] not in export.COLUMNS:
                raise ValueError(f"export_columns needs style: {', '.join(export.STYLES)}, and a column of the export")
        count = None if count is None else int(count)
        return Fault(name, float(rate or 0), count, rest, Random(f"{self._seed}/{name}"))

    def clear(self) -> None:
        """Behave well again."""
        self._on = {}

    def told(self) -> dict[str, Any]:
        """Describe what is on and how often it struck."""
        return {
            name: {"rate": fault.rate, "count": fault.count, "fired": fault.fired, **fault.options}
            for name, fault in self._on.items()
        }

    def strike(self, name: str, route: str = "") -> Fault | None:
        """Give the fault if it strikes this time."""
        fault = self._on.get(name)
        if fault is None or str(fault.options.get("routes", "")) not in route:
            return None
        return fault if fault.strikes() else None

    def hiding(self, which: str) -> bool:
        """Say whether any run is missing from a list; cheaper than asking for each."""
        fault = self._on.get("list_hides")
        return fault is not None and fault.options["list"] == which

    def hides(self, which: str, run_id: str) -> bool:
        """Say whether a run is missing from one of `LISTS`; always the same answer for a run."""
        if not self.hiding(which):
            return False
        fault = self._on["list_hides"]
        if run_id in fault.hidden:
            return True
        if fault.count is not None:
            hit = len(fault.hidden) < fault.count
        else:
            hit = self._ids.number("hidden", run_id) < fault.rate * _COIN
        if hit:
            fault.hidden.add(run_id)
            fault.fired += 1
        return hit


def early_answer(faults: Faults, route: str) -> Answer | None:
    """Give the answer of a fault that keeps the request from being looked at."""
    fault = faults.strike("rate_limited", route)
    if fault:
        return rate_limited(str(fault.options.get("style", STYLES[0])), int(fault.options.get("seconds", 1)))
    fault = faults.strike("server_error", route)
    if fault:
        return _server_error(int(fault.options.get("status", 500)))
    if faults.strike("token_expired", route):
        return refuse(401, "Invalid token provided.")
    return refuse(404, "Not found") if faults.strike("not_found", route) else None


def rate_limited(style: str, seconds: int) -> Answer:
    """Give a 429 in one of the styles seen: which header tells the wait, if any does."""
    body = orjson.dumps({"message": "Rate limit exceeded."})
    wait = str(seconds)
    headers = {
        "retry_after": {"retry-after": wait},
        "reset": {"ratelimit-limit": "51", "ratelimit-remaining": "0", "ratelimit-reset": wait},
        "x_reset": {"x-ratelimit-limit": "51", "x-ratelimit-remaining": "0", "x-ratelimit-reset": wait},
    }
    if style == "text":
        return Answer(429, b"Too Many Requests\n", content_type="text/plain;charset=utf-8")
    return Answer(429, body, headers.get(style, {}))


def _server_error(status: int) -> Answer:
    if status == 500:
        return refuse(500, "An internal server error occurred.")
    text = f"<html><body><h1>{status}</h1>upstream trouble</body></html>".encode()
    return Answer(status, text, content_type="text/html")


def spoil(faults: Faults, route: str, answer: Answer, page_token: str | None) -> Answer:
    """Damage a good answer: hand the same page token out again, or cut the body."""
    if answer.status not in {200, 201}:
        return answer
    if page_token and faults.strike("repeated_page_token", route):
        page = orjson.loads(answer.body)
        if isinstance(page, dict) and page.get("next_page_token"):
            answer = reply(page | {"next_page_token": page_token})
    fault = faults.strike("cut_body", route)
    if fault is None:
        return answer
    half = len(answer.body) // 2
    if fault.options.get("style") == "connection":
        return Answer(answer.status, answer.body, answer.headers, cut_at=half)
    return Answer(answer.status, answer.body[:half], answer.headers)
