"""Alerts, delivery and data in a browser: acknowledge, silence, send again; nothing without the seal of a form."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.desk import SECRET, Desk
from tests.e2e.hostile import EVIL
from tests.e2e.pages_site import PagesSite
from tests.e2e.visits import Visit, api
from tests.unit.insights.alarms import FINGERPRINT, LABELS

pytestmark = pytest.mark.timeout(120)


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


def test_nothing_is_cut_off_on_a_phone(browser, site):
    """At 390 pixels no page scrolls sideways, and every address is its own."""
    phone = Visit(browser, site, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for path in ("/alerts", f"/alert/{FINGERPRINT}", "/delivery", "/data"):
        assert phone.open(path).evaluate("document.documentElement.scrollWidth") <= 390
    assert {urlsplit(site.address).netloc} == {urlsplit(address).netloc for address in phone.asked}
    assert phone.wrong == []
    phone.context.close()
