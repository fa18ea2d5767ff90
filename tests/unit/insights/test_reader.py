"""What the reader makes of rows: outages, reruns, steps, deployments, freshness, series; and how it asks."""

import pytest
from tests.unit.insights.fakes import API, WEB, Rows, deployment, job, run

from headgate.alerting.history import History
from headgate.core.runrows import StepFailures
from headgate.core.tally import Tally
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import parse_matcher
from headgate.insights.metric import Measured
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.reader import Reader

NOW = 100 * DAY_MS
DAY = {WEB: (NOW - DAY_MS, NOW)}
PLACE = {"project": WEB, "workflow": "build"}


async def measure(name, *rows, by=(), where=(), bounds=None, tallies=None, **more):
    """The groups of a metric over a day of WEB."""
    reader = Reader(Rows(*rows, tallies=tallies), owners=more.pop("owners", Owners()), **more)
    matchers = [parse_matcher(text) for text in where]
    return await reader.measure(CATALOGUE.names[name], by=by, where=matchers, bounds=bounds or DAY)


def at(hours: float) -> int:
    """So many hours before now."""
    return round(NOW - hours * HOUR_MS)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("mttr", Measured(2.5 * 3600, 2)), ("mtbf", Measured(3 * 3600, 1)), ("recoveries", Measured(2.0, 5))],
)
async def test_outages_end_in_the_window_and_may_begin_before_it(name, wanted):
    """An outage lasts from its first failure, also before the window, to a success; canceled runs are nothing."""
    found = await measure(
        name,
        run("a", at(26), "failure"),
        run("b", at(25), "timeout"),
        run("c", at(23), "success"),
        run("d", at(22), "canceled"),
        run("e", at(20), "failure"),
        run("f", at(19), "failure"),
        run("g", at(18), "success"),
        run("h", at(17), "success"),
        tallies={(): Tally(n=6, ok=3, failed=2, canceled=1)},
    )
    assert found == {(): wanted}


@pytest.mark.parametrize("name", ["mttr", "mtbf", "recoveries"])
async def test_of_a_trigger_only_its_runs_follow_each_other(name):
    """A success of another trigger mends nothing, so runs are looked at one by one."""
    store = Rows(
        run("a", at(9), "failure"), run("b", at(8), trigger="api"), run("c", at(6)), run("d", at(5), "failure")
    )
    found = await Reader(store, owners=Owners()).measure(CATALOGUE.names[name], by=("trigger",), where=(), bounds=DAY)
    wanted = {"mttr": Measured(3 * 3600, 1), "mtbf": Measured(3600, 1), "recoveries": Measured(1.0, 3)}
    assert found[(("trigger", ""),)] == wanted[name]
    assert store.asked == ["runs"]


@pytest.mark.parametrize(
    ("holds", "wanted"),
    [
        ((None, None), []),
        ((None, 0), [4.0, 5.0]),
        ((None, 1000), [4.0]),
        ((0, 1000), [4.0, 4.0]),
    ],
    ids=["nobody read", "its like had none", "its like had one", "both read"],
)
async def test_runs_whose_holds_nobody_read_are_as_their_like(holds, wanted):
    """Known holds are taken off; others are none where those of the same workflow and class of branch are."""
    rows = [run(f"r{n}", at(9 - n), duration_ms=4000 + 1000 * n, hold_ms=held) for n, held in enumerate(holds)]
    name = "duration_mean_without_hold"
    other = [run("x", at(2), workflow="ship", hold_ms=None), run("y", at(1), ref="fix", branch_class=0, hold_ms=None)]
    found = await measure(name, *rows, *other)
    assert found == ({(): Measured(sum(wanted) / len(wanted), len(wanted))} if wanted else {})
    metric, reader = CATALOGUE.names[name], Reader(Rows(*rows, *other), owners=Owners())
    points = await reader.series(metric, labels=PLACE, where=(), before_ms=NOW, limit=9)
    assert wanted == [one.value for one in points]


