"""Tokens with rights of their own, given at the start or while the twin runs.

A grant says what one token lacks, which organizations it sees, how often it may ask and how long it lives; tokens
without a grant are judged by `access`. Invariant: a request that is refused here never reaches a handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.testing.circleci import access
from headgate.testing.circleci.http import Answer, Group, Request, Route, read_object, refuse, reply
from headgate.testing.circleci.times import parse, rfc3339_ms
from headgate.testing.circleci.world import World

RIGHTS = {
    "usage_export": "/api/v2/organizations/",
    "insights": "/api/v2/insights/",
    "webhooks": "/api/v2/webhook",
    "v1.1": "/api/v1.1/",
}
_KEYS = frozenset({"kind", "lacks", "orgs", "rate_limit", "expires", "revoked"})

Parts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token may do; `lacks` are rights with the status of the refusal, `orgs` ids (None: all)."""

    kind: str = "personal"
    lacks: Mapping[str, int] = field(default_factory=dict)
    orgs: frozenset[str] | None = None
    rate_limit: float | None = None  # requests per second; None: the limit of the twin
    expires_ms: int | None = None
    revoked: bool = False

    def told(self) -> dict[str, Any]:
        """Describe the grant in the words it is put in."""
        return {
            "kind": self.kind,
            "lacks": dict(self.lacks),
            "orgs": None if self.orgs is None else sorted(self.orgs),
            "rate_limit": self.rate_limit,
            "expires": None if self.expires_ms is None else rfc3339_ms(self.expires_ms),
            "revoked": self.revoked,
        }


class Tokens:
    """The grants of a twin, by token."""

    def __init__(self, world: World) -> None:
        """Begin with the grants of the options. Raises ValueError with the reason for what is not known."""
        self._world = world
        self._grants: dict[str, Grant] = {}
        self.put(world.options.rights)

    def put(self, wanted: Mapping[str, Any]) -> None:
        """Replace all grants. Raises TypeError or ValueError with the reason, and then changes nothing."""
        self._grants = {token: self._read(token, given) for token, given in wanted.items()}

    def routes(self) -> list[Route]:
        """Give the routes with which a test changes rights."""
        table = (
            ("GET", "", self._get),
            ("PUT", "", self._put),
            ("DELETE", "", self._reset),
            ("DELETE", "/{token}", self._revoke),
        )
        return [Route(method, f"/_twin/rights{path}", handler, "control") for method, path, handler in table]

    def limit(self, token: str) -> float | None:
        """Give the requests per second of a token, or None if nothing limits it."""
        grant = self._grants.get(token)
        return grant.rate_limit if grant and grant.rate_limit else self._world.options.rate_limit

    def orgs(self, token: str | None) -> frozenset[str] | None:
        """Give the ids of the organizations a token sees; None means all."""
        grant = self._grants.get(token or "")
        return grant.orgs if grant else None

    def refusal(self, token: str | None, group: Group, request: Request, parts: Parts) -> Answer | None:
        """Say why a token may not ask this, or None if it may."""
        grant = self._grants.get(token or "")
        if grant is None:
            return access.refusal(token, self._world.options.token, group, request.path)
        if grant.revoked or (grant.expires_ms is not None and self._world.now() >= grant.expires_ms):
            return refuse(401, "Invalid token provided.")
        if grant.kind == "project" and group == "v2":
            return refuse(403, "Permission denied.")
        for right, status in grant.lacks.items():
            if request.path.startswith(RIGHTS[right]):
                return refuse(status, "Permission denied." if status == 403 else "Not found")
        owner = self._owner(request, parts) if grant.orgs is not None else None
        if grant.orgs is None or owner is None or owner in grant.orgs:
            return None
        return refuse(403, "Permission denied.") if request.path == "/api/v2/pipeline" else refuse(404, "Not found")

    def _owner(self, request: Request, parts: Parts) -> str | None:
        """Give the id of the organization a request is about, or None where it names none that exists."""
        slug, scope = request.one("org-slug"), request.one("scope-id") or _scope_id(request.body)
        if "vcs" in parts:
            slug = f"{parts['vcs']}/{parts['org']}"
        for history in self._world.of_org(slug) if slug else ():
            return history.project.org.id
        for org in self._world.orgs():
            if org.id == parts.get("org_id"):
                return org.id
        for history in self._world.histories:
            if history.project.id == scope:
                return history.project.org.id
        for part in parts.values():
            place = self._world.ids.locate(part)
            if place and place.project < len(self._world.histories):
                return self._world.histories[place.project].project.org.id
        return None

    def _read(self, token: str, given: object) -> Grant:
        if not isinstance(given, Mapping) or given.keys() - _KEYS:
            raise ValueError(f"rights of {token!r} must be an object of {', '.join(sorted(_KEYS))}")
        kind, limit, expires, orgs = (given.get(key) for key in ("kind", "rate_limit", "expires", "orgs"))
        if kind not in {None, "personal", "project"}:
            raise ValueError(f"kind of {token!r} is personal or project")
        if limit is not None and not (isinstance(limit, int | float) and limit > 0):
            raise ValueError(f"rate_limit of {token!r} must be positive")
        return Grant(
            kind=kind or "personal",
            lacks=_lacks(given.get("lacks", [])),
            orgs=None if orgs is None else frozenset(self._org_id(org) for org in orgs),
            rate_limit=limit,
            expires_ms=parse(expires) if expires else None,
            revoked=bool(given.get("revoked", False)),
        )

    def _org_id(self, text: str) -> str:
        """Find an organization by id or any form of its slug. Raises ValueError if there is none."""
        for org in self._world.orgs():
            if org.id == text:
                return org.id
        for history in self._world.of_org(text):
            return history.project.org.id
        raise ValueError(f"no organization {text!r}")

    def _get(self, _request: Request, _parts: Parts) -> Answer:
        return reply({token: grant.told() for token, grant in self._grants.items()})

    def _put(self, request: Request, parts: Parts) -> Answer:
        """Replace all grants."""
        wanted = read_object(request.body)
        if wanted is None:
            return refuse(400, "the body must be an object of objects: {token: {lacks, orgs, ...}}")
        try:
            self.put(wanted)
        except (TypeError, ValueError) as exc:
            return refuse(400, str(exc))
        return self._get(request, parts)

    def _reset(self, _request: Request, _parts: Parts) -> Answer:
        self.put(self._world.options.rights)
        return Answer(204)

    def _revoke(self, _request: Request, parts: Parts) -> Answer:
        """Make a token worthless from now on, also the twin's own."""
        self._grants[parts["token"]] = Grant(revoked=True)
        return Answer(204)


def _scope_id(body: bytes) -> object:
    """Give the project id in the body of a new webhook."""
    scope = (read_object(body) or {}).get("scope")
    return scope.get("id") if isinstance(scope, dict) else None


def _lacks(given: object) -> dict[str, int]:
    """Read a list of rights, or an object with the status of each refusal. Raises ValueError for an unknown one."""
    wanted = given if isinstance(given, Mapping) else dict.fromkeys(given, 403) if isinstance(given, list) else None
    if wanted is None or wanted.keys() - RIGHTS.keys() or set(wanted.values()) - {403, 404}:
        raise ValueError(f"lacks has some of {', '.join(RIGHTS)}, with 403 or 404")
    return dict(wanted)
