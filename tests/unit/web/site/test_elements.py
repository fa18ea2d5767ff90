"""Every element of the pages of insights says what the API says: figures, charts, tables, cell by cell.

That the API's numbers are right is shown by `tests/unit/insights/test_views_numbers.py` against an independent count.
"""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio
from tests.e2e.hostile import EVIL, PROJECT, RUN, TEST, hostile
from tests.unit.insights.world import DAY, NOW, World, sqlite, tell
from tests.unit.web.site.dom import read, rows_of
from tests.unit.web.test_api import Answers, Health

from headgate.app.telemetry import Telemetry
from headgate.core.times import parse_ms
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.credits import CREDITS_BY
from headgate.insights.views.lens import Lens
from headgate.insights.views.reruns import RERUNS_BY
from headgate.web.api import build_app
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages
from headgate.web.site.routes import add_pages
from headgate.web.site.words import NOTHING, duration, number, percentage, second, shown, word

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWNERS = Owners([parse_owner({"project": PROJECT}, "web"), parse_owner(["project=~gh/beta/.*"], "beta")])
WINDOW = {"window": "30d"}
FLOW = {"project": PROJECT, "workflow": "build"}
JOB = {**FLOW, "job": "test"}
RUN_COLUMNS = ("runs", "success_rate", "duration_p50", "duration_p95", "failed_runs", "credits")
JOB_COLUMNS = ("runs_of_jobs", "success_rate_of_jobs", "duration_p50_of_jobs", "duration_p95_of_jobs", "queue_p95")
# What each chart draws, in the order of its columns.
CHARTS = {
    "runs": ("runs", "failed_runs"),
    "success_rate": ("success_rate",),
    "duration_p95": ("duration_p95", "duration_p50"),
    "queue_p50": ("queue_p50",),
    "credits": ("credits",),
}


class Bench:
    """Pages and API over one store."""

    def __init__(self, store):
        def lens():
            return Lens(store, NOW, owners=OWNERS)

        answers = Answers()
        app = build_app(answers, Health(), MetricPages(Telemetry().page, lambda _: b""), version="0.0")
        add_insights(app, lens)
        add_pages(app, answers, lens, "0.0")
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")

    async def page(self, path, **query):
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return read(answer.text)

    async def api(self, name, **query):
        answer = await self.http.get(f"/api/v1/insights/{name}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def over_time(self, names, **query):
        """Metrics over time as a plot, from the rows that the API gives of each."""
        lines, at = [], []
        for name in names:
            answer = await self.http.get("/api/v1/series", params={"metric": name, **query})
            rows = answer.json()["rows"]
            at = [row["at"] for row in rows]
            lines.append({"metric": name, "values": [row["value"] for row in rows]})
        return {"at": at, "lines": lines}

    async def both(self, path, name, **query):
        """The page and the answer to the same question."""
        return await self.page(path, **query), await self.api(name, **query)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory):
    """Ten days of runs of three projects, one workflow of which broke five days ago, and hostile names."""
    store = sqlite(tmp_path_factory.mktemp("elements"))
    await store.open()
    world = World(700)
    for run in world.runs:
        if run["workflow"] == "ship":
            broke = run["stopped"] >= NOW - 5 * DAY and int(run["id"][-1]) % 3
            run["status"] = "failed" if broke else "success"
    await tell(store, [*world.told(), *hostile()])
    made = Bench(store)
    async with made.http:
        yield made
    await store.close()


def tiles(page):
    """Metric -> (value, words)."""
    return {one.attributes["data-tile"]: (one.number, one.words) for one in page.all(data_tile=None)}


def check_tiles(page, figures, names):
    """Each figure with its value, and beside it that of the window before where they differ."""
    told = tiles(page)
    assert set(names) <= told.keys()
    for name, (value, words) in told.items():
        if name in figures:
            one = figures[name]
            assert one["value"] == value, name
            if "from " in words:
                assert shown(one["previous"], FORMS[name]) in words


