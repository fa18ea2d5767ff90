"""Exports over HTTP: each format is read back, pages link to all tables, what is refused is a problem."""

import asyncio
import csv
import errno
import io
import json
import re
import time
from html import unescape
from types import SimpleNamespace
from unittest.mock import AsyncMock

import httpx
import openpyxl
import pytest
import pytest_asyncio
from starlette.requests import ClientDisconnect
from tests.unit.insights.world import NOW, World, key, sqlite, tell
from tests.unit.web.test_api import EVIL, Answers, Health

from headgate.app.telemetry import Telemetry
from headgate.core.errors import TookTooLong
from headgate.core.storeport import AlertChange
from headgate.insights.formats import FORMATS, export_opened, plain_text
from headgate.insights.formats.book import write_book
from headgate.insights.tables import TABLES, Material, find_table, open_table, read_asking
from headgate.insights.views.lens import Lens
from headgate.web.access.trail import notes
from headgate.web.api import build_app
from headgate.web.exports import _while_here, add_exports
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages
from headgate.web.site.routes import add_pages

pytestmark = pytest.mark.asyncio(loop_scope="module")
RUN = key(1, 3)
PAGES = (
    "/",
    "/projects",
    "/project?project=gh/acme/web",
    "/workflow?project=gh/acme/web&workflow=build&branch=main",
    "/job?project=gh/acme/web&workflow=build&job=test&window=30d",
    f"/run/{RUN}",
    "/tests?project=gh/acme/web",
    "/credits?by=job",
    "/alerts",
    "/delivery",
    "/data",
    "/now",
    "/builds",
    "/builds?project=gh/acme/web",
    "/dora",
    "/failures",
    "/reruns?by=workflow",
    "/budgets?by=project",
)


class Desk(Answers):
    """Operations whose alert has all that a page of alerts shows."""

    async def alerts(self):
        labels = {"project": EVIL}
        base = {"state": "firing", "rule": "=evil()", "labels": labels, "since": "2026-11-20T10:02:10.000Z"}
        numbers = {"value": 0.5, "baseline": None, "n": 30, "first_bad": "x/y", "flags": [], "told": True}
        numbers |= {
            "format": "percentage",
            "unit": "1",
            "first_bad_at": "2026-11-20T09:02:10.000Z",
            "first_bad_url": None,
        }
        return [base | numbers | {"fingerprint": "f", "started_at": None, "evaluated_at": None}]


class Bench:
    """Routes and pages over a store; `noted`: what the last request did."""

    def __init__(self, store):
        def lens():
            return Lens(store, NOW)

        answers = Desk()
        app = build_app(answers, Health(), MetricPages(Telemetry().page, lambda _: b""), version="0.0")
        add_insights(app, lens)
        add_exports(app, answers, lens)
        add_pages(app, answers, lens, "0.0")
        self.lens = lens
        self.document = app.openapi()
        self.noted = []

        async def guarded(scope, receive, send):
            self.noted = notes(scope)
            await app(scope, receive, send)

        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://x")

    async def export(self, table, **words):
        """An answer that is a file."""
        answer = await self.http.get(f"/api/v1/export/{table}", params=words)
        assert answer.status_code == 200, answer.text
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory):
    """A store whose branches and triggers are formulas."""
    store = sqlite(tmp_path_factory.mktemp("exports"))
    await store.open()
    world = World(120)
    for run in world.runs[::2]:
        run["branch"] = "=cmd|' /C calc'!A0"
    await tell(store, world.told())
    await store.transition(AlertChange(history=[("f", NOW - 9, b'{"rule":"slow","from":"pending","to":"firing"}')]))
    made = Bench(store)
    async with made.http:
        yield made
    await store.close()


