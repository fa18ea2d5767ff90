"""Tables for files: each gives every row of its view, once, and refuses what it does not understand."""

import asyncio
import dataclasses
from types import MappingProxyType

import pytest
import pytest_asyncio
from tests.unit.insights.world import DAY, NOW, World, sqlite, tell

from headgate.core.storeport import AlertChange
from headgate.core.times import format_ms, parse_ms
from headgate.insights import tables
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.formats import FORMATS, file_name, read_format
from headgate.insights.tables import TABLES, Material, find_table, open_table, read_asking
from headgate.insights.views.credits import CREDITS_BY
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.overview import overview
from headgate.insights.views.project import project_page
from headgate.insights.views.refusal import Refused
from headgate.insights.views.run import run_page
from headgate.insights.views.window import read_window
from headgate.insights.views.workflow import workflow_page

RUN = "00000000-0000-4000-8000-000100000003"
PLACE = {"project": ["gh/acme/web"]}
FLOW = {**PLACE, "workflow": ["build"]}
WORDS = {
    "workflows": PLACE,
    "branches": PLACE,
    "jobs": FLOW,
    "machine_sizes": {**FLOW, "job": ["test"]},
    "job_runs": {**FLOW, "job": ["test"]},
    "run_jobs": {"run": [RUN]},
    "steps": {"run": [RUN]},
    "run_failures": {"run": [RUN]},
    "query": {"metric": ["duration_p95"], "by": ["project", "branch"], "where": ["branch!=main"]},
}
# Read of stores with tests and alerts, in test_tables_single.py.
ELSEWHERE = {"test_results", "test_classes", "test_messages", "alert_evidence", "alert_causes"}
# What only the outside of the store tells.
ALERT = MappingProxyType({"state": "firing", "rule": "slow", "labels": {"project": "gh/acme/web"}, "since": "x"})
AUDITED = MappingProxyType({"source": "ci", "project": "gh/acme/web", "expected": 9, "present": 8})
SIGNAL = MappingProxyType({"state": "ok", "lag_seconds": 1.5, "waiting": 0, "dead": 0, "accepted": 9, "skipped": {}})


class Desk:
    """Operations that have one of everything."""

    async def alerts(self):
        return [dict(ALERT)]

    async def overview(self):
        sinks = {"loki": {"signals": {"logs": dict(SIGNAL)}}}
        status = {"sinks": sinks, "sources": {"ci": {"calls": 9, "budget_left": 4.5}}, "notifiers": {"mail": {}}}
        return {"status": status}

    async def completeness(self, window):
        assert window == "24h"
        return {"hours": ["x"], "projects": [AUDITED | {"cells": [None]}]}

    async def data(self):
        part = {"part": "facts", "bytes": 9, "kept": "90d", "oldest": None, "newest": None}
        file = {"kind": "export", "name": "nightly", "state": "ok", "files": 3, "bytes": 99, "keep": "30"}
        plugin = {"kind": "sink", "name": "loki", "used": ["loki"]}
        return {"parts": [part], "sources": [{"source": "ci", "projects": 3}], "files": [file], "plugins": [plugin]}

    async def routing(self):
        route = {"depth": 0, "match": ["team=web"], "to": None, "continue": True, "mute": []}
        return {"default": ["mail"], "mute": ["nights"], "routes": [route]}

    async def silences(self):
        return [{"id": 1, "state": "active", "matchers": ["team=web"], "author": "ann", "comment": "=1"}]

    async def backfills(self):
        return [{"id": "7", "state": "running", "share": 0.5, "projects": ["gh/acme/web"]}]

    async def dead_deliveries(self, limit, ids=(), before=None):
        numbers = range(min(450, (before or 999) - 1), 0, -1)
        return [{"id": one, "source": "ci", "bytes": 9, "body": "secret"} for one in numbers[:limit]]

    async def trail(self, since_ms, before, limit):
        entries = [{"id": number, "at": format_ms(NOW - 60_000 * (2500 - number))} for number in range(2502, 0, -1)]
        found = [one for one in entries if parse_ms(one["at"]) >= since_ms and (before is None or one["id"] < before)]
        return found[:limit]

    async def saved_reports(self):
        return [{"report": "weekly", "file": "weekly_x.html", "until": "x", "bytes": 9}]


