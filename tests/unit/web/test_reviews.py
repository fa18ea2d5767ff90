"""Reviews: numbers read back from the file are the API's, it needs nothing but itself, and mail carries it."""

import re
from dataclasses import fields, replace
from html import unescape
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
import pytest_asyncio
from tests.unit.insights.details import NOW as DETAILS_NOW
from tests.unit.insights.test_views_tests import commit
from tests.unit.insights.world import DAY, NOW, World, sqlite, tell
from tests.unit.web.test_api import Answers, Health

from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.messages import content_of, payload_of
from headgate.core.storeport import AlertChange
from headgate.core.times import parse_ms
from headgate.insights.outlook import Budget
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.budgets import budgets_page
from headgate.insights.views.failuregroups import HitJob, Reason
from headgate.insights.views.failures import failures_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.overview import overview
from headgate.insights.views.periods import last_period
from headgate.insights.views.refusal import Refused
from headgate.insights.views.report import Of, report_page
from headgate.insights.views.reruns import reruns_page
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.window import Window
from headgate.store import MemoryStore
from headgate.web.api import build_app
from headgate.web.metricpages import MetricPages
from headgate.web.operations import WantedReport
from headgate.web.reviews import REPORT_CSP, report_digest, report_html, report_title
from headgate.web.site.routes import add_pages
from headgate.web.site.shapes import Chart, Row
from headgate.web.sketches import HEIGHT, WIDTH, sketch

