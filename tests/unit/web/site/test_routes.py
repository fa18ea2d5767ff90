"""The pages over a store in memory: what is missing, what is wrong, little and nothing."""

from __future__ import annotations

import re

import httpx
import msgspec
import pytest
from tests.unit.insights.alarms import FINGERPRINT, WATCHED, fired
from tests.unit.insights.world import key
from tests.unit.web.test_api import EVIL, Answers, Health

from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.errors import StoreFailed
from headgate.core.merge import ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.insights.views.lens import Lens
from headgate.store import MemoryStore, SqliteStore
from headgate.testing.store_data import NOW, WORKFLOW, job, merge, pipeline, seen, workflow
from headgate.web import answering
from headgate.web.api import build_app
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages
from headgate.web.site.routes import add_pages

PROJECT = "gh/acme/web"
OF_BUILD = f"project={PROJECT}&workflow=build"
NONE = "\u2013"


class Bench:
    """Pages over `store`, which is empty at first."""

    def __init__(self) -> None:
        self.store = MemoryStore(clock=ManualClock(NOW))
        self.answers = Answers()
        self.answers.full = False
        self.app = app = build_app(self.answers, Health(), MetricPages(Telemetry().page, lambda _: b""), version="0.0")
        add_pages(app, self.answers, self.lens, "0.0")
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")

    def lens(self) -> Lens:
        """Of the moment after everything."""
        return Lens(self.store, NOW + 1)

    async def text(self, path: str, status: int = 200) -> str:
        """A page of that status, in words without markup."""
        answer = await self.http.get(path)
        assert (status, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
        assert not re.search(r"<script(?! src=)| style=| on[a-z]+=", answer.text)
        return " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


@pytest.fixture
async def bench():
    made = Bench()
    await made.store.open()
    async with made.http:
        yield made


async def test_a_store_without_anything_says_what_to_do(bench):
    """Each page names what is missing."""
    assert "Nothing is known yet" in await bench.text("/")
    assert "No project is known yet" in await bench.text("/projects")
    assert "No test result in this window" in await bench.text("/tests")
    assert "No credits are known in this window" in await bench.text("/credits")
    assert "No alert is pending, firing or lately resolved" in await bench.text("/alerts")
    assert "Nothing is running, queued or on hold" in await bench.text("/now")
    assert "No project is known yet" in await bench.text("/builds")
    assert "As far as any ended in it, which Projects says" in await bench.text("/failures")
    assert "Tell it in one of these ways" in await bench.text("/dora")
    assert "see usage of the source" in await bench.text("/rightsizing")
    assert "No failed run was repeated in this window" in await bench.text("/reruns")
    budgets = await bench.text("/budgets")
    assert "see usage and insights of the source" in budgets
    assert "Nothing was spent this month that anybody told of" in budgets


@pytest.mark.parametrize(
    ("path", "told"),
    [
        *((path, 1) for path in ("/projects", "/builds", "/failures", "/tests", "/credits", "/dora", "/reruns")),
        *((path, 1) for path in (f"/project?project={PROJECT}", f"/workflow?{OF_BUILD}", "/rightsizing", "/budgets")),
        *((path, 0) for path in ("/", "/alerts", "/data", "/reports", "/now", "/project")),
    ],
)
async def test_figures_say_that_history_is_still_read(bench, path, told):
    """Once, above them; pages that say so themselves, or have none, do not."""
    await merge(bench.store, pipeline(), workflow(), job())
    words = "History since 2026-08-20 is being read"
    order = {"id": "b1", "since": "2026-08-20T00:00:00Z", "state": "running", "share": 0.25, "reached": None}
    bench.answers.orders = [order]
    assert told == (await bench.http.get(path)).text.count(words)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "Not Found"),
        (f"/project?project={EVIL}", 404, "No such project"),
        ("/project", 404, "No such project"),
        (f"/workflow?project={PROJECT}&workflow=nope", 404, "No such workflow"),
        (f"/job?{OF_BUILD}&job=nope", 404, "No such job"),
        ("/run/nope", 404, "No such run"),
        ("/?window=soon", 400, "A time or span cannot be read"),
        ("/projects?since=2026-02-31", 400, "A time or span cannot be read"),
        ("/?since=2026-11-03&until=2026-11-01", 400, "The range is empty or reversed"),
        (f"/workflow?{OF_BUILD}&branch_class=x", 400, "A filter cannot be read"),
        (f"/workflow?{OF_BUILD}&cursor=x", 400, "The cursor is not one of this list"),
        ("/credits?by=moon", 400, "The metric does not have this dimension"),
        (f"/?branch={'x' * 1001}", 400, "A parameter cannot be read"),
    ],
)
async def test_what_cannot_be_answered_is_a_page(bench, path, status, words):
    """With a status, what is wrong, and ways on."""
    await merge(bench.store, pipeline(), workflow(), job())
    page = await bench.text(path, status)
    assert f"{status} {words}" in page
    assert "Overview" in page


