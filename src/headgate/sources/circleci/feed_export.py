"""The usage export as a feed: every job run of an organisation with its times, machine and credits, for a few calls.

An export is ordered for at most 31 full UTC days, waited for, downloaded and read row by row. The position holds its
id, the file and the row, so that a restart goes on with it; files are downloaded again, from new URLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from headgate.core.errors import NotFound, SourceUnavailable, Unparsable
from headgate.core.feeds import Feed, FeedPage, Span
from headgate.core.merge import Observation, ProjectRef
from headgate.core.ports import Scope
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.sources.circleci import usage_csv
from headgate.sources.circleci.budget import Sleep
from headgate.sources.circleci.config import UsageExportConfig
from headgate.sources.circleci.export_files import Downloads, keep_bad, pages, rows
from headgate.sources.circleci.export_jobs import CALLS_PER_HOUR, Export, ExportJobs
from headgate.sources.circleci.normalize import Context

__all__ = ["ExportFeed", "TodayFeed"]

_WIDTH_MS = 31 * DAY_MS
_REACH_MS = 366 * DAY_MS - HOUR_MS  # an hour less than CircleCI allows, for what passes until it reads the order
_WAITED_MS = 6 * HOUR_MS  # the longest that a job waits for a machine over midnight
_SPARED = 3  # orders of an hour that are kept for exports that fail
_TRIES = 3  # exports that fail or vanish, and downloads that break, before a span is given up
_PATIENCE_MS = DAY_MS  # an export that is not made by then is taken for one that failed: others wait behind it
_log = structlog.get_logger("headgate.sources.circleci")


class _Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far reading is. `told_ms`: everything from here on was told, None before.

    `job`: the export under way, of `since_ms` to `until_ms`; `file`, `row`: the next one to be told of it; `asked_ms`:
    when it was last asked for, `ordered_ms`: when first; `tries`: what went wrong so far; `posts`, `gets`: calls of the
    last hour.
    """

    told_ms: int | None = None
    job: str = ""
    since_ms: int = 0
    until_ms: int = 0
    file: int = 0
    row: int = 0
    asked_ms: int = 0
    ordered_ms: int = 0
    tries: int = 0
    posts: tuple[int, ...] = ()
    gets: tuple[int, ...] = ()

    @property
    def span(self) -> Span:
        """What the export under way covers."""
        return Span(self.since_ms, self.until_ms)

    def told(self) -> _Place:
        """The place behind the export under way."""
        return _Place(self.since_ms, posts=self.posts, gets=self.gets)


