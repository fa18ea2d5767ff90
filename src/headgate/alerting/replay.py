"""Runs rules over stored history, as the engine would have, and tells what it would have said. Sends nothing.

Invariant: the same evaluation as the engine's, over complete data; only messages that people would have got are
reported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from headgate.alerting.evaluate import GroupResult, evaluate_rule
from headgate.alerting.history import History
from headgate.alerting.rules import Rule
from headgate.alerting.templates import render_labels
from headgate.alerting.view import DetectorFactory, Memory, Pass, Watermark
from headgate.core.alertdata import Alert, AlertState, new_alert
from headgate.core.runrows import JobRow, RunRow, TestOutcome
from headgate.core.runs import RUN_PAGE, RunHistory, run_pages
from headgate.core.storeport import ReadStore
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.metric import Family, Labels
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader
from headgate.insights.rows import outcome_pages

__all__ = [
    "RowHistory",
    "evaluations",
    "labels_of",
    "message_row",
    "per_week",
    "play_rules",
    "read_history",
    "replay_rules",
]

_SOURCE = "history"
# What a replay knows of the time before it begins: enough for every baseline that rules usually have.
LOOKBACK_MS = 63 * DAY_MS
_FAMILIES: tuple[Family, ...] = ("runs", "jobs", "credits", "tests", "deployments", "freshness")
# Kinds that can find something although nothing has ended since the last look.
_TIMED = frozenset({"absence", "stuck", "forecast"})


class RowHistory(RunHistory, Protocol):
    """What a replay reads."""

    async def jobs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[JobRow]:
        """As the store's."""
        ...

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        """As the store's; asked for one project at a time."""
        ...


async def read_history(store: RowHistory, since_ms: int, until_ms: int, rules: Iterable[Rule] = ()) -> History:
    """All runs and jobs of a time range, and the results of tests that rules ask for."""
    runs: list[RunRow] = [run async for page in run_pages(store, since_ms, until_ms) for run in page]
    jobs: list[JobRow] = []
    after: tuple[int, str] | None = None
    while True:
        page = await store.jobs_between(since_ms, until_ms, after=after, limit=RUN_PAGE)
        jobs += page
        if len(page) < RUN_PAGE:
            break
        after = (page[-1].stopped_ms, page[-1].job_id)
    asking = [rule for rule in rules if "tests" in rule.metric.families]
    outcomes: list[TestOutcome] = []
    if asking:
        failing = all(rule.kind == "flaky" for rule in asking)  # a test that never failed is of no use to them
        for project in sorted({run.project for run in runs} | {job.project for job in jobs}):
            bounds = {project: (since_ms, until_ms)}
            outcomes += [one async for page in outcome_pages(store, bounds, failing=failing) for one in page]
    return History(runs, jobs, outcomes)


class _Player:
    """One rule on its way through time."""

    def __init__(self, rule: Rule, ends_ms: Sequence[int], watched: Labels | None) -> None:
        self.rule, self._watched = rule, watched
        self.alerts: dict[Labels, Alert] = {}
        self._ends_ms = ends_ms
        self._seen = 0

    def is_idle(self, now_ms: int) -> bool:
        """Whether a look would change nothing: nothing has ended, and nothing is open."""
        ended = bisect_left(self._ends_ms, now_ms - self.rule.delay_ms)
        nothing_new, self._seen = ended == self._seen, ended
        return nothing_new and not self.alerts and self.rule.kind not in _TIMED and self.rule.timing.no_data != "alert"

    async def look(self, shared: Pass) -> Iterator[GroupResult]:
        """Evaluate; gives the groups in which something happened, and the watched one whatever happened."""
        watched = self._watched
        if watched is not None and watched not in self.alerts:
            self.alerts[watched] = new_alert(shared.now_ms, self.rule.timing.version)
        result = await evaluate_rule(self.rule, shared, self.alerts)
        for group in result.groups:
            labels: Labels = tuple(sorted(group.labels.items()))
            alert = group.step.alert
            if alert.state is AlertState.INACTIVE and not alert.told:
                self.alerts.pop(labels, None)
            else:
                self.alerts[labels] = alert
        return (
            one
            for one in result.groups
            if one.step.transitions or one.step.notify or tuple(sorted(one.labels.items())) == watched
        )


