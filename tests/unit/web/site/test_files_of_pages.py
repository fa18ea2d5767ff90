"""The file below a table has what the page shows: each link is read back, over old data and with filters."""

from __future__ import annotations

import re
from html import unescape

import pytest
from msgspec.structs import replace
from tests.unit.insights.alarms import FINGERPRINT, WATCHED, fired, line
from tests.unit.insights.details import key, step, usage
from tests.unit.web.site.test_routes import PROJECT, Bench

from headgate.core.merge import ProjectRef
from headgate.core.storeport import AlertChange
from headgate.core.times import format_ms
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.builds import project_builds
from headgate.insights.views.credits import credits_page
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import read_window
from headgate.testing.store_data import DAY, NOW, job, merge, pipeline, workflow
from headgate.web.exports import add_exports

HOUR = 3_600_000
BETA = ProjectRef("circleci.com", "gh/beta/app", "gh/beta", key(9, 5))
FIGURES = {"source": "ci", "expected": 9, "present": 8, "repaired": 1, "unrepairable": 0, "unannounced": 0}


class Files(Bench):
    """Pages and the files that they link to."""

    def __init__(self) -> None:
        super().__init__()
        add_exports(self.app, self.answers, self.lens)

    def lens(self) -> Lens:
        """Of the moment after everything; jobs called full are a team's."""
        return Lens(self.store, NOW + 1, owners=Owners([parse_owner({"job": "full"}, "crew")]))

    async def page(self, path):
        """A page as it is sent, and its files: what they are called -> rows."""
        text = (await self.http.get(path)).text
        files = {}
        for part in re.findall(r'<p class="exports">.*?</p>', text, flags=re.DOTALL):
            name = part.partition(" as ")[0].partition(">")[2]
            (link,) = re.findall(r'href="([^"]*format=json[^"]*)"', part)
            answer = await self.http.get(unescape(link))
            assert answer.status_code == 200, (path, link, answer.text)
            files[name] = answer.json()
        return text, files


@pytest.fixture
async def bench():
    made = Files()
    await made.store.open()
    async with made.http:
        yield made


async def old_runs(store):
    """70 of the default branch in as many days, and 5 of branch fix, the newest 30 days ago."""
    await merge(store, pipeline(), pipeline(key(40, 1), number=8, ref_name="fix"))
    of_main = [_run(number, number * DAY + HOUR, 100) for number in range(70)]
    of_fix = [_run(100 + number, (30 + number) * DAY, 900, pipeline_id=key(40, 1)) for number in range(5)]
    await merge(store, *of_main, *of_fix)


def _run(number, ago, seconds, **more):
    ended = NOW - ago
    return workflow(key(41, number), created_at=ended - seconds * 1000, stopped_at=ended, **more)


def shown(text, caption):
    """Runs of the table of that caption."""
    return re.findall(r'data-run="([^"]+)"', text.partition(caption)[2].partition("</table>")[0])


@pytest.mark.parametrize("until", ["", "&until=20d&window=7d", "&since=30d&until=20d"])
async def test_files_of_builds_go_back_as_far_as_the_page(bench, until):
    """90 days before the end of the window, however short that is; charts have the branch that is chosen."""
    await old_runs(bench.store)
    text, files = await bench.page(f"/builds?project={PROJECT}&branch=fix{until}")
    of_main, of_fix = shown(text, "Last builds of the default"), shown(text, "Last builds of the branch, newest")
    assert (50, 5) == (len(of_main), len(of_fix))
    assert of_main == [one["id"] for one in files["Runs of the default branch"]][:50]
    assert of_fix == [one["id"] for one in files["Runs of the branch"]]


@pytest.mark.parametrize("window", ["7d", "60d", "200d"])
async def test_charts_of_builds_are_those_of_the_branch(bench, window):
    """Over 90 days at most."""
    await old_runs(bench.store)
    _, files = await bench.page(f"/builds?project={PROJECT}&branch=fix&window={window}")
    asked = read_window(None, None, window, now_ms=NOW + 1)
    view = await project_builds(bench.lens(), project=PROJECT, branch="fix", window=asked)
    (medians,) = [line.values for line in view.days.lines if line.metric == "duration_p50"]
    assert list(medians) == [one["duration_p50"] for one in files["Charts"]]
    assert (window != "7d") == any(one and one > 800 for one in medians)


