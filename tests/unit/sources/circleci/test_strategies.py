"""One history told by every strategy: the same ids, every knowable value equal, and what each of them costs."""

from collections import Counter

import msgspec
import pytest
from tests.e2e.compare import compare, fold
from tests.unit.sources.circleci.exporting import Bench, history

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
    with Twin(history(projects=4, rights={name: grant for name, grant in TOKENS.items() if grant})) as running:
        yield running


@pytest.fixture(scope="module")
def memo():
    """What each strategy told, so that it is read once."""
    return {}


async def read(twin, name, **asked):
    """The request and the records of one strategy, in a store of its own."""
    more = {"token": name} if TOKENS[name] else {}
    async with Bench(twin, **more, **asked.pop("fields", {})) as bench:
        request = await bench.backfill(**asked)
        assert (request.strategy, request.problems) == (name, ())
        return request, await bench.lines()


async def told(twin, memo, name):
    """The records of one strategy."""
    if name not in memo:
        _, memo[name] = await read(twin, name)
    return memo[name]


def ends_unseen(one):
    """Whether only the export and v1.1 mention a workflow, and nothing that they can tell says how it ended."""
    inputs = one["knowable"]
    return one["kind"] == "workflow" and not inputs["insights"] and one["final"]["circleci.status"] != "success"


@pytest.mark.parametrize("name", INPUTS)
async def test_what_a_strategy_can_know_is_what_happened(twin, memo, name):
    """No id is missing, none is made up, every value that its inputs know is right."""
    known = [one for one in twin.truth() if any(one["knowable"].get(source) for source in INPUTS[name])]
    if name != "walk":
        known = [one for one in known if not ends_unseen(one)]
    report = compare(known, await told(twin, memo, name))
    assert report.clean, str(report)
    assert len(known) > 1000
    assert report.compared > 10 * len(known)


async def test_the_strategies_tell_the_same_ids(twin, memo):
    """Jobs that ran and workflows that Insights lists are told by each; what v2 alone knows is told by the walk."""
    ids = {name: fold(await told(twin, memo, name)).records.keys() for name in INPUTS}
    truth = list(twin.truth())
    ran = {one["provider_id"] for one in truth if one["kind"] == "job" and one["knowable"]["export"]}
    listed = {one["provider_id"] for one in truth if one["kind"] == "workflow" and one["knowable"]["insights"]}
    assert ids["walk"] == {one["provider_id"] for one in truth}
    # v1.1 also lists jobs that were canceled while they waited for a machine.
    numbered = {one["provider_id"] for one in truth if one["kind"] == "job" and one["knowable"]["v1.1"]}
    assert ids["builds"] == ran | numbered | listed
    # Beyond those the export tells of tags that succeeded.
    tags = {one["provider_id"] for one in truth if one["kind"] == "workflow" and one["knowable"]["export"]} - listed
    assert ran | listed <= ids["export"] <= ran | listed | tags


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "most"), [("export", 110), ("builds", 100), ("walk", 2100)])
async def test_the_calls_of_a_backfill(name, most):
    """1,000 runs of 8 jobs: what each strategy costs, as docs/api-budget.md has it."""
    rights = {token: grant for token, grant in TOKENS.items() if grant}
    with Twin(history(days=31, runs_per_day=32.6, knobs=PLAIN, rights=rights)) as twin:
        runs = sum(one["kind"] == "workflow" for one in twin.truth())
        (slug,) = twin.about()["projects"]
        fields = {"orgs": [], "projects": {"include": [slug]}}
        twin.reset_calls()
        request, lines = await read(twin, name, days=31, fields=fields)
        made = twin.calls()
        print(f"{name}: {sum(made.values())} calls for {runs} runs, {len(lines)} records; {made}")  # noqa: T201  # the table of docs/api-budget.md
        jobs = sum(bool(one["knowable"][INPUTS[name][0]]) for one in twin.truth() if one["kind"] == "job")
    kinds = Counter(msgspec.json.decode(line)["kind"] for line in lines)
    assert 950 < runs < 1050
    assert (kinds["workflow"], kinds["job"]) == (runs, jobs)
    assert request.calls <= sum(made.values()) <= most


async def test_credits_reconcile_with_the_bill(twin, memo):
    """By project and kind, usage records add up to the export's own totals; workflows that lie in it to theirs."""
    lines = await told(twin, memo, "export")
    billed = twin.credits()
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
