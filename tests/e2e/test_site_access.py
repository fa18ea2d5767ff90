"""Coming in and going out, in a browser: login, a login that has ended, a forged form, a logout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.pages_site import PagesSite

from headgate.web.access.grants import Access, TokenGrant, UserGrant, digest_of

pytestmark = pytest.mark.timeout(120)

TOKEN, PASSWORD = "a-token-of-the-test", "correct horse"
ACCESS = Access((TokenGrant("ci", "admin", digest_of(TOKEN)),), (UserGrant("anna", "viewer", digest_of(PASSWORD)),))
DELIVERY = "/delivery?window=30d"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    """Pages that want to know who asks; there is nothing on them."""
    with PagesSite(tmp_path_factory.mktemp("site"), runs=0, access=ACCESS) as served:
        yield served


@pytest.fixture
def page(browser: Browser, site: PagesSite) -> Iterator[Page]:
    """A visitor whom nobody knows."""
    context = browser.new_context(base_url=site.address)
    yield context.new_page()
    context.close()


def log_in(page: Page, secret: str, name: str = "") -> None:
    """By keyboard alone."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password or token").fill(secret)
    page.keyboard.press("Enter")


def test_somebody_logs_in_works_and_logs_out(page: Page, site: PagesSite) -> None:
    """They get where they wanted to go, see who they are, and after the logout nothing."""
    page.goto(DELIVERY)
    expect(page).to_have_title("Log in - Headgate")
    log_in(page, "wrong", "anna")
    expect(page.get_by_role("alert")).to_contain_text("This opens nothing")
    log_in(page, PASSWORD, "anna")
    expect(page).to_have_url(site.address + DELIVERY)
    expect(page.locator(".whoami")).to_contain_text("anna, viewer")
    [cookie] = [one for one in page.context.cookies() if one["name"] == "headgate"]
    assert (True, "Strict") == (cookie["httpOnly"], cookie["sameSite"])
    assert "headgate" not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Log in - Headgate")
    page.goto("/")
    expect(page).to_have_title("Log in - Headgate")


def test_a_login_that_ended_is_said_and_nothing_is_done(page: Page, site: PagesSite) -> None:
    """A form that was open says so; a page leads to the login and back."""
    page.goto("/alerts")
    log_in(page, TOKEN)
    expect(page.locator(".whoami")).to_contain_text("ci, admin")
    site.gate.sessions.keep(lambda _: False)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading")).to_have_text("Your login has ended")
    expect(page.locator("main")).to_contain_text("Nothing was done")
    page.goto("/alerts")
    expect(page.get_by_role("status")).to_contain_text("Your login has ended")
    log_in(page, TOKEN)
    expect(page).to_have_url(f"{site.address}/alerts")


def test_a_form_that_is_not_ours_is_refused(page: Page, site: PagesSite) -> None:
    """Neither one with another secret, nor one that another site submits; who is logged in stays so."""
    page.goto("/")
    log_in(page, TOKEN)
    expect(page.locator(".whoami")).to_be_visible()
    page.locator(".whoami input[name=csrf]").evaluate("one => one.value = 'guess'")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading")).to_have_text("The form is not valid any more")
    form = f"<form method=post action='{site.address}/logout'><input name=csrf value=x><button>Win</button></form>"
    page.context.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://evil.example/")
    page.get_by_role("button", name="Win").click()
    expect(page.get_by_role("heading")).to_have_text("Your login has ended")
    page.goto("/")
    expect(page.locator(".whoami")).to_contain_text("ci, admin")


def test_a_link_of_another_site_finds_who_is_logged_in(page: Page, site: PagesSite) -> None:
    """Though the browser sends our cookie to nobody who comes from there."""
    page.goto("/")
    log_in(page, TOKEN)
    expect(page.locator(".whoami")).to_be_visible()
    link = f"<a href='{site.address}/alerts?rule=x'>Look</a>"
    page.context.route("http://other.example/", lambda route: route.fulfill(body=link, content_type="text/html"))
    page.goto("http://other.example/")
    page.get_by_role("link", name="Look").click()
    expect(page).to_have_url(f"{site.address}/alerts?rule=x")
    expect(page.locator(".whoami")).to_contain_text("ci, admin")