async def test_files_of_alerts_are_as_old_as_the_page(bench):
    """Of the rule that is chosen; those of one alert have its whole history."""
    await bench.store.transition(fired(WATCHED))
    old = [(FINGERPRINT, NOW - 200 * DAY, line("firing", "resolved")), ("b2", NOW - 300 * DAY, b'{"rule":"Slow"}')]
    await bench.store.transition(AlertChange(history=old))
    lists = [_alert("Red"), _alert("Slow")]

    async def alerts():
        return lists

    bench.answers.alerts = alerts
    _, files = await bench.page("/alerts?window=24h")
    assert (2, 5) == (len(files["Alerts"]), len(files["History of alerts"]))
    _, files = await bench.page("/alerts?rule=Slow")
    assert (["Slow"], ["Slow"]) == tuple(
        [one["rule"] for one in files[name]] for name in ("Alerts", "History of alerts")
    )
    _, files = await bench.page(f"/alert/{FINGERPRINT}?window=24h")
    assert [4, 4] == [len(files[name]) for name in ("History", "Messages and changes")]


def _alert(rule):
    base = {"state": "firing", "rule": rule, "labels": {}, "since": format_ms(NOW), "fingerprint": rule, "flags": []}
    numbers = {"value": 0.5, "baseline": None, "n": 30, "format": "percentage", "unit": "1", "started_at": None}
    return base | numbers | {"first_bad": "", "first_bad_at": None, "first_bad_url": None}


@pytest.mark.parametrize("by", ["job", "resource_class", "workflow"])
async def test_files_of_credits_have_what_is_plotted(bench, by):
    """Those of jobs, where the page is by job or machine size."""
    await merge(bench.store, pipeline(), workflow(credits=100), job(credits=7))
    _, files = await bench.page(f"/credits?by={by}&branch=main&window=24h")
    view = await credits_page(
        bench.lens(),
        by=by,
        window=read_window(None, None, "24h", now_ms=NOW + 1),
        step="1h",
        filters=Filters(branch="main"),
    )
    plotted = view.plot.lines[0].values
    assert list(plotted) == [one[view.metric] for one in files["Charts"]]
    assert {7.0 if by != "workflow" else 100.0} == {one for one in plotted if one}


async def test_files_of_machine_sizes_have_what_is_shown(bench):
    """What is chosen, of whom; the page says whose they are, and its links keep that."""
    await merge(bench.store, pipeline(), workflow(), job())
    ours = [usage(number) for number in range(20)] + [usage(100 + number, job_name="full") for number in range(20)]
    theirs = [replace(usage(200 + number, job_name="other"), project=BETA) for number in range(20)]
    await merge(bench.store, *ours, *theirs)
    for query, names in {
        "": {"test", "full", "other"},
        "&org=gh/acme": {"test", "full"},
        "&team=crew&show=smaller": {"full"},
        "&show=larger": set(),
    }.items():
        text, files = await bench.page(f"/rightsizing?window=30d{query}")
        assert names == {one["job"] for one in files.get("Machine sizes", ())}
        choices = text.partition('aria-label="Shown"')[2].partition("</nav>")[0]
        for other in re.findall(r'href="([^"]*)"', choices):
            assert ("org=gh%2Facme" in other, "team=crew" in other) == ("org=" in query, "team=" in query)
    assert "Only those of org gh/acme" in await bench.text("/rightsizing?window=30d&org=gh/acme")


async def test_files_of_splits_have_the_projects_of_the_page(bench):
    """Those of the organisation alone, where it is chosen."""
    for number, place in enumerate((None, BETA), 1):
        told = [
            pipeline(key(40, number), number=number),
            workflow(key(41, number), pipeline_id=key(40, number), created_at=NOW - 130_000),
            job(key(42, number), workflow_id=key(41, number), parallelism=2, started_at=NOW - 120_000),
            step(number * 10, key(42, number), status="success", started_at=NOW - 120_000),
            step(
                number * 10 + 1, key(42, number), status="success", started_at=NOW - 120_000, stopped_at=NOW - 9, node=1
            ),
        ]
        await merge(bench.store, *(replace(one, project=place) if place else one for one in told))
    for query, projects in {"": {PROJECT, BETA.slug}, "?org=gh/beta": {BETA.slug}}.items():
        _, files = await bench.page(f"/tests{query}")
        assert projects == {one["project"] for one in files["Splits"]}


@pytest.mark.parametrize("window", ["24h", "30d"])
async def test_files_of_completeness_have_the_cells(bench, window):
    """Of the hours or days that are shown, each with its begin."""
    found = {"hours": [format_ms(0), format_ms(HOUR)], "step": "1h", "window": window}
    cells = [None, FIGURES | {"state": "repaired"}]

    async def completeness(asked="24h"):
        assert asked == window
        return found | {"projects": [FIGURES | {"project": PROJECT, "proven_until": None, "cells": cells}]}

    bench.answers.completeness = completeness
    _, files = await bench.page("/delivery" + (f"?proven={window}" if window != "24h" else ""))
    (one,) = files["Completeness"]
    assert (PROJECT, 9) == (one["project"], one["expected"])
    assert [(format_ms(0), None), (format_ms(HOUR), "repaired")] == [
        (cell["at"], cell["state"]) for cell in one["cells"]
    ]
