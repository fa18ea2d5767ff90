"""Lists that end before all is said say so, and lead to the rest with the filters of the page."""

from __future__ import annotations

import re
from html import unescape

import pytest
from msgspec.structs import replace
from tests.unit.insights.details import key, result
from tests.unit.web.site.test_files_of_pages import Files

from headgate.core.merge import ProjectRef
from headgate.core.times import format_ms
from headgate.insights.views.overview import overview
from headgate.insights.views.tests import TEST_LISTS, page_of_tests
from headgate.insights.views.window import read_window
from headgate.testing.store_data import DAY, NOW, job, merge, pipeline, workflow

WEEK = read_window(None, None, "7d", now_ms=NOW + 1)


@pytest.fixture
async def bench():
    made = Files()
    await made.store.open()
    async with made.http:
        yield made


def link(text, words):
    """The address behind a link of these words."""
    (found,) = re.findall(rf'href="([^"]*)">{words}</a>', text)
    return unescape(found)


async def test_what_got_worse_is_counted_and_whole_in_files(bench):
    """The page shows five, the answer ten, with how many there are; a file has all."""
    await merge(bench.store, pipeline())
    for flow in range(12):
        runs = []
        for number in range(20):
            ended = NOW - (8 if number < 10 else 1) * DAY - number * 1000
            took = 5_000 if number < 10 else 50_000 + flow
            run = {"name": f"flow{flow}", "created_at": ended - took, "stopped_at": ended}
            runs.append(workflow(key(41, flow * 100 + number), **run))
        await merge(bench.store, *runs)
    view = await overview(bench.lens(), window=WEEK)
    assert (10, 12) == (len(view.worse), view.worse_found)
    text, files = await bench.page("/")
    assert "and 7 more, which the files have." in text
    assert 5 == text.count("data-worse=")
    rows = files["What got worse"]
    assert (12, [one.workflow for one in view.worse]) == (len(rows), [row["workflow"] for row in rows][:10])


async def test_the_overview_leads_to_all_projects_of_its_filters(bench):
    """With how many more there are."""
    for number in range(15):
        place = ProjectRef("circleci.com", f"gh/acme/web{number:02}", "gh/acme", key(9, number))
        other = workflow(key(41, number), pipeline_id=key(40, number))
        told = [pipeline(key(40, number), number=number), other]
        await merge(bench.store, *(replace(one, project=place) for one in told))
    text, _ = await bench.page("/?org=gh/acme&window=30d")
    assert "and 3 more: <a" in text
    assert "/projects?org=gh%2Facme&window=30d" == link(text, "All projects that the filters take")
    assert "/projects" == link((await bench.page("/"))[0], "All projects")


async def test_lists_of_tests_say_how_many_and_go_on(bench):
    """Each by itself, with the filters of the page; a cursor without its list is refused."""
    await merge(bench.store, pipeline(revision="r"), workflow(), job())
    await merge(bench.store, *(result(number, test=number, stopped_at=NOW) for number in range(60)))
    view = await page_of_tests(bench.lens(), window=WEEK)
    assert (60, 25, 0) == (view.timed_tests, len(view.slowest), view.split_jobs)
    text, _ = await bench.page("/tests?org=gh/acme&branch_class=@default")
    assert 2 == text.count("25 of 60")
    of_failing, path = (unescape(one) for one in re.findall(r'href="([^"]*)">All 60</a>', text))
    assert "/tests?show=failing&branch_class=%40default&org=gh%2Facme" == of_failing
    seen = []
    while path:
        text, files = await bench.page(path)
        seen += re.findall(r"test=([^\"&]+)\"", text)
        assert (60, {"Slowest tests"}) == (len(files["Slowest tests"]), set(files))
        path = link(text, "More") if ">More</a>" in text else ""
    assert 60 == len(seen) == len(set(seen))
    assert "400 A parameter cannot be read" in await bench.text("/tests?cursor=x", 400)
    assert "400 A parameter cannot be read" in await bench.text("/tests?show=moon", 400)


@pytest.mark.parametrize("show", TEST_LISTS)
async def test_a_list_of_tests_without_any_says_so(bench, show):
    """And has no other list."""
    await merge(bench.store, pipeline(revision="r"), workflow(), job(), result(1, "pass", stopped_at=NOW))
    page = await bench.text(f"/tests?show={show}")
    words = [
        "No test failed and",
        "No test only",
        "Slowest tests by",
        "No test stopped",
        "No test became",
        "No job ran",
    ]
    assert [one == show for one in TEST_LISTS] == [one in page for one in words]


async def test_silences_that_hold_are_all_listed(bench):
    """However many; of those that ended the first thirty, with how many more there are."""

    def silences(state, count):
        times = {"starts_at": format_ms(NOW), "ends_at": format_ms(NOW + DAY)}
        more = {"state": state, "matchers": ["a=b"], "author": "ann", "comment": "c"}
        return [{"id": f"{state}{number}"} | times | more for number in range(count)]

    async def told():
        return [*silences("active", 40), *silences("pending", 2), *silences("expired", 35)]

    bench.answers.silences = told
    text, files = await bench.page("/alerts")
    shown = re.findall(r'data-silence="([a-z]+)', text)
    assert (40, 2, 30) == tuple(shown.count(state) for state in ("active", "pending", "expired"))
    assert "and 5 more that ended, which the files have." in text
    assert 77 == len(files["Silences"])
