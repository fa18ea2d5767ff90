"""Alerts, delivery and data in a browser: acknowledge, silence, send again; nothing without the seal of a form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.pages_site import EVIL, PagesSite
from tests.e2e.test_site import Visit, browser
from tests.unit.insights import world
from tests.unit.insights.alarms import FINGERPRINT, LABELS, fired

from headgate.app.operations import StoreOperations
from headgate.app.running import Running
from headgate.app.settings import load
from headgate.core.clock import ManualClock
from headgate.core.messages import payload_of
from headgate.core.ports import Delivery
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import AlertChange, MergeWork, OutboxEntry, Outcomes, SignalSpec
from headgate.core.verdicts import Reject
from headgate.plugins import load_plugins
from headgate.store import SqliteStore
from headgate.testing.notifier_suite import notification

__all__ = ["browser"]

pytestmark = pytest.mark.timeout(120)

SECRET = "canary-secret-of-nobody"
CONFIGURATION = """
version: 1
store: {{url: "sqlite://{folder}/h.db"}}
sources: {{ci: {{type: circleci, token: "${{CI_TOKEN}}", orgs: [gh/acme]}}}}
sinks: {{loki: {{type: loki, url: "http://loki.example:3100/with/path", headers: {{x-key: "{secret}"}}}}}}
alerts:
  notifiers: {{pager: {{type: webhook, url: "https://pager.example/{secret}"}}, quiet: {{type: jsonl, path: "-"}}}}
  routes: [{{match: [severity=critical], to: [pager], mute: [nights]}}]
  mute_times: {{nights: {{times: ["00:00-24:00"]}}}}
"""


class Desk:
    """What is behind the pages: real operations over the store, an alert, a dead letter, a webhook set aside."""

    def __init__(self, folder: Path) -> None:
        file = folder / "headgate.yaml"
        file.write_text(CONFIGURATION.format(folder=folder, secret=SECRET))
        environ = {"CI_TOKEN": SECRET + "-token"}
        self.configuration = load(load_plugins(), file=file, environ=environ)

    async def prepare(self, store: SqliteStore) -> StoreOperations:
        """Fill the store."""
        await store.transition(fired())
        told = [OutboxEntry("pager", "k", payload_of(notification()), world.NOW - 60_000)]
        await store.transition(AlertChange(outbox=told))
        [row] = await store.outbox_due(now_ms=world.NOW, limit=1)
        await store.outbox_retry([row.id], due_ms=world.NOW + 1000, error=f"refused {EVIL}")
        await store.open_signals([SignalSpec("loki", "logs", "http://loki", "retained")], now_ms=world.NOW)
        [entry] = await store.read_log("loki.logs", "backfill", 0, limit=1, max_bytes=10)
        reject = Reject("rejected", 400, f"no such field {EVIL}")
        dead = Outcomes("loki.logs", "backfill", entry.seq, dead=[(entry, reject, 2)], at_ms=world.NOW)
        await store.record_outcomes([dead])
        await store.accept([Delivery("ci", 1, "job-completed", "application/json", b'{"broken": ' + EVIL.encode())])
        [waiting] = await store.inbox(10)
        await store.merge_and_release(
            MergeWork("ci", (), ReleasePolicy(), world.NOW, 0, inbox_dead=[(waiting.id, "not_json")])
        )
        running = Running(sources=lambda: {"ci": None}, configuration=lambda: self.configuration)
        return StoreOperations(store, ManualClock(world.NOW), running)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    """A served store with something to do."""
    folder = tmp_path_factory.mktemp("desk")
    with PagesSite(folder, runs=150, odd=False, prepare=Desk(folder).prepare) as served:
        yield served


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: PagesSite) -> Iterator[Visit]:
    """Somebody at a desk."""
    made = Visit(browser, site)
    yield made
    made.context.close()


@pytest.fixture
def visit(visitor: Visit) -> Visit:
    """The same, with nothing to complain of yet."""
    visitor.wrong.clear()
    return visitor


def api(site: PagesSite, path: str) -> Any:
    """What the API says."""
    return httpx.get(f"{site.address}/api/v1/{path}", trust_env=False).raise_for_status().json()


def test_the_evidence_is_drawn_from_the_values_of_the_api(visit, site):
    """Every point, level and mark; the legend names what is drawn."""
    page = visit.open(f"/alert/{FINGERPRINT[:12]}")
    chart = api(site, f"insights/alert/{FINGERPRINT}")["chart"]
    cells = page.eval_on_selector_all(
        "[data-chart=evidence] tbody tr",
        "rows => rows.map(row => [...row.querySelectorAll('[data-v]')].map(c => c.dataset.v))",
    )
    levels = [level["value"] for level in chart["levels"]]
    assert [[one["value"], *levels] for one in chart["points"]] == [
        [float(value) if value else None for value in row] for row in cells
    ]
    assert page.locator("[data-chart=evidence] canvas").count() == 1
    assert ["success rate", "warning", "recovers", "first bad", "fired"] == page.locator(
        "[data-chart=evidence] .legend li"
    ).all_text_contents()
    assert page.locator("text=c0ffeec0ff").count() == 1
    assert visit.wrong == []


def test_an_alert_is_acknowledged_and_silenced_and_the_silence_ended(visit, site):
    """From the list to the alert and back; the matchers of the silence are those of the alert."""
    page = visit.open("/alerts")
    page.click(f"[data-alert='{FINGERPRINT}'] a")
    page.select_option("select[name=verdict]", "noise")
    page.fill("form[action$='/ack'] input[name=by]", "Ada")
    page.fill("form[action$='/ack'] input[name=comment]", f"seen {EVIL}")
    page.click("text=Acknowledge")
    expect(page.locator(".done")).to_contain_text("Acknowledged")
    expect(page.locator(".seen")).to_contain_text(f"Ada at 2026-11-18 11:06:40: seen {EVIL}")
    assert api(site, "alerts")[0]["acknowledged"]["verdict"] == "noise"
    page.click("text=Silence it")
    wanted = ['alertname="Red"', *(f'{name}="{LABELS[name]}"' for name in ("project", "workflow"))]
    assert wanted == page.input_value("textarea").splitlines()
    page.select_option("select[name=length]", "1h")
    page.fill("form[action='/silences'] input[name=comment]", "deploying")
    page.click("button:text-is('Silence')")
    expect(page.locator(".done")).to_contain_text("Silenced")
    [silence] = api(site, "silences")
    assert ("active", wanted, "local", "deploying") == tuple(
        silence[name] for name in ("state", "matchers", "author", "comment")
    )
    page.goto(f"{site.address}/alerts")
    page.click(f"[data-silence='{silence['id']}'] button")
    expect(page.locator(f"[data-silence='{silence['id']}'] .state")).to_have_text("expired")
    assert "quiet now" in page.inner_text("main")
    assert visit.wrong == []


def test_a_refused_form_says_why_and_does_nothing(visit, site):
    """A matcher that cannot be read; the page says what it should be."""
    before = api(site, "silences")
    page = visit.open("/alerts")
    page.click("text=Make a silence")
    page.fill("textarea", "nonsense")
    page.fill("form[action='/silences'] input[name=comment]", "x")
    page.click("button:text-is('Silence')")
    expect(page.locator("h1")).to_have_text("This cannot be done")
    assert "is not a matcher" in page.inner_text("main")
    assert before == api(site, "silences")


def test_a_dead_letter_is_looked_at_sent_again_and_forgotten(visit, site):
    """With the sink's words as text; a webhook set aside is merged again."""
    page = visit.open("/delivery")
    [letter] = api(site, "deadletters")
    row = page.locator(f"[data-letter='{letter['id']}']")
    expect(row.locator("q")).to_have_text(f"no such field {EVIL}")
    expect(page.locator("[data-notifier=pager]")).to_contain_text(
        f"retrying 1 60 s 0 refused {EVIL}".split(" refused")[1]
    )
    row.locator("a").click()
    assert letter["record"]["id"] in page.inner_text("pre")
    page.goto(f"{site.address}/delivery")
    page.check(f"input[name=id][value='{letter['id']}']")
    page.click("text=Send the chosen again")
    expect(page.locator(".done")).to_contain_text("Queued to be sent again")
    expect(page.locator(f"[data-letter='{letter['id']}'] .tag")).to_have_text("queued")
    assert api(site, "deadletters")[0]["requeued"]
    page.locator("#aside a").click()
    assert EVIL in page.inner_text("pre")
    page.goto(f"{site.address}/delivery")
    page.click("text=Merge all of these")
    assert api(site, "deaddeliveries") == []
    assert visit.wrong == []


