"""Charges add up to the export's total; budgets have an outlook, and odd days are told."""

from __future__ import annotations

import pytest
from tests.unit.insights.details import DAY, NOW, SLUG, key, lens, usage

from headgate.core.clock import ManualClock
from headgate.core.times import HOUR_MS, format_ms, parse_ms
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import Matcher
from headgate.insights.outlook import Budget
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.budgets import budgets_page
from headgate.insights.views.charges import charges_page
from headgate.insights.views.credits import credits_page
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Filters
from headgate.insights.views.overview import overview
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import read_window
from headgate.store import MemoryStore
from headgate.testing.store_data import job, merge, pipeline, workflow

WINDOW = read_window(None, None, "30d", now_ms=NOW)
TODAY = NOW // DAY * DAY


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("by", ["project", "workflow", "job", "team", "resource_class"])
async def test_charges_add_up_to_the_export(store, by):
    """Kinds and what no kind accounts for make the total of each line; lines make the whole."""
    odd = [
        usage(2, job_name="b", network_credits=4, user_credits=3, total_credits=28),
        usage(3, resource_class="small", compute_credits=None, storage_credits=None, total_credits=9),
        usage(4, total_credits=20),
        usage(5, stopped_at=None, started_at=NOW - DAY),
    ]
    await merge(store, usage(1), *odd)
    page = await charges_page(lens(store), by=by, window=WINDOW)
    assert (21 + 28 + 9 + 20 + 21, 5) == (page.whole.total, page.whole.runs)
    assert {"compute": 80, "storage": 4, "network": 4, "user": 3} == dict(page.whole.kinds)
    assert (8, 80, 19) == (page.whole.other, page.of_jobs, page.shared)
    for line in (page.whole, *page.lines):
        assert line.total == sum(line.kinds.values()) + line.other
    assert page.whole.total == sum(line.total for line in page.lines)
    assert page.whole.runs == sum(line.runs for line in page.lines)


async def test_charges_can_be_narrowed(store):
    """To a team, page by page; branches are refused."""
    await merge(store, usage(1), usage(2, job_name="b"))
    at = lens(store, owners=Owners([parse_owner({"job": "b"}, "crew")]))
    page = await charges_page(at, by="job", window=WINDOW, filters=Filters(team="crew"))
    assert [("b", 21)] == [(line.labels["job"], line.total) for line in page.lines]
    first = await charges_page(at, by="job", window=WINDOW, limit=1)
    rest = await charges_page(at, by="job", window=WINDOW, limit=1, cursor=first.next)
    assert (1, 1, None) == (len(first.lines), len(rest.lines), rest.next)
    with pytest.raises(Refused, match="all branches"):
        await charges_page(at, by="job", window=WINDOW, filters=Filters(branch="main"))
    assert 0 == (await charges_page(at, by="job", window=WINDOW, project=SLUG, filters=Filters(team="x"))).groups


async def spend(store, days, *, name="build", kind=51):
    """A run that ended at noon so many days ago, with its credits: days ago -> credits."""
    await merge(store, pipeline())
    for ago, used in days.items():
        at = TODAY - ago * DAY + DAY // 2
        fields = {"created_at": at - 1_000, "stopped_at": at, "credits": used, "credits_estimated": ago == 1}
        await merge(store, workflow(key(kind, ago), name=name, **fields))


def budget(limit, *, by=(), where=(), period="month"):
    """A limit on credits."""
    return Budget("plan", CATALOGUE.names["credits"], by, where, limit, period, 1, 0.8)


async def test_an_outlook_is_what_is_usual_for_the_days_left(store):
    """Spent up to the last day that is known, then the same each day, without any scatter."""
    await spend(store, dict.fromkeys(range(1, 57), 100))
    page = await budgets_page(lens(store, budgets=(budget(10_000),)), by="budget")
    (line,) = page.lines
    assert format_ms(TODAY) == page.as_of
    since_ms, until_ms = parse_ms(line.since), parse_ms(line.until)
    spent, whole = (TODAY - since_ms) // DAY * 100, (until_ms - since_ms) // DAY * 100
    assert (spent, whole, whole, whole, True) == (line.spent, line.expected, line.low, line.high, line.estimated)
    assert (28, 0, 100, "within") == (len(line.days), line.anomalies, line.days[0].usual, line.state)
    assert spent / 10_000 == line.share


@pytest.mark.parametrize(("share", "state"), [(0.5, "spent"), (0.99, "over"), (1.01, "within")])
async def test_a_budget_has_a_state(store, share, state):
    """By what was spent and what is expected."""
    await spend(store, dict.fromkeys(range(1, 57), 100))
    (line,) = (await budgets_page(lens(store, budgets=(budget(1.0),)), by="budget")).lines
    limit = line.expected * share
    (line,) = (await budgets_page(lens(store, budgets=(budget(limit),)), by="budget")).lines
    assert state == line.state


async def test_scatter_makes_a_range(store):
    """What may be reached is a risk before it is expected."""
    await spend(store, {ago: 100 + 40 * (ago % 3 - 1) for ago in range(1, 57)})
    (line,) = (await budgets_page(lens(store, budgets=(budget(1.0),)), by="budget")).lines
    assert line.low < line.expected < line.high
    limit = (line.expected + line.high) / 2
    (line,) = (await budgets_page(lens(store, budgets=(budget(limit),)), by="budget")).lines
    assert "at_risk" == line.state