async def test_what_takes_too_long_is_refused(bench, tmp_path, monkeypatch):
    """By the page and by the API: with what to do, and nothing of it is a fault of the store."""
    store = SqliteStore(tmp_path / "a.db", clock=ManualClock(NOW), metrics=NullMetrics())
    await store.open()
    await merge(store, pipeline(), workflow(), job())
    bench.store, memory = store, bench.store
    add_insights(bench.app, bench.lens)
    assert "gh/acme/web" in await bench.text("/")
    monkeypatch.setattr(answering, "_LONGEST_SECONDS", 0)
    assert "The answer takes too long to work out" in (text := await bench.text("/", 400))
    assert "choose a shorter window, one project, or fewer filters at once" in text
    answer = await bench.http.get("/api/v1/insights/overview")
    assert (400, "too-long", "window") == (
        answer.status_code, answer.json()["error"], answer.json()["parameter"]
    )  # fmt: skip
    await store.close()
    bench.store = memory


async def test_what_is_valid_is_listed(bench):
    """Projects that are known, forms that a window has."""
    await merge(bench.store, pipeline(), workflow())
    assert PROJECT in await bench.text("/project?project=gh/acme/wep", 404)
    assert "24h" in await bench.text("/?window=soon", 400)


async def test_the_api_keeps_its_own_words(bench):
    """A problem stays one."""
    answer = await bench.http.get("/api/v1/nowhere")
    assert (404, "application/problem+json") == (answer.status_code, answer.headers["content-type"])


async def test_a_store_that_does_not_answer_is_a_page(bench):
    """503, and what to do."""
    bench.answers.error = StoreFailed("disk gone")
    assert "503 The store does not answer disk gone" in await bench.text("/alerts", 503)


async def test_one_run_fills_every_page(bench):
    """Nothing is divided by what is not there."""
    await merge(bench.store, pipeline(), workflow(), job(queued_at=NOW - 6_000))
    page = await bench.text("/")
    assert "1 project, last 7 days" in page
    assert "Runs 1 nothing before" in page
    assert "100 %" in await bench.text(f"/project?project={PROJECT}")
    assert "Runs 1" in await bench.text(f"/workflow?{OF_BUILD}")
    assert "Queue p95 1s" in await bench.text(f"/job?{OF_BUILD}&job=test")
    run = await bench.text(f"/run/{WORKFLOW}")
    assert "Took 8s" in run
    assert "1s in queues, not known waiting for approval, 5s running - test . Whether it waited" in run
    await merge(bench.store, job(at=NOW + 1, type="build"))
    assert "1s in queues, 0s waiting for approval, 5s running - test ." in await bench.text(f"/run/{WORKFLOW}")


async def test_an_organisation_with_figures_of_its_own_is_no_project(bench):
    """CircleCI's aggregates of a whole organisation are kept under its slug, which is neither counted nor listed."""
    whole = msgspec.structs.replace(
        seen("insight", "whole", {"subject": "org"}), project=ProjectRef("circleci.com", "gh/acme", "gh/acme", None)
    )
    await merge(bench.store, pipeline(), workflow(), whole)
    assert "1 project, last 7 days" in await bench.text("/")
    assert "No such project" in await bench.text("/project?project=gh/acme", 404)


async def test_a_window_without_a_run_offers_a_longer_one(bench):
    """The names are known, nothing ended."""
    await merge(bench.store, pipeline(), workflow())
    before = "since=2026-11-10&until=2026-11-11"
    page = await bench.text(f"/project?project={PROJECT}&{before}")
    assert "No run ended in this window" in page
    assert "Show 90 days" in page
    assert "Runs 0" in page or f"Runs {NONE}" in page


