"""Windows and steps, critical paths, cursors: the pure parts of views."""

import pytest

from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS, format_ms, parse_ms
from headgate.insights.views.criticalpath import Bar, critical_path, exclusive_ms
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.lens import Filters
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import MOST_SLOTS, Window, read_step, read_window, slots

NOW = parse_ms("2026-11-18T11:07:23.500Z")


@pytest.mark.parametrize(
    ("asked", "since", "until"),
    [
        ((None, None, None), "2026-11-11T11:00:00.000Z", "2026-11-18T11:08:00.000Z"),
        ((None, None, "24h"), "2026-11-17T11:00:00.000Z", "2026-11-18T11:08:00.000Z"),
        (("2h", "1h", None), "2026-11-18T09:07:23.500Z", "2026-11-18T10:07:23.500Z"),
        (("2026-11-01", "2026-11-02", None), "2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z"),
        (("2026-11-01T02:00:00+02:00", "now", None), "2026-11-01T00:00:00.000Z", "2026-11-18T11:07:23.500Z"),
        ((None, "2026-11-02", "1d"), "2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z"),
        ((None, None, "1100d"), "2023-11-14T11:00:00.000Z", "2026-11-18T11:08:00.000Z"),
        (("1100d", None, None), "2023-11-14T11:07:23.500Z", "2026-11-18T11:08:00.000Z"),
    ],
)
def test_windows_as_people_write_them(asked, since, until):
    """A length, two times, or one of each; the one before is as long."""
    found = read_window(*asked, now_ms=NOW)
    assert (since, until) == (found.since, found.until)
    assert (found.since_ms, found.span_ms) == (found.previous.until_ms, found.previous.span_ms)


@pytest.mark.parametrize(
    ("asked", "kind", "parameter"),
    [
        (("yesterday", None, None), "bad-time", "since"),
        (("2026-13-01", None, None), "bad-time", "since"),
        ((None, "2026-02-30", None), "bad-time", "until"),
        ((None, None, "seven"), "bad-time", "window"),
        ((None, None, "0d"), "bad-time", "window"),
        ((None, None, "99999999999999999999d"), "bad-time", "window"),
        ((None, None, "9" * 400 + "d"), "bad-time", "window"),
        (("2026-11-02", "2026-11-01", None), "reversed-range", "since"),
        (("2026-11-01", "2026-11-01", None), "reversed-range", "since"),
        ((None, "1970-01-01", None), "reversed-range", "until"),
        (("2020-01-01", None, None), "bad-time", "since"),
        (("1101d", None, None), "bad-time", "since"),
        ((None, None, "1101d"), "bad-time", "window"),
        (("2026-11-01", None, "7d"), "bad-parameter", "window"),
    ],
)
def test_what_is_no_window_is_refused_with_what_is(asked, kind, parameter):
    """The parameter that is wrong, and examples of right ones."""
    with pytest.raises(Refused) as refused:
        read_window(*asked, now_ms=NOW)
    assert (kind, parameter) == (refused.value.kind, refused.value.parameter)
    assert refused.value.valid


@pytest.mark.parametrize(("step", "length"), [("1h", HOUR_MS), ("1d", DAY_MS), ("7d", 7 * DAY_MS)])
def test_steps_cover_a_window_and_meet_at_their_bounds(step, length):
    """Weeks meet on Mondays; the first and last may be cut."""
    window = Window(NOW - 16 * DAY_MS, NOW)
    parts = slots(window, step)
    assert (window.since_ms, window.until_ms) == (parts[0].since_ms, parts[-1].until_ms)
    assert [one.until_ms for one in parts[:-1]] == [one.since_ms for one in parts[1:]]
    monday = parse_ms("2026-11-16T00:00:00Z")
    assert {0} == {(one.since_ms - monday) % length for one in parts[1:]}


def test_a_step_fits_the_window():
    """One is chosen where none is said; one that gives too many points, or is none, is refused."""
    assert ["1h", "1d", "7d"] == [read_step(None, Window(NOW - days * DAY_MS, NOW)) for days in (1, 30, 365)]
    for step, days in (("1h", 365), ("5m", 1)):
        with pytest.raises(Refused) as refused:
            read_step(step, Window(NOW - days * DAY_MS, NOW))
        assert "1d" in refused.value.valid
    assert len(slots(Window(NOW - 3 * DAY_MS, NOW), "1h")) < MOST_SLOTS


def bar(name, wait, start, stop, *requires):
    return Bar(name, wait * MINUTE_MS, start * MINUTE_MS, stop * MINUTE_MS, requires)