async def test_outages_of_branches_are_apart():
    """A success on one branch mends no other."""
    rows = [run("a", at(9), "failure"), run("b", at(8), ref="fix"), run("c", at(6))]
    assert await measure("mttr", *rows) == {(): Measured(3 * 3600, 1)}


async def test_what_was_not_red_was_not_mended():
    """Without a failure there is no recovery, and no mean time to it."""
    assert await measure("mttr", run("a", at(1))) == {}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("rerun_waste", Measured(1 / 3, 3, 1)),
        ("reruns", Measured(2.0, 4)),
        ("rerun_credits", Measured(7.0, 4, estimated=True)),
        ("rerun_time", Measured(2.0, 4)),
    ],
)
async def test_waste_is_what_repeats_failures(name, wanted):
    """A run that repeats a success is no waste; one that repeats a failure from before the window is."""
    rows = [
        run("old", at(25), "failure", credits=100),
        run("new", at(23), "failure", rerun_of="old", attempt=2, credits=3, credits_estimated=True),
        run("last", at(22), rerun_of="new", attempt=3, credits=4),
        run("fine", at(21), credits=50),
        run("again", at(20), rerun_of="fine", attempt=2, credits=60),
    ]
    reader = Reader(History(rows), owners=Owners())
    assert await reader.measure(CATALOGUE.names[name], by=(), where=(), bounds=DAY) == {(): wanted}
    for label, value in (("workflow", "build"), ("branch", "main"), ("branch_class", "@default"), ("trigger", "")):
        of = await reader.measure(CATALOGUE.names[name], by=(label,), where=(), bounds=DAY)
        assert of == {((label, value),): wanted}


async def test_steps_are_added_up():
    """Failures of a step by job."""
    rows = [
        StepFailures(WEB, "build", "test", "npm test", 3, 1),
        StepFailures(WEB, "ship", "test", "npm test", 2, 1),
        StepFailures(WEB, "ship", "push", "docker push", 1, 1),
    ]
    found = await measure("failures_by_step", *rows, by=("step",), where=("job!=lint",))
    assert found == {(("step", "docker push"),): Measured(1.0, 1), (("step", "npm test"),): Measured(5.0, 5)}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("deployments", Measured(2.0, 3)),
        ("dora_deployment_frequency", Measured(2.0, 3)),
        ("dora_change_failure_rate", Measured(1 / 3, 3, 1)),
        ("dora_recovery_time", Measured(3 * 3600, 1)),
        ("dora_lead_time", Measured(5 * 3600, 1)),
    ],
)
async def test_deployments(name, wanted):
    """Failures, recoveries and lead times from the first workflow of a commit; one without a known commit has none."""
    found = await measure(
        name,
        run("branch", at(30), revision="r9", created_ms=at(12), ref="fix"),
        run("main", at(8), revision="r9", created_ms=at(9)),
        deployment("d1", at(10), "failed", revision="r9"),
        deployment("d2", at(7), revision="r9"),
        deployment("d3", at(6), revision="unseen"),
        deployment("d4", at(5), "canceled"),
    )
    assert found == {(): wanted}


async def test_a_commit_is_unknown_by_the_workflow_that_deployed():
    """Without a revision the deployment's own workflow tells when work began, though it ended after the window."""
    rows = [
        deployment("d", at(1), revision="", workflow_id="w"),
        run("w", NOW + HOUR_MS, created_ms=at(3), revision="r"),
    ]
    assert await measure("dora_lead_time", *rows) == {(): Measured(2 * 3600, 1)}


async def test_freshness_is_that_of_the_stalest_project():
    """By team, with the teams that owners name."""
    owners = Owners([parse_owner({"project": WEB}, "shop")])
    found = await measure(
        "data_freshness",
        by=("team",),
        bounds={WEB: (0, NOW), API: (0, NOW), "gh/acme/new": (0, NOW)},
        owners=owners,
        behind_ms={WEB: 5000, API: 9000, "gh/acme/old": 1},
    )
    assert found == {(("team", ""),): Measured(9.0, 1), (("team", "shop"),): Measured(5.0, 1)}


