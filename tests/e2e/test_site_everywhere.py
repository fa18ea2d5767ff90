"""Every page in a browser, over hostile names: nothing runs, nothing is cut off, nobody is kept out (axe-core)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.hostile import EVIL, LONG_BRANCH, PROJECT, RIGHT_TO_LEFT, RUN, TAGGED_RUN, TEST, evil
from tests.e2e.pages_site import PagesSite
from tests.e2e.visits import Visit, added, barriers, cut
from tests.unit.insights.alarms import FINGERPRINT

from headgate.insights.formats import FORMATS
from headgate.insights.tables import TABLES

pytestmark = pytest.mark.timeout(120)

OF_EVIL = f"project={quote(PROJECT)}&workflow={quote(EVIL)}"
OF_JOB = f"{OF_EVIL}&job={quote(EVIL)}"
# Of a page that is a problem, and of `/favicon.ico`.
MISSING = "Failed to load resource: the server responded with a status of 404 (Not Found)"


@dataclass(frozen=True)
class Look:
    """A page. `shows`: what its text has whole."""

    path: str
    shows: tuple[str, ...] = ()


PAGES = {
    "overview": Look("/", (evil("rule"), evil("label"))),
    "projects": Look("/projects"),
    "project": Look(f"/project?project={PROJECT}", (EVIL, LONG_BRANCH, RIGHT_TO_LEFT, evil("tag"))),
    "workflow": Look(f"/workflow?project={PROJECT}&workflow=build&window=30d", (LONG_BRANCH, RIGHT_TO_LEFT)),
    "hostile workflow": Look(f"/workflow?{OF_EVIL}", (EVIL, evil("trigger"))),
    "hostile job": Look(f"/job?{OF_JOB}", (EVIL, evil("class"))),
    "job": Look(f"/job?project={PROJECT}&workflow=build&job=test"),
    "run": Look(
        f"/run/{RUN}",
        tuple(evil(name) for name in ("login", "subject", "trigger", "step", "output", "message", "executor", "class")),
    ),
    "run of a tag": Look(f"/run/{TAGGED_RUN}", (evil("tag"),)),
    "failures": Look("/failures?window=30d", (evil("message"), evil("step"), evil("test"))),
    "tests": Look("/tests?window=30d", tuple(evil(name) for name in ("test", "test class", "file", "suite"))),
    "test": Look(
        f"/test?project={PROJECT}&test={TEST}&window=30d",
        tuple(evil(name) for name in ("test", "test class", "file", "suite", "message")),
    ),
    "credits": Look("/credits?by=branch&window=30d", (EVIL, LONG_BRANCH)),
    "credits by class": Look("/credits?by=resource_class", (evil("class"),)),
    "sizes": Look("/rightsizing?window=30d", (EVIL,)),
    "retries": Look("/reruns?window=30d&by=workflow"),
    "retries of jobs": Look("/reruns?window=30d&by=job"),
    "budgets": Look("/budgets?by=project"),
    "builds": Look("/builds"),
    "builds of a branch": Look(f"/builds?project={PROJECT}&branch={quote(EVIL)}", (EVIL,)),
    "builds of a tag": Look(f"/builds?project={PROJECT}&branch={quote(evil('tag'))}", (evil("tag"),)),
    "dora": Look("/dora", tuple(evil(name) for name in ("deployed", "environment", "version"))),
    "alerts": Look("/alerts", (evil("rule"), evil("label"))),
    "alert": Look(f"/alert/{FINGERPRINT}", (evil("rule"), evil("label"))),
    "reports": Look("/reports"),
    "delivery": Look("/delivery", (f"no such field {EVIL}", f"refused {EVIL}")),
    "dead letter": Look("/delivery/letter/1", (f"no such field {EVIL}",)),
    "webhook set aside": Look("/delivery/webhook/1", (EVIL,)),
    "data": Look("/data"),
    "login": Look("/login?next=/alerts"),
    "problem": Look(f"/project?project={quote(EVIL)}", (EVIL.partition("'")[0],)),
    "filters": Look(f"/workflow?{OF_EVIL}&branch={quote(evil('branch'))}&trigger={quote(evil('trigger'))}"),
    "a trigger that is not there": Look(
        f"/workflow?{OF_EVIL}&trigger={quote(evil('asked'))}", (EVIL.partition("'")[0],)
    ),
}


@pytest.fixture(scope="module")
def visitor(browser: Browser, hostile_site: PagesSite) -> Iterator[Visit]:
    """Somebody who looks at all of it."""
    made = Visit(browser, hostile_site)
    yield made
    made.context.close()


@pytest.fixture
def visit(visitor: Visit) -> Visit:
    """The same, at a desk, by day, with nothing to complain of yet."""
    visitor.page.set_viewport_size({"width": 1280, "height": 900})
    visitor.page.emulate_media(color_scheme="light")
    visitor.wrong.clear()
    visitor.asked.clear()
    return visitor


def check_landmarks(page: Page) -> None:
    """One main part and one heading of the first rank; tables have captions, ids are one of a kind."""
    assert page.locator("main").count() == 1
    assert page.locator("h1").count() == 1
    assert page.title().endswith(" - Headgate")
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("table:not(:has(caption))").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_and_harmless(visit, name):
    """Hostile text is whole and text; nothing is cut off and axe-core finds nothing, by day, by night, on a phone."""
    look = PAGES[name]
    page = visit.open(look.path)
    expect(page.locator("[hx-trigger=load], .htmx-request")).to_have_count(0)
    text = page.evaluate("document.body.textContent.replace(/\\s+/g, ' ')")
    assert [] == [one for one in look.shows if one not in text]
    assert [] == added(page)
    check_landmarks(page)
    found = {"desk by day": cut(page) + barriers(page)}
    page.emulate_media(color_scheme="dark")
    found["desk by night"] = barriers(page, "color-contrast")
    page.set_viewport_size({"width": 390, "height": 844})
    found["phone by night"] = cut(page) + barriers(page)
    page.emulate_media(color_scheme="light")
    found["phone by day"] = barriers(page, "color-contrast")
    assert {place: [] for place in found} == found
    assert {urlsplit(visit.address).netloc} == {urlsplit(url).netloc for url in visit.asked}
    assert ([MISSING] if name in ("problem", "a trigger that is not there") else []) == visit.wrong


def test_a_page_by_night_is_dark(visit):
    """The background follows the system."""
    page = visit.open("/")
    back = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert page.evaluate(back) > 200
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(back) < 60


@pytest.mark.parametrize(
    "path",
    [
        f"/badge/last-run.svg?{OF_EVIL}&branch={quote(EVIL)}&label={quote(EVIL)}",
        "/api/v1/report?every=week&until=2026-11-23",
        f"/api/v1/insights/run?run={RUN}",
        f"/api/v1/export/runs?{OF_EVIL}&format=json&window=30d",
    ],
    ids=["badge", "report", "answer", "missing table"],
)
def test_what_is_no_page_runs_nothing(visit, path):
    """A badge, a report or an answer, opened as a document by somebody who is logged in."""
    answer = httpx.get(visit.address + path, trust_env=False).raise_for_status()
    assert answer.headers["x-content-type-options"] == "nosniff"
    if "attachment" not in answer.headers.get("content-disposition", ""):
        assert [] == added(visit.open(path))
    assert [] == [line for line in visit.wrong if line != MISSING]  # a picture has no icon of its own


def test_a_report_is_read_everywhere(visit, tmp_path):
    """As a file without a network: on a desk, a phone and paper; hostile names are text, and nothing is cut off."""
    answer = httpx.get(f"{visit.address}/api/v1/report?every=week&until=2026-11-23", trust_env=False).raise_for_status()
    file = tmp_path / "week.html"
    file.write_text(answer.text, encoding="utf-8")
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(file.as_uri())
    assert [] == added(page)
    text = page.evaluate("document.body.textContent.replace(/\\s+/g, ' ')")
    assert [] == [one for one in (EVIL, evil("step")) if one not in text]
    for heading in ("In short", "Why jobs failed", "Projects", "Waste by retries", "Flaky and failing tests", "Alerts"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_have_count(1)
    found = {"desk": cut(page) + barriers(page)}
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    found["phone by night"] = cut(page) + barriers(page)
    page.set_viewport_size({"width": 720, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    found["paper"] = cut(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.emulate_media(media="screen", color_scheme="light")
    assert {place: [] for place in found} == found
    assert ({file.as_uri()}, []) == (set(visit.asked), visit.wrong)


def test_exports_are_files_that_hold_hostile_text_whole(hostile_site):
    """Every table, and one in every format, is a file to keep, never a page; texts are in it as they are."""
    asked = {"project": PROJECT, "workflow": EVIL, "job": EVIL, "run": RUN, "metric": "runs", "window": "30d"}
    asked |= {"test": TEST, "alert": FINGERPRINT}
    wanted = [(table, "json") for table in TABLES.values()] + [(TABLES["runs"], form) for form in FORMATS]
    whole = ""
    with httpx.Client(base_url=f"{hostile_site.address}/api/v1/export", trust_env=False) as client:
        for table, form in wanted:
            taken = {*table.needs, "window"} & {*table.needs, *table.takes}
            words = {name: asked[name] for name in taken} | {"format": form}
            answer = client.get(f"/{table.name}", params=words).raise_for_status()
            assert answer.headers["content-disposition"].startswith("attachment;")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "html" not in answer.headers["content-type"]
            whole += str(answer.json()) if form == "json" else ""
    fields = ("class", "step", "test", "message", "environment", "version", "trigger", "tag")
    for field in (*fields, "author", "executor", "parameters", "reporter", "login"):
        assert repr(evil(field))[1:-1] in whole, field