@pytest.mark.parametrize(
    "path",
    [
        f"/alert/{FINGERPRINT}/ack",
        "/silences",
        "/silences/1/expire",
        "/delivery/letters/replay",
        "/delivery/letters/purge",
        "/delivery/webhooks/replay",
        "/delivery/webhooks/purge",
    ],
)
def test_nothing_is_done_without_the_seal_of_the_page(site, path):
    """What another site could send is refused by a page, whatever is in it."""
    before = [api(site, name) for name in ("alerts", "silences", "deadletters", "deaddeliveries")]
    fields = {"csrf": "guessed", "comment": "x", "verdict": "noise", "matchers": "a=b", "length": "1h", "id": "1"}
    answer = httpx.post(site.address + path, data=fields, trust_env=False)
    assert (403, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert "Nothing was done" in answer.text
    assert before == [api(site, name) for name in ("alerts", "silences", "deadletters", "deaddeliveries")]


def test_the_configuration_is_shown_and_no_secret_of_it(visit, site):
    """References stay what they are, what is written out is a word; nothing of it is anywhere on any page."""
    page = visit.open("/data")
    page.click("[data-section=sources] summary")
    assert "token: ${env:CI_TOKEN}" in page.inner_text("[data-section=sources]")
    page.click("[data-section=alerts] summary")
    assert "url: set" in page.inner_text("[data-section=alerts]")
    assert page.locator("[data-part=facts]").inner_text().split("\t")[0].strip() == "facts"
    for path in ("/data", "/delivery", "/alerts", "/api/v1/configuration", "/api/v1/data", "/api/v1/status"):
        assert SECRET not in httpx.get(site.address + path, trust_env=False).text
    assert visit.wrong == []


def test_nothing_is_cut_off_on_a_phone(browser, site):  # pytest passes it by name
    """At 390 pixels no page scrolls sideways, and every address is its own."""
    phone = Visit(browser, site, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for path in ("/alerts", f"/alert/{FINGERPRINT}", "/delivery", "/data"):
        assert phone.open(path).evaluate("document.documentElement.scrollWidth") <= 390
    assert {urlsplit(site.address).netloc} == {urlsplit(address).netloc for address in phone.asked}
    assert phone.wrong == []
    phone.context.close()
