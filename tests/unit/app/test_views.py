"""What `status` shows of a source."""

import pytest

from headgate.app.views import signal_hints, source_view
from headgate.core.discovery import Found, FoundProject
from headgate.core.storeport import SourceCursor
from headgate.deliver.status import SignalStatus

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
