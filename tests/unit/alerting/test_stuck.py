"""What does not end: held against the history of its own workflow, time on hold apart."""

import dataclasses

import pytest
import structlog
from tests.unit.alerting.world import HOUR, MINUTE, START, World, run

from headgate.alerting.kinds import stuck as stuck_module
from headgate.core.runrows import LiveRow

STUCK = """
version: 1
groups:
  - name: stuck
    rules:
      - {alert: Stuck, stuck: {status: [running, on_hold], longer_than: 1h, times_usual: 2}, by: [workflow]}
"""


def live(workflow: str, created_h: float, since_h: float, status: str = "running") -> LiveRow:
    """A run that was created and has been in its state since so many hours."""
    now_ms = START + 5 * MINUTE
    since_ms, created_ms = now_ms - int(since_h * HOUR), now_ms - int(created_h * HOUR)
    return LiveRow(
        *("workflow", f"{workflow}-{since_h}", "gh/acme/web", workflow, "", "main", 1, status, status),
        since_ms=since_ms,
        created_ms=created_ms,
        url="",
    )


@pytest.mark.parametrize(
    ("row", "stuck"),
    [
        (live("release", 30, 30), False),
        (live("release", 50, 50), True),
        (live("release", 50, 3), False),
        (live("release", 50, 5), True),
        (live("release", 30, 30, "on_hold"), False),
        (live("release", 40, 40, "on_hold"), True),
        (live("build", 1.5, 1.5), True),
        (live("new", 1.5, 1.5), True),
        (live("new", 0.9, 0.9), False),
    ],
    ids=[
        *("as usual", "longer than ever", "since its approval", "too long since its approval", "held as usual"),
        *("held for too long", "another workflow", "nothing known", "nothing known and short"),
    ],
)
async def test_a_run_is_held_against_the_history_of_its_own_workflow(row, stuck):
    """A release takes 20 hours each week, 18 of them on hold; a build beside it a minute."""
    world = World(STUCK)
    for week in range(1, 5):
        ended = START - week * 7 * 24 * HOUR
        values = {"workflow": "release", "workflow_id": f"r{week}", "duration_ms": 20 * HOUR, "hold_ms": 18 * HOUR}
        world.store.runs.append(run(ended, **values))
    world.store.runs += [run(START - index * HOUR) for index in range(1, 50)]

    async def in_flight(*_):
        return [row]

    world.store.in_flight = in_flight
    await world.pass_time(5, None)
    assert [one.state for one in world.store.rows.values()] == (["firing"] if stuck else [])


async def test_what_waits_for_somebody_hides_nothing_that_is_stuck(monkeypatch):
    """However many runs are on hold, and jobs run; where not all can be judged, the log says so."""
    monkeypatch.setattr(stuck_module, "_MOST", 2)
    world = World(STUCK.replace("[running, on_hold]", "[running]"))
    rows = [live(f"held{n}", 90, 90, "on_hold") for n in range(9)] + [live("build", 2, 2)]
    rows += [dataclasses.replace(live("build", 90, 90), kind="job", id=f"job{n}") for n in range(9)]

    async def in_flight(limit, chosen):
        return sorted(filter(chosen.takes, rows), key=lambda row: row.created_ms)[:limit]

    world.store.in_flight = in_flight
    with structlog.testing.capture_logs() as logged:
        await world.pass_time(5, None)
        assert (["firing"], []) == ([one.state for one in world.store.rows.values()], logged)
        rows.append(live("ship", 2, 2))
        await world.pass_time(5, None)
    assert {"alerts.too_many_unfinished"} == {one["event"] for one in logged}