async def test_the_trail_is_read_to_its_begin():
    """All of the window and nothing beyond, in pages; the newest of it first."""
    words = {"since": [format_ms(NOW - 2400 * 60_000)], "until": [format_ms(NOW)]}
    asked = read_asking(find_table("trail"), words, now_ms=NOW)
    opened = await open_table(Material(Lens(None, NOW), Desk()), asked)
    ids = [row[0] for page in [page async for page in opened.pages] for row in page]
    assert list(range(2499, 99, -1)) == ids


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory):
    """Read by all tests."""
    made = sqlite(tmp_path_factory.mktemp("world"))
    await made.open()
    await tell(made, World(600).told())
    yield made
    await made.close()


async def read(store, name, words=None):
    """A table: its columns by id, and its rows as mappings."""
    asked = read_asking(find_table(name), WORDS.get(name, {}) if words is None else words, now_ms=NOW)
    opened = await open_table(Material(Lens(store, NOW), Desk()), asked)
    names = [column.id for column in opened.columns]
    rows = [dict(zip(names, row, strict=True)) async for page in opened.pages for row in page]
    return opened.columns, rows


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ELSEWHERE])
async def test_every_table_can_be_read(store, name):
    """Columns have names of their own and words, and cells are of their column's type."""
    columns, rows = await read(store, name)
    assert len({column.id for column in columns}) == len(columns) > 0
    assert all(column.title and column.id.isidentifier() for column in columns)
    types = {"text": str, "time": str, "integer": int, "number": (int, float), "flag": bool}
    for row in rows:
        for column in columns:
            cell = row[column.id]
            assert cell is None or isinstance(cell, types.get(column.kind, (list, tuple, dict))), column.id


async def test_workings_are_told(store):
    """Names of mappings are columns, the last route is for what none takes, bodies of webhooks stay."""
    assert [("ci", 9)] == [(row["source"], row["calls"]) for row in (await read(store, "sources"))[1]]
    assert [None, ["mail"]] == [row["to"] for row in (await read(store, "routes"))[1]]
    columns, rows = await read(store, "webhooks_set_aside")
    assert ("body" in {column.id for column in columns}, rows[0]["bytes"]) == (False, 9)
    assert list(range(450, 0, -1)) == [row["id"] for row in rows]


async def test_definitions_come_from_the_catalogue(store):
    """A column that is a metric has its unit and its words."""
    columns, _ = await read(store, "projects")
    known = {column.id: column for column in columns}
    metric = CATALOGUE.names["duration_p95"]
    assert (metric.unit, True) == (known["duration_p95"].unit, metric.doc in known["duration_p95"].doc)


async def test_runs_are_given_to_the_end(store, monkeypatch):
    """Of a project over all pages of the view, each once, newest first; without a project those of all."""
    monkeypatch.setattr("headgate.insights.tables.runs._PAGE", 40)
    world = World(600)
    since = NOW - 30 * DAY
    of_web = [run for run in world.runs if run["project"] == "gh/acme/web" and since <= run["stopped"] < NOW]
    _, rows = await read(store, "runs", {**PLACE, "window": ["30d"]})
    ends = [row["stopped_at"] for row in rows]
    assert (len(of_web), sorted(ends, reverse=True)) == (len(rows), ends)
    assert {run["id"] for run in of_web} == {row["id"] for row in rows}
    _, rows = await read(store, "runs", {"window": ["30d"]})
    assert len({row["id"] for row in rows}) == len(rows) == len([run for run in world.runs if run["stopped"] < NOW])


async def test_runs_of_a_job_are_given_to_the_end(store, monkeypatch):
    """Also where a page ends within a millisecond, each once, newest first."""
    monkeypatch.setattr("headgate.insights.views.job._PAGE", 7)
    wanted = [
        job["id"]
        for job in World(600).jobs
        if (job["run"]["project"], job["run"]["workflow"], job["name"]) == ("gh/acme/web", "build", "test")
        and NOW - 30 * DAY <= job["stopped"] < NOW
    ]
    _, rows = await read(store, "job_runs", {**FLOW, "job": ["test"], "window": ["30d"]})
    assert sorted(wanted) == sorted(row["id"] for row in rows)
    ends = [row["stopped_at"] for row in rows]
    assert sorted(ends, reverse=True) == ends