@pytest.mark.parametrize("place", ["/workflow?", "/job?job=test&"])
async def test_a_workflow_or_job_without_a_run_in_the_window_offers_a_longer_one(bench, place):
    """It is known, whenever it ran; one that never ran is not."""
    await merge(bench.store, pipeline(), workflow(), job())
    for dates in ("since=2026-06-10&until=2026-06-11", "since=2027-06-10&until=2027-06-11"):
        page = await bench.text(f"{place}{OF_BUILD}&{dates}")
        assert "ended in this window" in page
        assert "how 90 days" in page
        assert f"Runs {NONE}" in page or "Runs 0" in page
        for other in (f"/workflow?project={PROJECT}&workflow=nope", f"/job?{OF_BUILD}&job=nope"):
            assert "of that name has ended yet" in await bench.text(f"{other}&{dates}", 404)


async def test_all_failed_is_zero_percent_and_no_duration(bench):
    """Durations are those of successful runs."""
    await merge(bench.store, pipeline(), workflow(status="failed"))
    page = await bench.text(f"/workflow?{OF_BUILD}")
    assert "Success rate 0 %" in page
    assert f"Duration p50 {NONE}" in page


async def test_a_run_that_goes_on_is_shown(bench):
    """It has taken so far, and its job waits or runs."""
    await merge(bench.store, pipeline(), workflow(ended=False), job(ended=False))
    assert "So far 8s" in await bench.text(f"/run/{WORKFLOW}")
    assert "1 running 0 jobs queued 0 on hold 0 stuck" in await bench.text("/now")


async def test_what_goes_on_is_renewed_with_the_filters_of_the_overview(bench):
    """And says of what it is."""
    await merge(bench.store, pipeline(), workflow(ended=False))
    for words, counted in (
        ("", "Now in all projects 1 running"),
        ("?branch=x", "Now of what the filters take 0 running"),
    ):
        assert counted in await bench.text(f"/{words}")
        assert f'data-live="/now{words}"' in (await bench.http.get(f"/{words}")).text
        assert counted in await bench.text(f"/now{words}")


async def test_a_run_without_jobs_says_why(bench):
    """Canceled at once, or past retention."""
    await merge(bench.store, pipeline(), workflow())
    assert "No job is known" in await bench.text(f"/run/{WORKFLOW}")


async def test_filters_stay_in_every_address(bench):
    """Whoever changes the window keeps them; whoever clears them keeps the window."""
    await merge(bench.store, pipeline(), workflow())
    text = (await bench.http.get(f"/workflow?{OF_BUILD}&branch=main&window=30d")).text
    assert "workflow=build&amp;branch=main&amp;window=90d" in text
    assert 'class="clear" href="/workflow?project=gh%2Facme%2Fweb&amp;workflow=build&amp;window=30d"' in text


async def test_alerts_have_their_units_and_their_first_bad_run(bench):
    """A run of ours as a link to its page, a job to CircleCI; where none is named the page says so."""
    base = {"fingerprint": "f", "rule": "R", "labels": {}, "state": "firing", "since": "2026-11-20T10:02:10.000Z"}
    base |= {"flags": [], "n": 20, "value": 0.6, "baseline": 0.9, "format": "percentage", "unit": "1"}
    at, none = {"first_bad_at": "2026-11-20T09:02:10.000Z"}, {"first_bad_at": None, "first_bad_url": None}
    base["started_at"] = None
    run = at | {"first_bad": "w1", "first_bad_url": "https://app.circleci.com/pipelines/workflows/w1"}
    job = at | {"first_bad": "j1", "first_bad_url": "https://app.circleci.com/pipelines/workflows/w1/jobs/7"}
    spent = {"value": 1234.0, "baseline": None, "format": "credits", "unit": "{credit}", "first_bad": None}

    async def alerts():
        return [base | run, base | job, base | none | spent]

    bench.answers.alerts = alerts
    page = await bench.text("/alerts")
    assert page.count("60.0 % 90.0 % 20 11-20 09:02:10") == 2
    assert f"1,234 credits {NONE} 20 none named" in page
    raw = (await bench.http.get("/alerts")).text
    assert '<a href="/run/w1">11-20 09:02:10</a>' in raw
    assert 'href="https://app.circleci.com/pipelines/workflows/w1/jobs/7"' in raw


