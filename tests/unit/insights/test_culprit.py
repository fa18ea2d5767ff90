"""What explains a change: first bad run, suspect commits, what grew."""

from __future__ import annotations

import pytest

from headgate.core.ports import Change
from headgate.insights.culprit import Growth, Ran, growth, suspects


def ran(*pairs):
    """Runs from (value, revision)."""
    return [Ran(f"run-{at}", value, revision) for at, (value, revision) in enumerate(pairs)]


UP = Change(3, 100.0, 200.0, "level")


def test_commits_between_last_good_and_first_bad_are_suspected():
    """A commit that was good before is not among them; the bad run's own is."""
    runs = ran((100, "a"), (101, "b"), (99, "b"), (201, "c"), (199, "c"), (202, "d"))
    found = suspects(runs, UP)
    assert ("run-3", "run-2", ("c",), False) == (
        found.first_bad.id,
        found.last_good and found.last_good.id,
        found.commits,
        found.same_commit,
    )


def test_a_place_that_is_a_few_runs_off_is_corrected():
    """The first bad run is where values became bad, not where the detector put the change."""
    runs = ran(*[(100, f"g{at}") for at in range(10)], *[(200, f"b{at}") for at in range(10)])
    for index in (7, 10, 13):
        found = suspects(runs, Change(index, 100.0, 200.0, "level"))
        assert ("run-10", ("b0",)) == (found.first_bad.id, found.commits)


def test_one_slow_run_before_is_not_the_first_bad_one():
    """Bad luck is followed by good runs."""
    runs = ran(*[(100, "g")] * 6, (300, "x"), *[(100, "g")] * 3, *[(200, "b")] * 8)
    assert "run-10" == suspects(runs, Change(10, 100.0, 200.0, "level")).first_bad.id


def test_the_same_commit_before_and_after_clears_all_commits():
    """Where no commit came in between, something else changed."""
    found = suspects(ran((100, "a"), (100, "a"), (100, "a"), (200, "a"), (200, "a"), (200, "a")), UP)
    assert ((), True) == (found.commits, found.same_commit)


def test_unknown_revisions_suspect_nobody():
    """Runs without a commit say nothing about commits."""
    found = suspects(ran((100, ""), (100, ""), (100, ""), (200, ""), (200, ""), (200, "")), UP)
    assert ((), False) == (found.commits, found.same_commit)


def test_a_series_that_begins_bad_has_no_last_good_run():
    """Then everything up to the first bad run is suspected."""
    found = suspects(ran((200, "a"), (200, "b"), (200, "c")), Change(0, 100.0, 200.0, "level"))
    assert (None, ("a",)) == (found.last_good, found.commits)


def test_a_fall_is_explained_alike():
    """For a success rate or a count, less is bad."""
    runs = ran(*[(10, "a")] * 5, *[(2, "b")] * 5)
    assert "run-5" == suspects(runs, Change(6, 10.0, 2.0, "level")).first_bad.id


def test_a_tail_change_begins_at_its_first_slow_run():
    """Only some runs are slow, so the first bad run is the first slow one from its place on."""
    runs = ran(*[(100, f"g{at}") for at in range(8)], *[(200 if at % 3 == 1 else 100, f"b{at}") for at in range(12)])
    found = suspects(runs, Change(8, 105.0, 200.0, "tail"))
    assert ("run-9", "run-8", ("b1",)) == (found.first_bad.id, found.last_good and found.last_good.id, found.commits)


def test_jobs_that_grew_are_listed_with_their_contribution():
    """Largest first; what shrank, hardly moved or is gone stays out; a new job grew from nothing."""
    parts = {
        "build": ([60.0, 61, 62], [60.0, 62, 61]),
        "test": ([100.0, 101, 99], [160.0, 161, 159]),
        "lint": ([30.0], [10.0]),
        "scan": ([], [40.0]),
        "old": ([50.0], []),
    }
    assert (Growth("test", 100.0, 160.0, 0.6), Growth("scan", 0.0, 40.0, 0.4)) == growth(parts, 100.0)


@pytest.mark.parametrize("whole", [0.0, -5.0])
def test_without_growth_of_the_whole_there_is_no_share(whole):
    """What grew is named; how much of nothing it was is not said."""
    assert (Growth("test", 10.0, 20.0, None),) == growth({"test": ([10.0], [20.0]), "same": ([3.0], [3.0])}, whole)