async def test_words_that_are_no_filter_say_what_they_mean(bench):
    """In the document, where only filters and what a table is of are "Only these"."""
    words = bench.document["paths"]["/api/v1/export/{table}"]["get"]["parameters"]
    filters = {one["name"] for one in words if one.get("description") == "Only these."}
    narrowing = {
        "org",
        "team",
        "project",
        "workflow",
        "job",
        "branch",
        "branch_class",
        "trigger",
        "status",
        "rule",
        "signal",
    }
    assert narrowing | {"run", "test", "alert"} == filters


async def test_every_format_says_the_same(bench):
    """As the page of the API does: all runs of a window, texts and numbers as they are."""
    asked = {"project": "gh/acme/web", "window": "30d"}
    listed = (await bench.http.get("/api/v1/insights/runs", params={**asked, "limit": 500})).json()["runs"]
    assert listed == (await bench.export("runs", format="json", **asked)).json()
    lines = (await bench.export("runs", format="jsonl", **asked)).text.splitlines()
    assert listed == [json.loads(line) for line in lines]
    rows = list(csv.DictReader(io.StringIO((await bench.export("runs", **asked)).text, newline="")))
    assert [plain_text(one["branch"]) for one in listed] == [row["branch"] for row in rows]
    assert [one["duration"] for one in listed] == [float(row["duration"]) for row in rows]
    book = openpyxl.load_workbook(io.BytesIO((await bench.export("runs", format="xlsx", **asked)).content))
    names, *cells = book["Table"].iter_rows(values_only=True)
    place, spent = names.index("branch"), names.index("credits")
    assert [(one["branch"], one["credits"]) for one in listed] == [(row[place], row[spent]) for row in cells]
    assert any(one["branch"].startswith("=") for one in listed)


@pytest.mark.parametrize("form", FORMATS)
async def test_an_export_is_a_file_and_in_the_trail(bench, form):
    """It has a name of its own, is sent while it is made, and somebody can see later that it was."""
    answer = await bench.export("credits", format=form, by="branch", project="gh/acme/web")
    name = f"headgate-credits-gh-acme-web-2026-11-11-2026-11-18.{form}"
    assert f'attachment; filename="{name}"' == answer.headers["content-disposition"]
    assert "content-length" not in answer.headers
    assert [("export", name)] == [(one.action, one.about) for one in bench.noted]


async def test_texts_are_packed_while_they_are_sent(bench):
    """For who can read that; a workbook is packed in itself."""
    for form in FORMATS:
        plain = await bench.http.get("/api/v1/export/runs", params={"format": form}, headers={"accept-encoding": ""})
        never = await bench.http.get(
            "/api/v1/export/runs", params={"format": form}, headers={"accept-encoding": "br, gzip;q=0"}
        )
        small = await bench.http.get(
            "/api/v1/export/runs", params={"format": form}, headers={"accept-encoding": "br, gzip;q=0.5"}
        )
        assert ("content-encoding" in plain.headers, "content-encoding" in never.headers) == (False, False)
        assert (None if form == "xlsx" else "gzip") == small.headers.get("content-encoding")
        assert form == "xlsx" or plain.content == small.content
        assert "accept-encoding" in small.headers["vary"]


async def test_workbooks_are_made_one_after_the_other(bench, monkeypatch):
    """A few wait for their turn; who comes later is told when to come again, and texts go on meanwhile."""
    gate, first, begun, most = asyncio.Event(), asyncio.Event(), 0, 0

    async def slow(*words):
        nonlocal begun, most
        if words[1] == "xlsx":
            begun, most = begun + 1, max(most, begun + 1)
            first.set()
            await gate.wait()
            begun -= 1
        return await export_opened(*words)

    monkeypatch.setattr("headgate.web.exports.export_opened", slow)
    asked = [asyncio.create_task(bench.http.get("/api/v1/export/runs?format=xlsx")) for _ in range(5)]
    await first.wait()
    assert (await bench.http.get("/api/v1/export/runs")).status_code == 200
    refused = await bench.http.get("/api/v1/export/runs?format=xlsx")
    assert (503, "urn:headgate:problem:busy") == (refused.status_code, refused.json()["type"])
    assert int(refused.headers["retry-after"]) > 0
    gate.set()
    assert [200] * 5 == [answer.status_code for answer in await asyncio.gather(*asked)]
    assert most == 1


