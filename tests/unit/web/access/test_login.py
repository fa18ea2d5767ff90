"""The login page, sessions, forged requests, and where somebody is sent who has to log in."""

from __future__ import annotations

import re
from dataclasses import replace
from http.cookies import SimpleCookie

import httpx
import pytest
from tests.unit.web.access.bench import ACCESS, ADMIN, BROWSER, METRICS, PASSWORD, PROXY, READER, Bench

from headgate.web.access.grants import Access
from headgate.web.access.limits import Limits


@pytest.fixture
async def bench():
    made = Bench()
    async with made.http:
        yield made


async def whoever(http: httpx.AsyncClient) -> dict[str, str]:
    """Who the application thinks asks."""
    return (await http.get("/api/v1/status")).json()


@pytest.mark.parametrize(
    ("name", "secret", "known"),
    [
        ("anna", PASSWORD, "anna operator session"),
        (" anna ", f" {PASSWORD}\n", "anna operator session"),
        ("paul", "plain password", "paul viewer session"),
        ("", READER, "reader viewer session"),
        ("whoever", ADMIN, "root admin session"),
    ],
)
async def test_who_logs_in_gets_where_they_wanted_to_go(bench, name, secret, known):
    """And is known from then on, by a cookie that no script can read and no other site can use."""
    there = await bench.http.get("/alerts?rule=a%20b", headers=BROWSER)
    assert (303, "/login?next=%2Falerts%3Frule%3Da%2520b") == (there.status_code, there.headers["location"])
    page = await bench.http.get(there.headers["location"], headers=BROWSER)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    done = await bench.http.post("/login", data=fields | {"name": name, "secret": secret}, headers=BROWSER)
    assert (303, "/alerts?rule=a%20b") == (done.status_code, done.headers["location"])
    cookie = SimpleCookie(done.headers["set-cookie"])["headgate"]
    assert (True, "strict", "/", "") == (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"])
    found = await whoever(bench.http)
    assert known == f"{found['name']} {found['role']} {found['via']}"


async def test_over_tls_the_cookie_has_the_name_that_binds_it():
    """To this host and to TLS; the name for plain connections says nothing there."""
    bench = Bench(base="https://127.0.0.1")
    async with bench.http as http:
        done = await bench.log_in(READER)
        cookie = SimpleCookie(done.headers["set-cookie"])["__Host-headgate"]
        assert (True, "/", "") == (cookie["secure"], cookie["path"], cookie["domain"])
        assert done.headers["strict-transport-security"] == "max-age=31536000"
        assert "reader" == (await whoever(http))["name"]
        value = cookie.value
    async with bench.browser("https://127.0.0.1") as http:
        assert 401 == (await http.get("/api/v1/status", headers={"cookie": f"headgate={value}"})).status_code
    async with bench.browser() as http:
        answer = await http.get("/api/v1/status", headers={"cookie": f"__Host-headgate={value}"})
        assert 401 == answer.status_code
        assert "strict-transport-security" not in answer.headers


async def test_a_proxy_that_is_trusted_says_that_it_speaks_tls(bench):
    """Nobody else does."""
    for peer, name in (("10.0.0.1", "__Host-headgate"), ("192.0.2.1", "headgate")):
        async with bench.browser(peer=peer) as http:
            page = await http.get("/login", headers=BROWSER | {"x-forwarded-proto": "https"})
            assert {f"{name}-form"} == set(SimpleCookie(page.headers["set-cookie"]))


async def test_a_proxy_that_names_nobody_still_says_who_asks_and_how(bench):
    """Its clients have cookies bound to TLS, wait each for their own mistakes, and are told apart in the trail."""
    bench.gate.configure(replace(ACCESS, proxy=replace(PROXY, header="", groups_header="", groups={})))
    async with bench.browser(peer="10.0.0.1") as http:
        page = await http.get("/login", headers=BROWSER | {"x-forwarded-proto": "https"})
        assert {"__Host-headgate-form"} == set(SimpleCookie(page.headers["set-cookie"]))
    stranger, anna = ({"x-forwarded-for": one, "x-forwarded-proto": "https"} for one in ("192.0.2.66", "192.0.2.7"))
    async with bench.browser("https://127.0.0.1", peer="10.0.0.1") as http:
        http.headers.update(stranger)
        tries = [(await bench.log_in("guess", "anna", http)).status_code for _ in range(6)]
        assert [403] * 5 + [429] == tries
        claimed = {"x-forwarded-user": "anna", "x-groups": "ops"}
        assert 401 == (await http.get("/api/v1/status", headers=claimed)).status_code
    async with bench.browser("https://127.0.0.1", peer="10.0.0.1") as http:
        http.headers.update(anna)
        done = await bench.log_in(PASSWORD, "anna", http)
        assert (303, True) == (done.status_code, SimpleCookie(done.headers["set-cookie"])["__Host-headgate"]["secure"])
        assert "anna" == (await whoever(http))["name"]
    await bench.trail.flush()
    assert {"192.0.2.66", "192.0.2.7"} == {entry.peer for entry in bench.entries}


@pytest.mark.parametrize(
    ("name", "secret"),
    [("anna", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("anna", ""), ("", ""), ("", METRICS), ("<b>", "<i>")],
)
async def test_what_opens_nothing_says_so_and_repeats_nothing(bench, name, secret):
    """A token for some addresses alone is for scripts. Name and secret are in no page and in no trail."""
    done = await bench.log_in(secret, name)
    assert 403 == done.status_code
    assert "This opens nothing" in done.text
    assert "<b>" not in done.text
    assert 401 == (await bench.http.get("/api/v1/status")).status_code
    await bench.trail.flush()
    assert [("", "login", "refused: wrong", 403)] == [(e.who, e.action, e.about, e.status) for e in bench.entries]


async def test_who_guesses_has_to_wait(bench):
    """The page says how long."""
    for _ in range(5):
        await bench.log_in("guess", "anna")
    done = await bench.log_in(PASSWORD, "anna")
    assert (429, "1") == (done.status_code, done.headers["retry-after"])
    assert "Try again in 1 s" in done.text
    bench.clock.advance(1)
    assert 303 == (await bench.log_in(PASSWORD, "anna")).status_code


async def test_a_login_that_another_site_made_logs_nobody_in(bench):
    """It has neither the cookie of the page nor what the page wrote."""
    form = {"name": "", "secret": READER, "csrf": "x"}
    answers = [await bench.http.post("/login", data=form, headers=BROWSER)]
    await bench.http.get("/login", headers=BROWSER)
    answers.append(await bench.http.post("/login", data=form, headers=BROWSER))
    other = bench.browser()
    page = await other.get("/login", headers=BROWSER)
    theirs = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    answers.append(await bench.http.post("/login", data=form | theirs, headers=BROWSER))
    await other.aclose()
    assert [403] * 3 == [one.status_code for one in answers]
    assert "Nobody was logged in" in answers[0].text
    assert 401 == (await bench.http.get("/api/v1/status")).status_code


@pytest.mark.parametrize("following", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1"])
async def test_a_login_leads_nowhere_else(bench, following):
    """Whatever the address of the page said."""
    page = await bench.http.get("/login", params={"next": following}, headers=BROWSER)
    assert following not in page.text
    done = await bench.log_in(READER, next=following)
    assert (303, "/") == (done.status_code, done.headers["location"])


async def test_who_is_logged_in_needs_no_login(bench):
    """The page sends on."""
    await bench.log_in(READER)
    again = await bench.http.get("/login?next=/alerts", headers=BROWSER)
    assert (303, "/alerts") == (again.status_code, again.headers["location"])


async def test_another_login_ends_the_session_before(bench):
    """In the same browser."""
    form = bench.browser()
    page = await form.get("/login", headers=BROWSER)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text)) | {"name": "", "secret": READER}
    await form.post("/login", data=fields)
    copy = dict(form.cookies)
    assert 303 == (await form.post("/login", data=fields | {"secret": ADMIN})).status_code
    assert "root" == (await whoever(form))["name"]
    await form.aclose()
    async with bench.browser() as http:
        http.cookies.update(copy)
        assert 401 == (await http.get("/api/v1/status")).status_code


async def test_a_logout_ends_the_session_for_every_copy_of_its_cookie(bench):
    """It needs the form of a page, so that no other site logs anybody out."""
    await bench.log_in(PASSWORD, "anna")
    copy = dict(bench.http.cookies)
    assert 403 == (await bench.http.post("/logout", data={"csrf": "x"})).status_code
    csrf = (await whoever(bench.http))["csrf"]
    done = await bench.http.post("/logout", data={"csrf": csrf})
    assert (303, "/login") == (done.status_code, done.headers["location"])
    assert "headgate" not in bench.http.cookies
    async with bench.browser() as http:
        http.cookies.update(copy)
        assert 401 == (await http.get("/api/v1/status")).status_code
    assert ["login", "POST", "logout"] == [one.action for one in bench.entries]


@pytest.mark.parametrize("seconds", [Limits().idle + 1, Limits().longest + 1])
async def test_a_login_that_has_ended_is_said_so(bench, seconds):
    """A page leads to the login and says why; a form says that nothing was done; what polls takes its page along."""
    await bench.log_in(PASSWORD, "anna")
    csrf = (await whoever(bench.http))["csrf"]
    bench.clock.advance(seconds)
    form = await bench.http.post("/change", data={"csrf": csrf}, headers=BROWSER)
    assert (401, "text/html; charset=utf-8") == (form.status_code, form.headers["content-type"])
    assert "Your login has ended" in form.text
    assert "Nothing was done" in form.text
    assert "www-authenticate" not in form.headers
    assert [] == bench.done
    there = await bench.http.get("/alerts", headers=BROWSER)
    assert "Your login has ended" in (await bench.http.get(there.headers["location"], headers=BROWSER)).text
    polls = {"hx-request": "true", "hx-current-url": "http://127.0.0.1/delivery?window=7d", "accept": "*/*"}
    poll = await bench.http.get("/live", headers=polls)
    assert (401, "/login?next=%2Fdelivery%3Fwindow%3D7d") == (poll.status_code, poll.headers["hx-redirect"])


async def test_how_long_a_login_lasts_is_configured(bench):
    """The cookie too; a reload that makes it shorter ends those that are older."""
    bench.gate.configure(replace(ACCESS, limits=Limits(idle=60.0, longest=120.0)))
    made = await bench.log_in(PASSWORD, "anna")
    assert "Max-Age=120" in made.headers["set-cookie"]
    bench.clock.advance(59)
    assert 200 == (await bench.http.get("/api/v1/status")).status_code
    bench.clock.advance(61)
    assert 401 == (await bench.http.get("/api/v1/status")).status_code
    await bench.log_in(PASSWORD, "anna")
    bench.clock.advance(30)
    bench.gate.configure(replace(ACCESS, limits=Limits(idle=20.0)))
    assert 401 == (await bench.http.get("/api/v1/status")).status_code


async def test_a_link_from_another_site_finds_the_session(bench):
    """The browser keeps the cookie back at first (SameSite=Strict), so it is let ask again from a page of ours."""
    foreign = BROWSER | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    first = await bench.http.get('/run/1?x="><script>', headers=foreign)
    assert 200 == first.status_code
    assert 'content="0;url=/run/1?x=%22%3E%3Cscript%3E"' in first.text
    assert 303 == (await bench.http.get("/run/1", headers=BROWSER | {"sec-fetch-site": "same-origin"})).status_code


# -- forged requests


@pytest.mark.parametrize(
    ("headers", "done"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"origin": "http://[::1]:8080"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "x-headgate-request": "1"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"origin": "http://127.0.0.1.evil.example"}, False),
    ],
)
async def test_a_form_comes_from_a_page_of_ours(bench, headers, done):
    """By what the browser says of it, even where somebody learnt what the form carries."""
    await bench.log_in(PASSWORD, "anna")
    csrf = (await whoever(bench.http))["csrf"]
    answer = await bench.http.post("/change", data={"csrf": csrf}, headers=headers)
    assert (303 if done else 403) == answer.status_code
    assert (["anna form"] if done else []) == bench.done


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
async def test_a_session_changes_nothing_through_the_api_without_our_header(bench, kind):
    """Other sites can send all of these, with the cookie in browsers that do not know SameSite."""
    await bench.log_in(ADMIN)
    headers = {"content-type": kind} if kind else {}
    assert 403 == (await bench.http.post("/api/v1/reload", content="csrf=x", headers=headers)).status_code
    assert [] == bench.done
    assert 200 == (await bench.http.post("/api/v1/reload", headers={"x-headgate-request": "1"})).status_code