async def test_cells_are_those_of_the_view(store):
    """Of workflows, jobs and branches, the same numbers as the page shows."""
    lens, window = Lens(store, NOW), read_window(None, None, None, now_ms=NOW)
    asked = {"project": "gh/acme/web", "window": window, "step": "1d"}
    page = await project_page(lens, **asked)
    _, flows = await read(store, "workflows")
    for line, row in zip(page.workflows, flows, strict=True):
        figures = line.figures["duration_p95"]
        assert (line.workflow, figures.value, figures.previous, figures.n) == (
            row["workflow"],
            row["duration_p95"],
            row["duration_p95_previous"],
            row["duration_p95_n"],
        )
        assert line.last_run.id == row["last_run"]
    _, branches = await read(store, "branches")
    assert [one.branch for one in page.branches] == [row["branch"] for row in branches]
    flow = await workflow_page(lens, workflow="build", **asked)
    _, jobs = await read(store, "jobs")
    assert [one.figures["credits_of_jobs"].value for one in flow.jobs] == [row["credits_of_jobs"] for row in jobs]
    run = await run_page(lens, run=RUN)
    _, parts = await read(store, "run_jobs")
    assert [(job.id, job.duration, job.critical) for job in run.jobs] == [
        (row["id"], row["duration"], row["critical"]) for row in parts
    ]
    whole = await overview(lens, window=window, filters=Filters())
    _, worse = await read(store, "worse")
    assert [one.change for one in whole.worse] == [row["change"] for row in worse]


@pytest.mark.parametrize(
    ("words", "metric"),
    [({}, "success_rate"), (PLACE, "queue_p50"), (FLOW, "credits"), ({**FLOW, "job": ["test"]}, "queue_p50")],
    ids=["everything", "project", "workflow", "job"],
)
async def test_a_plot_is_a_row_a_step(store, words, metric):
    """Of everything, of a project, of a workflow, of a job: steps meet, values are those of the plot."""
    _, rows = await read(store, "plot", {**words, "step": ["1d"]})
    assert [row["until"] for row in rows[:-1]] == [row["at"] for row in rows[1:]]
    assert len(rows) == 8
    assert any(row[metric] is not None for row in rows)


@pytest.mark.parametrize("by", CREDITS_BY)
async def test_credits_by_each_dimension(store, by):
    """Rows have the names of their group, and shares that make up the whole."""
    _, rows = await read(store, "credits", {"by": [by]})
    assert len(rows) > 1 or by == "team"
    assert sum(row["share"] or 0 for row in rows) == pytest.approx(1)


async def test_a_metric_over_time(store):
    """With a step a row for each group and step."""
    words = {"metric": ["runs"], "by": ["project"], "step": ["1d"]}
    columns, rows = await read(store, "query", words)
    assert ["project", "at", "runs", "n"] == [column.id for column in columns]
    assert len(rows) == 3 * 8


async def test_history_and_records_over_several_pages(store, monkeypatch):
    """Of a window, with what cannot be read as its text."""
    monkeypatch.setattr("headgate.insights.tables.operation._PAGE", 4)
    monkeypatch.setattr("headgate.insights.tables.operation._RECORDS", 300)
    lines = [("f", NOW - 1000 + number, b'{"rule":"slow","from":"pending","to":"firing"}') for number in range(9)]
    await store.transition(AlertChange(history=[*lines, ("g", NOW - 500, b"\xff not JSON")]))
    _, rows = await read(store, "alert_history", {})
    assert ["g", *["f"] * 9] == [row["fingerprint"] for row in rows]
    assert (rows[0]["why"], rows[1]["to"]) == ("\ufffd not JSON", "firing")
    _, rows = await read(store, "alert_history", {"rule": ["slow"]})
    assert len(rows) == 9
    _, rows = await read(store, "records", {"window": ["60d"]})
    figures = await store.figures()
    assert len({row["id"] for row in rows}) == len(rows) == sum(figures.log_head.values())
    assert rows[0]["attributes"]["cicd.pipeline.name"]