async def test_a_workbook_takes_its_time(bench, monkeypatch):
    """Writing it, and waiting for a turn, are not what an answer has seconds for; opening its table is."""
    late, write = 0, write_book

    async def slow(*words):
        nonlocal late
        late += 100
        return await write(*words)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late)
    monkeypatch.setattr("headgate.core.patience.time", clock)
    monkeypatch.setattr("headgate.store.readers.time", clock)
    monkeypatch.setattr("headgate.insights.tables.runs._PAGE", 10)
    monkeypatch.setattr("headgate.insights.formats.book.write_book", slow)
    path = "/api/v1/export/runs?format=xlsx&window=30d&project=gh/acme/web"
    made = await asyncio.gather(*(bench.http.get(path) for _ in range(3)))
    assert ([200] * 3, 300) == ([answer.status_code for answer in made], late)
    monkeypatch.setattr("headgate.web.answering._LONGEST_SECONDS", 0)
    refused = await bench.http.get(path)
    assert (400, "too-long") == (refused.status_code, refused.json()["error"])


async def test_a_workbook_is_given_up_once_nobody_waits_for_it(bench, monkeypatch):
    """Before its first page and between pages, so that others have their turn."""
    for looks, expected in ((1, []), (2, []), (3, [[0]])):
        request = SimpleNamespace(is_disconnected=AsyncMock(side_effect=[*[False] * (looks - 1), True]))
        seen = []
        with pytest.raises(ClientDisconnect):
            await take(seen, _while_here(request, numbered()))
        assert expected == seen

    async def left(_):
        return True

    monkeypatch.setattr("starlette.requests.Request.is_disconnected", left)
    path = "/api/v1/export/runs?window=30d&project=gh/acme/web&format="
    statuses = [(await bench.http.get(path + form)).status_code for form in ("xlsx", "xlsx", "csv")]
    assert [499, 499, 200] == statuses


async def take(into, pages):
    """Keep what comes before an error."""
    async for page in pages:
        into += [page]


async def numbered():
    """Pages of one row."""
    for number in range(3):
        yield [number]


async def test_all_reasons_take_their_time(bench, monkeypatch):
    """Opening their file does not read what failed; words are checked all the same."""
    monkeypatch.setattr("headgate.insights.tables.advice.failures_page", AsyncMock(side_effect=TookTooLong("late")))
    asked = read_asking(find_table("failures"), {}, now_ms=NOW)
    opened = await open_table(Material(bench.lens(), None), asked)
    with pytest.raises(TookTooLong):
        [page async for page in opened.pages]
    unknown = await bench.http.get("/api/v1/export/failures?project=gh/acme/wep")
    assert 404 == unknown.status_code


async def test_the_document_allows_what_a_table_takes(bench):
    """Every choice of every table, and anything where one table takes anything."""
    told = bench.document["paths"]["/api/v1/export/{table}"]["get"]["parameters"]
    schemas = {one["name"]: one["schema"] for one in told}
    for table in TABLES.values():
        for name in table.takes:
            allowed = schemas[name].get("enum")
            assert allowed is None or set(table.choices.get(name) or ["anything"]) <= set(allowed), (table.name, name)
    assert {"by", "format", "step"} <= schemas.keys()
    assert ("enum" in schemas["format"], "enum" in schemas["by"]) == (True, False)


