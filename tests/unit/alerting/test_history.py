"""Given rows answer as a store with these facts would: sums, series, and what was unfinished at a moment."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.alerting.world import HOUR, START, job, run

from headgate.alerting.history import History, part_of
from headgate.core.tally import Tally, TallyQuery, class_name

DAY = 24 * HOUR
RUNS = st.lists(
    st.builds(
        lambda at, status, project, branch, span: run(
            START + at, status, project=project, branch_class=branch, duration_ms=span, workflow_id=f"{at}{project}"
        ),
        st.integers(0, 4 * DAY),
        st.sampled_from(["success", "failure", "error", "canceled", "skipped"]),
        st.sampled_from(["gh/acme/web", "gh/acme/api"]),
        st.integers(0, 1),
        st.integers(0, 10**7),
    ),
    max_size=40,
)
SPANS = st.tuples(st.integers(0, 4 * DAY), st.integers(0, 4 * DAY)).map(sorted)


@settings(max_examples=60, deadline=None)
@given(RUNS, SPANS)
def test_sums_equal_a_slow_count(runs, span):
    """Whole days and edges together are what counting every row gives."""
    since_ms, until_ms = START + span[0], START + span[1]
    bounds = {"gh/acme/web": (since_ms, until_ms), "gh/acme/api": (since_ms, until_ms + HOUR)}
    bins = frozenset({"duration_ok"})
    wanted: dict[tuple[str, ...], Tally] = {}
    for one in runs:
        since, until = bounds[one.project]
        if since <= one.stopped_ms < until:
            wanted.setdefault((one.project, class_name(one.branch_class)), Tally()).count(part_of(one), bins)
    query = TallyQuery("workflow", bounds, ("project", "branch_class"), bins)
    found = asyncio.run(History(runs).tallies(query))
    assert {key: (tally.n, tally.ok, tally.failed, tally.duration_ms) for key, tally in found.items()} == {
        key: (tally.n, tally.ok, tally.failed, tally.duration_ms) for key, tally in wanted.items()
    }
    assert {key: tally.bins.get("duration_ok") for key, tally in found.items()} == {
        key: tally.bins.get("duration_ok") for key, tally in wanted.items()
    }


async def test_what_has_begun_and_not_ended_is_in_flight():
    """The moment decides: before its start and from its end on a job is not in flight."""
    history = History([], [job(START + HOUR, "test", 600_000)])
    seen = []
    for at_ms in (START + HOUR - 600_001, START + HOUR - 600_000, START + HOUR - 1, START + HOUR):
        history.now_ms = at_ms
        seen.append([live.job for live in await history.in_flight(10)])
    assert seen == [[], ["test"], ["test"], []]


async def test_a_series_is_the_newest_that_qualify():
    """Oldest first, before a moment, of the wanted ends."""
    history = History([run(START + index, "success" if index % 2 else "failure") for index in range(10)])
    rows = await history.series(
        "workflow", project="gh/acme/web", workflow="build", statuses={"success"}, before_ms=START + 8, limit=2
    )
    assert [row.stopped_ms - START for row in rows] == [5, 7]
