"""The pages of builds and of deployments: what goes on, bars, definitions beside numbers, and what is missing."""

from __future__ import annotations

import re
from html import unescape

import pytest
from tests.unit.web.site.test_routes import PROJECT, Bench

from headgate.insights.views.runs import RunView
from headgate.testing.store_data import NOW, PIPELINE, job, merge, pipeline, seen, workflow
from headgate.web.exports import add_exports
from headgate.web.insights import add_insights
from headgate.web.site.bars import HEIGHT, bars

HOUR = 3_600_000
EVIL = "<script>alert(1)</script>\u202e" + "x" * 300


@pytest.fixture
async def bench():
    made = Bench()
    await made.store.open()
    async with made.http:
        yield made


def key(kind: int, number: int) -> str:
    """An id as CircleCI writes it."""
    return f"{kind:08d}-0000-4000-8000-{number:012d}"


def deployed(number: int, status: str = "succeeded", **more):
    """A deployment that ended so many hours ago."""
    fields = {"name": "web", "environment": "production", "status": status, "stopped_at": NOW - number * HOUR}
    return seen(
        "deployment", key(7, number), fields | {"origin": "call", "revision": f"r{number}"} | more, terminal=True
    )


async def test_builds_say_what_goes_on(bench):
    """Counts of this moment, the last result, its parallelism, medians and branches."""
    other = workflow(key(3, 2), ended=False, pipeline_id=PIPELINE)
    held = workflow(key(3, 3), ended=False, status="on_hold", pipeline_id=PIPELINE)
    waits = job(key(4, 2), ended=False, status="queued", workflow_id=key(3, 2), started_at=None, queued_at=NOW - 9)
    await merge(bench.store, pipeline(), workflow(), job(parallelism=4), other, held, waits)
    page = await bench.text("/builds")
    assert "1 project" in page
    assert f"{PROJECT} , good 1 running 1 queued 1 on hold success 2026-" in page
    assert page.endswith("All times are UTC.")
    assert "success 8s" in page
    assert "1 4 " in page


async def test_a_project_that_nothing_runs_in_is_idle(bench):
    """With no build, no median and no parallelism."""
    await merge(bench.store, pipeline())
    assert f"{PROJECT} , idle idle none \u2013 \u2013 0 \u2013" in await bench.text("/builds")


async def test_builds_of_a_branch_are_bars(bench):
    """Of the default branch and of one that is chosen, with hostile names as text; no branch, no bars."""
    more = pipeline(key(2, 2), ref_name=EVIL)
    late = workflow(key(3, 2), pipeline_id=key(2, 2), name=EVIL, status="failed")
    await merge(bench.store, pipeline(), workflow(), job(), more, late)
    answer = await bench.http.get("/builds", params={"project": PROJECT, "branch": EVIL})
    assert 200 == answer.status_code
    assert '<rect class="bar failure"' in answer.text
    assert EVIL not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    page = await bench.text(f"/builds?project={PROJECT}&branch=nobody")
    assert "No run of it ended in the last 90 days" in page
    assert "404 No such project" in await bench.text("/builds?project=gh/a/b", 404)


def run(duration: float | None, status: str = "success") -> RunView:
    """An ended run."""
    words = ("w", "p", "build", "main", "@default", "", status, None, "2026-11-20T10:02:10.000Z", duration)
    return RunView(*words, 0.0, None, False, "", None, 1, "", "")


@pytest.mark.parametrize(
    ("runs", "heights"),
    [
        ([], []),
        ([run(None)], [3.0]),
        ([run(0.0)], [3.0]),
        ([run(10.0), run(5.0), run(0.01)], [3.0, HEIGHT / 2, HEIGHT]),
    ],
)
def test_bars_are_as_high_as_builds_took_long(runs, heights):
    """The oldest first; all of them are seen and none leaves the frame."""
    drawn = bars(runs, 50)
    assert heights == [bar.height for bar in drawn.bars]
    assert all(bar.y + bar.height == HEIGHT for bar in drawn.bars)
    assert sorted(bar.x for bar in drawn.bars) == [bar.x for bar in drawn.bars]
    assert all(bar.x + bar.width <= drawn.width for bar in bars([run(1.0)] * 120, 50).bars)