async def test_a_workbook_without_room_is_refused(bench, monkeypatch):
    """As too much at once, with what is full."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("headgate.insights.formats.stream.TemporaryFile", full)
    refused = await bench.http.get("/api/v1/export/runs?format=xlsx")
    assert (503, True) == (refused.status_code, "No space left" in refused.json()["detail"])


async def test_pages_link_to_every_table(bench):
    """With the window and the filters of the page; each link of each page is answered."""
    found, linked = set(), 0
    for page in PAGES:
        text = (await bench.http.get(page)).text
        for link in {unescape(one) for one in re.findall(r'href="(/api/v1/export/[^"]+)"', text)}:
            answer = await bench.http.get(link)
            assert answer.status_code == 200, (page, link, answer.text)
            found.add(link.partition("?")[0].rpartition("/")[2])
            linked += 1
            assert "branch=main" in link or "branch=main" not in page
            assert "window=30d" in link or "window=30d" not in page
    # The world has no steps, tests, bills or deployments, nothing got worse or goes on, and no alert has evidence;
    # `test_tables_as_files.py` holds each table against the templates.
    assert set(TABLES) - found <= {
        "query",
        "suites",
        "test_results",
        "test_messages",
        "test_classes",
        "alert_evidence",
        "alert_causes",
        "trail",  # for admins
        "run_failures",
        "budget_days",
        "files",
        "reports",
        "parts",
        "collected",
        "steps",
        "flaky_tests",
        "failing_tests",
        "slowest_tests",
        "fixed_tests",
        "slowing_tests",
        "splits",
        "rightsizing",
        "charges",
        "worse",
        "now",
        "dora",
        "dora_plot",
        "deployments",
    }
    assert linked > 40


async def test_tables_are_listed(bench):
    """With their words; all of which the document names."""
    listed = (await bench.http.get("/api/v1/export")).json()
    assert list(TABLES) == [one["name"] for one in listed["tables"]]
    named = {
        one["name"]
        for one in bench.document["paths"]["/api/v1/export/{table}"]["get"]["parameters"]
        if one["in"] != "header"
    }
    assert {"table", "format", *(word for one in listed["tables"] for word in one["takes"])} == named


@pytest.mark.parametrize(
    ("path", "status", "kind", "valid"),
    [
        ("rnus", 404, "unknown-table", "runs"),
        ("runs?format=xls", 400, "bad-parameter", "xlsx"),
        ("runs?projct=a", 400, "bad-parameter", "project"),
        ("runs?project=gh/acme/wbe", 404, "unknown-project", "gh/acme/web"),
        ("runs?since=now&until=7d", 400, "reversed-range", None),
        ("workflows", 400, "bad-parameter", None),
    ],
)
async def test_what_is_refused_is_a_problem(bench, path, status, kind, valid):
    """RFC 9457, with what would be valid, and nothing in the trail."""
    answer = await bench.http.get(f"/api/v1/export/{path}")
    told = answer.json()
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert f"urn:headgate:problem:{kind}" == told["type"]
    assert valid is None or valid in told["valid"]
    assert [] == bench.noted


FILTERED = (
    "/?org=gh/acme",
    "/projects?trigger=api",
    "/credits?by=workflow&branch=main&window=30d",
    "/credits?by=resource_class&org=gh/beta",
    "/reruns?by=project&branch_class=@other",
    "/builds?project=gh/acme/web&branch=main&window=24h",
    "/alerts?rule=none",
)


@pytest.mark.parametrize("page", [one for one in (*PAGES, *FILTERED) if one != "/delivery"])
async def test_a_file_has_the_rows_of_its_table(bench, page):
    """As many as the table above its link; more where the table has the first, or is one of two."""
    text = (await bench.http.get(page)).text
    for above, link in re.findall(r'(.*?)<p class="exports">.*?href="([^"]*format=json[^"]*)"', text, flags=re.DOTALL):
        shown = above.rpartition("<tbody>")[2].partition("</tbody>")[0].count("<tr") if "<tbody>" in above else None
        rows = len((await bench.http.get(unescape(link))).json())
        first = shown is not None and (shown >= 25 or "/failures?" in link)
        assert shown in {None, rows} or (first and shown < rows), (link, shown, rows)
