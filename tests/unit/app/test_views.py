"""What `status` shows of a source."""

import pytest

from headgate.app.views import source_view
from headgate.core.discovery import Found, FoundProject
from headgate.core.storeport import SourceCursor

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