async def test_what_a_form_carries_is_good_for_one_login_alone(bench):
    """Not for another one of the same user, nor for a restart."""
    await bench.log_in(PASSWORD, "anna")
    csrf = (await whoever(bench.http))["csrf"]
    other = bench.browser()
    await bench.log_in(PASSWORD, "anna", http=other)
    assert 403 == (await other.post("/change", data={"csrf": csrf})).status_code
    assert 303 == (await bench.http.post("/change", data={"csrf": csrf})).status_code
    await other.aclose()
    fresh = Bench()
    async with fresh.http as http:
        await fresh.log_in(PASSWORD, "anna")
        assert 403 == (await http.post("/change", data={"csrf": csrf})).status_code


async def test_without_secrets_the_page_says_where_to_come_in():
    """A proxy alone lets people in."""
    bench = Bench(Access(proxy=PROXY))
    async with bench.http as http:
        page = (await http.get("/login", headers=BROWSER)).text
    assert "reverse proxy" in page
    assert "<form" not in page


async def test_a_page_for_tokens_alone_asks_for_no_name():
    """There is none."""
    bench = Bench(Access(tokens=ACCESS.tokens))
    async with bench.http:
        page = (await bench.http.get("/login", headers=BROWSER)).text
        assert 'name="name"' not in page
        assert 303 == (await bench.log_in(READER)).status_code


async def test_what_the_login_page_needs_is_open(bench):
    """Its style and its icon; nothing that begins like them."""
    assert 200 == (await bench.http.get("/static/page.css")).status_code
    for path in ("/staticx", "/login/", "/loginx", "/logout"):
        assert 401 == (await bench.http.get(path)).status_code
    assert [] == bench.done
