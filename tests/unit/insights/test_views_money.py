"""Charges add up to the export's total; budgets have an outlook, and odd days are told."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest
from msgspec.structs import replace
from tests.unit.insights.details import DAY, NOW, SLUG, key, lens, usage

from headgate.core.clock import ManualClock
from headgate.core.merge import ProjectRef
from headgate.core.times import HOUR_MS, format_ms, parse_ms
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import Matcher
from headgate.insights.outlook import Budget, outlook, weekday
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.tables.columns import figures
from headgate.insights.views.budgets import budgets_page, top_budgets
from headgate.insights.views.charges import charges_page
from headgate.insights.views.credits import credits_page
from headgate.insights.views.figures import Trend
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Filters
from headgate.insights.views.overview import overview
from headgate.insights.views.refusal import Refused
from headgate.insights.views.report import report_page
from headgate.insights.views.window import Window, read_window
from headgate.insights.views.worse import find_better, find_worse
from headgate.store import MemoryStore
from headgate.testing.store_data import PROJECT, job, merge, pipeline, workflow

WINDOW = read_window(None, None, "30d", now_ms=NOW)
TODAY = NOW // DAY * DAY
OTHER = ProjectRef("circleci.com", "gh/other/web", "gh/other", "99999999-1111-4111-8111-111111111111")

SISTER = ProjectRef("circleci.com", "gh/acme/sister", "gh/acme", "99999999-2222-4222-8222-222222222222")


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
    with pytest.raises(Refused, match="over all runs, not by branch"):
        await charges_page(at, by="job", window=WINDOW, filters=Filters(branch="main"))
    assert 0 == (await charges_page(at, by="job", window=WINDOW, project=SLUG, filters=Filters(team="x"))).groups


async def spend(store, days, *, name="build", kind=51):
    """A run that ended at noon so many days ago, with its credits: days ago -> credits."""
    await merge(store, pipeline())
    for ago, used in days.items():
        at = TODAY - ago * DAY + DAY // 2
        fields = {"created_at": at - 1_000, "stopped_at": at, "credits": used, "credits_estimated": ago in (1, 2)}
        await merge(store, workflow(key(kind, ago), name=name, **fields))


def budget(limit, *, by=(), where=(), period="month"):
    """A limit on credits."""
    return Budget("plan", CATALOGUE.names["credits"], by, where, limit, period, 1, 0.8)


async def test_an_outlook_is_what_is_usual_for_the_days_left(store):
    """Spent up to the last day that is known whole, then the same each day, without any scatter.

    Of runs alone that have credits the newest day may be told in part.
    """
    await spend(store, {**dict.fromkeys(range(2, 57), 100), 1: 3})
    page = await budgets_page(lens(store, budgets=(budget(10_000),)), by="budget")
    (line,) = page.lines
    assert format_ms(TODAY - DAY) == page.as_of == line.as_of
    since_ms, until_ms = parse_ms(line.since), parse_ms(line.until)
    spent, whole = (TODAY - DAY - since_ms) // DAY * 100, (until_ms - since_ms) // DAY * 100
    assert (spent, whole, whole, whole, True) == (line.spent, line.expected, line.low, line.high, line.estimated)
    assert (28, 0, 100, "within") == (len(line.days), line.anomalies, line.days[0].usual, line.state)
    assert spent / 10_000 == line.share


@pytest.mark.parametrize("late", [1, 2, 5, 9])
async def test_an_outlook_follows_from_eight_weeks_as_in_rules(store, late):
    """Up to the last day that is known, however late that is: older days, and those without news, change nothing."""
    values = {ago: 100 + 17 * ago % 31 + 2 * ago for ago in range(70)}
    await spend(store, {**dict.fromkeys(range(late), 0), **{ago: values[ago] for ago in range(late, 70)}})
    (line,) = (await budgets_page(lens(store, budgets=(budget(1.0),)), by="budget")).lines
    past = [(weekday(TODAY - ago * DAY), values[ago]) for ago in range(late + 56, late, -1)]
    since_ms, until_ms = parse_ms(line.since), parse_ms(line.until)
    used = sum(value for ago, value in values.items() if ago > late and TODAY - ago * DAY >= since_ms)
    left = [weekday(at) for at in range(TODAY - late * DAY, until_ms, DAY)]
    assert (used, outlook(used, past, left, 0.9).middle) == (line.spent, line.expected)


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


async def test_each_organisation_is_known_up_to_its_own_day(store):
    """What nobody told of yet is no cheap day, and what is known of one is not cut by another that stopped."""
    await spend(store, dict.fromkeys(range(1, 57), 100))
    for ago in range(57):
        at, used = TODAY - ago * DAY + DAY // 2, {"credits": 50} if ago >= 6 else {}
        if at < NOW:
            run = workflow(key(61, ago), name="build", created_at=at - 1_000, stopped_at=at, **used)
            await merge(store, replace(run, project=OTHER))
    limits = (budget(9_999.0), budget(9_999.0, where=(Matcher("org", "=", OTHER.org),)))
    page = await budgets_page(lens(store, budgets=limits), by="project")
    whole, other = (await budgets_page(lens(store, budgets=limits), by="budget")).lines
    known = {SLUG: TODAY - DAY, OTHER.slug: TODAY - 6 * DAY}
    assert {SLUG: (format_ms(known[SLUG]), 0), OTHER.slug: (format_ms(known[OTHER.slug]), 0)} == {
        line.labels["project"]: (line.as_of, line.anomalies) for line in page.lines
    }
    assert format_ms(known[SLUG]) == page.as_of == whole.as_of
    assert format_ms(known[OTHER.slug]) == other.as_of
    left = {line.labels["project"]: line for line in page.lines}[OTHER.slug]
    days = (parse_ms(left.until) - parse_ms(left.since)) // DAY
    assert (50 * days, 50 * days) == (left.expected, other.expected)


async def test_a_review_of_a_month_has_all_its_days(store):
    """What was spent is what the month cost, and nothing is left to be expected."""
    month = Window(parse_ms("2026-10-01T00:00:00Z"), parse_ms("2026-11-01T00:00:00Z"))
    await spend(store, dict.fromkeys(range((NOW - month.since_ms) // DAY + 2), 100))
    page = await report_page(lens(store), every="month", window=month)
    (line,) = page.budgets.lines
    cost = page.totals["credits"].value
    assert (format_ms(month.until_ms), 3_100) == (page.budgets.as_of, cost)
    assert (cost, cost, cost) == (line.spent, line.expected, line.high)


TEAMS = {"build": "a|b (crew)", "ship": "zwölf\\", "idle": "rest", "early": "early"}
ODD = Owners([parse_owner({"workflow": name}, team) for name, team in TEAMS.items()])


@pytest.mark.parametrize("by", ["budget", "team", "project"])
async def test_the_top_budgets_are_the_first_ones(store, by):
    """Whatever they are called, where some used nothing of the period or are not asked for, and days are not known."""
    for kind, (name, days) in enumerate({"build": range(3, 57), "ship": range(3, 50), "early": range(40, 57)}.items()):
        await spend(store, dict.fromkeys(days, 100 + kind), name=name, kind=51 + kind)
    await spend(store, dict.fromkeys(range(50, 57), 5), name="nobody's", kind=54)
    at = lens(store, owners=ODD, budgets=(budget(10_000.0, by=("workflow",)), budget(1.0)))
    page = await budgets_page(at, by=by)
    for most, without in product((1, 2, 3, 9), ("", TEAMS["ship"])):

        def takes(labels, without=without):
            return dict(labels).get("team") != without

        top = await top_budgets(at, by=by, until_ms=NOW, takes=takes, most=most)
        lines = [one for one in page.lines if one.labels.get("team") != without]
        assert page.as_of == top.as_of == format_ms(TODAY - 3 * DAY)
        assert [dataclasses.replace(one, days=(), anomalies=0) for one in lines[:most]] == list(top.lines)
        assert len(top.lines) == min(most, len(lines)) > 0


async def test_teams_have_an_outlook_without_a_budget(store):
    """For this month, without a limit; nothing is said where nothing is known."""
    at = lens(store, owners=Owners([parse_owner({"workflow": "build"}, "crew")]))
    assert (None, ()) == ((page := await budgets_page(at, by="team")).as_of, page.lines)
    await spend(store, dict.fromkeys(range(3, 57), 100))
    page = await budgets_page(at, by="team")
    (line,) = page.lines
    assert ({"team": "crew"}, None, "no_limit", "") == (dict(line.labels), line.limit, line.state, line.budget)
    assert format_ms(TODAY - 3 * DAY) == page.as_of
    assert [{"project": SLUG}] == [dict(line.labels) for line in (await budgets_page(at, by="project")).lines]
    assert () == (await budgets_page(at, by="budget")).lines


async def told(store, days, *, credits_of=lambda ago: 100, of_jobs=True, owner=PROJECT):
    """A run and its job that ended at one in the morning so many days ago; credits of None are not told yet."""
    kind = 61 if owner is PROJECT else 71
    way = replace(pipeline(key(kind + 2, 0)), project=owner)
    await merge(store, way)
    for ago in days:
        at = TODAY - ago * DAY + HOUR_MS
        known = {"stopped_at": at}
        spent = {} if credits_of(ago) is None else {"credits": credits_of(ago)}
        run = workflow(key(kind, ago), created_at=at - 2_000, pipeline_id=way.key, **known, **spent)
        own = {"number": ago, "workflow_id": run.key, "started_at": at - 1_000}
        part = job(key(kind + 1, ago), **own, **known, **(spent if of_jobs else {}))
        await merge(store, *(replace(one, project=owner) for one in (run, part)))


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


async def test_a_part_of_a_window_is_held_against_as_long_a_part(store):
    """The export is a day late: what looks like fewer credits is more, up to where they are known."""
    await told(store, range(14), credits_of=lambda ago: None if ago == 0 else 107 if ago < 7 else 100)
    window = read_window(None, None, "7d", now_ms=NOW)
    whole, found = await figures_of_credits(store, window)
    known = {(one.direction, one.change, one.known_until, one.known, one.known_previous) for one in found}
    assert {("worse", 42.0, format_ms(TODAY), 642.0, 600.0)} == known
    assert {(642.0, 700.0, 600.0)} == {(one.value, one.previous, one.base) for one in found}
    assert {None} == {one.known_until for name, one in whole.totals.items() if name != "credits"}
    assert "unknown" != whole.totals["runs"].direction
    day = (await overview(lens(store), window=read_window(None, None, "24h", now_ms=NOW))).totals["credits"]
    assert (None, 107, None, format_ms(TODAY)) == (day.value, day.previous, day.change, day.known_until)
    assert ("unknown", None) == (day.direction, day.known)


async def test_estimates_after_what_is_known_are_not_in_the_part(store):
    """Insights tells of some runs of a day, and of none of the window before at that time."""
    await told(store, range(14), credits_of=lambda ago: 200 if ago < 7 else 100, of_jobs=False)
    window = read_window(None, None, "7d", now_ms=NOW)
    (line,) = (await credits_page(lens(store), by="project", window=window, step="1d")).lines
    assert (1400.0, 700.0, format_ms(TODAY)) == (line.credits.value, line.credits.previous, line.credits.known_until)
    assert (1200.0, 600.0, 600.0) == (line.credits.known, line.credits.known_previous, line.credits.change)


async def test_each_organisation_is_compared_up_to_what_is_known_of_it(store):
    """Of what is all of them, each has its own part."""
    await told(store, range(14), credits_of=lambda ago: None if ago == 0 else 100)
    await told(store, range(14), credits_of=lambda ago: None if ago < 3 else 10, owner=OTHER)
    window = read_window(None, None, "7d", now_ms=NOW)
    page = await credits_page(lens(store), by="project", window=window, step="1d")
    parts = [(one.credits.known_until, one.credits.known, one.credits.known_previous) for one in page.lines]
    assert [(format_ms(TODAY), 600.0, 600.0), (format_ms(TODAY - 2 * DAY), 40.0, 40.0)] == parts
    assert (format_ms(TODAY - 2 * DAY), 640.0, 640.0, "same") == (
        page.total.known_until,
        page.total.known,
        page.total.known_previous,
        page.total.direction,
    )
    columns = figures(("credits",), of=lambda line: {"credits": line.credits})
    cells = {column.id: column.pick(page.lines[0]) for column in columns}
    assert (700.0, 600.0, 600.0) == tuple(cells[f"credits_{name}"] for name in ("previous", "known", "known_previous"))
    assert format_ms(TODAY) == cells["credits_known_until"]


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


FREE = {"compute_credits": 0, "storage_credits": 0, "total_credits": 0}


@pytest.mark.parametrize(
    ("bill", "value"),
    [(FREE, 0.0), (FREE | {"total_credits": 3}, None), (FREE | {"total_credits": None, "compute_credits": 3}, None)],
    ids=["free", "billed", "billed for something"],
)
@pytest.mark.parametrize("by", ["project", "workflow", "job", "team", "resource_class", "branch"])
async def test_what_cost_nothing_is_told_from_what_is_not_known(store, by, bill, value):
    """Where the export has rows of it, none of which cost anything; what it has no rows of by name is not known."""
    await told(store, range(14), credits_of=lambda ago: 0)
    window = read_window(None, None, "7d", now_ms=NOW)
    assert {None} == {await total_of(store, by, window, part) for part in ("value", "previous")}
    await billed(store, range(14), **bill)
    page = await credits_page(lens(store), by=by, window=window, step="1d")
    assert {value} == {await total_of(store, by, window, part) for part in ("value", "previous")}
    lines = {(line.credits.value, line.credits.previous, line.share) for line in page.lines}
    known = value if by not in ("branch", "resource_class") else None
    assert {(known, known, None)} == lines
    assert "same" == page.total.direction if value == 0 else "unknown" == page.total.direction


async def billed(store, days, first=0, **bill):
    """Rows of the export of so many days ago, which cost nothing."""
    rows = (usage(first + ago, **(FREE | {"stopped_at": TODAY - ago * DAY + HOUR_MS} | bill)) for ago in days)
    await merge(store, *rows)


@pytest.mark.parametrize(
    ("days", "value"),
    [(range(7), 0.0), (range(1, 7), 0.0), ((0, 1, 2, 4, 5, 6), None), ((6,), 0.0), ((0,), None), ((), None)],
    ids=["every day", "up to yesterday", "not of one day", "of the first day", "of the last day", "none"],
)
async def test_nothing_is_said_of_days_that_the_export_does_not_tell(store, days, value):
    """They may have cost something: up to the newest day it tells of, it must tell of every day with jobs."""
    await told(store, range(7), credits_of=lambda ago: 0)
    await billed(store, days)
    window = read_window(None, None, "7d", now_ms=NOW)
    assert {value} == {await total_of(store, by, window, "value") for by in ("project", "workflow")}


@pytest.mark.parametrize(("other", "total"), [(OTHER, 0.0), (SISTER, None)], ids=["organisation", "project"])
async def test_what_one_project_cost_says_nothing_of_another(store, other, total):
    """Neither of one of another organisation, nor of one of its own that the export has no rows of."""
    await told(store, range(7), credits_of=lambda ago: 0)
    await told(store, range(7), credits_of=lambda ago: 0, owner=other)
    await billed(store, range(7))
    window = read_window(None, None, "7d", now_ms=NOW)
    page = await credits_page(lens(store), by="project", window=window, step="1d")
    assert {SLUG: 0.0, other.slug: None} == {line.labels["project"]: line.credits.value for line in page.lines}
    assert page.total.value is None
    narrow = await overview(lens(store), window=window, filters=Filters(org=PROJECT.org))
    assert narrow.totals["credits"].value == total


async def test_a_project_is_missing_where_its_organisation_is_told_of(store):
    """Its own newest day is not up to when credits are known."""
    await told(store, range(7), credits_of=lambda ago: 0)
    await billed(store, range(3, 7))
    row = usage(90, **FREE, stopped_at=TODAY + HOUR_MS)
    await merge(store, replace(row, project=SISTER))
    window = read_window(None, None, "7d", now_ms=NOW)
    assert await total_of(store, "project", window, "value") is None


async def total_of(store, by, window, part):
    """Of the page of credits."""
    return getattr((await credits_page(lens(store), by=by, window=window, step="1d")).total, part)


async def test_what_cost_nothing_has_a_trend(store):
    """Down to nothing is better; rows of one branch are not known, and neither is what a branch cost."""
    await told(store, range(14), credits_of=lambda ago: 0 if ago < 7 else 100)
    await billed(store, range(7))
    window = read_window(None, None, "7d", now_ms=NOW)
    total = (await overview(lens(store), window=window)).totals["credits"]
    assert (0.0, 700.0, -700.0, "better") == (total.value, total.previous, total.change, total.direction)
    narrow = await overview(lens(store), window=window, filters=Filters(branch="main"))
    assert None is narrow.totals["credits"].value


def test_what_got_worse_is_told_of_the_part_that_is_known():
    """A whole window beside a part of one would hide it, or make it up."""
    steady = Trend(1.0, 20, 20, False, 1.0, 20, 0.0, "same")
    grown = Trend(130.0, 20, None, False, 200.0, 20, 30.0, "worse", format_ms(TODAY), 130.0, 100.0)
    groups = {
        (("project", SLUG), ("workflow", "build")): {"success_rate": steady, "duration_p95": steady, "credits": grown}
    }
    (worse,) = find_worse(groups, most=5)
    assert ("credits", 130.0, 100.0, 30.0) == (worse.metric, worse.value, worse.previous, worse.change)
    assert () == tuple(find_better(groups, most=5))