class ExportFeed:
    """See the module. `owner`: project of an organisation's slug and a row, None where it is not collected."""

    name = "export"
    per: Literal["org", "project"] = "org"
    gives = "jobs with queue times, machines and credits"

    def __init__(
        self,
        jobs: ExportJobs,
        downloads: Downloads,
        config: UsageExportConfig,
        *,
        owner: Callable[[str, usage_csv.Row], ProjectRef | None],
        context: Callable[[], Context],
        now_ms: Callable[[], int],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._jobs, self._downloads, self._config = jobs, downloads, config
        self._owner, self._context, self._now_ms, self._sleep = owner, context, now_ms, sleep

    async def order(self, scope: Scope, span: Span) -> FeedPage | None:
        """Order the export of a span, while that leaves some orders of this hour for what goes wrong."""
        piece = self._next(span, _Place())
        if piece is None or len(self._jobs.limit.made(scope.key, "POST")) >= CALLS_PER_HOUR - _SPARED:
            return None
        return _page(await self._create(scope, piece, _Place()), calls=1)

    async def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """Export by export, the newest first; days that are not over in UTC are left out."""
        place = msgspec.json.decode(position, type=_Place) if position else _Place()
        self._jobs.limit.recall(scope.key, "POST", place.posts)
        self._jobs.limit.recall(scope.key, "GET", place.gets)
        while True:
            if not place.job:
                piece = self._next(span, place)
                if piece is None:
                    yield _page(place, last=True, reached_ms=span.since_ms)
                    return
                place = await self._create(scope, piece, place)
                yield _page(place, calls=1, waits_for=f"CircleCI makes the usage export of {scope.slug}")
            async with aclosing(self._read_on(scope, place)) as told:
                async for following, page in told:
                    place = following
                    yield page

    def _next(self, span: Span, place: _Place) -> Span | None:
        """What the next export is ordered for; None where nothing is left."""
        now_ms = self._now_ms()
        until_ms = min(span.until_ms, now_ms // DAY_MS * DAY_MS)
        until_ms = until_ms if place.told_ms is None else min(until_ms, place.told_ms)
        since_ms = max(span.since_ms, now_ms - _REACH_MS, until_ms - _WIDTH_MS)
        return Span(since_ms, until_ms) if since_ms < until_ms else None

    async def _create(self, scope: Scope, piece: Span, place: _Place) -> _Place:
        try:
            job = await self._jobs.create(scope.key, piece)
        except SourceUnavailable as error:
            raise self._slower(error) from error
        _log.info("export_ordered", org=scope.slug, job=job, since=format_ms(piece.since_ms),
                  until=format_ms(piece.until_ms))  # fmt: skip
        made = _Place(place.told_ms, job, piece.since_ms, piece.until_ms, tries=place.tries)
        return self._asked(scope, made)

    def _slower(self, error: SourceUnavailable) -> SourceUnavailable:
        """Calls are few: none is repeated sooner than an export is looked at."""
        return SourceUnavailable(str(error), retry_after=max(error.retry_after or 0.0, self._config.poll / 1000))

    def _asked(self, scope: Scope, place: _Place) -> _Place:
        limit = self._jobs.limit
        made, looked = limit.made(scope.key, "POST"), limit.made(scope.key, "GET")
        now_ms = self._now_ms()
        ordered_ms = place.ordered_ms or now_ms
        return msgspec.structs.replace(place, asked_ms=now_ms, ordered_ms=ordered_ms, posts=made, gets=looked)

    async def _read_on(self, scope: Scope, place: _Place) -> AsyncGenerator[tuple[_Place, FeedPage], None]:
        """Look once at the export under way, and read it if it is there."""
        due_ms = place.asked_ms + self._config.poll
        await self._sleep(max(0, min(self._config.poll, due_ms - self._now_ms())) / 1000)
        try:
            export = await self._jobs.look(scope.key, place.job)
        except NotFound:
            export = Export("failed", reason="CircleCI has no such export any more")
        except SourceUnavailable as error:
            raise self._slower(error) from error
        place = self._asked(scope, place)
        if export.state == "failed":
            yield self._missed(scope, place, f"it failed: {export.reason}", again=True)
        elif export.state != "completed" and place.asked_ms - place.ordered_ms >= _PATIENCE_MS:
            why = f"it is not made {_PATIENCE_MS // HOUR_MS} hours after it was ordered ({export.state})"
            yield self._missed(scope, place, why, again=True)
        elif export.state != "completed":
            yield place, _page(place, calls=1, waits_for=f"CircleCI makes the usage export of {scope.slug}")
        elif not export.urls:
            yield place.told(), _page(place.told(), calls=1, reached_ms=place.since_ms)
        else:
            yield place, _page(place, calls=1 + len(export.urls))
            try:
                async with self._downloads.fetched(export.urls) as files:
                    async for told in self._tell(scope, place, files):
                        yield told
            except SourceUnavailable as error:
                yield self._missed(scope, place, str(error), again=False)

    def _missed(self, scope: Scope, place: _Place, why: str, *, again: bool) -> tuple[_Place, FeedPage]:
        """Try once more, with another export where `again`; at last the span is given up and told to be."""
        why = f"usage export {place.job} of {scope.slug}: {why}"
        if place.tries + 1 < _TRIES:
            _log.warning("export_missed", org=scope.slug, tries=place.tries + 1, error=why)
            place = msgspec.structs.replace(place, tries=place.tries + 1, job="" if again else place.job)
            return place, _page(place)
        since, until = format_ms(place.since_ms), format_ms(place.until_ms)
        problem = f"{why}; given up after {_TRIES} tries, so credits of {since} to {until} stay estimates: ask again"
        return place.told(), _page(place.told(), reached_ms=place.since_ms, problems=(problem,))

    async def _tell(
        self, scope: Scope, place: _Place, files: Sequence[Path]
    ) -> AsyncGenerator[tuple[_Place, FeedPage], None]:
        """Everything in the files from a place on. A file that cannot be read is told, and the rest goes on."""
        survey = await asyncio.to_thread(_survey, files, place.span)
        for number in range(place.file, len(files)):
            place = msgspec.structs.replace(place, file=number, row=place.row if number == place.file else 0)
            if number in survey.bad:
                kept = await asyncio.to_thread(keep_bad, files[number], self._config.keep_bad, place.job, number)
                problem = f"file {number} of usage export {place.job} of {scope.slug}: {survey.bad[number]}; {kept}"
                place = msgspec.structs.replace(place, file=number + 1, row=0)
                yield place, _page(place, problems=(problem,))
                continue
            given = pages(files[number], place.row)
            while page := await asyncio.to_thread(next, given, None):
                found = await asyncio.to_thread(self._observed, scope, page, survey.totals)
                place = msgspec.structs.replace(place, row=place.row + len(page))
                yield place, _page(place, found)
        lost = f"usage export {place.job} of {scope.slug}: {survey.lost} rows are cut or lack a readable id"
        done = place.told()
        yield done, _page(done, reached_ms=place.since_ms, problems=(lost,) if survey.lost else ())

    def _observed(
        self, scope: Scope, page: Iterable[usage_csv.Row | None], totals: usage_csv.Totals | None
    ) -> list[Observation]:
        """What a page of rows tells: each pipeline and workflow once, each job and its usage."""
        context, found, runs = self._context(), dict[tuple[str, str], Observation](), set[str]()
        for row in page:
            owner = None if row is None else self._owner(scope.slug, row)
            if row is None or owner is None:
                continue
            if row.workflow_id not in runs:
                # Every row of a run tells the same of it.
                runs.add(row.workflow_id)
                credits_used = totals.of(row.workflow_id) if totals else None
                pipeline, begin = usage_csv.pipeline(row, owner, context), usage_csv.begin(row, owner, context)
                if pipeline is not None:
                    found["pipeline", pipeline.key] = pipeline
                if begin is not None:
                    found["begin", begin.key] = begin
                found["workflow", row.workflow_id] = usage_csv.workflow(row, owner, context, credits_used)
            found["job", row.job_id] = usage_csv.job(row, owner, context)
            found["usage", row.job_id] = usage_csv.usage(row, owner, context)
        return list(found.values())


class TodayFeed:
    """What another feed tells of the day that no export covers yet."""

    name = "today"
    per: Literal["org", "project"] = "project"
    gives = "jobs of the day that is not over"

    def __init__(self, feed: Feed, now_ms: Callable[[], int]) -> None:
        self._feed, self._now_ms = feed, now_ms

    async def read(self, scope: Scope, span: Span, *, position: str | None = None) -> AsyncIterator[FeedPage]:
        """The part of the span that lies in today, UTC, and a little before it.

        A job belongs to the day it starts on for the export, and to when it began to wait for other lists.
        """
        since_ms = max(span.since_ms, self._now_ms() // DAY_MS * DAY_MS - _WAITED_MS)
        if since_ms >= span.until_ms:
            yield FeedPage((), position or "", last=True, reached_ms=span.since_ms)
            return
        async for page in self._feed.read(scope, Span(since_ms, span.until_ms), position=position):
            yield page


@dataclass(frozen=True, slots=True)
class _Survey:
    """What a look through all files showed. `bad`: number of a file that cannot be read -> why; `lost`: rows.

    `totals`: None where anything could not be read, for then no sum is known to be whole.
    """

    totals: usage_csv.Totals | None
    bad: Mapping[int, str]
    lost: int


def _survey(files: Sequence[Path], span: Span) -> _Survey:
    totals, bad, lost = usage_csv.Totals(span), dict[int, str](), 0
    for number, path in enumerate(files):
        try:
            for row in rows(path):
                if row is None:
                    lost += 1
                else:
                    totals.add(row)
        except Unparsable as error:
            bad[number] = str(error)
    return _Survey(None if bad or lost else totals, bad, lost)


def _page(
    place: _Place,
    found: Sequence[Observation] = (),
    *,
    last: bool = False,
    reached_ms: int | None = None,
    calls: int = 0,
    problems: Sequence[str] = (),
    waits_for: str = "",
) -> FeedPage:
    position = msgspec.json.encode(place).decode()
    reached_ms = place.told_ms if reached_ms is None else reached_ms
    return FeedPage(found, position, last, reached_ms, calls, problems, waits_for)
