"""Webhooks as their owners see them: the routes `/api/v2/webhook`, and what is sent where.

The server reads the keys it knows and ignores all others, so `signing-secret` (as CircleCI's document writes it) makes
a webhook without a secret. Invariant: a secret that was given is never told again; at most five webhooks a project.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import orjson

from headgate.testing.circleci.cast import Project
from headgate.testing.circleci.http import Answer, Request, Route, refuse, reply
from headgate.testing.circleci.model import Job, Workflow
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.webhooks import kind_of
from headgate.testing.circleci.world import World

LIMIT = 5
EVENTS = ("workflow-completed", "job-completed")
_MASKED = "****"

Parts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """Where deliveries go and what signs them; `webhook`: id and name of a managed one."""

    url: str
    secret: str | None
    verify_tls: bool = True
    webhook: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Managed:
    """One webhook that was made through the API; `secret` is empty where none was given."""

    id: str
    project_id: str
    created_ms: int
    updated_ms: int
    name: str = ""
    url: str = ""
    events: tuple[str, ...] = ()
    verify_tls: bool = True
    secret: str = ""
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        target = Target(self.url, self.secret or None, self.verify_tls, {"id": self.id, "name": self.name})
        object.__setattr__(self, "target", target)

    def told(self) -> dict[str, Any]:
        """Describe the webhook; of the secret only whether there is one."""
        return {
            "id": self.id,
            "scope": {"id": self.project_id, "type": "project"},
            "name": self.name,
            "url": self.url,
            "events": list(self.events),
            "verify_tls": self.verify_tls,
            "signing_secret": _MASKED if self.secret else "",
            "created_at": rfc3339_ms(self.created_ms),
            "updated_at": rfc3339_ms(self.updated_ms),
        }


class Webhooks:
    """All webhooks of a twin; `main` is the one it was started with, which gets everything of all projects."""

    def __init__(self, url: str | None, secret: str | None) -> None:
        self.main = Target(url, secret) if url else None
        self.managed: dict[str, Managed] = {}

    def __bool__(self) -> bool:
        """Say whether anything is sent to anybody."""
        return self.main is not None or bool(self.managed)

    def of_project(self, project_id: str) -> list[Managed]:
        """Give a project's webhooks, in the order they were made."""
        return [one for one in self.managed.values() if one.project_id == project_id]

    def of(self, done: Job | Workflow) -> Iterator[Target]:
        """Give where the delivery about something that finished is to go."""
        if self.main:
            yield self.main
        if self.managed:
            run = done.workflow if isinstance(done, Job) else done
            kind = kind_of(done)
            for one in self.of_project(run.pipeline.project.id):
                if kind in one.events:
                    yield one.target


class HooksV2:
    """Answers the requests about webhooks."""

    def __init__(self, world: World, webhooks: Webhooks) -> None:
        self._world, self._webhooks = world, webhooks
        self._made = 0

    def routes(self) -> list[Route]:
        """Give the routes."""
        one = "/api/v2/webhook/{webhook-id}"
        return [
            Route("GET", "/api/v2/webhook", self._list, "v2"),
            Route("POST", "/api/v2/webhook", self._create, "v2"),
            Route("GET", one, self._get, "v2"),
            Route("PUT", one, self._update, "v2"),
            Route("DELETE", one, self._delete, "v2"),
        ]

    def _list(self, request: Request, _parts: Parts) -> Answer:
        if request.one("scope-type") != "project":
            return refuse(400, "scope-type must be project")
        project = self._project(request.one("scope-id"))
        if project is None:
            return refuse(404, "Project not found")
        items = [one.told() for one in self._webhooks.of_project(project.id)]
        return reply({"items": items, "next_page_token": None})

    def _create(self, request: Request, _parts: Parts) -> Answer:
        given = _object(request.body)
        scope = given.get("scope")
        if not isinstance(scope, dict) or scope.get("type") != "project":
            return refuse(400, "scope: must be {id, type: project}")
        project = self._project(scope.get("id"))
        if project is None:
            return refuse(404, "Project not found")
        missing = [key for key in ("name", "events", "url") if key not in given]
        if missing:
            return refuse(400, f"{missing[0]}: is required")
        wrong = self._wrong(given)
        if wrong:
            return refuse(400, wrong)
        if len(self._webhooks.of_project(project.id)) >= LIMIT:
            return refuse(400, f"Maximum number of webhooks ({LIMIT}) for this project reached")
        self._made += 1
        now = self._world.now()
        made = Managed(self._world.ids.named("managed-webhook", self._made), project.id, now, now)
        return self._keep(made, given, 201)

    def _get(self, _request: Request, parts: Parts) -> Answer:
        found = self._webhooks.managed.get(parts["webhook_id"])
        return reply(found.told()) if found else refuse(404, "Webhook not found")

    def _update(self, request: Request, parts: Parts) -> Answer:
        """Change what is named; the scope stays what it was, whatever is said."""
        found = self._webhooks.managed.get(parts["webhook_id"])
        if found is None:
            return refuse(404, "Webhook not found")
        given = _object(request.body)
        wrong = self._wrong(given)
        return refuse(400, wrong) if wrong else self._keep(found, given, 200)

    def _delete(self, _request: Request, parts: Parts) -> Answer:
        if self._webhooks.managed.pop(parts["webhook_id"], None) is None:
            return refuse(404, "Webhook not found")
        return reply({"message": "ok"})

    def _keep(self, found: Managed, given: Mapping[str, Any], status: int) -> Answer:
        made = replace(
            found,
            updated_ms=self._world.now(),
            name=given.get("name", found.name),
            url=given.get("url", found.url),
            events=tuple(given.get("events", found.events)),
            verify_tls=given.get("verify_tls", found.verify_tls),
            secret=given.get("signing_secret", found.secret),
        )
        self._webhooks.managed[made.id] = made
        return reply(made.told(), status)

    def _wrong(self, given: Mapping[str, Any]) -> str:
        """Say what is wrong with the values of the known keys; empty if nothing is."""
        for key, kind in (("name", str), ("url", str), ("verify_tls", bool), ("signing_secret", str)):
            if key in given and not isinstance(given[key], kind):
                return f"{key}: must be a {kind.__name__}"
        events = given.get("events", list(EVENTS))
        if not isinstance(events, list) or not events or not all(one in EVENTS for one in events):
            return f"events: must be some of {', '.join(EVENTS)}"
        if "url" in given and not _takes(given["url"], self._world.options.knobs.webhooks_over_http):
            return "url: must be an https URL"
        return ""

    def _project(self, project_id: object) -> Project | None:
        found = (history.project for history in self._world.histories if history.project.id == project_id)
        return next(found, None)


def _takes(url: str, over_http: bool) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (over_http and parts.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    """Say whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; anything else says nothing."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