async def test_an_alert_that_got_worse_fires_since_it_fired(bench):
    """On the overview and the list, as on its own page; the overview says that filters are not for alerts."""
    alert = {"fingerprint": "f", "rule": "R", "labels": {}, "state": "firing", "since": "2026-11-20T15:33:11.000Z"}
    alert |= {"flags": [], "n": 20, "value": 0.6, "baseline": 0.9, "format": "percentage", "unit": "1"}
    alert |= {"started_at": "2026-11-20T13:52:07.000Z", "first_bad_at": None, "first_bad_url": None}
    whole = await bench.answers.overview()

    async def alerts():
        return [alert]

    async def overview():
        return whole | {"alerts": [alert]}

    bench.answers.alerts, bench.answers.overview = alerts, overview
    await merge(bench.store, pipeline(), workflow())
    for path in ("/", "/alerts"):
        page = await bench.text(path)
        assert ("11-20 13:52:07" in page, "15:33:11" in page) == (True, False)
    assert "1 alert firing firing" in await bench.text("/")
    assert "1 alert firing in all projects, whatever the filters" in await bench.text("/?branch=main")


async def test_a_silence_began_with_the_last_run(bench):
    """Which is no bad one; the chart is of the time without a run."""
    await merge(bench.store, pipeline(), workflow(stopped_at=NOW - 100_000))
    (run,) = await bench.store.recent_runs(1)
    silent = msgspec.structs.replace(
        WATCHED, kind="absence", metric="runs", group={"project": PROJECT}, where=(), window_ms=10**9, seconds=True
    )
    silent = msgspec.structs.replace(silent, limits={"told beyond": 90.0}, first_bad_ms=run.stopped_ms)
    at_ms = run.stopped_ms + 100_000
    await bench.store.transition(fired(silent, at_ms=at_ms, fired_ms=at_ms, value=100.0, baseline=60.0))
    page = await bench.text(f"/alert/{FINGERPRINT}")
    assert "What the rule saw: silence" in page
    assert "the last is the time without a run" in page
    assert "1m 40s 1m 1m 30s last run fired 0 runs" in page
    assert ("First bad run" in page, "Last run" in page) == (False, True)


async def test_credits_that_nobody_told_of_are_no_zero(bench):
    """A dash on pages, with why; null in the API; no bar in a chart. Those that are known are counted as ever."""
    add_insights(bench.app, bench.lens)
    bare, known = job(key(4, 1)), job(key(4, 2), resource_class="large", credits=40)
    await merge(bench.store, pipeline(), workflow(), bare)
    page = await bench.text(f"/job?{OF_BUILD}&job=test")
    assert f"not known 1 100 % 5s {NONE}" in page
    assert "Credits of jobs come with the usage export" in page
    asked = f"/api/v1/insights/job?{OF_BUILD}&job=test"
    told = (await bench.http.get(asked)).json()
    (line,) = [one for one in told["plot"]["lines"] if one["metric"] == "credits_of_jobs"]
    assert (None, {None}) == (told["figures"]["credits_of_jobs"]["value"], set(line["values"]))
    await merge(bench.store, known)
    classes = (await bench.http.get(asked)).json()["resource_classes"]
    assert [("large", 40.0), ("", None)] == [
        (one["resource_class"], one["figures"]["credits_of_jobs"]["value"]) for one in classes
    ]
    assert "none told of" in await bench.text("/")


async def test_what_has_not_ended_yet_is_said_so(bench):
    """Its run has a page; that of its workflow says since when there is one, and so do refusals of names."""
    await merge(bench.store, pipeline(), workflow(ended=False), job(ended=False))
    assert "So far" in await bench.text(f"/run/{WORKFLOW}")
    for path in (f"/workflow?{OF_BUILD}", f"/job?{OF_BUILD}&job=test"):
        assert "nothing of that name has ended yet" in await bench.text(path, 404)


@pytest.mark.parametrize("status", ["success", "failed"])
async def test_one_run_is_on_every_page(bench, status):
    """Whether it succeeded or not: no page breaks, and none is without a word."""
    await merge(bench.store, pipeline(), workflow(status=status), job(status=status))
    pages = "/ /projects /builds /failures /tests /credits /dora /alerts /delivery /rightsizing /reruns /budgets /now"
    of_one = (f"/{name}?project={PROJECT}" for name in ("project", "builds", "failures", "tests", "credits", "dora"))
    for path in (*pages.split(), *of_one, f"/workflow?{OF_BUILD}", f"/job?{OF_BUILD}&job=test", f"/run/{WORKFLOW}"):
        page = await bench.text(path)
        assert "nan" not in page.lower().split()
        assert len(page) > 40
    assert "1 build, oldest first" in await bench.text(f"/builds?project={PROJECT}")
