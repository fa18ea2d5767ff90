"""How often the shipped rules fire on a healthy history, by chance alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.report import Row, row
from headgate.alerting.history import History
from headgate.alerting.load import load_rules
from headgate.alerting.replay import play_rules
from headgate.app.compose import context_of
from headgate.app.detectors import detector_factory
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.runrows import JobRow, RunRow
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.plugins import load_plugins

# A Monday; five weeks of past, then four that are judged.
START_MS = 1_767_571_200_000
PAST_DAYS, JUDGED_DAYS = 35, 28
# (steady success rate, runs of a working day, projects); so many of the projects have jobs too, which cost most.
WITH_JOBS = 2
HEALTHY = (
    (0.95, 12, 20),
    (0.85, 12, 20),
    (0.98, 22, 20),
    (0.95, 22, 20),
    (0.85, 22, 20),
    (0.85, 60, 10),
)
SHORT = ((0.95, 22, 10), (0.85, 22, 10))
JOBS = (("build", 240.0), ("unit", 420.0), ("lint", 60.0))
# Whole hours of a working day with the share of its runs; a weekend has a tenth of it.
_HOURS = {7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 2, 13: 3, 14: 4, 15: 4, 16: 3, 17: 2, 18: 1, 22: 1}
_WEEKEND = 0.1


def healthy(seed: int, rate: float, runs_a_day: int, projects: int) -> History:
    """Independent runs at a steady success rate, with a working week's rhythm and durations that scatter by 25 %."""
    draw = random.Random(seed)
    runs: list[RunRow] = []
    jobs: list[JobRow] = []
    for number in range(projects):
        for at_ms in _times(draw, runs_a_day):
            run, its_jobs = _run(draw, f"gh/acme/p{number}", at_ms, rate)
            runs.append(run)
            jobs += its_jobs if number < WITH_JOBS else []
    return History(runs, jobs)


def _times(draw: random.Random, runs_a_day: int) -> Iterator[int]:
    total = sum(_HOURS.values())
    for day in range(PAST_DAYS + JUDGED_DAYS):
        share = _WEEKEND if day % 7 >= 5 else 1.0
        for hour, weight in _HOURS.items():
            mean = runs_a_day * share * weight / total
            gap = draw.expovariate(mean) if mean else 2.0
            while gap < 1:
                yield START_MS + day * DAY_MS + hour * HOUR_MS + int(gap * HOUR_MS)
                gap += draw.expovariate(mean)


def _run(draw: random.Random, project: str, at_ms: int, rate: float) -> tuple[RunRow, list[JobRow]]:
    status = "success" if draw.random() < rate else "failure"
    identity = f"{project}#{at_ms}"
    seconds = [mean * draw.lognormvariate(0, 0.25) for _, mean in JOBS]
    shared = {
        "project": project,
        "workflow": "build",
        "ref": "main",
        "branch_class": 1,
        "revision": identity,
        "url": "",
    }
    duration_ms = int(max(seconds) * 1000)
    run = RunRow(
        workflow_id=identity,
        status=status,
        stopped_ms=at_ms,
        duration_ms=duration_ms,
        pipeline_number=None,
        created_ms=at_ms - duration_ms,
        credits=int(sum(seconds) / 6),
        **shared,
    )
    jobs = [
        JobRow(
            job_id=f"{identity}/{name}",
            workflow_id=identity,
            job=name,
            status="success" if name != "unit" else status,
            type="build",
            resource_class="medium",
            executor="docker",
            parallelism=1,
            started_ms=at_ms - int(span * 1000),
            stopped_ms=at_ms,
            duration_ms=int(span * 1000),
            queue_ms=int(draw.lognormvariate(1.5, 0.8) * 1000),
            credits=int(span / 6),
            number=None,
            trigger="webhook",
            **shared,
        )
        for (name, _), span in zip(JOBS, seconds, strict=True)
    ]
    return run, jobs


async def alarms(history: History) -> Counter[str]:
    """Firing messages by rule, over the judged weeks."""
    factory = detector_factory(load_plugins(), context_of(ManualClock(), NullMetrics()))
    since_ms = START_MS + PAST_DAYS * DAY_MS
    found: Counter[str] = Counter()
    # A third of the evaluations: how many saw new runs decides when a rule fires, not how many there were.
    rules = [replace(rule, every_ms=max(rule.every_ms, 900_000)) for rule in load_rules([])]
    played = play_rules(rules, history, since_ms, since_ms + JUDGED_DAYS * DAY_MS, detectors=factory)
    async for _, rule, group in played:
        found[rule.name] += group.step.notify == "firing"
    return found


def run(*, long: bool) -> list[Row]:
    """False alarms a project and month, by rule; every project is healthy."""
    rows: list[Row] = []
    for seed, (rate, runs_a_day, projects) in enumerate(HEALTHY if long else SHORT):
        found = asyncio.run(alarms(healthy(seed, rate, runs_a_day, projects)))
        name = f"alarms of healthy projects, {rate:.0%} of {runs_a_day} runs a day succeed"
        detail = ", ".join(f"{rule} {n}" for rule, n in sorted(found.items()) if n) or "none"
        each = sum(found.values()) / projects
        rows.append(row(f"{name} ({detail})", each, "a project and month", target="at most 0.2", met=each <= 0.2))
    return rows