FORMS = {
    **dict.fromkeys(("runs", "runs_of_jobs", "failed_runs"), "number"),
    **dict.fromkeys(("success_rate", "success_rate_of_jobs"), "percentage"),
    **dict.fromkeys(("credits", "credits_of_jobs"), "credits"),
}
FORMS |= {f"{name}{of}": "duration" for name in ("duration_p50", "duration_p95") for of in ("", "_of_jobs")}
FORMS |= dict.fromkeys(("queue_p50", "queue_p95"), "duration")


def check_cells(row, figures, names):
    """Of each metric the value, and the one before in small where it is another one."""
    cells = {one.attributes["data-metric"]: one for one in row.all(data_metric=None)}
    assert set(names) <= cells.keys()
    for name, cell in cells.items():
        assert (figures[name]["value"], shown(figures[name]["value"], FORMS[name])) == (cell.number, cell.words), name
    before = [one.words for one in row.all(class_="was")]
    moved = [
        shown(figures[name]["previous"], FORMS[name])
        for name in cells
        if None not in (figures[name]["value"], figures[name]["previous"])
        and figures[name]["value"] != figures[name]["previous"]
    ]
    assert moved == before


def check_charts(page, plot, wanted):
    """Each chart with all its lines, step by step; a step without a run counts nothing, and its credits are unknown."""
    lines = {line["metric"].removesuffix("_of_jobs"): line["values"] for line in plot["lines"]}
    figures = {one.attributes["data-chart"]: one for one in page.all("figure", data_chart=None)}
    assert list(wanted) == list(figures)
    for name, figure in figures.items():
        rows = figure.one("tbody").all("tr")
        assert [parse_ms(at) // 1000 for at in plot["at"]] == [int(row.one("th").attributes["data-t"]) for row in rows]
        drawn = [
            tuple(float(cell.attributes["data-v"]) if cell.attributes["data-v"] else None for cell in row.all("td"))
            for row in rows
        ]
        bars = figure.attributes["data-kind"] == "bars"
        told = [
            tuple(0.0 if one is None and bars and name != "credits" else one for one in step)
            for step in zip(*(lines[x] for x in CHARTS[name]), strict=True)
        ]
        assert told == drawn, name


def check_runs(rows, runs):
    """A table of runs: end, branch, trigger, time, duration and credits of each, in order."""
    assert [
        (
            word(run["status"]),
            run["branch"],
            run["trigger"],
            second(run["stopped_at"]),
            duration(run["duration"]),
            ("~" if run["credits_estimated"] and run["credits"] is not None else "") + shown(run["credits"], "credits"),
        )
        for run in runs
    ] == [
        (
            row["Status"].words,
            row["Branch"].attributes["title"],
            row["Trigger"].attributes["title"],
            row["Ended (UTC)"].words,
            row["Duration"].words,
            row["Credits"].words,
        )
        for row in rows
    ]
    for row, run in zip(rows, runs, strict=True):
        assert f"/run/{run['id']}" in row["Run"].one("a").attributes["href"]


async def test_the_overview(bench):
    """Figures of everything beside the window before, four charts, what got worse and why, projects by health."""
    page, told = await bench.both("/", "overview", window="5d")
    check_tiles(page, told["totals"], ("runs", "success_rate", "duration_p50", "duration_p95", "queue_p95", "credits"))
    check_charts(
        page, await bench.over_time(RUN_COLUMNS, window="5d"), ("runs", "success_rate", "duration_p95", "credits")
    )
    rows = {row.attributes["data-project"]: row for row in page.all("tr", data_project=None)}
    assert [one["project"] for one in told["projects"]] == list(rows)
    for one in told["projects"]:
        check_cells(rows[one["project"]], one["figures"], RUN_COLUMNS)
    worse = page.all(data_worse=None)
    assert worse
    assert [one["metric"] for one in told["worse"]] == [row.attributes["data-worse"] for row in worse]
    for one, row in zip(told["worse"], worse, strict=True):
        assert all(name in row.words for name in (one["project"], *(cause["job"] for cause in one["because"][:1])))


async def test_projects(bench):
    """Each with its figures, median queue time, branches and its last five runs, each a link."""
    page, told = await bench.both("/projects", "projects", **WINDOW)
    cells = rows_of(page, "Projects")
    rows = page.all("tr", data_project=None)
    assert 3 == len(told["projects"]) == len(rows)
    for one, row, cell in zip(told["projects"], rows, cells, strict=True):
        check_cells(row, one["figures"], RUN_COLUMNS)
        assert duration(one["figures"]["queue_p50"]["value"]) == cell["Queue p50"].words
        assert number(one["branches"]) == cell["Branches"].words
        links = [link.attributes["href"].partition("?")[0] for link in cell["Last runs"].all("a")]
        assert [f"/run/{run['id']}" for run in one["last_runs"][::-1]] == links
        assert len(links) == 5


async def test_a_project(bench):
    """The same figures, charts by day, workflows, reasons of failures, branches with their figures, last runs."""
    page, told = await bench.both("/project", "project", project=PROJECT, **WINDOW)
    check_tiles(page, told["figures"], ("runs", "success_rate", "duration_p95", "credits"))
    check_charts(page, told["plot"], ("runs", "success_rate", "duration_p95", "queue_p50", "credits"))
    flows = page.all("tr", data_workflow=None)
    assert [one["workflow"] for one in told["workflows"]] == [row.attributes["data-workflow"] for row in flows]
    for one, row in zip(told["workflows"], flows, strict=True):
        check_cells(row, one["figures"], RUN_COLUMNS)
    branches = rows_of(page, "Branches with most runs")
    assert len(branches) == min(10, len(told["branches"])) > 3
    for one, row in zip(told["branches"], branches, strict=False):
        figures = {name: figure["value"] for name, figure in one["figures"].items()}
        assert one["branch"] == row["Branch"].attributes["title"]
        assert (
            shown(figures["runs"], "number"),
            percentage(figures["success_rate"]),
            duration(figures["duration_p50"]),
            shown(figures["credits"], "credits"),
        ) == tuple(row[name].words for name in ("Runs", "Success rate", "p50", "Credits"))
    check_runs(rows_of(page, "Last runs of the project"), told["last_builds"][:25])
    failures = await bench.api("failures", project=PROJECT, limit=5, **WINDOW)
    groups = [row.attributes["data-group"] for row in page.all("tr", data_group=None)]
    assert [one["id"] for one in failures["groups"]] == groups


@pytest.mark.parametrize("filters", [{}, {"branch_class": "@default"}, {"branch": "fix/a", "trigger": "api"}])
async def test_a_workflow(bench, filters):
    """All runs, success rate, duration and credits over time; jobs; runs page by page; under any filter."""
    page, told = await bench.both("/workflow", "workflow", **FLOW, **WINDOW, **filters)
    check_tiles(page, told["figures"], ("runs", "success_rate", "duration_p50", "duration_p95", "credits"))
    check_charts(page, told["plot"], ("runs", "success_rate", "duration_p95", "credits"))
    jobs = page.all("tr", data_job=None)
    assert [one["job"] for one in told["jobs"]] == [row.attributes["data-job"] for row in jobs]
    for one, row in zip(told["jobs"], jobs, strict=True):
        check_cells(row, one["figures"], JOB_COLUMNS)
    listed = await bench.api("runs", **FLOW, **WINDOW, **filters)
    check_runs(rows_of(page, "Runs, newest first"), listed["runs"])
    older = [one for one in page.all("a") if one.words == "Older runs"]
    assert bool(listed["next"]) is bool(older)
    if older:
        following = read((await bench.http.get(older[0].attributes["href"])).text)
        after = await bench.api("runs", cursor=listed["next"], **FLOW, **WINDOW, **filters)
        check_runs(rows_of(following, "Runs, newest first"), after["runs"])


async def test_a_job(bench):
    """Total credits, p95, runs, success rate and queue as figures and over time; machine sizes; the last fifty."""
    page, told = await bench.both("/job", "job", **JOB, **WINDOW)
    names = ("credits_of_jobs", "duration_p95_of_jobs", "runs_of_jobs", "success_rate_of_jobs", "queue_p95")
    check_tiles(page, told["figures"], names)
    check_charts(page, told["plot"], ("runs", "success_rate", "duration_p95", "queue_p50", "credits"))
    sizes = rows_of(page, "What the job cost")
    assert [one["resource_class"] for one in told["resource_classes"]] == [row["Size"].words for row in sizes]
    for one, row in zip(told["resource_classes"], sizes, strict=True):
        figures = {name: figure["value"] for name, figure in one["figures"].items()}
        assert (
            number(figures["runs_of_jobs"]),
            percentage(figures["success_rate_of_jobs"]),
            duration(figures["duration_p95_of_jobs"]),
            shown(figures["credits_of_jobs"], "credits"),
        ) == tuple(row[name].words for name in ("Runs", "Success rate", "p95", "Credits"))
    rows = rows_of(page, "This job, newest first")
    assert len(rows) == len(told["runs"]) == 50
    assert [
        (word(one["status"]), second(one["stopped_at"]), duration(one["queue"]), duration(one["duration"]))
        for one in told["runs"]
    ] == [tuple(row[name].words for name in ("Status", "Ended (UTC)", "Queue", "Ran")) for row in rows]
    assert all(
        row["CircleCI"].one("a").attributes["href"] == one["url"] for row, one in zip(rows, told["runs"], strict=True)
    )


async def test_builds(bench):
    """Of all projects, as the Server showed them: now, last build, medians, branches, parallelism."""
    page, told = await bench.both("/builds", "builds", **WINDOW)
    rows = rows_of(page, "Projects, what goes on")
    assert len(rows) == len(told["projects"]) == 3
    for one, row in zip(told["projects"], rows, strict=True):
        assert one["project"] == row["Project"].attributes["title"]
        assert (one["running"] + one["queued"] + one["on_hold"] == 0) is (row["Now"].words == "idle")
        assert second(one["last_build"]["stopped_at"]) in row["Last build"].words
        assert len(one["last_builds"]) == len(row["Last results"].all("a")) == 5
        assert (one["build_time"]["value"], duration(one["queue_time"]["value"])) == (
            row["Median build"].number,
            row["Median queue"].words,
        )
        assert number(one["branches"]) == row["Branches"].words
        assert str(one["parallelism"] or NOTHING) == row["Parallelism"].words


async def test_builds_of_a_project(bench):
    """Fifty of the default branch, more than a hundred of a chosen one, medians of each day up to ninety."""
    asked = {"project": PROJECT, "branch": "main", "window": "90d"}
    page, told = await bench.both("/builds", "project-builds", **asked)
    check_runs(rows_of(page, "Last builds of the default branch"), told["default_builds"])
    check_runs(rows_of(page, "Last builds of the branch"), told["branch_builds"])
    assert len(told["default_builds"]) == 50
    assert len(told["branch_builds"]) > 100
    default, branch = page.all("svg", class_="builds")
    assert [50, len(told["branch_builds"])] == [len(default.all("a")), len(branch.all("a"))]
    assert {"duration_p50", "queue_p50"} <= {line["metric"] for line in told["days"]["lines"]}
    assert len(told["days"]["at"]) >= 90
    charts = {one.attributes["data-chart"] for one in page.all("figure", data_chart=None)}
    assert {"duration_p50", "queue_p50"} <= charts
    lines = {line["metric"]: line["values"] for line in told["days"]["lines"]}
    for name in ("duration_p50", "queue_p50"):
        cells = page.one("figure", data_chart=name).one("tbody").all("td")
        assert lines[name] == [float(one.attributes["data-v"]) if one.attributes["data-v"] else None for one in cells]


async def test_a_run(bench):
    """Jobs in the waterfall with queue, approval and execution, the critical path, why it failed, steps."""
    page, told = await bench.page(f"/run/{RUN}"), await bench.api("run", run=RUN)
    jobs = {job["id"]: job for job in told["jobs"]}
    rows = {row.attributes["data-job"]: row for row in page.all("tr", data_job=None)}
    assert jobs.keys() == rows.keys()
    for name, row in rows.items():
        job, cells = jobs[name], {cell.attributes.get("data-label"): cell for cell in row.all("td")}
        waited = cells["Hold"] if job["approval_wait"] is not None else cells["Queue"]
        assert duration(job["approval_wait"] if job["approval_wait"] is not None else job["queue"]) == waited.words
        assert (duration(job["duration"]), job["critical"]) == (
            cells["Ran"].words,
            "critical" in row.attributes.get("class", ""),
        )
        assert (job["critical_share"] if job["critical"] else None) == cells["Critical"].number
        if job["type"] != "approval":
            assert all(job[name] in row.one(data_machine=None).words for name in ("executor", "resource_class"))
        assert word(job["status"]) in row.words
    path = " ".join(one.words for one in page.one("p", class_="path").all("bdi"))
    assert " ".join(jobs[name]["job"] for name in told["critical_path"]) == path
    reasons = rows_of(page, "Reasons of failed jobs")
    assert [(one["job"], str(one["count"])) for one in told["failures"]] == [
        (row["Job"].words, row["Times"].words.split()[0]) for row in reasons
    ]
    assert sum(len(job["steps"]) for job in told["jobs"]) == len(rows_of(page, "Steps of")) == 1
    assert told["duration"] == page.one(data_run="taken").number
    facts = page.one("dl", class_="facts").words
    assert all(text in facts for text in (told["branch"], told["author"], told["trigger"], told["revision"][:12]))


async def test_tests(bench):
    """Flaky ones with life, score, rate, changes, losses and jobs; failing, slowest; how many of each."""
    page, told = await bench.both("/tests", "tests", **WINDOW)
    counts = {name: value for name, (value, _) in tiles(page).items()}
    wanted = {"tests": "tests"} | {name: f"{name}_tests" for name in ("flaky", "fixed", "failing", "slow", "slowing")}
    assert {name: told[key] for name, key in wanted.items()} == counts
    rows = rows_of(page, "Flaky tests") if told["flaky"] else []
    assert [
        (one["test_id"], shown(one["flaky_score"], "score"), percentage(one["transition_rate"]), number(one["flakes"]))
        for one in told["flaky"]
    ] == [
        (
            row["Test"].one("a").attributes["href"].partition("test=")[2].partition("&")[0],
            *(row[name].words for name in ("Score", "Changes", "Flakes")),
        )
        for row in rows
    ]
    slowest = rows_of(page, "Slowest tests")
    assert len(slowest) == len(told["slowest"]) > 0


async def test_one_test(bench):
    """Counts, each result as a link to its run, verdicts by branches, messages."""
    page, told = await bench.both("/test", "test", project=PROJECT, test=TEST, **WINDOW)
    counts = {name: value for name, (value, _) in tiles(page).items()}
    assert (told["passes"], told["failures"], told["flakes"], told["skips"], told["commits"], told["mean"]) == tuple(
        counts[name] for name in ("passes", "failures", "flakes", "skips", "commits", "mean")
    )
    links = [one.attributes["href"] for one in page.one("ol", class_="strip").all("a")]
    assert [f"/run/{one['workflow_id']}" for one in told["results"]] == [link.partition("?")[0] for link in links]
    classes = rows_of(page, "Results on the default branch")
    assert [
        (number(one["passes"]), number(one["flakes"]), percentage(one["transition_rate"])) for one in told["classes"]
    ] == [tuple(row[name].words for name in ("Passes", "Flakes", "Changes")) for row in classes]
    assert f"On {told['passed_on_retry']} commit" in page.words
    messages = rows_of(page, "Messages of failures")
    assert [number(one["count"]) for one in told["messages"]] == [row["Times"].words for row in messages]


@pytest.mark.parametrize("by", CREDITS_BY)
async def test_credits(bench, by):
    """By each dimension: credits, share, the window before, runs; and over time."""
    page, told = await bench.both("/credits", "credits", by=by, **WINDOW)
    rows = rows_of(page, f"Credits by {word(by)}, ")
    what = "Jobs" if told["metric"] == "credits_of_jobs" else "Runs"
    assert [
        (
            one["credits"]["value"],
            percentage(one["share"]),
            shown(one["credits"]["previous"], "credits"),
            number(one["runs"]),
        )
        for one in told["lines"]
    ] == [(row["Credits"].number, *(row[name].words for name in ("Share", "Before", what))) for row in rows]
    charges = await bench.api("charges", by="project", **WINDOW)
    assert charges["whole"]["total"] == page.one(data_charges="total").number


@pytest.mark.parametrize("by", RERUNS_BY)
async def test_waste_by_retries(bench, by):
    """Figures beside the window before, and lines of each dimension."""
    page, told = await bench.both("/reruns", "reruns", by=by, **WINDOW)
    values = {name: value for name, (value, _) in tiles(page).items()}
    assert {name: one["value"] for name, one in told["figures"].items()} == values
    rows = rows_of(page, "Waste by retries by")
    assert [one["credits"] for one in told["lines"]] == [
        next(cell.number for cell in row.values() if "data-value" in cell.attributes) for row in rows
    ]


@pytest.mark.parametrize("filters", [{}, {"branch_class": "@default"}, {"trigger": "api"}, {"team": "web"}])
@pytest.mark.parametrize(("path", "about"), [("/workflow", FLOW), ("/credits", {"by": "team"})])
async def test_waste_by_retries_is_of_the_page_that_it_stands_on(bench, path, about, filters):
    """It passes the same filters, also when it is grouped by something else, and says so."""
    page = await bench.page(path, **about, **WINDOW, **filters)
    (retries,) = page.all(aria_label="Waste by retries")
    assert retries.attributes["hx-get"] == retries.one("a").attributes["href"]
    place = {name: value for name, value in about.items() if name != "by"}
    told = await bench.api("reruns", by="project", **place, **WINDOW, **filters)
    figures = {name: one["value"] for name, one in told["figures"].items()}
    shown_at = read((await bench.http.get(retries.attributes["hx-get"])).text)
    links = [one.attributes["href"] for one in shown_at.one("nav", aria_label="Retries grouped by").all("a")]
    assert len(RERUNS_BY) - bool(filters.keys() - {"team"}) == len(links)
    for link in (retries.attributes["hx-get"], *links):
        whole = read((await bench.http.get(link)).text)
        assert {name: value for name, (value, _) in tiles(whole).items()} == figures
        assert all(value in whole.words for value in filters.values())


async def test_machine_sizes(bench):
    """Which class fits, what it saves, the risk, runs looked at; how many of each verdict."""
    page, told = await bench.both("/rightsizing", "rightsizing", **WINDOW)
    rows = rows_of(page, "Machine sizes")
    assert [one["verdict"] for one in told["jobs"]] == [
        row.attributes["data-verdict"] for row in page.all("tr", data_verdict=None)
    ]
    for one, row in zip(told["jobs"], rows, strict=True):
        assert (one["saving"], one["risk"] or "") == (row["Saves"].number, row["Risk"].words)
        assert row["Runs"].words.startswith(number(one["measured"]))
        assert one["to"] in row["Advice"].words
        assert one["reason"] in row["Advice"].words
    assert told["saving"] == tiles(page)["saving"][0]


async def test_budgets(bench):
    """Spent and expected with its range, by project."""
    page, told = await bench.both("/budgets", "budgets", by="project")
    rows = rows_of(page, "Spent so far")
    assert [
        (one["spent"], one["expected"], second(one["until"]), number(one["anomalies"])) for one in told["lines"]
    ] == [(row["Spent"].number, row["Expected"].number, row["Ends (UTC)"].words, row["Odd days"].words) for row in rows]


async def test_dora(bench):
    """Each figure with its definition and what it counts; by project and by team; the last deployments."""
    page, told = await bench.both("/dora", "dora", **WINDOW)
    values = {name: value for name, (value, _) in tiles(page).items()}
    assert values == {name: told["figures"][name]["value"] for name in values}
    assert len(values) >= 4
    for one in told["definitions"]:
        if one["metric"] in values:
            assert one["doc"] in page.one("section", data_tile=one["metric"]).words
    for key, caption in (("projects", "DORA metrics by project"), ("teams", "DORA metrics by team")):
        rows = rows_of(page, caption)
        assert [one["figures"]["deployments"]["value"] for one in told[key]] == [
            row["Deployments"].number for row in rows
        ]
    assert len(told["newest"]) == len(rows_of(page, "Last deployments"))


async def test_hostile_names_are_in_the_tables(bench):
    """What somebody outside named is text in its cell."""
    page = await bench.page("/workflow", project=PROJECT, workflow=EVIL, **WINDOW)
    assert EVIL in page.one("h1").words