async def test_without_deployments_dora_says_how_to_tell_of_them(bench):
    """By rule or by call; definitions and benchmarks stand there all the same."""
    await merge(bench.store, pipeline(), workflow(), job())
    page = await bench.text("/dora")
    assert "No deployment is known in this window" in page
    assert "POST /api/v1/deployments" in page
    assert "sources.NAME.deployments" in page
    assert "Median time from the first workflow of a commit to its successful deployment." in page
    assert page.count("DORA, Accelerate State of DevOps Report 2024: what people answered") == 4


async def test_dora_shows_each_number_with_its_definition(bench):
    """Counts are those of the API; a rerun of the same commit counts once; proxies are called so."""
    add_insights(bench.app, bench.lens)
    rows = (deployed(1), deployed(2, revision="r1"), deployed(30, "failed", name=EVIL, environment=EVIL))
    await merge(bench.store, pipeline(revision="r1"), workflow(), job(), *rows)
    told = (await bench.http.get("/api/v1/insights/dora")).json()
    figures = {name: told["figures"][name]["value"] for name in told["figures"]}
    assert (1.0, 0.5, None) == (
        figures["deployments"],
        figures["dora_change_failure_rate"],
        figures["dora_recovery_time"],
    )
    assert [("gh/acme/web", 1.0)] == [(one["name"], one["figures"]["deployments"]["value"]) for one in told["projects"]]
    assert ["succeeded", "succeeded", "failed"] == [one["status"] for one in told["newest"]]
    proxies = {one["metric"]: one["proxy"] for one in told["definitions"]}
    assert {name: name != "deployments" for name in proxies} == proxies
    plotted = {line["metric"]: sum(one or 0 for one in line["values"]) for line in told["plot"]["lines"]}
    assert {"deployments": 1.0, "failed_deployments": 1.0} == plotted
    answer = await bench.http.get("/dora")
    drawn = answer.text.partition('data-chart="deployments" data-kind="stacked"')[2].partition("</figure>")[0]
    assert "Succeeded" in drawn
    assert '<th scope="col" class="n">Failed</th>' in drawn
    values = [float(one) for one in re.findall(r'data-v="([0-9.]+)"', drawn)]
    assert [1.0, 1.0] == [sum(values[0::2]), sum(values[1::2])]
    assert answer.text.count('class="tag" title="It follows') == 4
    assert EVIL not in answer.text
    page = await bench.text("/dora")
    assert "50 % of 2" in page or "50.0 % of 2" in page
    assert "No such project" in await bench.text("/dora?project=nobody", 404)
    assert "No such team" in await bench.text("/dora?team=nobody", 404)


@pytest.mark.parametrize("words", ["window=7d", "window=90d", f"window=90d&project={PROJECT}", "window=45d"])
async def test_files_of_deployments_have_what_is_plotted(bench, words):
    """In the steps of the chart, succeeded and failed ones; every link below is answered."""
    add_exports(bench.app, bench.answers, bench.lens)
    rows = (deployed(1), deployed(200, "failed"), deployed(24 * 30, "failed", name="api"), deployed(24 * 40))
    await merge(bench.store, pipeline(), workflow(), job(), *rows)
    page = (await bench.http.get(f"/dora?{words}")).text
    for link in re.findall(r'href="(/api/v1/export/[^"]+)"', page):
        assert 200 == (await bench.http.get(unescape(link))).status_code, link
    drawn = page.partition('data-chart="deployments"')[2].partition("</figure>")[0]
    plotted = [float(one) for one in re.findall(r'data-v="([0-9.]*)"', drawn)]
    (link,) = re.findall(r'href="(/api/v1/export/dora_plot[?]format=json[^"]*)"', page)
    told = (await bench.http.get(unescape(link))).json()
    assert plotted == [one[name] or 0 for one in told for name in ("deployments", "failed_deployments")]
    assert sum(plotted) >= 1
