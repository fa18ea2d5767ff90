"""The pages that say what to do, over a store in memory: nothing, little, hostile names, wrong questions."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from tests.unit.insights.details import key, result, step, usage
from tests.unit.web.site.test_routes import PROJECT, Bench
from tests.unit.web.test_api import EVIL

from headgate.core.merge import ProjectRef
from headgate.testing.store_data import DAY, NOW, WORKFLOW, job, made_id, merge, pipeline, workflow
from headgate.web.site.words import moment


@pytest.fixture
async def bench():
    made = Bench()
    await made.store.open()
    async with made.http:
        yield made


async def test_pages_of_nothing_say_what_is_missing(bench):
    """And where it would come from."""
    assert "No usage row in this window" in await bench.text("/rightsizing")
    assert "No job failed in this window" in await bench.text("/failures")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/rightsizing?show=moon", 400, "A parameter cannot be read"),
        ("/rightsizing?branch=main", 400, "A filter cannot be read"),
        ("/rightsizing?cursor=x", 400, "The cursor is not one of this list"),
        ("/rightsizing?project=gh/acme/none", 404, "No such project"),
        (f"/test?project={PROJECT}&test={EVIL}", 404, "No such test"),
        ("/failures?cursor=x", 400, "The cursor is not one of this list"),
    ],
)
async def test_wrong_questions_get_a_page(bench, path, status, words):
    """That says what is valid."""
    await merge(bench.store, pipeline(), workflow(), job())
    assert f"{status} {words}" in await bench.text(path, status)


@pytest.mark.parametrize(
    "path",
    [
        "/?",
        f"/project?project={PROJECT}&",
        f"/workflow?project={PROJECT}&workflow=build&",
        f"/job?project={PROJECT}&workflow=build&job=test&",
        "/credits?",
        "/credits?by=job&",
        "/reruns?",
    ],
)
async def test_credits_say_up_to_when_they_are_known(bench, path):
    """And what as long a part of the window before had, while those of runs that ended since are awaited."""
    await merge(bench.store, pipeline(), workflow(), job())
    for ago in (1, 9):
        run, times = made_id(41, ago), {"started_at": NOW - ago * DAY - 5_000, "stopped_at": NOW - ago * DAY}
        ended = {"stopped_at": NOW - ago * DAY, "credits": 90 - ago, "rerun_of": WORKFLOW}
        told = workflow(run, created_at=NOW - ago * DAY - 6_000, **ended)
        await merge(bench.store, told, job(made_id(42, ago), workflow_id=run, number=ago, credits=90 - ago, **times))
    words = f"known up to {moment(NOW // DAY * DAY)[:16]} UTC"
    before = "" if path == "/reruns?" else ", 81 in as long a time before"
    text = await bench.text(f"{path}window=7d")
    assert f"{words}{before}" in text
    assert path.startswith("/credits") == ("Before is of as long a first part of the window before" in text)


async def test_machine_sizes_are_listed(bench):
    """With what they save, on their own page and on the job's; names are text."""
    await merge(bench.store, pipeline(), workflow(), job())
    await merge(bench.store, *(usage(number) for number in range(20)), usage(30, job_name=EVIL, resource_class=EVIL))
    await merge(bench.store, usage(40, stopped_at=NOW - 32 * DAY))
    page = await bench.text("/rightsizing?window=30d")
    assert "Could be saved in 30 days 300" in page
    assert "large 4 CPU, 8 GB smaller : small It used 20 % of 8 GB at most; small has 2 GB." in page
    assert "unknown class Its size is not known" in page
    assert "None of them." in await bench.text(f"/rightsizing?window=30d&show=larger&project={PROJECT}")
    of_job = await bench.text(f"/job?project={PROJECT}&workflow=build&job=test&window=30d")
    assert "Machine size From how busy" in of_job


async def test_reasons_of_failures_are_listed(bench):
    """On their own page, the project's and the run's; words of outsiders are text."""
    await merge(bench.store, pipeline(), workflow(status="failed"), job(status="failed"))
    await merge(bench.store, step(1, name=EVIL), result(1, message=f"Error: {EVIL} 17", name=EVIL))
    page = await bench.text("/failures")
    assert "Failed jobs 1" in page
    assert "In its own words" in page
    assert "Failures by reason" in await bench.text(f"/project?project={PROJECT}")
    assert "Why it failed" in await bench.text(f"/run/{WORKFLOW}")
    raw, of_run = [(await bench.http.get(path)).text for path in ("/failures", f"/run/{WORKFLOW}")]
    assert "<script>alert" not in raw + of_run
    links = [set(re.findall(r'href="/test\?[^"]*test=[^"]+"', text)) for text in (raw, of_run)]
    assert 1 == len(links[0])
    assert links[0] == links[1]
    of_job = (await bench.http.get(f"/job?project={PROJECT}&workflow=build&job=test")).text
    assert re.search(r'href="/tests\?project=[^"]+">Tests of the project<', of_job)