@pytest.mark.parametrize(
    ("name", "words", "kind", "parameter", "valid"),
    [
        ("runs", {"projct": ["x"]}, "bad-parameter", "projct", "project"),
        ("workflows", {}, "bad-parameter", "project", None),
        ("runs", {"project": ["a", "b"]}, "bad-parameter", "project", None),
        ("runs", {"project": ["x" * 1001]}, "bad-parameter", "project", None),
        ("credits", {"by": ["weekday"]}, "bad-parameter", "by", "team"),
        ("runs", {"since": ["soon"]}, "bad-time", "since", "7d"),
        ("runs", {"branch_class": ["x"]}, "bad-parameter", "branch_class", "@default"),
        ("runs", {"project": ["gh/acme/wbe"]}, "unknown-project", "project", "gh/acme/web"),
        ("runs", {"workflow": ["build"]}, "bad-parameter", "project", None),
        ("plot", {**PLACE, "job": ["x"]}, "bad-parameter", "workflow", None),
        ("plot", {"workflow": ["x"]}, "bad-parameter", "project", None),
        ("jobs", {**PLACE, "workflow": ["nope"]}, "unknown-workflow", "workflow", "build"),
        ("query", {"metric": ["rnus"]}, "unknown-metric", "metric", "runs"),
        ("steps", {"run": ["nope"]}, "unknown-run", "run", None),
    ],
)
async def test_what_is_refused(store, name, words, kind, parameter, valid):  # noqa: PLR0917  # a table of cases
    """Before the first row, with what would be valid."""
    with pytest.raises(Refused) as refused:
        await read(store, name, words)
    assert (kind, parameter) == (refused.value.kind, refused.value.parameter)
    assert valid is None or valid in refused.value.valid


async def test_names_that_are_refused():
    """Of tables and formats, the nearest first."""
    with pytest.raises(Refused, match="did you mean runs") as refused:
        find_table("rnus")
    assert (refused.value.missing, refused.value.valid[0]) == (True, "runs")
    with pytest.raises(Refused) as refused:
        read_format("xls")
    assert FORMATS == refused.value.valid


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("gh/acme/web", "headgate-runs-gh-acme-web-2026-11-11-2026-11-18.csv"),
        ('../../"\r\nx: y', "headgate-runs-x-y-2026-11-11-2026-11-18.csv"),
        ("\u202e\u05d0", "headgate-runs-2026-11-11-2026-11-18.csv"),
        ("p" * 300, f"headgate-runs-{'p' * 60}-2026-11-11-2026-11-18.csv"),
    ],
)
async def test_names_of_files_are_harmless(project, name):
    """Whatever a project is called."""
    asked = read_asking(find_table("runs"), {"project": [project]}, now_ms=NOW)
    assert name == file_name(asked, "csv")


async def test_an_empty_store_gives_empty_tables(tmp_path):
    """Those that need no name; others say that it is not known."""
    store = sqlite(tmp_path)
    await store.open()
    for name in ("projects", "runs", "credits", "flaky_tests", "dead_letters", "records", "worse", "now"):
        assert [] == (await read(store, name))[1], name
    await store.close()


async def test_a_view_that_is_no_row_is_refused():
    """A field that no cell can hold is a mistake of ours, found at import."""

    @dataclasses.dataclass
    class Odd:
        inner: asyncio.Task

    with pytest.raises(TypeError, match="inner"):
        tables.columns.of_fields(Odd)


async def test_reasons_of_failures_are_of_all_that_failed(store, monkeypatch):
    """However few are read at once; each row says since when all were read."""
    _, expected = await read(store, "failures")
    monkeypatch.setattr("headgate.insights.views.failures.MOST_READ", 7)
    _, rows = await read(store, "failures")
    assert sum(row["count"] for row in rows) > 7
    assert rows == expected
    asked = read_asking(find_table("failures"), {}, now_ms=NOW)
    assert {row["read_from"] for row in rows} == {asked.window.previous.since}
    monkeypatch.setattr("headgate.insights.views.failures.MOST_IN_FILE", 7)
    _, rows = await read(store, "failures")
    assert all(asked.window.since < row["read_from"] <= row["first_at"] for row in rows)
