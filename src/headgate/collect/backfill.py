"""Reads history through a source's feeds, as asked for: resumable, newest first, behind everything that is live.

Invariant: a page's facts and the position behind it are stored together, so a kill at any moment neither loses nor
repeats a page; requests and their progress live in the store alone.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

import msgspec
import structlog

from headgate.collect.intake import live_after_ms
from headgate.collect.loops import SourceLoop
from headgate.collect.requests import BACKFILLS, BackfillRequest, Spot, load_spots, spot_key
from headgate.collect.state import first_error, forgiving, going_on, held
from headgate.core.errors import NotFound, SourceError, SourceRefused, SourceUnavailable
from headgate.core.feeds import Feed, FeedPage, FeedSource, OrderedFeed, Refresh, Span, Strategy
from headgate.core.ports import Scope
from headgate.core.release import ReleasePolicy
from headgate.core.slug import org_slug
from headgate.core.times import DAY_MS, format_ms

__all__ = ["Backfiller"]

_WINDOW_MS = 31 * DAY_MS
_AT_ONCE = 4
_RELEASED_AT_ONCE = 500
_AGAIN_SECONDS = 30.0
_ATTEMPTS = 6  # of one feed and scope in a row, each after six calls of its own
_PAUSED_SECONDS = 5.0
_TELL_SECONDS = 10.0
_MOST_PROBLEMS = 20
_log = structlog.get_logger("headgate.collect")


@dataclass(slots=True)
class _Work:
    """One request under way. `spots`: by store key; `total`: spots to be read when all windows are."""

    request: BackfillRequest
    spots: dict[str, Spot]
    policy: ReleasePolicy
    total: int = 0
    told_at: float = 0.0

    def add(self, problems: Sequence[str]) -> None:
        """Remember problems; of many the first, and how many there are."""
        found = (*self.request.problems, *problems)
        more = self.request.problems_more + max(0, len(found) - _MOST_PROBLEMS)
        self.request = msgspec.structs.replace(self.request, problems=found[:_MOST_PROBLEMS], problems_more=more)


@dataclass(slots=True, order=True)
class _Reader:
    """One feed of one scope in one window. The newest goes first: `order` is minus the time it has reached."""

    order: float
    number: int
    feed: Feed = field(compare=False)
    scope: Scope = field(compare=False)
    span: Span = field(compare=False)
    key: str = field(compare=False)
    failures: int = field(default=0, compare=False)


@dataclass(eq=False)
class Backfiller(SourceLoop[FeedSource]):
    """The loop of one source that has feeds. `done`: how many requests are; `reading`: one is under way."""

    done: int = field(default=0, init=False)
    reading: bool = field(default=False, init=False)
    _wanted: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _failures: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def refresh(self) -> Refresh | None:
        """What the source wants to be read again by itself."""
        return self._source.refresh

    def wake(self) -> None:
        """A request was stored."""
        self._wanted.set()

    async def run(self) -> None:
        """Work off requests for ever, the oldest first."""
        while True:
            self._wanted.clear()
            waiting = await BACKFILLS.unfinished(self._store, self._polled.name)
            if waiting:
                # One that fails lets the others go first.
                self.reading = True
                await self._try(min(waiting, key=lambda one: self._failures.get(one.id, 0)))
                continue
            self.reading = False
            try:
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _try(self, request: BackfillRequest) -> None:
        """Work on a request; what stops it is told to whoever asks, and it is tried again."""
        with forgiving(self._polled, "backfill_failed"):
            try:
                await self.work(request)
            except SourceError as error:
                found = [one for one in await BACKFILLS.load(self._store, self._polled.name) if one.id == request.id]
                told = msgspec.structs.replace(found[0], trouble=str(error))
                await self._intake.merge_answer(self._polled, (), marks=BACKFILLS.marks(told))
                raise
            return
        self._failures[request.id] = self._failures.get(request.id, 0) + 1
        await self.sleep(_AGAIN_SECONDS)

    async def work(self, request: BackfillRequest) -> None:
        """Read everything that a request asks for, going on where it was left. Raises SourceError and StoreError."""
        strategy = await self._source.strategy()
        collected = await self._polled.source.scopes()
        scopes = [scope for scope in collected if request.covers(scope.slug)]
        feeds = [
            (feed, _scopes_of(feed, strategy, scopes))
            for feed in strategy.feeds
            if not request.feeds or feed.name in request.feeds
        ]
        windows = _windows(Span(request.since_ms, request.until_ms))
        policy = ReleasePolicy("batch", strategy.wait_ms)
        work = _Work(request, await load_spots(self._store, self._polled.name, request.id), policy)
        work.total = len(windows) * sum(len(read_for) for _, read_for in feeds)
        work.request = msgspec.structs.replace(
            request,
            state="running",
            trouble="",
            waits_for="",
            unmatched=request.nowhere([scope.slug for scope in collected]),
            strategy=strategy.name,
            why=tuple(strategy.why),
            began_ms=request.began_ms or self._polled.clock.now_ms(),
        )
        _log.info(
            "backfill_begins",
            source=self._polled.name,
            id=request.id,
            strategy=strategy.name,
            why=list(strategy.why),
            feeds={feed.name: feed.gives for feed, _ in feeds},
            projects=len(scopes),
            since=format_ms(request.since_ms),
        )
        if not work.spots:
            await self._order(work, feeds, windows)
        for number, window in enumerate(windows):
            for feed, read_for in feeds:
                await self._read_feed(work, feed, read_for, window, number)
            work.request = msgspec.structs.replace(work.request, reached_ms=window.since_ms)
        await self._finish(work)

    async def _order(self, work: _Work, feeds: Sequence[tuple[Feed, list[Scope]]], windows: Sequence[Span]) -> None:
        """Let the far side work for all windows at once; what cannot be ordered now is ordered when it is read."""
        for feed, read_for in feeds:
            if not isinstance(feed, OrderedFeed):
                continue
            for number, window in enumerate(windows):
                for scope in read_for:
                    await self._go_ahead(work)
                    try:
                        page = await feed.order(scope, window)
                    except (SourceUnavailable, NotFound) as error:
                        self._polled.failed(error, "backfill_failed", project=scope.slug)
                        continue
                    key = spot_key(work.request.id, number, feed.name, scope.key)
                    if page is not None:
                        await self._keep(work, _Reader(0.0, 0, feed, scope, window, key), page)

    async def _read_feed(self, work: _Work, feed: Feed, scopes: Sequence[Scope], window: Span, number: int) -> None:
        """One feed of all scopes for one window; always the scope whose newest part is missing is read on."""
        numbers = count()
        waiting: list[_Reader] = []
        for scope in scopes:
            key = spot_key(work.request.id, number, feed.name, scope.key)
            spot = work.spots.get(key)
            if spot is None and number:
                # A list is walked on from where the newer window ended.
                newer = work.spots.get(spot_key(work.request.id, number - 1, feed.name, scope.key))
                spot = Spot(newer.position) if newer is not None and not newer.problem else None
                if spot is not None:
                    work.spots[key] = spot
            if spot is None or not spot.last:
                reached = spot.reached_ms if spot is not None else None
                order = float("-inf") if reached is None else -float(reached)
                waiting.append(_Reader(order, next(numbers), feed, scope, window, key))
        heapq.heapify(waiting)

        async def reading() -> None:
            while waiting:
                reader = heapq.heappop(waiting)
                await self._go_ahead(work)
                await self._read_on(work, reader, waiting)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(_AT_ONCE, len(waiting))):
                    tasks.create_task(reading())
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _read_on(self, work: _Work, reader: _Reader, others: list[_Reader]) -> None:
        """Read until another scope lacks something newer, or nothing is left."""
        spot = work.spots.get(reader.key)
        position = spot.position if spot is not None else None
        try:
            async with aclosing(_pages(reader, position)) as pages:
                async for page in pages:
                    await self._keep(work, reader, page)
                    if page.last:
                        return
                    if others and others[0] < reader:
                        break
                    await self._go_ahead(work)
        except (SourceRefused, NotFound) as error:
            self._polled.failed(error, "backfill_failed", project=reader.scope.slug)
            if self._polled.refused:
                raise
            await self._give_up(work, reader, error)
            return
        except SourceUnavailable as error:
            self._polled.failed(error, "backfill_failed", project=reader.scope.slug)
            reader.failures += 1
            if reader.failures >= _ATTEMPTS:
                await self._give_up(work, reader, error)
                return
            await self.sleep(error.retry_after or _PAUSED_SECONDS * reader.failures)
        heapq.heappush(others, reader)

    async def _keep(self, work: _Work, reader: _Reader, page: FeedPage) -> None:
        """Facts, position and progress, in one piece."""
        reader.failures = 0
        spot = Spot(page.position, page.last, page.reached_ms)
        work.spots[reader.key] = spot
        # A feed of a whole organisation tells of projects that nobody asked for, too.
        wanted = [one for one in page.observations if work.request.covers(one.project.slug)]
        work.request = msgspec.structs.replace(
            work.request,
            calls=work.request.calls + page.calls,
            observations=work.request.observations + len(wanted),
            share=self._share(work),
            waits_for=page.waits_for,
        )
        work.add(page.problems)
        for problem in page.problems:
            _log.warning("backfill_problem", source=self._polled.name, id=work.request.id, problem=problem)
        await self._intake.merge_answer(
            self._polled,
            wanted,
            marks={reader.key: spot.encode(), **BACKFILLS.marks(work.request)},
            policy=work.policy,
        )
        if page.reached_ms is not None:
            reader.order = -page.reached_ms
        self._tell(work)

    async def _give_up(self, work: _Work, reader: _Reader, error: SourceError) -> None:
        """A feed that refuses one scope: said and remembered, the rest goes on."""
        problem = f"{reader.feed.name} of {reader.scope.slug}: {error}"
        spot = work.spots[reader.key] = Spot(None, last=True, problem=problem)
        work.add([problem])
        marks = {reader.key: spot.encode(), **BACKFILLS.marks(work.request)}
        await self._intake.merge_answer(self._polled, (), marks=marks)

    async def _release(self, policy: ReleasePolicy) -> None:
        """Every feed has told what it knows: what still waits for one waits in vain."""
        now_ms = self._polled.clock.now_ms()
        while True:
            result = await self._store.release_due(
                policy,
                self._polled.name,
                now_ms=now_ms + policy.wait_ms,
                live_after_ms=live_after_ms(self._polled),
                limit=_RELEASED_AT_ONCE,
            )
            self._intake.take(self._polled.name, result)
            if not result.released:
                return

    async def _finish(self, work: _Work) -> None:
        """The request stays, for those who ask; where each feed was read to is no longer needed."""
        await self._release(work.policy)
        done = msgspec.structs.replace(work.request, share=1.0, waits_for="", ended_ms=self._polled.clock.now_ms())
        marks = dict.fromkeys(work.spots) | await BACKFILLS.finish(self._store, self._polled.name, done)
        await self._intake.merge_answer(self._polled, (), marks=marks)
        self.done += 1
        _log.info("backfill_done", source=self._polled.name, id=done.id, calls=done.calls,
                  observations=done.observations, problems=len(done.problems) + done.problems_more)  # fmt: skip

    async def _go_ahead(self, work: _Work) -> None:
        """Wait while the store is too full for polling or the source refuses us, and say so to whoever asks."""
        waited = False
        while self._store.space_level() in ("pause", "refuse") or not self._polled.may_call():
            waited = True
            await self._waits(work, held(self._polled, self._store.space_level()))
            await self.sleep(_PAUSED_SECONDS)
        if waited:
            await self._waits(work, "")

    async def _waits(self, work: _Work, why: str) -> None:
        if why != work.request.waits_for:
            work.request = msgspec.structs.replace(work.request, waits_for=why)
            with going_on(self._polled.name, "backfill_waits"):
                await self._intake.merge_answer(self._polled, (), marks=BACKFILLS.marks(work.request))

    def _share(self, work: _Work) -> float:
        """How much of the request is read, 0 to 1; a spot that is under way counts by the time it has reached."""
        if not work.total:
            return 1.0
        length = max(1, work.request.until_ms - work.request.since_ms)
        done = 0.0
        for spot in work.spots.values():
            if spot.last:
                done += 1.0
            elif spot.reached_ms is not None:
                done += min(1.0, max(0.0, (work.request.until_ms - spot.reached_ms) / min(length, _WINDOW_MS)))
        return min(1.0, done / work.total)

    def _tell(self, work: _Work) -> None:
        now = self._polled.clock.monotonic()
        if now - work.told_at < _TELL_SECONDS:
            return
        work.told_at = now
        request = work.request
        _log.info("backfill_progress", source=self._polled.name, id=request.id, percent=round(request.share * 100),
                  calls=request.calls, seconds_left=request.seconds_left(self._polled.clock.now_ms()),
                  waits_for=request.waits_for or None)  # fmt: skip


async def _pages(reader: _Reader, position: str | None) -> AsyncGenerator[FeedPage, None]:
    """The pages of a feed, as something that can be closed."""
    async for page in reader.feed.read(reader.scope, reader.span, position=position):
        yield page


def _scopes_of(feed: Feed, strategy: Strategy, projects: Sequence[Scope]) -> list[Scope]:
    """What a feed is read for: of the projects asked for, or their organisations, those that it is meant for."""
    orgs = {org_slug(scope.slug) for scope in projects}
    orgs &= set(strategy.only.get(feed.name, orgs))
    if feed.per == "org":
        return [scope for scope in strategy.orgs if scope.slug in orgs]
    return [scope for scope in projects if org_slug(scope.slug) in orgs]


def _windows(span: Span) -> list[Span]:
    """The span in pieces of at most 31 days, newest first."""
    found = []
    until = span.until_ms
    while until > span.since_ms:
        since = max(span.since_ms, until - _WINDOW_MS)
        found.append(Span(since, until))
        until = since
    return found
