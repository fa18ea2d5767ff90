"""What `status` shows of a source."""

import msgspec
import pytest

from headgate.app.requests import backfill_view
from headgate.app.views import signal_hints, source_view
from headgate.collect.requests import BackfillRequest
from headgate.core.discovery import Found, FoundProject
from headgate.core.storeport import SourceCursor
from headgate.core.times import DAY_MS
from headgate.deliver.status import SignalStatus
from headgate.web.reading import history_hints

NOW = 1_795_000_000_000
WALKED = {"p1": SourceCursor("ci", "p1", 1, None, NOW)}
HALF = {"p2": SourceCursor("ci", "p2", None, 7, None)}


def found(**gone):
    """Projects by key."""
    return Found({key: FoundProject("host", f"gh/a/{key}", "gh/a", key, gone=one) for key, one in gone.items()})


@pytest.mark.parametrize(
    ("cursors", "projects", "walked"),
    [
        (WALKED, found(p1=False), True),
        (WALKED, found(p1=False, p2=False), False),
        (WALKED | HALF, found(p1=False, p2=False), False),
        (WALKED | HALF, found(p1=False, p2=True), True),
        (WALKED, Found(), True),
        ({}, Found(), False),
    ],
    ids=["all", "one not begun", "one under way", "the other gone", "found by nobody", "nothing yet"],
)
def test_the_last_complete_walk_is_that_of_every_project_found(cursors, projects, walked):
    """Null until each project that is there was walked."""
    assert (source_view(None, cursors, projects)["last_complete_walk"] is not None) is walked


def test_history_that_is_still_read_says_how_far_back_it_is():
    """Of what is read now alone; what is asked for each day by itself is of days that are known."""
    asked = BackfillRequest("b1", NOW - 90 * DAY_MS, NOW, NOW, state="running", share=0.34)
    reached = msgspec.structs.replace(asked, reached_ms=NOW - 31 * DAY_MS)
    others = [msgspec.structs.replace(asked, state="done"), msgspec.structs.replace(asked, id="refresh-1")]
    hints = history_hints([backfill_view("ci", one, NOW) for one in (asked, reached, *others)])
    assert ["34% is here. What is older", "34% is here, everything back to 2026-10-18. What is older"] == [
        hint.partition("first: ")[2].partition(" fills")[0] for hint in hints
    ]


@pytest.mark.parametrize(
    ("state", "reason", "more", "hint"),
    [
        ("ok", "", {}, None),
        ("ok", "", {"ahead_until_ms": NOW}, "waits until 2026-11-18T11:06:40.000Z: its next record is dated ahead"),
        ("held", "auth: answered 401", {}, "is held: auth: answered 401"),
        ("open", "answered 503", {"next_try_ms": NOW}, "is open: answered 503; next try 2026-11-18T11:06:40.000Z"),
        ("retrying", "answered 503", {}, "is retrying: answered 503; a try is under way"),
    ],
    ids=["well", "dated ahead", "held", "open", "retrying"],
)
def test_a_signal_that_does_not_deliver_is_told_with_why_and_when(state, reason, more, hint):
    """One hint each; none for one that is well."""
    status = SignalStatus(state, reason, 0, 0.0, 1, 0, {}, 0, **more)
    assert signal_hints({"loki": {"logs": status}}) == ([] if hint is None else [f"Signal loki.logs {hint}"])