async def test_a_test_has_a_page_of_its_own(bench):
    """The list leads to it; its name and messages are text."""
    await merge(bench.store, pipeline(), workflow(), job())
    await merge(bench.store, result(1, name=EVIL, message=EVIL), result(2, "pass", name=EVIL, stopped_at=NOW))
    raw = (await bench.http.get("/tests")).text
    path = f"/test?project={PROJECT}&test={key(34, 1)}"
    assert path.replace("/acme", "%2Facme").replace("acme/", "acme%2F").replace("&", "&amp;") in raw
    page = await bench.text(path)
    assert "Results, oldest first 2 results" in page
    assert "What its failures say" in page
    raw = (await bench.http.get(path)).text
    assert "<script>alert" not in raw
    assert 'href="/job?project=gh%2Facme%2Fweb&amp;workflow=build&amp;job=test"' in raw


async def test_waste_by_retries_is_shown(bench):
    """By project and by job; credits and workflow lead there."""
    again = workflow(key(2, 1), created_at=NOW - 8_000, stopped_at=NOW)
    await merge(
        bench.store, pipeline(), workflow(status="failed", stopped_at=NOW - 8_000, created_at=NOW - 9_000), again
    )
    await merge(bench.store, job(key(5, 1), workflow_id=key(2, 1)))
    page = await bench.text("/reruns")
    assert "Green only on retry 100 % nothing before" in page
    assert "test 1" in await bench.text("/reruns?by=job")
    assert "No failed run was repeated" in await bench.text("/reruns?since=2026-11-01&until=2026-11-02")
    assert "400 The metric does not have this dimension" in await bench.text("/reruns?by=moon", 400)
    assert "Waste by retries : how many" in await bench.text("/credits")
    assert "Waste by retries : how many" in await bench.text(f"/workflow?project={PROJECT}&workflow=build")


async def test_charges_and_budgets_are_shown(bench):
    """Kinds on the page of credits; the outlook by team where no rule has a budget."""
    day = 86_400_000
    runs = [
        workflow(key(7, n), credits=100, created_at=NOW - n * day - 1_000, stopped_at=NOW - n * day)
        for n in range(1, 40)
    ]
    await merge(bench.store, pipeline(), *runs, usage(1), usage(2, job_name=EVIL))
    page = await bench.text("/credits")
    assert "As the usage export bills it, 42 in 2 rows" in page
    assert "All 42 40 2" in page
    assert "more, which the files have" not in page
    places = [ProjectRef("circleci.com", f"gh/acme/web{n}", "gh/acme", key(9, n)) for n in range(3, 14)]
    await merge(bench.store, *(replace(usage(n), project=place) for n, place in enumerate(places, 3)))
    assert "and 2 more, which the files have." in await bench.text("/credits")
    budgets = await bench.text("/budgets")
    assert "This month by team" in budgets
    assert "no team no limit" in budgets
    assert "No budget is defined" in await bench.text("/budgets?by=budget")
    assert "400 The metric does not have this dimension" in await bench.text("/budgets?by=moon", 400)


async def test_pages_of_a_project_lead_to_each_other(bench):
    """From its first page to its tests and back, by way of whatever else is about it."""
    await merge(bench.store, pipeline(), workflow(), job(), result(1, "pass", stopped_at=NOW))
    paths = ("/project", "/builds", "/failures", "/tests", "/credits", "/rightsizing", "/reruns", "/dora")
    slug = PROJECT.replace("/", "%2F")
    for path in (*paths, "/test"):
        test = {"test": key(34, 1)} if path == "/test" else {}
        raw = (await bench.http.get(path, params={"project": PROJECT, **test})).text
        about = raw.partition('aria-label="About the project"')[2].partition("</nav>")[0]
        assert [f'href="{one}?project={slug}"' in about for one in paths] == [True] * len(paths)
        assert about.count("aria-current") == (path in paths)
