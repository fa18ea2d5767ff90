"""Pure decisions about when to ask and when a cursor moves."""

import pytest

from headgate.collect.pacing import enrich_pause_seconds, page_cursor, revisit_seconds, walk_seconds, walk_since_ms
from headgate.core.storeport import SourceCursor
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("age_ms", "seconds"),
    [(0, 60), (20 * MINUTE_MS, 60), (HOUR_MS, 180), (10 * HOUR_MS, 1800), (30 * DAY_MS, 3600), (-5, 60)],
)
def test_revisits_grow_with_age(age_ms, seconds):
    """A twentieth of the age, between the polling interval and an hour."""
    assert seconds == revisit_seconds(age_ms, 60_000)


@pytest.mark.parametrize(
    ("high", "complete_ms", "since"),
    [
        (None, None, NOW - DAY_MS),
        (7, NOW - 1000, NOW - 400 * DAY_MS),
        (7, None, NOW - 400 * DAY_MS),
        (None, NOW - 1000, NOW - DAY_MS),
        (None, NOW - 3 * DAY_MS, NOW - 3 * DAY_MS - 5 * MINUTE_MS),
        (None, NOW - 900 * DAY_MS, NOW - 400 * DAY_MS),
    ],
    ids=["first", "later", "high alone", "was empty", "was empty, long ago", "beyond retention"],
)
def test_how_far_back(high, complete_ms, since):
    """The first walk reaches `initial` back, later ones to their cursor, none beyond retention."""
    cursor = SourceCursor("ci", "p1", high, None, complete_ms)
    assert since == walk_since_ms(cursor, NOW, initial_ms=DAY_MS, retention_ms=400 * DAY_MS)


@pytest.mark.parametrize(
    ("before", "high", "last", "capped", "after"),
    [
        ((5, None, 10), 9, False, False, (5, 9, 10)),
        ((5, 9, 10), 9, True, False, (9, None, 20)),
        ((5, None, 10), None, True, False, (5, None, 20)),
        ((None, None, None), None, True, False, (None, None, 20)),
        ((9, None, 10), 7, True, False, (9, None, 20)),
        ((5, None, 30), 9, True, False, (9, None, 30)),
        ((5, None, 10), 9, False, True, None),
    ],
    ids=["page", "last", "nothing new", "empty", "never back", "clock went back", "capped"],
)
def test_cursor_of_a_page(before, high, last, capped, after):
    """`high` and `complete_ms` move with the last page alone, and never back; a capped walk moves nothing."""
    moved = page_cursor(SourceCursor("ci", "p1", *before), high, last=last, capped=capped, started_ms=20)
    assert (moved and SourceCursor("ci", "p1", *after)) == moved


@pytest.mark.parametrize(
    ("wait_ms", "hurry", "expected"),
    [(60_000, False, (5, 48)), (600_000, False, (5, 60)), (4000, False, (1, 3.2)), (60_000, True, (0, 1))],
)
def test_enrichment_comes_before_the_wait_ends(wait_ms, hurry, expected):
    """At most a call a minute, and always one before a record's wait is over."""
    first, between = enrich_pause_seconds(wait_ms, hurry=hurry)
    assert expected == (first, pytest.approx(between))
    assert hurry or first + between < wait_ms / 1000 + 5


@pytest.mark.parametrize(
    ("every", "quiet", "told", "expected"),
    [
        (60, 0, False, 60),
        (60, 600, False, 60),
        (60, 3600, False, 360),
        (60, 1e6, False, 600),
        (60, 0, True, 3600),
        (1800, 1e6, False, 1800),
        (1800, 0, True, 3600),
        (7200, 0, True, 7200),
    ],
)
def test_walks_follow_activity(every, quiet, told, expected):
    """A tenth of the quiet time, at most ten minutes; where webhooks tell, an hour; never more often than set."""
    assert expected == walk_seconds(every, quiet, told=told)
