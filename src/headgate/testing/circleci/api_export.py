"""The routes of the usage export, its downloads, and `/_twin/credits`, which says what the rows add up to.

An export is created, then processing, then completed or failed, as the knobs `export_polls` and `export_seconds`
and the faults have it; what goes wrong is drawn when it is created. Invariant: a download URL is good for 36 hours
of the twin's clock from the answer that gave it, and no two answers give the same.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from headgate.testing.circleci import export
from headgate.testing.circleci.cast import Org
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.http import Answer, Request, Route, read_object, refuse, reply
from headgate.testing.circleci.model import Job
from headgate.testing.circleci.times import DAY, HOUR, SECOND, parse, parse_rfc3339, rfc3339_seconds
from headgate.testing.circleci.world import World

CALLS_PER_HOUR = 10  # of each method, per organization
WIDTH_MAX_DAYS, AGE_MAX_DAYS = 31, 366
URL_HOURS = 36

_SLOW_SECONDS, _SLOW_POLLS = 0.0, 3
_KEYS = frozenset({"start", "end", "shared_org_ids"})

Parts = Mapping[str, str]


@dataclass(slots=True)
class _Export:
    """One export; `jobs` are the rows it will have, as of `created`."""

    id: str
    org: Org
    created: int
    span: dict[str, str]
    jobs: list[Job]
    polls_needed: int
    ready_ms: int
    shape: export.Shape | None
    failed: bool = False
    urls_lost: bool = False
    polls: int = 0

    def state(self, now: int) -> str:
        """Say how far it is, after `polls` looks at it."""
        if not self.polls:
            return "created"
        if self.polls < self.polls_needed or now < self.ready_ms:
            return "processing"
        return "failed" if self.failed else "completed"


class ApiExport:
    """Makes and hands out the usage exports of a world."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world, self._faults = world, faults
        self._exports: list[_Export] = []
        self._calls: dict[tuple[str, str], deque[int]] = {}

    def routes(self) -> list[Route]:
        """Give the routes; a CircleCI Server has no usage export."""
        credits_route = Route("GET", "/_twin/credits", self._credits, "control")
        if self._world.options.mode == "server":
            return [credits_route]
        base = "/api/v2/organizations/{org_id}/usage_export_job"
        return [
            Route("POST", base, self._create, "v2"),
            Route("GET", f"{base}/{{usage_export_job_id}}", self._poll, "v2"),
            Route("GET", "/_export/{signature}/{name}", self._download, "download"),
            credits_route,
        ]

    def _credits(self, request: Request, _parts: Parts) -> Answer:
        """Add up what an export asked for at this moment would have; both ends are included, either may be left out."""
        options, now = self._world.options, self._world.now()
        try:
            start, end = (parse(text) if text else None for text in (request.one("since"), request.one("until")))
        except ValueError as exc:
            return refuse(400, f"since, until: {exc}")
        return reply(export.totals(self._world, start or options.start_ms, now if end is None else end))

    def _create(self, request: Request, parts: Parts) -> Answer:
        org = self._org(parts)
        if org is None:
            return refuse(404, "Organization not found")
        now = self._world.now()
        too_many = self._count(org, "POST", now)
        if too_many:
            return too_many
        try:
            start, end, org_ids = self._read(request, now)
        except ValueError as exc:
            return refuse(400, str(exc))
        found = self._made(org, (start, end), org_ids, now)
        self._exports.append(found)
        return reply({**_told(found, "created", None), **found.span}, 201)

    def _read(self, request: Request, now: int) -> tuple[int, int, frozenset[str]]:
        """Read the body. Raises ValueError saying what is wrong with it."""
        body = read_object(request.body)
        if body is None:
            raise ValueError("The body must be a JSON object")
        unknown = sorted(body.keys() - _KEYS)
        if unknown:
            raise ValueError(f"Unknown keys: {', '.join(unknown)}")
        start, end = parse_rfc3339(body.get("start")), parse_rfc3339(body.get("end"))
        _check_span(start, end, now)
        return start, end, self._shared(request, body.get("shared_org_ids", []))

    def _shared(self, request: Request, given: object) -> frozenset[str]:
        """Read the organizations whose rows are wanted too. Raises ValueError for one the token does not see."""
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise ValueError("shared_org_ids must be a list of UUIDs")
        known = {org.id for org in self._world.orgs() if request.sees(org.id)}
        wanted = frozenset(str(UUID(one)) for one in given)
        if wanted - known:
            raise ValueError(f"shared_org_ids: no such organization: {', '.join(sorted(wanted - known))}")
        return wanted

    def _made(self, org: Org, span: tuple[int, int], org_ids: frozenset[str], now: int) -> _Export:
        knobs, strike = self._world.options.knobs, self._faults.strike
        wanted = org_ids | {org.id}
        histories = [history for history in self._world.histories if history.project.org.id in wanted]
        slow, odd = strike("export_slow"), strike("export_columns")
        polls, seconds = knobs.export_polls, knobs.export_seconds
        if slow:
            polls += int(slow.options.get("polls", _SLOW_POLLS))
            seconds += float(slow.options.get("seconds", _SLOW_SECONDS))
        return _Export(
            id=self._world.ids.named("export", org.id, len(self._exports)),
            org=org,
            created=now,
            span={"start": rfc3339_seconds(span[0]), "end": rfc3339_seconds(span[1])},
            jobs=export.covered(histories, *span, now),
            polls_needed=polls,
            ready_ms=now + int(seconds * SECOND),
            shape=export.Shape(odd.options["style"], odd.options["column"]) if odd else None,
            failed=strike("export_failed") is not None,
            urls_lost=strike("export_no_urls") is not None,
        )

    def _poll(self, request: Request, parts: Parts) -> Answer:
        org, now = self._org(parts), self._world.now()
        wanted = parts["usage_export_job_id"].lower()
        place = next((at for at, one in enumerate(self._exports) if one.id == wanted and one.org == org), None)
        if org is None or place is None:
            return refuse(404, "Usage export job not found")
        too_many = self._count(org, "GET", now)
        if too_many:
            return too_many
        found = self._exports[place]
        found.polls += 1
        state = found.state(now)
        done = state == "completed" and found.jobs and not found.urls_lost
        return reply(_told(found, state, self._urls(request, place, found, now) if done else None))

    def _urls(self, request: Request, place: int, found: _Export, now: int) -> list[str]:
        """Sign a URL for each file; every poll gives others."""
        expires = now + URL_HOURS * HOUR
        given = []
        for number in range(-(-len(found.jobs) // self._world.options.knobs.export_rows_per_file)):
            claim = f"{place}-{number}-{found.polls}-{expires}"
            signature = f"{claim}-{self._seal(claim)}"
            given.append(f"{request.base_url}/_export/{signature}/{found.id}_{number}.csv.gz")
        return given

    def _seal(self, claim: str) -> str:
        return self._world.ids.revision("export", claim)

    async def _download(self, request: Request, parts: Parts) -> Answer:
        """Hand a file out as S3 does: the signature is all it asks for, and nothing else may come with it."""
        claim, _, seal = parts["signature"].rpartition("-")
        if seal != self._seal(claim):
            text = "The request signature we calculated does not match the signature you provided."
            return _s3_error(403, "SignatureDoesNotMatch", text)
        if "authorization" in request.headers:
            return _s3_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        place, number, _, expires = (int(part) for part in claim.split("-"))
        now = self._world.now()
        if now >= expires:
            more = f"<Expires>{rfc3339_seconds(expires)}</Expires><ServerTime>{rfc3339_seconds(now)}</ServerTime>"
            return _s3_error(403, "AccessDenied", "Request has expired", more)
        found, size = self._exports[place], self._world.options.knobs.export_rows_per_file
        jobs = found.jobs[number * size : (number + 1) * size]
        body = await asyncio.to_thread(export.file, self._world, jobs, found.created, found.shape)
        return Answer(200, body, content_type="application/x-gzip")

    def _org(self, parts: Parts) -> Org | None:
        return next((org for org in self._world.orgs() if org.id == parts["org_id"].lower()), None)

    def _count(self, org: Org, method: str, now: int) -> Answer | None:
        """Count a call of an organization; give the refusal if it is one too many within an hour."""
        calls = self._calls.setdefault((org.id, method), deque())
        while calls and calls[0] <= now - HOUR:
            calls.popleft()
        if len(calls) < CALLS_PER_HOUR:
            calls.append(now)
            return None
        wait = str(-(-(calls[0] + HOUR - now) // SECOND))
        headers = {
            "retry-after": wait,
            "x-ratelimit-limit": str(CALLS_PER_HOUR),
            "x-ratelimit-limit-hour": str(CALLS_PER_HOUR),
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": wait,
        }
        return replace(refuse(429, "Rate limit exceeded."), headers=headers)


def _check_span(start: int, end: int, now: int) -> None:
    """Raise ValueError unless an export can cover this span."""
    if max(start, end) > now:
        raise ValueError("start and end must not be in the future")
    if end < start:
        raise ValueError("end must not be before start")
    if end - start > WIDTH_MAX_DAYS * DAY:
        raise ValueError(f"end must be at most {WIDTH_MAX_DAYS} days after start")
    if start < now - AGE_MAX_DAYS * DAY:
        raise ValueError(f"start must be at most {AGE_MAX_DAYS} days ago")


def _told(found: _Export, state: str, urls: list[str] | None) -> dict[str, object]:
    """Describe an export as the API does."""
    said: dict[str, object] = {"usage_export_job_id": found.id, "state": state, "download_urls": urls}
    if state == "failed":
        said["error_reason"] = "Internal error while the usage report was made"
    return said


def _s3_error(status: int, code: str, message: str, more: str = "") -> Answer:
    body = (
        f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Answer(status, text.encode(), content_type="application/xml")