async def play_rules(
    rules: Iterable[Rule],
    history: History,
    since_ms: int,
    until_ms: int,
    *,
    detectors: DetectorFactory,
    owners: Owners | None = None,
    watched: Labels | None = None,
) -> AsyncIterator[tuple[int, Rule, GroupResult]]:
    """Evaluate rules from `since_ms` to `until_ms`; gives the time and each group in which something happened.

    `watched`: a group whose every evaluation is given.
    """
    ends_ms = history.ends_ms()
    players = [_Player(rule, ends_ms, watched) for rule in rules]
    owners, memory = owners or Owners(), Memory()
    store = cast("ReadStore", history)  # it answers what evaluation asks, and nothing else is asked
    marks = {project: Watermark(_SOURCE, until_ms) for project in history.projects}
    for now_ms in _moments(players, since_ms, until_ms):
        due = [one for one in players if (now_ms - since_ms) % one.rule.every_ms == 0 and not one.is_idle(now_ms)]
        if not due:
            continue
        history.now_ms = now_ms
        reader = Reader(store, owners=owners)
        shared = Pass(reader, store, dict.fromkeys(_FAMILIES, marks), detectors, now_ms, memory)
        for player in due:
            for group in await player.look(shared):
                yield now_ms, player.rule, group


def _moments(players: Sequence[_Player], since_ms: int, until_ms: int) -> Iterator[int]:
    """When any rule is due."""
    steps = {player.rule.every_ms for player in players}
    return iter(sorted({at for step in steps for at in range(since_ms, until_ms + 1, step)}))


def labels_of(rule: Rule, group: GroupResult, owners: Owners | None = None) -> dict[str, str]:
    """Labels of an alert as people see them, without its severity."""
    project = group.labels.get("project", "")
    team = owners.team(project, group.labels.get("workflow", ""), group.labels.get("job", "")) if owners else ""
    return {**render_labels(rule.labels, group.labels, team), **group.labels}


def message_row(rule: Rule, group: GroupResult, now_ms: int, owners: Owners | None = None) -> dict[str, Any]:
    """One message as `rules replay --json` and `rules test --json` print it."""
    alert = group.step.alert
    return {
        "rule": rule.name,
        "labels": {**labels_of(rule, group, owners), "severity": rule.severity(alert.told or alert.level)},
        "state": group.step.notify,
        "at": format_ms(now_ms),
        "value": alert.value,
        "baseline": alert.baseline,
        "n": alert.n,
        "first_bad": alert.first_bad or None,
    }


async def replay_rules(
    store: RowHistory,
    rules: Sequence[Rule],
    since_ms: int,
    now_ms: int,
    *,
    detectors: DetectorFactory,
    owners: Owners | None = None,
    only: str | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Every message that the rules would have sent since `since_ms`, in the order of time.

    `only`: one rule by name. Alerts that were open before `since_ms` fire again at the start.
    """
    chosen = [rule for rule in rules if only is None or rule.name == only]
    if not chosen:
        return
    history = await read_history(store, since_ms - LOOKBACK_MS, now_ms, chosen)
    async for at_ms, rule, group in play_rules(chosen, history, since_ms, now_ms, detectors=detectors, owners=owners):
        if group.step.notify:
            yield message_row(rule, group, at_ms, owners)


async def evaluations(
    store: RowHistory,
    rule: Rule,
    labels: Labels,
    since_ms: int,
    now_ms: int,
    *,
    detectors: DetectorFactory,
    owners: Owners | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Every evaluation of one group with its numbers, as its rule sees them now."""
    history = await read_history(store, since_ms - LOOKBACK_MS, now_ms, [rule])
    played = play_rules([rule], history, since_ms, now_ms, detectors=detectors, owners=owners, watched=labels)
    async for at_ms, _, group in played:
        if tuple(sorted(group.labels.items())) == labels:
            alert = group.step.alert
            yield {
                "at": format_ms(at_ms),
                "outcome": str(group.found.outcome),
                "state": str(alert.state),
                "value": alert.value,
                "baseline": alert.baseline,
                "n": alert.n,
                "n_new": group.found.n_new,
                "level": group.found.level,
                "first_bad": alert.first_bad or None,
                "why": group.step.reason,
            }


def per_week(rows: Iterable[Mapping[str, Any]], rules: Iterable[str]) -> list[tuple[str, str, int, int]]:
    """Rule, week (its Monday), how many fired and were resolved; a rule that was quiet has one line without a week."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        day = datetime.fromisoformat(row["at"]).astimezone(UTC).date()
        monday = day.fromordinal(day.toordinal() - day.weekday())
        counts[row["rule"], monday.isoformat(), row["state"]] += 1
    found: list[tuple[str, str, int, int]] = []
    for rule in rules:
        weeks = sorted({week for name, week, _ in counts if name == rule})
        found += [(rule, week, counts[rule, week, "firing"], counts[rule, week, "resolved"]) for week in weeks]
        found += [] if weeks else [(rule, "", 0, 0)]
    return found