async def test_a_pass_asks_once_for_each_sum():
    """A coarser question is answered from a finer answer, and a filter on projects asks for those alone."""
    store = Rows(tallies={(WEB, "build"): Tally(n=4, ok=3, failed=1), (WEB, "ship"): Tally(n=2, ok=2)})
    reader, both = Reader(store, owners=Owners()), {**DAY, API: DAY[WEB]}
    where = [parse_matcher("project=gh/acme/web")]
    for by in (("project", "workflow"), ("project",), ()):
        found = await reader.measure(CATALOGUE["success_rate"], by=by, where=where, bounds=both)
        assert sum(one.n for one in found.values()) == 6
    assert [(query.by, dict(query.bounds)) for query in store.asked] == [(("project", "workflow"), DAY)]
    again = await reader.measure(CATALOGUE["success_rate"], by=("project", "workflow"), where=where, bounds=both)
    assert again[("project", WEB), ("workflow", "build")] == Measured(0.75, 4, 3)


@pytest.mark.parametrize(
    ("name", "where", "wanted"),
    [
        ("runs", ("trigger=api",), (("trigger", "api"),)),
        ("runs", ("branch=fix", "workflow=build"), (("branch", "fix"), ("workflow", "build"))),
        ("runs_of_jobs", ("resource_class=large",), (("resource_class", "large"),)),
        ("runs", ("trigger!=api", "branch=~fix.*"), ()),
    ],
)
async def test_a_store_is_told_which_values_are_wanted(name, where, wanted):
    """So that it reads no others; patterns and what is left out it need not know."""
    store = Rows(run("a", at(1), ref="fix"))
    reader = Reader(store, owners=Owners())
    await reader.measure(CATALOGUE.names[name], by=(), where=[parse_matcher(text) for text in where], bounds=DAY)
    assert [wanted] == [query.only for query in store.asked]


async def test_a_pass_reads_once_for_metrics_of_one_kind():
    """Recoveries and the times between them come from one question, by another grouping from another."""
    store = Rows(run("a", at(3), "failure"), run("b", at(2)))
    reader = Reader(store, owners=Owners())
    for name in ("mttr", "mtbf", "recoveries"):
        await reader.measure(CATALOGUE[name], by=("project",), where=(), bounds=DAY)
    assert store.asked.count("outages") == 1
    await reader.measure(CATALOGUE["mttr"], by=(), where=(), bounds=DAY)
    assert store.asked.count("outages") == 2


async def test_a_dimension_that_a_metric_lacks_is_refused():
    """Also as a filter."""
    for by, where in (("job",), ()), ((), ("job=test",)):
        with pytest.raises(ValueError, match="success_rate has no 'job'; it has org, project, workflow"):
            await measure("success_rate", by=by, where=where)


async def test_a_series_has_the_newest_that_qualify():
    """Oldest first, in the metric's unit, of the wanted branch class."""
    rows = [
        run("a", at(9), duration_ms=4000),
        run("b", at(8), "failure"),
        run("c", at(7), duration_ms=5000),
        run("d", at(6), ref="fix", branch_class=0),
        run("e", at(5), duration_ms=6000),
    ]
    store = Rows(*rows)
    points = await Reader(store, owners=Owners()).series(
        CATALOGUE["duration_p95"], labels=PLACE, where=[parse_matcher("branch=@default")], before_ms=at(5), limit=2
    )
    assert [(one.id, one.value, one.ok, one.labels["branch"]) for one in points] == [
        ("a", 4.0, True, "main"),
        ("c", 5.0, True, "main"),
    ]
    assert store.asked == [("workflow", 1, 2)]


