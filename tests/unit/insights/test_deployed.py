"""What deployments add up to is what they would one after the other, whatever window is asked for."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.deployed import Deployed, placed
from headgate.core.times import DAY_MS
from headgate.insights.eventfolds import DeploymentFold, fold_deployments


class _Row(NamedTuple):
    """One deployment, as tests say it."""

    stopped_ms: int
    project: str
    environment: str
    name: str
    status: str
    revision: str
    begun_ms: int | None = None


def _placed(rows):
    """Those that succeeded or failed, as a store gives them."""
    found = []
    for row in rows:
        if row.status != "canceled":
            lead_ms = None if row.begun_ms is None else max(0, row.stopped_ms - row.begun_ms)
            found.append((*row[:4], row.status == "succeeded", row.revision, lead_ms))
    return placed(found, lambda names: names)


_ROWS = st.lists(
    st.builds(
        _Row,
        st.integers(0, 30 * DAY_MS),
        st.sampled_from(["gh/a/one", "gh/a/two"]),
        st.sampled_from(["prod", "test"]),
        st.sampled_from(["web", "api"]),
        st.sampled_from(["succeeded", "failed", "canceled"]),
        st.sampled_from(["", "r1", "r2"]),
        st.none() | st.integers(0, 30 * DAY_MS),
    ),
    max_size=40,
)


def _one_by_one(rows, span):
    """Counted, recovered from, seconds down and lead times, in the words of the documentation."""
    before_ms, since_ms, until_ms = span
    seen = [row for row in rows if before_ms <= row.stopped_ms < until_ms and row.status != "canceled"]
    found = {}
    for at, row in enumerate(seen):
        own = [one for one in seen[:at] if (one.project, one.environment, one.name) == row_place(row)]
        again = bool(own and row.revision) and (own[-1].revision, own[-1].status) == (row.revision, row.status)
        if row.stopped_ms < since_ms:
            continue
        sums = found.setdefault((row.project, row.environment), [0, 0, 0, 0, []])
        ok = row.status == "succeeded"
        if again:
            continue
        sums[0 if ok else 1] += 1
        if ok and row.begun_ms is not None:
            sums[4].append(max(0, row.stopped_ms - row.begun_ms))
        last = max((number for number, one in enumerate(own) if one.status == "succeeded"), default=-1)
        if ok and own[last + 1 :]:
            sums[2] += 1
            sums[3] += row.stopped_ms - own[last + 1].stopped_ms
    return {place: sums for place, sums in found.items() if sums != [0, 0, 0, 0, []]}


def row_place(row):
    """What deployments follow one another in."""
    return row.project, row.environment, row.name


@given(_ROWS, st.lists(st.integers(0, 30 * DAY_MS), min_size=3, max_size=3))
def test_deployments_are_counted_as_one_after_the_other(rows, times):
    """Reruns once, failures until the next success, with what came before the window as far as it is asked for."""
    rows.sort(key=lambda row: row.stopped_ms)
    span = tuple(sorted(times))
    found = fold_deployments(_placed(rows), dict.fromkeys(["gh/a/one", "gh/a/two"], span))
    sums = {key: [one.ok, one.failed, one.recoveries, one.down_ms, one.leads_ms] for key, one in found.items()}
    assert _one_by_one(rows, span) == {key: one for key, one in sums.items() if one != [0, 0, 0, 0, []]}


def test_what_came_before_counts_as_far_as_it_is_asked_for():
    """A failure before that is none, nor is the same end of a commit."""
    place = ("gh/a/one", "prod", "web")
    rows = _placed([_Row(5, *place, "failed", "r1"), _Row(20, *place, "succeeded", "r1", 1)])
    (near,) = fold_deployments(rows, {"gh/a/one": (6, 10, 30)}).values()
    (far,) = fold_deployments(rows, {"gh/a/one": (5, 10, 30)}).values()
    assert [(0, 0), (1, 15)] == [(one.recoveries, one.down_ms) for one in (near, far)]
    assert near.leads_ms == far.leads_ms == [19]


def test_a_rerun_has_no_lead_time():
    """A commit that is there already took its time the first time; a window without a deployment has none."""
    place = ("gh/a/one", "prod", "web")
    rows = _placed([_Row(5, *place, "succeeded", "r1", 1), _Row(20, *place, "succeeded", "r1", 1)])
    whole, late = (fold_deployments(rows, {"gh/a/one": (0, since_ms, 30)}) for since_ms in (1, 10))
    assert {("gh/a/one", "prod"): DeploymentFold(ok=1, leads_ms=[4])} == whole
    assert {} == late


def test_names_of_one_text_are_one():
    """Projects of two hosts may have the same slug: what deploys there follows one another."""
    slugs = {1: "gh/a/one", 2: "gh/a/one"}
    rows = [(5, 1, 7, 8, 0, "r1", None), (9, 2, 7, 8, 1, "r2", 3), (12, 1, 7, 8, 1, "r2", 4)]
    found = placed(rows, lambda names: (slugs[names[0]], "prod", "web"))
    place = ("gh/a/one", "prod")
    assert found == [
        Deployed(5, place, ok=False),
        Deployed(9, place, ok=True, lead_ms=3, down_ms=[5]),
        Deployed(12, place, ok=True, repeats_ms=9, lead_ms=4),
    ]
