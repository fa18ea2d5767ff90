"""Who may ask what, and how often.

Tokens: the twin's own is good everywhere; `project-…` is a project token (v1.1 only); `expired-…` is
refused; `noaccess-…` is a valid user who sees no project; `member-…` sees everything and is no administrator of
the organization. Invariant: a request that is refused here never reaches a handler.
"""

from dataclasses import dataclass
from math import ceil

from headgate.testing.circleci.clock import monotonic
from headgate.testing.circleci.http import Answer, Group, Request, refuse

_PERSONAL_ROUTES = ("/api/v2/me", "/api/v1.1/me", "/api/v1.1/projects")


def token_of(request: Request) -> str | None:
    """Give the token of a request, from either header."""
    direct = request.headers.get("circle-token")
    if direct:
        return direct.strip()
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def refusal(token: str | None, own: str, group: Group, path: str) -> Answer | None:
    """Say why a token may not ask this, or None if it may."""
    if token is None:
        return refuse(401, "You must log in first.")
    if token.startswith("project-"):
        return refuse(403, "Permission denied.") if group == "v2" else None
    if token.startswith("noaccess-"):
        return _blind(path)
    if token.startswith("member-"):
        return refuse(403, "Permission denied.") if path.startswith("/api/v2/webhook") else None
    return None if token == own else refuse(401, "Invalid token provided.")


def _blind(path: str) -> Answer | None:
    if path.startswith(_PERSONAL_ROUTES):
        return None
    if path == "/api/v2/pipeline":
        return refuse(403, "Permission denied.")
    return refuse(404, "Project not found")


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Limiter:
    """A token bucket per token, with a burst of so many, or of as many as come in a second."""

    def __init__(self, burst: float | None) -> None:
        self._burst = burst
        self._buckets: dict[str, _Bucket] = {}

    def take(self, token: str, per_second: float) -> tuple[bool, dict[str, str]]:
        """Count one request; give whether it may pass and the headers of both families."""
        now, size = monotonic(), max(1.0, self._burst or per_second)
        bucket = self._buckets.setdefault(token, _Bucket(size, now))
        bucket.tokens = min(size, bucket.tokens + (now - bucket.filled_at) * per_second)
        bucket.filled_at = now
        passed = bucket.tokens >= 1
        if passed:
            bucket.tokens -= 1
        wait = ceil(max(0.0, 1 - bucket.tokens) / per_second)
        headers = limit_headers(int(size), int(bucket.tokens), wait)
        return passed, headers if passed else headers | {"retry-after": str(max(1, wait))}


def limit_headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    """Give the rate limit headers; `reset` is in seconds to go."""
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-limit-second": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(reset),
        "ratelimit-limit": str(limit),
        "ratelimit-remaining": str(remaining),
        "ratelimit-reset": str(reset),
    }
