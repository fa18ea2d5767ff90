"""Every strategy under every fault for every form of slug: the same ids, every knowable value equal, few calls more.

Ids and values are held against the twin's truth, calls against the table of docs/api-budget.md.
"""

import asyncio
import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.compare import compare
from tests.unit.sources.circleci.exporting import LIVELY, Bench, history

from headgate.collect.audit import Auditor
from headgate.collect.intake import Intake
from headgate.collect.requests import AUDITS, AuditRequest
from headgate.collect.revisit import Revisiter
from headgate.collect.state import ScopeState
from headgate.core.release import ReleasePolicy
from headgate.core.times import DAY_MS
from headgate.testing.circleci import Twin

DAYS = 4  # with so many runs a day every list has three pages and more
# Strategy -> what its token lacks, and what it reads with: names of the twin's `knowable`.
STRATEGIES = {
    "export": ([], ("export", "insights")),
    "builds": (["usage_export"], ("v1.1", "insights")),
    "walk": (["usage_export", "insights", "v1.1"], ("v2",)),
}
FORMS = ("gh/", "circleci/ (GitHub App)", "circleci/ (GitLab)", "bb/")
FAULTS = {
    "none": {},
    "rate_limited": {"rate_limited": {"rate": 0.2, "style": "retry_after"}},
    "server_error": {"server_error": {"rate": 0.2, "status": 503}},
    "cut_body": {"cut_body": {"rate": 0.2}},
    "slow": {"slow": {"rate": 0.05, "seconds": 0.7}},
    "repeated_page_token": {"repeated_page_token": {"rate": 0.5}},
}
HIDDEN = {"export": ("v2", "v1.1", "insights"), "builds": ("v1.1", "insights"), "walk": ("v2",)}
BUDGET_PAGE = Path(__file__).parents[4] / "docs" / "api-budget.md"

# Pairwise: each fault meets each strategy and each form; each strategy meets each form.
PAIRS = {
    (strategy, fault, (number + place) % len(FORMS))
    for number, strategy in enumerate(STRATEGIES)
    for place, fault in enumerate(FAULTS)
}
CELLS = [
    pytest.param(*cell, marks=() if cell in PAIRS else pytest.mark.long, id=f"{cell[0]}-{cell[1]}-{FORMS[cell[2]]}")
    for cell in itertools.product(STRATEGIES, FAULTS, range(len(FORMS)))
]
HIDES = [
    pytest.param(strategy, which, form, marks=() if form == number % len(FORMS) else pytest.mark.long)
    for number, (strategy, which) in enumerate((one, which) for one, lists in HIDDEN.items() for which in lists)
    for form in range(len(FORMS))
]


class Calm(Bench):
    """A bench on which nothing takes time: the twin's clock stands still, so that its truth does too."""

    def start(self):
        super().start()
        self.source._api._sleep = self.source._api._budget._sleep = self.sleep

    async def sleep(self, seconds):
        self.clock.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    async def read(self):
        """Read the history as the daemon does; the request as it ended, however often it had to begin again."""
        request = await self.ask(days=DAYS + 1)
        running = asyncio.ensure_future(self.backfiller.run())
        while (await self.request()).state != "done" and not running.done():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)
        running.cancel()
        assert (await self.request()).id == request.id
        return await self.request()

    async def audit(self):
        """Audit the whole history, after asking for the end of everything that has none, as the daemon does."""
        for scope in await self.source.scopes():
            self.polled.scopes[scope.key] = ScopeState(scope, walked=True)
        self.polled.discovered = True
        now_ms = self.clock.now_ms()
        wanted = AuditRequest("a1", now_ms - (DAYS + 1) * DAY_MS, now_ms, now_ms)
        await AUDITS.save(self.store, "ci", wanted, now_ms=now_ms)
        intake = Intake(self.store, clock=self.clock, metrics=self.metrics)
        await Revisiter(self.store, intake, self.polled, sleep=self.sleep).once()
        await Auditor(self.store, intake, self.polled, self.source, sleep=self.sleep).answer()
        # What was repaired waits for company that does not come.
        late_ms = now_ms + DAY_MS
        await self.store.release_due(ReleasePolicy(), "ci", now_ms=late_ms, live_after_ms=late_ms, limit=10_000)
        (done,) = await AUDITS.load(self.store, "ci")
        return done


