"""Asks again about runs that have not ended, however old, at growing intervals.

Invariant: a run is asked about until it has ended or the far side no longer has it; its age decides how often, and
where thousands of newer ones have not ended either, whose turn it is, also by the next process. What may be incomplete
although it ended is asked about for a while, and once at least, however long nobody could be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from headgate.collect.intake import Intake, Sleep
from headgate.collect.pacing import GONE_AFTER_MS, TOLD_GRACE_MS, revisit_seconds
from headgate.collect.state import Polled, forgiving, going_on
from headgate.core.errors import NotFound
from headgate.core.merge import Observation
from headgate.core.ports import RunRef
from headgate.core.storeport import Store
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = ["Revisiter"]

_LIMIT = 5000  # unfinished runs looked at in one round, the newest
_TURN = 20  # older ones asked about at a time
_TURN_SECONDS = 15.0  # from one turn to the next, at least
_TURN_SHARE = 0.1  # of the calls that the budget lets through, at most
_ROUND_SECONDS = 3600.0  # from one time that all of them have their turn to the next, at least
_AT_ONCE = 4
_TICK_SECONDS = 15.0
_HURRIED_TICK_SECONDS = 1.0
_ENDED_MS = 30 * HOUR_MS  # jobs may stay open for ever in a workflow that ended; those of a day of outage are asked for
_EMPTY_MS = HOUR_MS  # a pipeline of a skipped commit never has workflows
_LONGEST_MS = 30 * DAY_MS  # an outage that is looked back over
_MARK = "revisits"
_TURN_MARK = "revisits:turn"
_MARK_MS = 10 * MINUTE_MS  # how far the mark moves before it is stored
_LOOK_SECONDS = 60.0  # between two looks for ended runs that were never asked about
_UNASKED_MS = 6 * HOUR_MS  # how far back they may have ended
_UNASKED_SECONDS = 3600.0  # between two questions about one of them, if the first brought nothing
_log = structlog.get_logger("headgate.collect")


@dataclass(slots=True)
class _Group:
    """Unfinished runs that one question answers: all of one pipeline."""

    runs: list[RunRef]

    @property
    def newest(self) -> RunRef:
        return max(self.runs, key=lambda run: run.created_ms)

    @property
    def keys(self) -> list[str]:
        ids = [run.workflow_id or run.pipeline_id for run in self.runs]
        return [found for found in ids if found is not None]

    @property
    def fading_ms(self) -> int | None:
        """When the oldest was made of those that are listed for a time alone."""
        return min((run.created_ms for run in self.runs if run.ended or run.workflow_id is None), default=None)

    @property
    def state(self) -> str:
        """What an answer was about: as soon as a workflow ends, it has to be asked about anew."""
        return "\n".join(sorted(f"{run.workflow_id} {run.ended}" for run in self.runs))


class Revisiter:
    """The loop of one source. `hurry`: what webhooks brought before we looked is asked about at once."""

    def __init__(
        self, store: Store, intake: Intake, polled: Polled, *, hurry: bool = False, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.name = polled.name
        self._store = store
        self._intake = intake
        self._polled = polled
        self._hurry = hurry
        self._sleep = sleep
        self._next: dict[str, float] = {}
        # Key of a group -> its state when it was last answered.
        self._answered: dict[str, str] = {}
        self._at_start: frozenset[str] = frozenset()
        # Up to when everything that fades from the list was answered; None: not read yet.
        self._reached_ms: int | None = None
        self._stored_ms: int | None = None
        # Where the newest end, if there are more; whose turn is next, None after the last.
        self._beyond: tuple[int, str] | None = None
        self._turn: tuple[int, str] | None = None
        self._turn_at = self._round_at = 0.0
        self._calls: dict[str, int] = {}  # about how many each question of this round took
        self._look_at = 0.0
        self._looked_ms = 0
        self._unasked_at: dict[str, float] = {}

    async def run(self) -> None:
        """Revisit for ever."""
        tick = _HURRIED_TICK_SECONDS if self._hurry else min(_TICK_SECONDS, self._polled.settings.poll_every_ms / 1000)
        if not self._polled.cursors:  # whatever webhooks bring before the first walk is looked back over
            with going_on(self.name, "revisits"):
                await self._intake.merge_answer(self._polled, (), marks={_MARK: b"0"})
        while True:
            await self.once()
            await self._sleep(tick if self._polled.discovered else _HURRIED_TICK_SECONDS)

    async def once(self) -> int:
        """Ask about everything that is due; returns how many questions were asked."""
        paused = self._store.space_level() in ("pause", "refuse")
        if paused or not self._polled.scopes or not self._polled.discovered or self._polled.refused:
            return 0  # without a token there are no scopes, and nobody can be asked
        now_ms = self._polled.source.now_ms()
        listed, more = await self._listed(now_ms), await self._unasked(now_ms)
        if not self._polled.revisited:
            self._at_start = frozenset(listed)
        due = self._due(listed) + self._due_once({key: more[key] for key in more.keys() - listed.keys()})
        groups = {**more, **listed}
        older = await self._older()
        due += older.keys() - groups.keys()
        groups = {**older, **groups}
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(key: str) -> None:
            async with gate:
                await self._ask(key, groups[key])

        async with asyncio.TaskGroup() as tasks:
            for key in due:
                tasks.create_task(one(key))
        self._rest(sum(self._calls.pop(key, 1) for key in older))
        self._calls.clear()
        self._polled.revisited = True
        await self._reach(groups, now_ms)
        return len(due)

    async def waiting(self) -> int:
        """How many runs are not asked about yet that were open at the start, or that webhooks told of since."""
        if not self._polled.scopes:
            return 0
        now_ms = self._polled.source.now_ms()
        owed = {key for key, group in (await self._listed(now_ms)).items() if self._is_owed(key, group)}
        more = {key for key, group in (await self._unasked(now_ms)).items() if not self._is_answered(key, group)}
        return len(owed | more)

    def _is_owed(self, key: str, group: _Group) -> bool:
        return (key in self._at_start or key in self._polled.heard) and not self._is_answered(key, group)

    def _is_answered(self, key: str, group: _Group) -> bool:
        return self._answered.get(key) == group.state

    async def _listed(self, now_ms: int) -> dict[str, _Group]:
        """What has not ended or may not be known whole, as far back as nobody was asked."""
        if self._reached_ms is None:
            stored = (await self._store.source_marks(self._polled.name, _MARK)).get(_MARK)
            self._stored_ms = int(stored) if stored else None
            self._turn = _turn_of(await self._store.source_marks(self._polled.name, _TURN_MARK))
            self._reached_ms = now_ms if self._stored_ms is None else self._stored_ms
        self._reached_ms = max(min(self._reached_ms, now_ms), now_ms - _LONGEST_MS)
        runs = await self._store.unfinished(
            self._polled.name,
            ended_since_ms=self._reached_ms - _ENDED_MS,
            empty_since_ms=self._reached_ms - _EMPTY_MS,
            limit=_LIMIT,
        )
        self._beyond = _place(runs[-1]) if len(runs) == _LIMIT else None
        return _grouped(runs)

    async def _older(self) -> dict[str, _Group]:
        """The next of those that are older than all that are listed; none before it is time."""
        now = self._polled.clock.monotonic()
        if self._beyond is None or now < self._turn_at:
            return {}
        if self._turn is None:
            self._round_at = now
            _log.info("revisits_take_turns", source=self._polled.name, unfinished_more_than=_LIMIT)
        place = min(self._turn or self._beyond, self._beyond)
        runs = await self._store.unended(self._polled.name, before=place, limit=_TURN)
        self._turn = _place(runs[-1]) if len(runs) == _TURN else None
        self._turn_at = now + _TURN_SECONDS if self._turn else self._round_at + _ROUND_SECONDS
        with going_on(self._polled.name, "revisits"):
            mark = "{} {}".format(*self._turn).encode() if self._turn else b""
            await self._intake.merge_answer(self._polled, (), marks={_TURN_MARK: mark})
        return _grouped(runs)

    def _rest(self, calls: int) -> None:
        """Put the next turn off by what the last one took."""
        rate = self._polled.source.usage().per_second
        if calls and rate:
            self._turn_at = max(self._turn_at, self._polled.clock.monotonic() + calls / (rate * _TURN_SHARE))

    async def _reach(self, listed: Mapping[str, _Group], now_ms: int) -> None:
        """Remember up to when everything was answered that the list will drop."""
        self._answered = {key: state for key, state in self._answered.items() if key in listed}
        owed = (group.fading_ms for key, group in listed.items() if not self._is_answered(key, group))
        self._reached_ms = min([now_ms, self._looked_ms, *(at for at in owed if at is not None)])
        if self._stored_ms is not None and abs(self._reached_ms - self._stored_ms) < _MARK_MS:
            return
        with going_on(self._polled.name, "revisits"):
            mark = str(self._reached_ms).encode()
            await self._intake.merge_answer(self._polled, (), marks={_MARK: mark})
            self._stored_ms = self._reached_ms

    async def _unasked(self, now_ms: int) -> dict[str, _Group]:
        """Ended runs to ask about once: webhooks alone told of them, and no walk will.

        A walk reads the runs of new pipelines, unless webhooks tell everything; it never sees those of old ones.
        """
        polled, now = self._polled, self._polled.clock.monotonic()
        if now < self._look_at and not self._hurry:
            return {}
        self._look_at = now + _LOOK_SECONDS
        looked_ms, self._looked_ms = self._looked_ms, now_ms
        nothing_new = looked_ms and not polled.heard and not any(map(polled.is_told, polled.scopes))
        if not polled.settings.ask_unrun or (nothing_new and not self._hurry):
            return {}
        since_ms = min(self._reached_ms or now_ms, looked_ms or now_ms) - _UNASKED_MS
        runs = await self._store.unasked(polled.name, since_ms=since_ms, limit=_LIMIT)
        walked_ms = now_ms - (0 if self._hurry else 2 * polled.settings.poll_every_ms)
        known = [run for run in runs if run.project_key in polled.scopes]
        return _grouped([run for run in known if run.created_ms <= walked_ms or polled.is_told(run.project_key)])

    def _due_once(self, groups: Mapping[str, _Group]) -> list[str]:
        """Keys of ended runs to ask about now: what failed is tried again later, what brings nothing never floods."""
        now = self._polled.clock.monotonic()
        self._unasked_at = {key: at for key, at in self._unasked_at.items() if now - at < _UNASKED_SECONDS}
        due = [
            key
            for key in groups
            if key not in self._unasked_at or (self._hurry and not self._is_answered(key, groups[key]))
        ]
        self._unasked_at |= dict.fromkeys(due, now)
        return due

    def _due(self, groups: dict[str, _Group]) -> list[str]:
        """Keys to ask about now. What is new here was just walked, except after a start: then all are asked."""
        now = self._polled.clock.monotonic()
        first_round = not self._polled.revisited
        self._next = {key: at for key, at in self._next.items() if key in groups}
        grace = TOLD_GRACE_MS / 1000
        heard = self._polled.heard = {key: at for key, at in self._polled.heard.items() if now - at < grace}
        due = []
        for key, group in groups.items():
            at = self._next.get(key)
            if self._hurry and self._is_owed(key, group):
                due.append(key)
            elif key in heard and self._is_told(group):
                self._next[key] = heard[key] + grace
            elif at is None and not first_round:
                self._next[key] = now + self._first_pause(group)
            elif at is None or at <= now:
                due.append(key)
        return due

    def _pause(self, group: _Group) -> float:
        age = max(0, self._polled.source.now_ms() - group.newest.created_ms)
        every_ms = self._polled.settings.poll_every_ms
        return revisit_seconds(age, max(every_ms, TOLD_GRACE_MS) if self._is_told(group) else every_ms)

    def _first_pause(self, group: _Group) -> float:
        """A run that no webhook told of is left to them until it is so old."""
        age = max(0, self._polled.source.now_ms() - group.newest.created_ms)
        return max(0, TOLD_GRACE_MS - age) / 1000 if self._is_told(group) else self._pause(group)

    def _is_told(self, group: _Group) -> bool:
        return self._polled.is_told(group.newest.project_key)

    async def _ask(self, key: str, group: _Group) -> None:
        polled = self._polled
        self._next[key] = polled.clock.monotonic() + self._pause(group)
        with forgiving(polled, "revisit_failed"):
            try:
                observations = await polled.source.revisit(group.newest)
            except NotFound as error:
                await self._not_found(group, error)
            else:
                self._calls[key] = 1 + sum(one.kind == "workflow" for one in observations)
                await self._learn(group, observations)
                await self._intake.merge_answer(polled, observations)
            self._answered[key] = group.state

    async def _learn(self, group: _Group, observations: Sequence[Observation]) -> None:
        """Where a run had ended and no webhook said so, webhooks are not relied on until the next one."""
        state = self._polled.scopes.get(group.newest.project_key)
        if state is None or not self._is_told(group):
            return
        before_ms = self._polled.source.now_ms() - MINUTE_MS
        ended = [one.key for one in observations if one.kind == "workflow" and _ended_before(one, before_ms)]
        kept = await self._store.kept("workflow", ended)
        state.ends_told = all(key in kept and kept[key].ended for key in ended)

    async def _not_found(self, group: _Group, error: NotFound) -> None:
        """Runs that the far side no longer has; a young one may only not be found yet."""
        polled = self._polled
        if polled.source.now_ms() - group.newest.created_ms < GONE_AFTER_MS:
            return
        await self._intake.merge_answer(polled, (), gone=group.keys)
        count = len(group.keys)
        polled.metrics.count("headgate_source_missing_detail_total", count, source=polled.name, reason="gone")
        _log.info("run_gone", source=polled.name, runs=group.keys, error=str(error))


def _ended_before(one: Observation, before_ms: int) -> bool:
    stopped = one.fields.get("stopped_at")
    return one.terminal and isinstance(stopped, int) and stopped < before_ms


def _place(run: RunRef) -> tuple[int, str]:
    return run.created_ms, run.workflow_id or ""


def _turn_of(marks: Mapping[str, bytes]) -> tuple[int, str] | None:
    created, _, key = marks.get(_TURN_MARK, b"").decode().partition(" ")
    return (int(created), key) if created else None


def _grouped(runs: Sequence[RunRef]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for run in runs:
        key = run.pipeline_id or run.workflow_id
        if key is not None:
            groups.setdefault(key, _Group([])).runs.append(run)
    return groups
