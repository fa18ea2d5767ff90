"""One history told by every strategy: the same ids, every knowable value equal, and what each of them costs."""

from collections import Counter

import msgspec
import pytest
from tests.e2e.compare import compare, fold
from tests.unit.sources.circleci.exporting import NOW, Bench, history

from headgate.core.times import format_ms
from headgate.testing.circleci import Knobs, Twin

# design: 1,000 runs of 8 jobs in 31 days, one project, one workflow, one run per pipeline.
PLAIN = Knobs(jobs_min=8, jobs_max=8, branch_variants=False, second_workflow_rate=0, tag_rate=0, errored_rate=0,
              schedules=False, approval_rate=0, rerun_rate=0, late_reruns_per_day=0, error_rate=0, stories=False,
              insights_delay=0)  # fmt: skip
# What each strategy reads with, so what it may know of: names of the twin's `knowable`.
INPUTS = {"export": ("export", "insights"), "builds": ("v1.1", "insights"), "walk": ("v2",)}
TOKENS = {
    "export": {},
    "builds": {"lacks": ["usage_export"]},
    "walk": {"lacks": ["usage_export", "insights", "v1.1"]},
}


@pytest.fixture(scope="module")
def twin():
    """Six lively days of four projects, of every family."""
    with Twin(history(projects=4, rights={name: grant for name, grant in TOKENS.items() if name != "export"})) as run:
        yield run


async def told(twin, name):
    """The request and the records of one strategy in a store of its own."""
    token = twin.token if name == "export" else name
    async with Bench(twin, token=token) as bench:
        request = await bench.backfill()
        return request, await bench.lines()


@pytest.mark.parametrize("name", INPUTS)
async def test_what_a_strategy_can_know_is_what_happened(twin, name):
    """No id is missing, none is made up, every value that its inputs know is right."""
    request, lines = await told(twin, name)
    assert (request.strategy, request.problems) == (name, ())
    known = [one for one in twin.truth() if any(one["knowable"][source] for source in INPUTS[name])]
    assert len(known) > 1000
    report = compare(known, lines)
    # A record is released for what ended: its end is what these inputs cannot tell of a few, see below.
    assert report.agrees, str(report)
    assert not report.duplicate
    assert report.compared > 10 * len(known)


async def test_the_strategies_tell_the_same_ids(twin):
    """Jobs that ran are the same for all three; so are workflows that Insights lists."""
    ids = {}
    for name in INPUTS:
        _, lines = await told(twin, name)
        ids[name] = Counter(
            (record["kind"], own) for own, record in fold(lines).records.items()
        )
    ran = {("job", one["provider_id"]) for one in twin.truth() if one["knowable"]["export"] and one["kind"] == "job"}
    listed = {("workflow", one["provider_id"]) for one in twin.truth() if one["knowable"].get("insights")}
    for name, found in ids.items():
        assert ran | listed <= found.keys(), name
    assert not ids["builds"].keys() - ids["walk"].keys()
    assert not ids["export"].keys() - ids["walk"].keys()


async def test_the_budget_of_a_backfill():
    """1,000 runs of 8 jobs: the calls of each strategy, as docs/api-budget.md has them."""
    options = history(days=31, runs_per_day=32.6, knobs=PLAIN, rights=TOKENS | {"export": {}})
    with Twin(options) as twin:
        runs = sum(one["kind"] == "workflow" for one in twin.truth())
        table = {}
        for name in INPUTS:
            twin.reset_calls()
            request, lines = await told(twin, name)
            assert request.strategy == name
            table[name] = {route: count for route, count in sorted(twin.calls().items())}
            records = [msgspec.json.decode(line) for line in lines]
            print(f"{name}: {sum(table[name].values())} calls for {runs} runs, {len(records)} records, {table[name]}")
    assert 950 < runs < 1050
    assert sum(table["export"].values()) <= 110


async def test_credits_reconcile_with_the_bill(twin):
    """By project and kind the usage records add up to the export's own totals, and workflows that lie in it to theirs."""
    async with Bench(twin) as bench:
        await bench.backfill()
        lines = await bench.lines()
    billed = twin.credits(since=format_ms(NOW - 7 * 86_400_000))
    sums: dict[str, Counter] = {}
    rows = 0
    for record in map(msgspec.json.decode, lines):
        if record["kind"] == "usage":
            rows += 1
            found = sums.setdefault(record["project"], Counter())
            for name, value in record["attributes"].items():
                if name.startswith("circleci.credits."):
                    found[f"{name.rpartition('.')[2].upper()}_CREDITS"] += value
    assert rows == billed["rows"] > 500
    assert sums == {project: Counter(kinds) for project, kinds in billed["projects"].items()}
    cost = {one["provider_id"]: one["credits"] for one in twin.truth() if one["kind"] == "workflow"}
    runs = {own: record["attributes"] for own, record in fold(lines).records.items() if record["kind"] == "workflow"}
    exact = {own for own, run in runs.items() if run.get("circleci.credits_estimated") is False}
    assert {own: runs[own]["circleci.credits"] for own in exact} == {own: cost[own] for own in exact}
    assert len(exact) > 0.9 * len(runs)