@pytest.fixture
def twin():
    """Four lively days of a project of every family."""
    rights = {name: {"lacks": lacks} for name, (lacks, _) in STRATEGIES.items() if lacks}
    rights["walk and builds"] = {"lacks": ["usage_export", "insights"]}
    knobs = replace(LIVELY, insights_page=12)
    with Twin(history(projects=4, days=DAYS, runs_per_day=12.0, rights=rights, knobs=knobs)) as running:
        yield running


def bench(twin, slug, token):
    """One project, read with one token."""
    more = {} if token == "export" else {"token": token}
    return Calm(twin, orgs=[], projects={"include": [slug]}, timeout="500ms", **more)


def project_of(twin, form):
    """The slug and the truth of the project with this form of slug."""
    slug = twin.about()["projects"][form]
    return slug, [one for one in twin.truth() if one["project"] == slug]


def knowable(truth, strategy):
    """Ids that a strategy has to tell, and those that it may.

    How a workflow ended that only jobs mention is known where it succeeded; of the jobs of today, v1.1 tells more.
    """
    inputs = STRATEGIES[strategy][1]
    may = {one["provider_id"] for one in truth if any(one["knowable"].get(name) for name in {*inputs, "v1.1"})}
    unseen = {
        one["provider_id"]
        for one in truth
        if one["kind"] == "workflow" and not one["knowable"].get("insights") and "v2" not in inputs
    }
    must = {one["provider_id"] for one in truth if any(one["knowable"].get(name) for name in inputs)} - unseen
    return must, may | must | unseen


def documented(strategy, fault):
    """How many calls docs/api-budget.md allows."""
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in BUDGET_PAGE.read_text().splitlines()]
    begin = rows.index(next(row for row in rows if row[:1] == ["fault"]))
    head, table = rows[begin], rows[begin + 2 : begin + 8]
    (row,) = [row for row in table if row[:1] == [fault]]
    return int(re.sub(r"\D", "", row[head.index(strategy)]))


@pytest.mark.parametrize(("strategy", "fault", "form"), CELLS)
async def test_a_strategy_tells_the_truth_under_any_fault(twin, strategy, fault, form):
    """Ids as the strategy's inputs know them, none lost or made up; every knowable value; calls as documented."""
    slug, truth = project_of(twin, form)
    twin.put_faults(FAULTS[fault])
    twin.reset_calls()
    async with bench(twin, slug, strategy) as reading:
        request = await reading.read()
        lines = await reading.lines()
    calls = sum(twin.calls().values())
    print(f"{strategy} {fault} {FORMS[form]}: {calls} calls, {len(lines)} records")  # noqa: T201  # the table of docs/api-budget.md
    assert (request.strategy, request.problems, request.trouble) == (strategy, (), "")
    must, may = knowable(truth, strategy)
    report = compare(truth, lines)
    told = {one["provider_id"] for one in truth} - set(report.lost)
    assert must <= told <= may
    assert (report.unknown, report.duplicate, report.altered, report.different) == ([], {}, [], []), str(report)
    assert report.compared > 8 * len(must) > 200
    assert calls <= documented(strategy, fault)


@pytest.mark.parametrize(("strategy", "which", "form"), HIDES)
async def test_what_a_list_hides_is_told_after_an_audit(twin, strategy, which, form):
    """A fifth of the runs is missing from one list: what the strategy has to tell is there once it was audited."""
    slug, truth = project_of(twin, form)
    twin.put_faults({"list_hides": {"list": which, "rate": 0.2}})
    token = "walk and builds" if strategy == "walk" else strategy
    async with bench(twin, slug, token) as reading:
        request = await reading.read()
        audited = await reading.audit()
        lines = await reading.lines()
    must, _ = knowable(truth, strategy)
    report = compare(truth, lines)
    assert request.strategy == strategy
    assert not must & set(report.lost)
    assert (report.unknown, report.duplicate, report.altered, report.different) == ([], {}, [], []), str(report)
    assert audited.problems == {}
    tally = audited.results[slug]
    assert tally.expected == tally.present + tally.repaired > 0