async def test_a_filter_without_an_index_reads_further_back():
    """It goes on asking for more until it has enough."""
    rows = [run(f"m{i:03}", at(100 - i), trigger="api" if i < 4 else "webhook") for i in range(20)]
    store = Rows(*rows)
    points = await Reader(store, owners=Owners()).series(
        CATALOGUE["success_rate"], labels=PLACE, where=[parse_matcher("trigger=api")], before_ms=NOW, limit=2
    )
    assert [one.id for one in points] == ["m002", "m003"]
    assert [limit for _, _, limit in store.asked] == [2, 8, 32]


@pytest.mark.parametrize(
    ("name", "value"),
    [("queue_p90", 2.0), ("credits_of_jobs", 5.0), ("success_rate_of_jobs", 1.0), ("duration_p50_of_jobs", 1.0)],
)
async def test_a_series_of_jobs(name, value):
    """Job metrics have series by job; an approval is no job to them."""
    rows = Rows(job("a", at(2)), job("b", at(1), type="approval", duration_ms=None, queue_ms=None, credits=None))
    points = await Reader(rows, owners=Owners()).series(
        CATALOGUE.names[name], labels=PLACE | {"job": "test"}, where=(), before_ms=NOW, limit=9
    )
    assert [(one.id, one.value, one.number) for one in points] == [("a", value, 3)]


@pytest.mark.parametrize(
    ("name", "text"),
    [("queue_p50", "queue_p50 has no series without job"), ("mttr", "mttr has no series$")],
)
async def test_what_has_no_series_says_so(name, text):
    """Metrics of no single run, and places that are not told apart."""
    with pytest.raises(ValueError, match=text):
        await Reader(Rows(), owners=Owners()).series(CATALOGUE[name], labels=PLACE, where=(), before_ms=NOW, limit=9)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("deployments", Measured(3.0, 5)),
        ("dora_change_failure_rate", Measured(2 / 5, 5, 2)),
        ("dora_recovery_time", Measured(4 * 3600, 1)),
        ("dora_lead_time", Measured(2 * 3600, 3)),
    ],
)
async def test_a_deployment_that_is_repeated_counts_once(name, wanted):
    """The same end of the same commit; the commit before once more is a rollback, an unknown one is never the same."""
    found = await measure(
        name,
        run("one", at(9), revision="r1", created_ms=at(22)),
        run("two", at(9), revision="r2", created_ms=at(14)),
        deployment("d1", at(20), revision="r1"),
        deployment("d2", at(19), revision="r1"),
        deployment("d3", at(18), "failed", revision="r2"),
        deployment("d4", at(17), "failed", revision="r2"),
        deployment("d5", at(14), revision="r2"),
        deployment("d6", at(12), revision="r1"),
        deployment("d7", at(11), "canceled", revision="r1"),
        deployment("d8", at(10), revision="r1"),
        deployment("d9", at(5), "failed", revision=""),
    )
    assert found == {(): wanted}


async def test_a_lead_time_is_found_whatever_was_measured_before():
    """Counts of another window take nothing from it."""
    store = Rows(
        run("one", at(9), revision="r1", created_ms=at(22)), deployment("d1", at(20)), deployment("d2", at(24 * 40))
    )
    reader = Reader(store, owners=Owners())
    for since_ms, until_ms in ((at(24), NOW), (at(24 * 41), at(24 * 39))):
        for name in ("deployments", "dora_lead_time"):
            bounds = {WEB: (since_ms, until_ms)}
            assert await reader.measure(CATALOGUE.names[name], by=(), where=(), bounds=bounds)


async def test_deployments_are_read_once_for_all_groupings():
    """Their commits too, however many metrics and groups are measured of one window."""
    store = Rows(run("one", at(9), revision="r1", created_ms=at(22)), deployment("d1", at(20), revision="r1"))
    reader = Reader(store, owners=Owners())
    for by in ((), ("project",), ("team",)):
        for name in ("dora_lead_time", "deployments"):
            assert await reader.measure(CATALOGUE.names[name], by=by, where=(), bounds={WEB: (0, NOW)})
    assert ["commits"] == store.asked
