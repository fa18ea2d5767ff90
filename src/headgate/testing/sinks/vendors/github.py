"""A strict GitHub: the repository itself, and its issues: list, create, edit, comment.

Source: docs.github.com, "REST API endpoints for issues" and "Rate limits for the REST API" (80 requests a minute that
make content; 403 with Retry-After), read 2026-11; the words of refusals are known, not looked up. Invariant: one row
for each issue as it stands now, with its comments; a deleted one is marked and answered with 410.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from headgate.testing.sinks.bodies import same
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Reply, Request

TOKEN = "ghp_fakefakefakefakefakefakefakefakefake"
REPOSITORY = "acme/web"
MAX_BODY = 65_536
MAX_TITLE = 256
MAX_LABEL = 50
DIRECTIONS = ("asc", "desc")
STATES = ("open", "closed", "all")
REASONS = ("completed", "not_planned", "duplicate", "reopened", None)


@dataclass(frozen=True, slots=True)
class GitHubOptions:
    """Options of the fake."""

    token: str = field(default=TOKEN, metadata={"help": "the one good token, sent as bearer"})
    repository: str = field(default=REPOSITORY, metadata={"help": "the one repository that the token sees"})
    prefix: str = field(default="", metadata={"help": "what stands before /repos; a server of one's own: /api/v3"})
    push: bool = field(default=True, metadata={"help": "whether the token may set labels; else they are dropped"})
    has_issues: bool = field(default=True, metadata={"help": "whether issues are switched on"})
    content_per_minute: int = field(default=80, metadata={"help": "issues and comments; then the secondary limit"})


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.reply = json_reply(status, {"message": message, **more}, headers)


class GitHub(Vendor):
    """Judges calls to one repository; numbers rise by one."""

    def __init__(self, options: GitHubOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._made_ms: list[int] = []

    def clear(self) -> None:
        """Forget what was made in the last minute."""
        self._made_ms.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            return self._answer(request)
        except RefusedError as refused:
            return refused.reply

    def _answer(self, request: Request) -> Reply:
        self._check_headers(request)
        base = f"{self._options.prefix}/repos/{self._options.repository}"
        if not request.path.startswith(base):
            raise RefusedError(404, "Not Found")
        routes: tuple[tuple[str, str, Callable[[Request, int], Reply]], ...] = (
            ("GET", r"", self._repository),
            ("GET", r"/issues", self._list),
            ("POST", r"/issues", self._create),
            ("PATCH", r"/issues/(\d+)", self._edit),
            ("POST", r"/issues/(\d+)/comments", self._comment),
        )
        for method, pattern, act in routes:
            found = re.fullmatch(pattern, request.path.removeprefix(base))
            if found and method == request.method:
                return act(request, int(found[1]) if found.groups() else 0)
        raise RefusedError(404, "Not Found")

    def _check_headers(self, request: Request) -> None:
        if not request.headers.get("user-agent"):
            raise RefusedError(403, "Request forbidden by administrative rules. Make sure to send a User-Agent header")
        given = request.headers.get("authorization", "")
        if not same(given.removeprefix("Bearer "), self._options.token):
            raise RefusedError(401, "Bad credentials")

    def _repository(self, request: Request, number: int) -> Reply:
        del request, number
        answer = {"full_name": self._options.repository, "has_issues": self._options.has_issues, "archived": False}
        return json_reply(200, answer)

    def _list(self, request: Request, number: int) -> Reply:
        del number
        query = request.query
        state, direction = query.get("state", "open"), query.get("direction", "desc")
        if state not in STATES or direction not in DIRECTIONS:
            raise RefusedError(422, "Validation Failed")
        size, page = min(int(query.get("per_page", "30")), 100), int(query.get("page", "1"))
        wanted = {label for label in query.get("labels", "").split(",") if label}
        found = [
            row.native
            for row in self._ledger.rows()
            if not row.native["deleted"]
            and state in ("all", row.native["state"])
            and wanted <= {label["name"] for label in row.native["labels"]}
        ]
        found.sort(key=lambda one: int(one["number"]), reverse=direction == "desc")
        return json_reply(200, [_shown(one) for one in found[(page - 1) * size : page * size]])

    def _create(self, request: Request, number: int) -> Reply:
        if not self._options.has_issues:
            raise RefusedError(410, "Issues has been disabled in this repository.")
        body = _object(request)
        _check(body, new=True)
        self._count()
        number = 1 + max((row.native["number"] for row in self._ledger.rows()), default=0)
        labels = [{"name": name} for name in body.get("labels", [])] if self._options.push else []
        native = {
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "labels": labels,
            "state": "open",
            "state_reason": None,
            "comments": [],
            "edits": 0,
            "deleted": False,
        }
        self._ledger.add(number, str(number), native)
        return json_reply(201, _shown(native))

    def _edit(self, request: Request, number: int) -> Reply:
        native = self._issue(number)
        body = _object(request)
        _check(body, new=False)
        if body.get("state", native["state"]) == native["state"]:
            body.pop("state_reason", None)
        changed = {**native, **body, "edits": native["edits"] + 1}
        self._ledger.replace(number, str(number), changed)
        return json_reply(200, _shown(changed))

    def _comment(self, request: Request, number: int) -> Reply:
        native = self._issue(number)
        body = _object(request)
        if not isinstance(body.get("body"), str) or not body["body"].strip():
            raise _invalid("body", "missing_field")
        _check({"body": body["body"]}, new=False)
        self._count()
        self._ledger.replace(number, str(number), {**native, "comments": [*native["comments"], body["body"]]})
        return json_reply(201, {"id": len(native["comments"]) + 1, "body": body["body"]})

    def _issue(self, number: int) -> dict[str, Any]:
        row = self._ledger.get(number)
        if row is None:
            raise RefusedError(404, "Not Found")
        if row.native["deleted"]:
            raise RefusedError(410, "This issue was deleted")
        return row.native

    def _count(self) -> None:
        now = self._ledger.clock_ms()
        self._made_ms = [at for at in self._made_ms if now - at < 60_000]
        if len(self._made_ms) >= self._options.content_per_minute:
            left = (min([*self._made_ms, now]) + 60_000 - now) // 1000 + 1
            words = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation."
            raise RefusedError(403, words, {"retry-after": str(left)})
        self._made_ms.append(now)


def _object(request: Request) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, "Problems parsing JSON") from error
    if not isinstance(found, dict):
        raise RefusedError(400, "Body should be a JSON object")
    return found


def _invalid(name: str, code: str) -> RefusedError:
    errors = [{"resource": "Issue", "field": name, "code": code}]
    return RefusedError(422, "Validation Failed", errors=errors)


def _check(body: Mapping[str, Any], *, new: bool) -> None:
    if "title" in body or new:
        title = body.get("title")
        if not isinstance(title, str) or not title.strip():
            raise _invalid("title", "missing_field")
        if len(title) > MAX_TITLE:
            raise _invalid("title", f"is too long (maximum is {MAX_TITLE} characters)")
    text = body.get("body")
    if text is not None and not isinstance(text, str):
        raise _invalid("body", "invalid")
    if len(text or "") > MAX_BODY:
        raise _invalid("body", f"body is too long (maximum is {MAX_BODY} characters)")
    labels = body.get("labels", [])
    if not isinstance(labels, list) or any(
        not isinstance(one, str) or not 1 <= len(one) <= MAX_LABEL for one in labels
    ):
        raise _invalid("labels", "invalid")
    if body.get("state", "open") not in ("open", "closed"):
        raise _invalid("state", "invalid")
    if body.get("state_reason") not in REASONS:
        raise _invalid("state_reason", "invalid")


def _shown(native: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in native.items() if name not in ("comments", "edits", "deleted")}


HEADERS = {"authorization": f"Bearer {TOKEN}", "user-agent": "test", "content-type": "application/json"}
ISSUES = f"/repos/{REPOSITORY}/issues"


def _bad(name: str, status: int, reason: str, body: object, **more: Any) -> BadBody:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return BadBody(
        name, status, data, reason, path=more.pop("path", ISSUES), headers=more.pop("headers", HEADERS), **more
    )


GOOD = {"title": "x", "body": "y"}
BAD_BODIES = (
    _bad("not-json", 400, "Problems parsing JSON", b"issue"),
    _bad("a-list", 400, "JSON object", []),
    _bad("wrong-token", 401, "Bad credentials", GOOD, headers={**HEADERS, "authorization": "Bearer x"}),
    _bad("no-token", 401, "Bad credentials", GOOD, headers={"user-agent": "test"}),
    _bad("no-agent", 403, "User-Agent", GOOD, headers={**HEADERS, "user-agent": ""}),
    _bad("another-repository", 404, "Not Found", GOOD, path="/repos/acme/secret/issues"),
    _bad("no-title", 422, "missing_field", {"body": "y"}),
    _bad("title-too-long", 422, "too long", {"title": "x" * 257}),
    _bad("body-too-long", 422, "maximum is 65536", {"title": "x", "body": "y" * 65_537}),
    _bad("label-too-long", 422, "labels", {"title": "x", "labels": ["l" * 51]}),
    _bad("labels-as-text", 422, "labels", {"title": "x", "labels": "headgate"}),
    _bad("unknown-state", 422, "state", {"title": "x", "state": "resolved"}),
    _bad("unknown-reason", 422, "state_reason", {"title": "x", "state_reason": "fixed"}),
    _bad("edit-of-nothing", 404, "Not Found", GOOD, path=f"{ISSUES}/7", method="PATCH"),
    _bad("comment-on-nothing", 404, "Not Found", {"body": "x"}, path=f"{ISSUES}/7/comments"),
    _bad("switched-off", 410, "disabled", GOOD, options={"has_issues": False}),
    _bad("too-much", 403, "secondary rate limit", GOOD, options={"content_per_minute": 0}),
)
FAKE = Fake(name="github", options=GitHubOptions, build=GitHub, bad_bodies=BAD_BODIES)