def test_the_path_follows_what_jobs_require():
    """Back from the last end; the shares add up to the run."""
    bars = [bar("a", 0, 1, 5), bar("b", 0, 0, 9), bar("c", 5, 6, 12, "a"), bar("d", 12, 12, 20, "c", "b")]
    path = critical_path(bars)
    assert (("a", "c", "d"), True) == (path.jobs, path.known)
    assert {"a": 5, "c": 7, "d": 8} == {name: ms // MINUTE_MS for name, ms in path.share_ms.items()}


def test_without_requirements_time_tells():
    """A job is taken to have waited for the one that ended last before it; and that is said."""
    path = critical_path([bar("a", 0, 0, 5), bar("b", 0, 0, 3), bar("c", 5, 6, 9)])
    assert (("a", "c"), False) == (path.jobs, path.known)


def test_cycles_and_nothing_end_a_path():
    """Jobs that require each other, one that requires what is not there, and no job at all."""
    assert ("a", "b") == critical_path([bar("a", 0, 0, 5, "b"), bar("b", 0, 0, 9, "a")]).jobs
    assert ("a",) == critical_path([bar("a", 0, 0, 5, "gone")]).jobs
    assert ((), {}) == ((empty := critical_path([])).jobs, empty.share_ms)


def test_exclusive_time_is_when_nothing_else_ran():
    """Waiting is no running; jobs side by side have none."""
    bars = [bar("a", 0, 1, 5), bar("b", 0, 4, 9), bar("c", 5, 9, 12), bar("d", 0, 9, 12), bar("e", 0, 3, 3)]
    found = {name: ms // MINUTE_MS for name, ms in exclusive_ms(bars).items()}
    assert {"a": 3, "b": 4, "c": 0, "d": 0, "e": 0} == found


def test_a_cursor_is_of_one_list():
    """What was written is read; anything else is refused."""
    runs = Cursors.of("runs", "7d")
    text = runs.write((5, "id/\u05d0"))
    assert (5, "id/\u05d0") == runs.read(text, tuple[int, str])
    for wrong in (text[:-3], "", "AAAA", "%%%", Cursors.of("tests", "7d").write(3), runs.write("x")):
        with pytest.raises(Refused, match="this is no cursor of runs: take `next`"):
            runs.read(wrong, tuple[int, str])


def test_a_cursor_is_of_one_question():
    """Another grouping, window, filter or project begins again, and says so."""
    asked = ("project", ("7d",), "gh/acme/web", Filters(team="web"))
    others = [
        ("job", *asked[1:]),
        (*asked[:1], ("30d",), *asked[2:]),
        (*asked[:2], "gh/acme/api", asked[3]),
        (*asked[:3], Filters(org="web")),
    ]
    cursors, window = Cursors.of("credits", *asked), read_window(None, None, "7d", now_ms=NOW)
    text = cursors.write_rank(25, window)
    assert (25, window) == Cursors.of("credits", *asked).read_rank(text, window)
    assert (0, window) == cursors.read_rank(None, window) == cursors.read_rank("", window)
    for other in others:
        with pytest.raises(Refused, match="another question: leave it out to begin again"):
            Cursors.of("credits", *other).read_rank(text, window)


@pytest.mark.parametrize("length", ["7d", "2h", "90m"])
def test_a_cursor_has_the_window_that_was_ranked(length):
    """However far the window moved on since, and with the words that it was asked by."""
    cursors = Cursors.of("credits", "7d")
    first = read_window(None, None, length, now_ms=NOW)
    for minutes in (1, 59, 61, 60 * 24 * 30):
        moved = read_window(None, None, length, now_ms=NOW + minutes * MINUTE_MS)
        rows, window = cursors.read_rank(cursors.write_rank(3, first), moved)
        assert (3, first, first.asked) == (rows, window, window.asked)


def test_a_cursor_holds_while_its_window_shrinks():
    """The begin moves on and the end stays."""
    cursors, until = Cursors.of("credits", "30d"), format_ms(NOW - HOUR_MS)
    first = read_window("30d", until, None, now_ms=NOW)
    for hours in (1, 30, 24 * 20):
        later = read_window("30d", until, None, now_ms=NOW + hours * HOUR_MS)
        assert (3, first) == cursors.read_rank(cursors.write_rank(3, first), later)


@pytest.mark.parametrize("place", [-1, -3, 1.5, "1", None, True])
def test_a_rank_is_a_count(place):
    """A negative one would give rows from the end."""
    cursors, window = Cursors.of("credits", "7d"), read_window(None, None, "7d", now_ms=NOW)
    for wrong in (place, (place, window.since_ms, window.until_ms)):
        with pytest.raises(Refused, match="this is no cursor of credits"):
            cursors.read_rank(cursors.write(wrong), window)


@pytest.mark.parametrize(
    ("since", "until"),
    [(-5, -5), (-5, -9), (-1200 * 24 * HOUR_MS, 0), (-5, 1), (10**18, 10**18 + 1)],
    ids=["empty", "reversed", "longer", "later", "beyond all time"],
)
def test_a_window_that_was_never_ranked_is_refused(since, until):
    """One that somebody made up: empty, longer than any, or of the future; from the end of the window."""
    cursors, window = Cursors.of("credits", "7d"), read_window(None, None, "7d", now_ms=NOW)
    text = cursors.write((1, window.until_ms + since, window.until_ms + until))
    with pytest.raises(Refused, match="this is no cursor of credits"):
        cursors.read_rank(text, window)


@pytest.mark.parametrize(
    ("words", "again", "same"),
    [
        ((None, None, "7d"), (None, None, None), True),
        ((None, None, "7d"), ("", None, "168h"), True),
        ((None, None, "7d"), (None, None, "30d"), False),
        (("2h", None, None), ("2h", None, None), True),
        (("2h", None, None), ("3h", None, None), False),
        (("2026-11-01", None, None), ("2026-11-01T00:00:00Z", None, None), True),
        (("2026-11-01", "2026-11-08", None), ("2026-11-08", "2026-11-15", None), False),
        ((None, "2026-11-08", "7d"), (None, "2026-11-15", "7d"), False),
    ],
)
def test_a_window_that_moves_on_is_the_same_question(words, again, same):
    """Asked again two hours later."""
    first, second = read_window(*words, now_ms=NOW), read_window(*again, now_ms=NOW + 2 * HOUR_MS)
    assert same == (first.asked == second.asked)
    assert same == (Cursors.of("runs", first.asked) == Cursors.of("runs", second.asked))
    assert Window(1, 2).asked != Window(1, 3).asked
