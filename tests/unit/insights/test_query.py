"""Metrics over windows: what counts, exact values, groups, the first bad run."""

import random

import pytest

from headgate.core.storeport import RunRow
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import Matcher
from headgate.insights.query import first_bad_run, group_runs, sample


def run(stopped_ms: int, status: str = "success", **values) -> RunRow:
    """A run of gh/acme/web build on main, unless said otherwise."""
    base = {
        "workflow_id": f"w{stopped_ms}",
        "project": "gh/acme/web",
        "workflow": "build",
        "ref": "main",
        "branch_class": 1,
        "status": status,
        "stopped_ms": stopped_ms,
        "duration_ms": stopped_ms * 1000,
        "revision": "",
        "pipeline_number": None,
        "url": "",
    }
    return RunRow(**(base | values))


STATUSES = ("success", "failure", "error", "timeout", "canceled", "skipped")
MIXED = [run(index + 1, status) for index, status in enumerate(STATUSES)]


def measured(metric: str, runs, since=0, until=1000, previous=0):
    """Value and size of the sample of all runs."""
    groups = group_runs(CATALOGUE[metric], runs, (), ())
    found = [sample(CATALOGUE[metric], group, since, until, previous) for group in groups.values()]
    return [(one.value, one.n) for one in found]


@pytest.mark.parametrize(
    ("metric", "value", "n"),
    [("success_rate", 0.25, 4), ("runs", 5, 5), ("failed_runs", 3, 4), ("duration_p50", 1, 1), ("duration_p95", 1, 1)],
)
def test_what_counts(metric, value, n):
    """Canceled and skipped runs are no failures, and durations are those of successful runs alone."""
    assert measured(metric, MIXED) == [(value, n)]


def test_windows_are_half_open():
    """A run at the start of a window is in it, one at its end is not."""
    assert measured("runs", [run(10), run(20)], 10, 20) == [(1, 1)]


def test_no_qualifying_run_is_no_value():
    """A group without runs in the window has no value rather than zero."""
    assert measured("success_rate", [run(10)], 20, 30) == [(None, 0)]


def test_new_runs_are_those_since_the_previous_window():
    """`n_new` counts runs that ended at or after the previous window's end."""
    metric = CATALOGUE["runs"]
    (group,) = group_runs(metric, [run(at) for at in (5, 10, 15)], (), ()).values()
    assert sample(metric, group, 0, 20, 10).n_new == 2


@pytest.mark.parametrize("metric", ["duration_p50", "duration_p95", "failed_runs", "runs", "success_rate"])
def test_values_equal_a_slow_reference_in_any_order(metric):
    """Against a computation written another way, over shuffled runs of many groups."""
    draw = random.Random(7)
    runs = [
        run(draw.randrange(1, 900), draw.choice(STATUSES), workflow_id=f"w{i}", project=f"gh/acme/p{i % 5}")
        for i in range(600)
    ]
    draw.shuffle(runs)
    groups = group_runs(CATALOGUE[metric], runs, ("project",), ())
    for labels, group in groups.items():
        mine = [one for one in runs if one.project == dict(labels)["project"] and 100 <= one.stopped_ms < 800]
        judged = [one for one in mine if one.status in ("success", "failure", "error", "timeout")]
        good = sorted(one.duration_ms for one in mine if one.status == "success")
        wanted = {
            "success_rate": len(good) / len(judged),
            "runs": len([one for one in mine if one.status != "skipped"]),
            "failed_runs": len(judged) - len(good),
            "duration_p50": good[(len(good) + 1) // 2 - 1] / 1000,
            "duration_p95": good[-(-len(good) * 95 // 100) - 1] / 1000,
        }
        assert sample(CATALOGUE[metric], group, 100, 800, 0).value == wanted[metric]


def test_at_default_means_the_branch_class_not_a_name():
    """`branch: @default` takes a default branch of any name, and not another branch called main."""
    runs = [run(1, ref="trunk"), run(2, ref="main", branch_class=0)]
    for op, wanted in (("=", [1]), ("!=", [2])):
        groups = group_runs(CATALOGUE["runs"], runs, (), (Matcher("branch", op, "@default"),))
        assert [one.stopped_ms for group in groups.values() for one in group.runs] == wanted


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("ssssffff", 4), ("sfsssssffff", 7), ("ffff", 0), ("ssss", None), ("ffss", 0), ("", None), ("sssfsssfffsff", 7)],
)
def test_the_first_bad_run_is_where_the_rate_rose(pattern, wanted):
    """A single earlier failure is not where it broke."""
    runs = [run(index, "failure" if letter == "f" else "success") for index, letter in enumerate(pattern)]
    found = first_bad_run(runs)
    assert (found.stopped_ms if found else None) == wanted
