"""Makes usage exports and asks how far they are, within ten calls of each kind in an hour and organisation.

Invariant: the limit is the organisation's and not the token's, so it never holds up other calls. Times of calls can be
told and recalled, so that a restart does not forget them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.feeds import Span
from headgate.core.times import HOUR_MS, format_ms
from headgate.sources.circleci.api import Api
from headgate.sources.circleci.budget import Sleep
from headgate.sources.circleci.reading import sub, text

__all__ = ["CALLS_PER_HOUR", "Export", "ExportJobs", "HourlyLimit"]

CALLS_PER_HOUR = 10  # CircleCI's limit of POST, and of GET, for each organisation (docs/circleci.md)
_ALL = "/api/v2/organizations/{org_id}/usage_export_job"
_ONE = "/api/v2/organizations/{org_id}/usage_export_job/{job_id}"
Method = Literal["GET", "POST"]


class HourlyLimit:
    """When calls were made, by organisation and method."""

    def __init__(self, now_ms: Callable[[], int], sleep: Sleep) -> None:
        self._now_ms = now_ms
        self._sleep = sleep
        self._made: dict[tuple[str, Method], list[int]] = {}

    def made(self, org_id: str, method: Method) -> tuple[int, ...]:
        """Times of the calls of the last hour, oldest first."""
        return tuple(self._recent(org_id, method))

    def recall(self, org_id: str, method: Method, times: Iterable[int]) -> None:
        """Calls that were made before a restart."""
        known = self._recent(org_id, method)
        known[:] = sorted((Counter(known) | Counter(times)).elements())

    async def take(self, org_id: str, method: Method) -> None:
        """Wait until one more call may be made, and count it."""
        while True:
            recent, now_ms = self._recent(org_id, method), self._now_ms()
            if len(recent) < CALLS_PER_HOUR:
                recent.append(now_ms)
                return
            await self._sleep(max(1, recent[-CALLS_PER_HOUR] + HOUR_MS - now_ms) / 1000)

    def _recent(self, org_id: str, method: Method) -> list[int]:
        known = self._made.setdefault((org_id, method), [])
        # What lies ahead was counted before the clock was set back.
        now_ms = self._now_ms()
        known[:] = [at for at in known if now_ms - HOUR_MS < at <= now_ms]
        return known


@dataclass(frozen=True, slots=True)
class Export:
    """How far an export is: CircleCI's word, and why where that is `failed`. `urls` are secrets; empty without data."""

    state: str
    urls: tuple[str, ...] = field(default=(), repr=False)
    reason: str = ""


class ExportJobs:
    """The routes of the usage export. `limit` is shared by everything that asks for the same organisations."""

    def __init__(self, api: Api, limit: HourlyLimit) -> None:
        self.limit = limit
        self._api = api

    async def may(self, org_id: str) -> str:
        """Why the token may not export an organisation; empty if it may.

        Asked with a body that orders nothing: who lacks the right is refused before anybody reads it. Raises
        SourceUnavailable, and SourceRefused for a token that is worth nothing.
        """
        await self.limit.take(org_id, "POST")
        try:
            await self._api.change("POST", _ALL, {}, patient=True, apart=True, org_id=org_id)
        except NotFound:
            return (
                "404, which is a CircleCI Server or a missing right: usage_export (export of an organisation's usage)"
            )
        except SourceRefused as error:
            if self._api.refused:
                raise
            return (
                "" if error.reason == "rejected" else "missing right: usage_export (export of an organisation's usage)"
            )
        except SourceUnavailable as error:
            if error.retry_after is None:
                raise
        # Where the limit is reached, somebody may export.
        return ""

    async def create(self, org_id: str, span: Span) -> str:
        """Order an export; gives its id. Raises as Api.change does."""
        await self.limit.take(org_id, "POST")
        body = {"start": format_ms(span.since_ms), "end": format_ms(span.until_ms)}
        given: Any = await self._api.change("POST", _ALL, body, patient=True, apart=True, org_id=org_id)
        job_id = text(sub(given).get("usage_export_job_id"))
        if job_id is None:
            raise SourceUnavailable("POST usage_export_job: the answer has no usage_export_job_id")
        return job_id

    async def look(self, org_id: str, job_id: str) -> Export:
        """How far it is. Raises NotFound for one that is gone, and as Api.get does."""
        await self.limit.take(org_id, "GET")
        given = sub(await self._api.get(_ONE, patient=True, apart=True, org_id=org_id, job_id=job_id))
        urls = given.get("download_urls")
        return Export(
            text(given.get("state")) or "unknown",
            tuple(url for url in urls if isinstance(url, str) and url) if isinstance(urls, list) else (),
            text(given.get("error_reason")) or "no reason given",
        )