async def test_odd_days_are_told(store):
    """One that used three times as much, one that used nothing."""
    await spend(store, {**dict.fromkeys(range(1, 57), 100), 5: 300, 9: 0})
    (line,) = (await budgets_page(lens(store, budgets=(budget(10_000),)), by="budget")).lines
    odd = {day.at: day.anomaly for day in line.days if day.anomaly}
    assert {format_ms(TODAY - 5 * DAY): "high", format_ms(TODAY - 9 * DAY): "low"} == odd
    assert 2 == line.anomalies


async def test_budgets_have_groups_matchers_and_periods(store):
    """By workflow, of one workflow, by week; a group with few days is not forecast."""
    await spend(store, dict.fromkeys(range(1, 57), 100))
    await spend(store, {1: 7, 2: 7}, name="ship", kind=52)
    asked = (
        budget(9_999.0, by=("workflow",)),
        budget(700.0, where=(Matcher("workflow", "=", "build"),), period="week"),
    )
    lines = (await budgets_page(lens(store, budgets=asked), by="budget")).lines
    found = {(tuple(line.labels.values()), line.limit): (line.state, line.expected) for line in lines}
    assert ("too_few_days", None) == found[("ship",), 9_999.0]
    assert ("over", 700.0) == found[(), 700.0]
    assert "within" == found[("build",), 9_999.0][0]


async def test_teams_have_an_outlook_without_a_budget(store):
    """For this month, without a limit; nothing is said where nothing is known."""
    at = lens(store, owners=Owners([parse_owner({"workflow": "build"}, "crew")]))
    assert (None, ()) == ((page := await budgets_page(at, by="team")).as_of, page.lines)
    await spend(store, dict.fromkeys(range(3, 57), 100))
    page = await budgets_page(at, by="team")
    (line,) = page.lines
    assert ({"team": "crew"}, None, "no_limit", "") == (dict(line.labels), line.limit, line.state, line.budget)
    assert format_ms(TODAY - 2 * DAY) == page.as_of
    assert [{"project": SLUG}] == [dict(line.labels) for line in (await budgets_page(at, by="project")).lines]
    assert () == (await budgets_page(at, by="budget")).lines


async def told(store, days, *, credits_of=lambda ago: 100):
    """A run and its job that ended at one in the morning so many days ago; credits of None are not told yet."""
    await merge(store, pipeline())
    for ago in days:
        at = TODAY - ago * DAY + HOUR_MS
        known = {"stopped_at": at}
        known |= {} if credits_of(ago) is None else {"credits": credits_of(ago)}
        run = key(61, ago)
        await merge(store, workflow(run, created_at=at - 2_000, **known))
        await merge(store, job(key(62, ago), number=ago, workflow_id=run, started_at=at - 1_000, **known))


async def figures_of_credits(store, window):
    """Every figure of credits of the pages, from the overview down to a job."""
    at, place = lens(store), {"project": SLUG, "workflow": "build"}
    whole = await overview(at, window=window)
    lines = await credits_page(at, by="workflow", window=window, step="1d")
    of_job = await job_page(at, **place, job="test", window=window, step="1d")
    return whole, [
        whole.totals["credits"],
        whole.projects[0].figures["credits"],
        lines.total,
        lines.lines[0].credits,
        of_job.figures["credits_of_jobs"],
    ]


async def test_a_part_of_a_window_is_not_held_against_a_whole_one(store):
    """The export is a day late: what looks like fewer credits is neither better nor worse, and no other figure is."""
    await told(store, range(14), credits_of=lambda ago: None if ago == 0 else 107 if ago < 7 else 100)
    window = read_window(None, None, "7d", now_ms=NOW)
    whole, found = await figures_of_credits(store, window)
    assert {("unknown", None, format_ms(TODAY))} == {(one.direction, one.change, one.known_until) for one in found}
    assert {None} == {one.known_until for name, one in whole.totals.items() if name != "credits"}
    assert "unknown" != whole.totals["runs"].direction
    day = (await overview(lens(store), window=read_window(None, None, "24h", now_ms=NOW))).totals["credits"]
    assert (None, 107, None, format_ms(TODAY)) == (day.value, day.previous, day.change, day.known_until)


@pytest.mark.parametrize(
    ("days", "until", "missing"),
    [
        (range(14), None, ()),
        (range(1, 14), None, ()),
        (range(14), format_ms(TODAY), (0,)),
        (range(14), None, range(14)),
    ],
    ids=["told at once", "nothing ran since", "whole days", "never told"],
)
async def test_what_is_known_up_to_the_end_has_a_trend(store, days, until, missing):
    """Also where nothing was ever told nothing is said of it."""
    await told(store, days, credits_of=lambda ago: None if ago in missing else 200 if ago < 7 else 100)
    window = read_window(None, until, "7d", now_ms=NOW)
    _, found = await figures_of_credits(store, window)
    assert {("unknown" if len(missing) > 1 else "worse", None)} == {(one.direction, one.known_until) for one in found}
