"""Which role every route of the API needs, and which routes tell of persons. One table; a test holds it complete.

Invariant: a route of the API that is not in the table needs an admin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from headgate.web.access.who import Role

__all__ = ["NEEDS", "Need", "need_of"]


@dataclass(frozen=True, slots=True)
class Need:
    """`personal`: the answer tells who did something, so that reading it is kept in the trail."""

    role: Role
    personal: bool = False


def _reads(paths: str, *, personal: bool = False) -> dict[str, Need]:
    return {f"GET {path}": Need("viewer", personal) for path in paths.split()}


def _changes(role: Role, routes: Iterable[str]) -> dict[str, Need]:
    return {route: Need(role) for route in routes}


# Method and path as the application writes it -> what it needs. An export notes itself, with what it was of.
NEEDS: Final[dict[str, Need]] = {
    **_reads(
        """
        /metrics /metrics/ci
        /api/v1/status /api/v1/overview /api/v1/runs /api/v1/history /api/v1/backfills /api/v1/audits
        /api/v1/alerts /api/v1/alerts/{fingerprint}/history /api/v1/silences
        /api/v1/insights/overview /api/v1/insights/projects /api/v1/insights/project /api/v1/insights/workflow
        /api/v1/insights/job /api/v1/insights/runs /api/v1/insights/tests /api/v1/insights/credits
        /api/v1/insights/failures /api/v1/insights/test /api/v1/insights/rightsizing /api/v1/insights/reruns
        /api/v1/insights/charges /api/v1/insights/budgets
        /api/v1/insights/builds /api/v1/insights/project-builds /api/v1/insights/dora /api/v1/insights/now
        /api/v1/insights/alert/{fingerprint} /api/v1/routing /api/v1/completeness /api/v1/data
        /api/v1/metrics /api/v1/query /api/v1/series /api/v1/live /api/v1/openapi.json
        /api/v1/rules /api/v1/outcomes
        /badge/{name}.svg
        /api/v1/export /api/v1/export/{table} /api/v1/report /api/v1/reports /api/v1/reports/{name}/{file}
        """
    ),
    # Records and webhooks carry the author and the first line of the commit; so does a run.
    **_reads(
        """
        /api/v1/explain /api/v1/explain/{provider_id} /api/v1/tail /api/v1/deadletters /api/v1/deaddeliveries
        /api/v1/insights/run
        """,
        personal=True,
    ),
    # Names and addresses.
    "GET /api/v1/trail": Need("admin", personal=True),
    **_changes(
        "operator",
        (
            "POST /api/v1/deadletters/replay",
            "POST /api/v1/deadletters/purge",
            "POST /api/v1/deaddeliveries/replay",
            "POST /api/v1/deaddeliveries/purge",
            "POST /api/v1/replay",
            "POST /api/v1/backfills",
            "POST /api/v1/audits",
            "POST /api/v1/deployments",
            "POST /api/v1/alerts/{fingerprint}/ack",
            "POST /api/v1/silences",
            "DELETE /api/v1/silences/{number}",
        ),
    ),
    **_changes(
        "admin",
        (
            "GET /api/v1/export/trail",
            "GET /api/v1/configuration",
            "POST /api/v1/sinks/{name}/reset",
            "POST /api/v1/reload",
            "POST /api/v1/backup",
        ),
    ),
}
# Pages that tell of persons; all other pages need a viewer, and their forms say themselves what they need.
_PERSONAL = ("/run/{run_id}", "/delivery/letter/{number}", "/delivery/webhook/{number}")
_PAGES: Final = {f"GET {path}": Need("viewer", personal=True) for path in _PERSONAL}
_PAGE: Final = Need("viewer")
_UNKNOWN: Final = Need("admin")


def _pattern(route: str) -> str:
    parts = re.split(r"(\{\w+(?::path)?\})", route)
    return "".join(
        re.escape(part) if number % 2 == 0 else (".+" if part.endswith(":path}") else "[^/]+")
        for number, part in enumerate(parts)
    )


_FIXED: Final = {route: need for route, need in {**NEEDS, **_PAGES}.items() if "{" not in route}
_SHAPED: Final = tuple(
    (re.compile(_pattern(route)), need) for route, need in {**NEEDS, **_PAGES}.items() if "{" in route
)


def need_of(method: str, path: str) -> Need:
    """What a request needs, by its method and path."""
    route = f"{'GET' if method in ('HEAD', 'OPTIONS') else method} {path}"
    found = _FIXED.get(route)
    if found is not None:
        return found
    shaped = next((need for pattern, need in _SHAPED if pattern.fullmatch(route)), None)
    if shaped is not None:
        return shaped
    return _UNKNOWN if path.startswith(("/api/", "/metrics", "/badge/")) else _PAGE