pytestmark = pytest.mark.asyncio(loop_scope="module")
WINDOW = Window(NOW // DAY * DAY - 7 * DAY, NOW // DAY * DAY)
EVIL = "<script>alert(1)</script>\u202e"
OWNERS = Owners([parse_owner({"project": "gh/acme/web"}, "web"), parse_owner(["project=~gh/beta/.*"], "beta")])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lens(tmp_path_factory):
    """Two weeks of runs, one workflow that breaks in the second and one that recovers; hostile names."""
    store = sqlite(tmp_path_factory.mktemp("reviews"))
    await store.open()
    world = World(450, days=16)
    for run in world.runs:
        late = run["stopped"] >= WINDOW.since_ms
        if run["workflow"] == "build":
            run["status"] = "failed" if late and int(run["id"][-1], 16) % 3 else "success"
        else:
            run["workflow"] = EVIL
            run["status"] = "success" if late or int(run["id"][-1], 16) % 3 == 0 else "failed"
    await tell(store, world.told())
    fired = b'{"rule":"slow","labels":{"project":"gh/acme/web"},"from":"pending","to":"firing","told":["mail","ops"]}'
    other = b'{"rule":"other","labels":{"project":"gh/acme/gone"},"from":"pending","to":"firing"}'
    ended = b'{"rule":"slow","labels":{"project":"gh/acme/web"},"from":"firing","to":"resolved"}'
    lines = [("f", WINDOW.since_ms + at, body) for at, body in enumerate((fired, other, ended, b"no JSON", fired))]
    await store.transition(AlertChange(history=[*lines, ("f", WINDOW.since_ms - 1, fired)]))
    yield Lens(store, NOW, owners=OWNERS)
    await store.close()


def numbers(text, row):
    """Metric -> (value, value before) as the file has them, of the row that begins with this."""
    part = text[text.index(row) :]
    part = part[: part.index("</tr>")]
    found = re.findall(r'data-metric="(\w+)" data-value="([^"]*)" data-previous="([^"]*)"', part)
    return {name: tuple(float(one) if one else None for one in pair) for name, *pair in found}


async def test_numbers_read_back_are_those_of_the_api(lens):
    """Of the whole, of each project, of what moved; those of the time before too."""
    page = await report_page(lens, every="week", window=WINDOW)
    text = report_html(page, "1.0")
    whole = await overview(lens, window=WINDOW)
    tiles = dict(re.findall(r'data-tile="(\w+)".*?<b data-value="([^"]*)"', text))
    for metric, shown in tiles.items():
        value = whole.totals[metric].value
        assert value == (float(shown) if shown else None), metric
    assert {"runs", "success_rate", "duration_p95", "queue_p95", "credits"} <= tiles.keys()
    assert len(whole.projects) == 3
    for card in whole.projects:
        read = numbers(text, f'data-project="{card.project}"')
        assert {"runs", "success_rate", "queue_p95", "credits"} <= read.keys()
        assert read.pop("rerun_credits")
        assert {name: (card.figures[name].value, card.figures[name].previous) for name in read} == read
    moved = re.findall(r'data-moved="(\w+)".*?data-value="([^"]*)"', text.partition('id="better"')[0])
    assert [(one.metric, one.value) for one in whole.worse] == [(metric, float(value)) for metric, value in moved]


async def test_what_got_better_and_worse_and_why(lens):
    """A workflow that broke with the jobs that fail more, one that recovered with those that fail less."""
    page = await report_page(lens, every="week", window=WINDOW)
    worse = {(one.project, one.workflow, one.metric) for one in page.worse}
    better = {(one.project, one.workflow, one.metric) for one in page.better}
    assert ("gh/acme/web", "build", "success_rate") in worse
    assert ("gh/acme/web", EVIL, "success_rate") in better
    assert not worse & better
    for one in page.better:
        assert one.n > 0
        grew = (one.change > 0) is (one.metric == "success_rate")
        assert (grew, one.value - one.previous) == (True, pytest.approx(one.change))
        assert all(cause.change < 0 for cause in one.because)


async def test_teams_and_filters(lens):
    """Teams are compared; a report of some is of them alone."""
    page = await report_page(lens, every="week", window=WINDOW)
    assert ["beta", "web"] == sorted(one.name for one in page.teams)
    web = next(one for one in page.projects if one.name == "gh/acme/web")
    for of in (Of(projects=("gh/acme/w*",)), Of(teams=("web",))):
        one = await report_page(lens, every="week", window=WINDOW, of=of)
        assert [web] == list(one.projects)
        assert one.totals["runs"].value == web.figures["runs"].value
        assert all(moved.project == "gh/acme/web" for moved in (*one.worse, *one.better))
    assert "gh/acme/w*" in report_title(replace(page, of=Of(projects=("gh/acme/w*",))))
    with pytest.raises(Refused, match="nope"):
        await report_page(lens, every="week", window=WINDOW, of=Of(projects=("nope/*",)))


async def test_alerts_of_the_period(lens):
    """By rule: how often they fired and ended, and how many messages went out; of projects that are known alone."""
    page = await report_page(lens, every="week", window=WINDOW)
    assert [("slow", 2, 1, 4, 1)] == [(one.rule, one.fired, one.resolved, one.told, one.before) for one in page.alerts]


@pytest.mark.parametrize(
    ("of", "rules"),
    [
        (Of(), {"slow", "beta", "beta by label", "all"}),
        (Of(projects=("gh/acme/web",)), {"slow", "beta by label", "all"}),
        (Of(teams=("web",)), {"slow", "all"}),
        (Of(teams=("beta",)), {"beta", "beta by label", "all"}),
        (Of(projects=("gh/acme/web",), teams=("beta",)), {"beta by label", "all"}),
    ],
    ids=["all", "project", "web", "beta", "both"],
)
async def test_alerts_are_those_of_projects_and_teams(of, rules):
    """By the team of the alert, else by whose its project is; those about everything are in every report."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    await tell(store, World(40).told())
    told = {
        "slow": {"project": "gh/acme/web", "workflow": "build"},
        "beta": {"project": "gh/beta/app"},
        "beta by label": {"project": "gh/acme/web", "team": "beta"},
        "all": {},
    }
    lines = [
        ("f", WINDOW.since_ms + at, msgspec.json.encode({"rule": rule, "labels": labels, "to": "firing"}))
        for at, (rule, labels) in enumerate(told.items())
    ]
    await store.transition(AlertChange(history=lines))
    page = await report_page(Lens(store, NOW, owners=OWNERS), every="week", window=WINDOW, of=of)
    assert rules == {one.rule for one in page.alerts}
    await store.close()


async def test_waste_is_that_of_its_page(lens):
    """In all, by workflow, and of each project and team, beside the time before."""
    page = await report_page(lens, every="week", window=WINDOW)
    text = report_html(page, "1.0")
    whole = await reruns_page(lens, by="workflow", window=WINDOW)
    assert whole.figures["reruns"].value > 0
    head = text[text.index('id="waste"') :]
    told = dict(re.findall(r'<b data-metric="(\w+)" data-value="([^"]*)"', head))
    assert {name: str(one.value) for name, one in whole.figures.items()} == told
    assert [(one.labels["project"], one.labels["workflow"], one.credits) for one in whole.lines[:5]] == [
        (one.project, one.workflow, one.figures["rerun_credits"].value) for one in page.wasted
    ]
    for line in (await reruns_page(lens, by="project", window=WINDOW)).lines:
        assert line.credits == numbers(text, f'data-project="{line.labels["project"]}"')["rerun_credits"][0]
    for line in (await reruns_page(lens, by="team", window=WINDOW)).lines:
        if line.labels["team"]:
            assert line.credits == numbers(text, f'data-team="{line.labels["team"]}"')["rerun_credits"][0]


async def test_budgets_are_those_of_the_last_day(lens):
    """With what is expected; without a budget the month by team, and of a project alone by project."""
    spent = lens.metrics(["credits"])["credits"]
    budget = Budget("ci-budget", spent, ("project",), (), 100.0, "month", 1, 0.9)
    watched = replace(lens, budgets=(budget,))
    page = await report_page(watched, every="week", window=WINDOW)
    told = await budgets_page(replace(watched, now_ms=WINDOW.until_ms), by="budget")
    lines = tuple(replace(line, days=(), anomalies=0) for line in told.lines)
    assert (lines, told.as_of, True) == (page.budgets.lines, page.budgets.as_of, len(lines) == 3)
    text = report_html(page, "1.0")
    rows = re.findall(r'data-budget="ci-budget".*?data-value="([^"]*)"', text)
    assert [line.spent for line in told.lines] == [float(row) for row in rows]
    assert "3 budgets spent, or likely to be exceeded" in text
    one = await report_page(watched, every="week", window=WINDOW, of=Of(projects=("gh/acme/web",)))
    assert ["gh/acme/web"] == [line.labels["project"] for line in one.budgets.lines]
    plain = await report_page(lens, every="week", window=WINDOW)
    assert ("team", {"web", "beta"}) == (plain.budgets.by, {line.labels["team"] for line in plain.budgets.lines})


async def test_reasons_are_those_of_the_page_of_failures(lens):
    """The most frequent first; of teams theirs."""
    page = await report_page(lens, every="week", window=WINDOW)
    listed = await failures_page(lens, window=WINDOW)
    names = [one.name for one in fields(Reason)]
    told = [Reason(*(getattr(one, name) for name in names)) for one in listed.groups[:8]]
    assert told == list(page.reasons)
    assert told
    text = report_html(page, "1.0")
    counts = re.findall(r'data-reason="[^"]*".*?data-value="(\d+)"', text)
    assert [one.count for one in page.reasons] == [int(one) for one in counts]
    web = await report_page(lens, every="week", window=WINDOW, of=Of(teams=("web",)))
    assert {"gh/acme/web"} == {one.project for one in web.reasons}
    told = []
    for new in (False, None):
        one = replace(page, reasons=(replace(page.reasons[0], before=77, new=new),))
        told.append("77 before" in repr(report_digest(one, "1.0", name="weekly")))
    assert [True, False] == told, "what was not read is not told of"


async def test_jobs_of_one_name_are_told_apart(lens):
    """By their workflows; others are named alone."""
    page = await report_page(lens, every="week", window=WINDOW)
    jobs = (HitJob("build", "e2e", 3), HitJob("nightly", "e2e", 2), HitJob("build", "unit", 1))
    reason = replace(page.reasons[0], jobs=jobs, jobs_hit=3)
    text = report_html(replace(page, reasons=(reason,)), "1.0")
    told = re.search(r'<td data-label="Jobs">(.*?)</td>', text)[1]
    assert "build / e2e, nightly / e2e, unit" == re.sub(r"<[^>]+>", "", told)


async def test_it_begins_with_what_matters(lens):
    """Sentences with the numbers of the page, names as text; a project alone is not compared with teams."""
    page = await report_page(lens, every="week", window=WINDOW)
    text = report_html(page, "1.0")
    short = unescape(re.sub(r"<[^>]+>", "", text[text.index('id="short"') : text.index('aria-label="Key figures"')]))
    totals, worst = page.totals, page.worse[0]
    assert f"{totals['runs'].value:,.0f} runs, {totals['runs'].previous:,.0f} before" in short
    assert f"of {worst.project} / {worst.workflow}, from" in short
    assert f"{totals['reruns'].value:,.0f} repeats of failed runs took" in short
    assert "Alerts fired 2 times, most by slow" in short
    one = report_html(
        await report_page(replace(lens, owners=Owners()), every="week", window=WINDOW, of=Of(("gh/acme/web",))), "1.0"
    )
    assert (one.count('data-project="'), 'id="teams"' in one) == (1, False)


async def test_a_report_is_one_harmless_file(lens):
    """No script, nothing from elsewhere, no markup of a name; charts are drawn in it."""
    text = report_html(await report_page(lens, every="week", window=WINDOW), "1.0")
    assert not re.search(r"<script|<link|<img|<iframe| src=| href=| on[a-z]+=| style=|url\(|@import|http", text)
    assert unescape(text).count(EVIL) > 2
    assert text.count("<svg viewBox") == 4
    assert ("prefers-color-scheme: dark" in text, "@media print" in text) == (True, True)
    assert len(text.encode()) < 200_000


async def test_an_empty_time_says_so(lens):
    """Nothing ran, nothing moved, nothing fired."""
    empty = Window(NOW - 400 * DAY, NOW - 393 * DAY)
    page = await report_page(lens, every="week", window=empty)
    text = report_html(page, "1.0")
    for words in ("No run ended in this time", "Nothing got clearly worse", "No test is known", "No alert fired"):
        assert words in text
    assert (page.dora, page.projects, page.reasons, page.wasted) == ({}, (), (), ())
    assert ('id="short"' in text, 'id="waste"' in text) == (False, False)


async def test_a_message_has_the_numbers_and_the_file(lens):
    """As text and HTML for every notifier, with the file for mail; it survives the outbox."""
    page = await report_page(lens, every="week", window=WINDOW)
    digest = report_digest(page, "1.0", name="weekly")
    assert digest == content_of(payload_of(digest))
    assert f"report:weekly:{page.until}" == digest.key
    assert (report_html(page, "1.0"), True) == (digest.file, digest.file_name.endswith(".html"))
    assert ("## Got worse" in digest.markdown, "<h2>Projects</h2>" in digest.html) == (True, True)
    assert "<script>" not in digest.html + digest.markdown.replace("\\<script\\>", "")
    assert page.totals["runs"].value == digest.data["totals"]["runs"]["value"]


@pytest.mark.parametrize(
    ("every", "due", "where", "days"),
    [
        ("week", "2026-11-16T06:00:00Z", "Europe/Berlin", ("2026-11-09", "2026-11-16", "2026-11-02")),
        ("month", "2026-11-01T06:00:00Z", "Europe/Berlin", ("2026-10-01", "2026-11-01", "2026-08-30")),
        ("week", "2026-11-16T18:00:00Z", "America/New_York", ("2026-11-09", "2026-11-16", "2026-11-02")),
        ("week", "2026-11-16T06:00:00Z", "UTC", ("2026-11-09", "2026-11-16", "2026-11-02")),
    ],
)
async def test_days_are_those_of_its_time_zone(lens, every, due, where, days):
    """In the title, the name of the file, the mail and the tables; times are UTC, and that charts are is said."""
    zone = ZoneInfo(where)
    window = last_period(every, parse_ms(due), zone)
    page = await report_page(lens, every=every, window=window)
    since, until, before = days
    title = f"CI {every} {since} to {until}"
    digest = report_digest(page, "1.0", name="weekly", where=zone)
    assert (title, f"headgate-{every}-{since}-{until}.html") == (digest.title, digest.file_name)
    assert (True, True) == (digest.markdown.startswith(f"# {title}\n"), f"<h1>{title}</h1>" in digest.html)
    assert f"<h1>{title}</h1>" in digest.file
    assert not page.projects or f"Projects beside {before} to {since}," in digest.file
    assert f"{page.since[:19].replace('T', ' ')} to " in digest.file
    assert (where != "UTC") is (f"midnight of {where}" in digest.file) is ("charts go by UTC days" in digest.file)


async def test_tests_are_those_of_the_page(lens):
    """None here; the lists are those that the page of tests ranks."""
    page = await report_page(lens, every="week", window=WINDOW)
    listed = await page_of_tests(lens, window=WINDOW)
    assert (page.flaky, page.failing) == (listed.flaky, listed.failing)


async def test_a_message_lists_tests():
    """Flaky ones with their state and what they cost, and failing ones; names are text."""
    store = MemoryStore(clock=ManualClock(DETAILS_NOW))
    await store.open()
    for number in range(6):
        at = DETAILS_NOW - (6 - number) * 3_600_000
        await commit(store, number, at, {1: ["pass", "fail"], 2: ["fail"]})
    window = Window(DETAILS_NOW - 7 * DAY, DETAILS_NOW)
    page = await report_page(Lens(store, DETAILS_NOW), every="week", window=window)
    digest = report_digest(page, "1.0", name="weekly")
    flaky, failing = page.flaky[0], page.failing[0]
    for text in (digest.html, digest.markdown.replace("\\", "")):
        assert "Flaky and failing tests" in text
        assert all(word in text for word in (flaky.name, flaky.state, failing.name, "failing"))
    await store.close()


# -- served


@pytest_asyncio.fixture(loop_scope="module")
async def http():
    answers = Answers()
    app = build_app(answers, Health(), MetricPages(Telemetry().page, lambda _: b""), version="0.0")
    add_pages(app, answers, lambda: Lens(None, NOW), "0.0")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        client.answers = answers
        yield client


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (
            "/api/v1/report?every=month&until=2026-11-01&project=a&project=b&team=c",
            ("report", WantedReport("month", "2026-11-01", ("a", "b"), ("c",))),
        ),
        ("/api/v1/report", ("report", WantedReport("week"))),
        ("/api/v1/reports/weekly/weekly_x.html", ("saved_report", "weekly", "weekly_x.html")),
    ],
)
async def test_a_review_is_served_without_scripts(http, path, asked):
    """Whatever is in the file: the policy forbids them."""
    answer = await http.get(path)
    assert (200, REPORT_CSP) == (answer.status_code, answer.headers["content-security-policy"])
    assert ("script-src" not in REPORT_CSP, "default-src 'none'" in REPORT_CSP, "sandbox" in REPORT_CSP) == (True,) * 3
    assert asked == http.answers.asked[-1]


async def test_the_page_lists_what_is_saved(http):
    """With a link to each file."""
    text = (await http.get("/reports")).text
    assert 'href="/api/v1/reports/weekly/weekly_x.html"' in text
    assert (await http.get("/api/v1/reports")).json()[0]["report"] == "weekly"


# -- charts


@pytest.mark.parametrize("kind", ["bars", "line"])
async def test_a_chart_is_drawn_within_its_frame(kind):
    """Each value at its place; a step without one interrupts the line."""
    values = [0.0, 2.0, None, 4.0, 1.0]
    rows = tuple(Row(NOW + place * DAY, (value,)) for place, value in enumerate(values))
    drawn = sketch(Chart("runs", "Runs", "number", kind, ("All",), rows))
    marks = drawn.bars if kind == "bars" else drawn.points
    assert 4 == len(marks)
    assert all(0 <= mark.x and mark.x + mark.width <= WIDTH and 0 <= mark.y <= HEIGHT for mark in marks)
    heights = [mark.height for mark in marks]
    assert [0, 0.5, 1, 0.25] == [height / max(heights) for height in heights]
    assert ("4", "2026-11-18", "2026-11-22") == (drawn.top, drawn.first, drawn.last)
    assert "2026-11-19: All 2" == marks[1].title
    if kind == "line":
        ((_, path),) = drawn.paths
        assert ("M", 2) == (path[0], path.count("M"))


async def test_a_chart_of_nothing_is_empty():
    """No row, no mark."""
    parts = sketch(Chart("d", "Deployments", "number", "stacked", ("Succeeded", "Failed"), (Row(0, (3.0, 1.0)),)))
    assert [4.0, 1.0] == [mark.height * 4 / parts.bars[0].height for mark in parts.bars]
    assert ["1970-01-01: Succeeded 3", "1970-01-01: Failed 1"] == [mark.title for mark in parts.bars]
    drawn = sketch(Chart("runs", "Runs", "percentage", "line", ("All",), ()))
    assert ((), (), "100 %") == (drawn.bars, drawn.points, drawn.top)


async def test_credits_of_a_part_of_the_period_say_so(lens):
    """In the tile and beside those of retries, with what as long a part had before where that is known."""
    page = await report_page(lens, every="week", window=WINDOW)
    part = {"change": None, "direction": "unknown", "known_until": "2026-11-17T00:00:00.000Z"}
    late = {name: replace(page.totals[name], **part) for name in ("credits", "rerun_credits")}
    text = report_html(replace(page, totals={**page.totals, **late}), "1.0")
    assert "known up to" not in report_html(page, "1.0")
    assert (2, 0) == (text.count("known up to 2026-11-17 00:00"), text.count("in as long a time before"))
    compared = {"known": 60.0, "known_previous": 40.0, "change": 20.0, "direction": "worse"}
    page = replace(page, totals={**page.totals, **{name: replace(one, **compared) for name, one in late.items()}})
    text = report_html(page, "1.0")
    assert 2 == text.count("known up to 2026-11-17 00:00, 40 in as long a time before")
    assert "+50 %" in text
    digest = report_digest(page, "1.0", name="weekly")
    assert "(+50 %, known up to 2026-11-17 00:00)" in digest.markdown
    totals = {name: value for name, value in digest.data["totals"]["credits"].items() if name.startswith("known")}
    assert {"known": 60.0, "known_previous": 40.0, "known_until": part["known_until"]} == totals
