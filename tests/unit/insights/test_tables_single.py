"""Tables about one test and one alert, and of suites and budgets: the same rows as their pages show."""

import pytest
from tests.unit.insights.alarms import FINGERPRINT, WATCHED, fired
from tests.unit.insights.details import NOW, SLUG, key, lens
from tests.unit.insights.test_tables import Desk
from tests.unit.insights.test_views_tests import WEEK, commit

from headgate.core.clock import ManualClock
from headgate.insights.tables import Material, find_table, open_table, read_asking
from headgate.insights.views.alert import alert_page
from headgate.insights.views.budgets import budgets_page
from headgate.insights.views.onetest import one_test
from headgate.insights.views.refusal import Refused
from headgate.insights.views.tests import page_of_tests
from headgate.store import MemoryStore


@pytest.fixture
async def store():
    """Six commits, on which one test flakes and another passes."""
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    for number in range(6):
        await commit(made, number, NOW - (6 - number) * 3_600_000, {1: ["pass", "fail"], 2: ["pass"]})
    yield made
    await made.close()


async def read(store, name, **words):
    """Rows of a table as mappings."""
    asked = read_asking(find_table(name), {key: [value] for key, value in words.items()}, now_ms=NOW)
    opened = await open_table(Material(lens(store), Desk()), asked)
    names = [column.id for column in opened.columns]
    return [dict(zip(names, row, strict=True)) async for page in opened.pages for row in page]


async def test_results_and_messages_of_a_test(store):
    """All of the window, oldest first, and what failures say."""
    page = await one_test(lens(store), project=SLUG, test=key(34, 1), window=WEEK)
    rows = await read(store, "test_results", project=SLUG, test=key(34, 1), window="7d")
    assert len(rows) == 12
    assert [(one.result, one.stopped_at, one.duration, one.job) for one in page.results] == [
        (row["result"], row["stopped_at"], row["duration"], row["job"]) for row in rows
    ]
    said = await read(store, "test_messages", project=SLUG, test=key(34, 1), window="7d")
    assert [(one.text, one.count) for one in page.messages] == [(row["text"], row["count"]) for row in said]
    classes = await read(store, "test_classes", project=SLUG, test=key(34, 1), window="7d")
    assert [(one.branch_class, one.flakes) for one in page.classes] == [
        (row["branch_class"], row["flakes"]) for row in classes
    ]
    with pytest.raises(Refused) as refused:
        await read(store, "test_results", project=SLUG, test="nope")
    assert refused.value.kind == "unknown-test"


async def test_suites_over_time(store):
    """A row for each suite and step, with the seconds of the chart."""
    page = await page_of_tests(lens(store), window=WEEK)
    rows = await read(store, "suites", window="7d")
    (line,) = page.suites.lines
    assert [("unit", at, value) for at, value in zip(page.suites.at, line.values, strict=True)] == [
        (row["suite"], row["at"], row["seconds"]) for row in rows
    ]
    assert any(row["seconds"] for row in rows)


async def test_evidence_of_an_alert(store):
    """The points of its chart; what grew; its own history alone."""
    await store.transition(fired(WATCHED))
    page = await alert_page(lens(store), fingerprint=FINGERPRINT)
    rows = await read(store, "alert_evidence", alert=FINGERPRINT)
    assert [(one.at, one.value, one.n) for one in page.chart.points] == [
        (row["at"], row["value"], row["n"]) for row in rows
    ]
    (grown,) = await read(store, "alert_causes", alert=FINGERPRINT)
    assert ("test", "", 60.0, 90.0, 0.75) == tuple(grown[name] for name in ("job", "step", "before", "after", "share"))
    lines = await read(store, "alert_history", alert=FINGERPRINT, window="90d")
    assert {FINGERPRINT} == {row["fingerprint"] for row in lines}
    assert [] == await read(store, "alert_history", alert="other", window="90d")


async def test_days_of_budgets(store):
    """Those of the lines of the page."""
    rows = await read(store, "budget_days", by="project")
    page = await budgets_page(lens(store), by="project")
    assert [day.credits for line in page.lines for day in line.days] == [row["credits"] for row in rows]
