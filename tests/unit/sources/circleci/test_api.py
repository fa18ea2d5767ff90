"""The HTTP client against every fault: what is retried, what is refused, and what it says."""

import asyncio
import logging

import httpx
import pytest
import respx

from headgate.core.backoff import BackOff
from headgate.core.clock import ManualClock
from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.metrics import NullMetrics
from headgate.sources.circleci.api import Api, ApiOptions
from headgate.sources.circleci.budget import Budget

BASE = "https://circleci.test"
TOKEN = "CCIPAT_canary_token_value"
ME = "/api/v2/me"
PROJECT = "/api/v2/project/{slug}"


class Recorder(NullMetrics):
    """Metrics that tests can look at."""

    def __init__(self):
        self.counts = {}

    def count(self, name, amount=1, **labels):
        super().count(name, amount, **labels)
        key = (name, *sorted(labels.items()))
        self.counts[key] = self.counts.get(key, 0) + amount

    def waited(self, reason):
        """Seconds waited for one reason."""
        return self.counts.get(("headgate_source_wait_seconds_total", ("reason", reason), ("source", "ci")), 0)


class Rig:
    """A client whose time moves only by its own waiting."""

    def __init__(self, *, jitter=1.0, attempts=4, **options):
        self.clock = ManualClock(jitter=jitter)
        self.metrics = Recorder()
        budget = Budget(100, 100, clock=self.clock, sleep=self.sleep)
        made = ApiOptions(BASE, "headgate/test", attempts=attempts, back_off=BackOff(1, 8), **options)
        self.api = Api("ci", TOKEN, made, budget=budget, clock=self.clock, metrics=self.metrics, sleep=self.sleep)

    async def sleep(self, seconds):
        """Wait without waiting."""
        self.clock.advance(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def rig():
    """A client and its clock."""
    made = Rig()
    yield made
    await made.api.aclose()


@pytest.fixture
def web():
    """What CircleCI answers."""
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


def _sequence(web, path, *answers):
    return web.get(path).mock(side_effect=list(answers))


DATE = "Tue, 03 Nov 2020 11:39:03 GMT"
OK = httpx.Response(200, json={"id": "x"})


async def test_it_says_who_it_is(rig, web):
    """Token, Accept and user agent go with every call."""
    route = _sequence(web, ME, OK)
    assert await rig.api.get(ME) == {"id": "x"}
    sent = route.calls.last.request.headers
    assert (
        sent["circle-token"],
        sent["accept"],
        sent["user-agent"],
    ) == (TOKEN, "application/json", "headgate/test")


async def test_slug_segments_are_escaped_and_slashes_stay(rig, web):
    """A slug cannot leave its place in the path."""
    route = web.get(url__regex=r".*").mock(return_value=OK)
    await rig.api.get(PROJECT, slug="gh/a b/c?d#e%2F")
    assert route.calls.last.request.url.raw_path == b"/api/v2/project/gh/a%20b/c%3Fd%23e%252F"


@pytest.mark.parametrize("slug", ["gh/acme/..", "gh/./web", "../../v1.1/me", ".."])
async def test_a_segment_of_dots_asks_nobody(rig, web, slug):
    """`.` and `..` would be resolved on the way, also escaped: such a thing is not there, and no call is made."""
    route = web.get(url__regex=r".*").mock(return_value=OK)
    with pytest.raises(NotFound, match="is no slug"):
        await rig.api.get(PROJECT, slug=slug)
    assert (False, 0) == (route.called, rig.api.calls)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500, text="boom"),
        httpx.Response(502),
        httpx.Response(503, html="<html>"),
        httpx.Response(408),
        httpx.Response(200, text='{"items": [{"id": '),
        httpx.Response(200, text="<html>maintenance</html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        httpx.DecodingError("bad gzip"),
    ],
    ids=["500", "502", "503", "408", "cut", "html", "bytes", "timeout", "connect", "closed", "gzip"],
)
async def test_passing_trouble_is_tried_again(rig, web, trouble):
    """One bad answer is no error; the wait before the next attempt is counted."""
    route = _sequence(web, ME, trouble, OK)
    assert await rig.api.get(ME) == {"id": "x"}
    assert (route.call_count, rig.metrics.waited("back_off")) == (2, 1)


async def test_an_answer_that_drips_ends_with_its_time(web):
    """The time-out is one of the whole answer, not of each read."""
    rig = Rig(attempts=2, timeout_seconds=0.01)

    async def drip(_request):
        await asyncio.Event().wait()

    web.get(ME).mock(side_effect=drip)
    with pytest.raises(SourceUnavailable, match=r"ReadTimeout no whole answer within 0.01 s, 2 attempts"):
        await rig.api.get(ME)
    await rig.api.aclose()


async def test_lasting_trouble_ends_in_unavailable(rig, web):
    """After all attempts the error says what was asked, the last answer and how often; waits double up to the cap."""
    route = web.get(ME).mock(return_value=httpx.Response(503, json={"message": "Service\n unavailable"}))
    with pytest.raises(SourceUnavailable, match=r"GET /api/v2/me: 503 Service unavailable, 4 attempts"):
        await rig.api.get(ME)
    assert (route.call_count, rig.metrics.waited("back_off")) == (4, 1 + 2 + 4)


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"Retry-After": "7"}, ("retry_after", 7, 8)),
        ({"Retry-After": "Tue, 03 Nov 2020 11:39:33 GMT", "Date": DATE}, ("retry_after", 30, 33)),
        ({"X-RateLimit-Reset": "5"}, ("retry_after", 5, 6)),
        ({"RateLimit-Reset": "3", "X-RateLimit-Reset": "5"}, ("retry_after", 5, 6)),
        ({}, ("rate_limit", 1, 1)),
        ({"Retry-After": "86400"}, ("retry_after", 900, 900)),
    ],
    ids=["seconds", "date", "reset", "both resets", "nothing", "absurd"],
)
@pytest.mark.parametrize("body", [{"json": {"message": "limit"}}, {"text": "Too many requests"}], ids=["json", "text"])
async def test_429_is_obeyed(rig, web, headers, waits, body):
    """The whole budget waits as long as asked, with a little jitter and within bounds; the wait is counted."""
    _sequence(web, ME, httpx.Response(429, headers=headers, **body), OK)
    assert await rig.api.get(ME) == {"id": "x"}
    reason, at_least, at_most = waits
    assert at_least <= rig.metrics.waited(reason) <= at_most + 1e-6


async def test_429_without_words_backs_off_further_each_time(rig, web):
    """Without any hint the waits grow."""
    nothing = httpx.Response(429)
    _sequence(web, ME, nothing, nothing, nothing, OK)
    await rig.api.get(ME)
    assert rig.metrics.waited("rate_limit") == pytest.approx(1 + 2 + 4)


async def test_429_holds_other_calls_too(rig, web):
    """What one call is told holds for all that share the budget."""
    _sequence(web, ME, httpx.Response(429, headers={"Retry-After": "20"}), OK)
    web.get("/api/v2/me/collaborations").mock(return_value=OK)
    await rig.api.get(ME)
    assert rig.clock.monotonic() >= 20


async def test_exhausted_limit_is_waited_out_before_it_is_hit(rig, web):
    """A 200 that says `remaining: 0` holds the next call until the reset."""
    spent = httpx.Response(200, json={}, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9"})
    _sequence(web, ME, spent, OK)
    await rig.api.get(ME)
    await rig.api.get(ME)
    assert rig.metrics.waited("rate_limit") == pytest.approx(9)


async def test_dead_token(rig, web):
    """401 says that the token is expired or revoked, and what to do; it is not tried again."""
    route = web.get(ME).mock(return_value=httpx.Response(401, json={"message": "You must log in first."}))
    with pytest.raises(SourceRefused, match=r"token expired or revoked.*new personal API token") as error:
        await rig.api.get(ME)
    assert (error.value.reason, route.call_count, rig.api.refused) == ("token_expired", 1, "token_expired")


@pytest.mark.parametrize(("status", "own"), [(401, 401), (403, 403), (403, 401)])
async def test_project_token(rig, web, status, own):
    """A token that v1.1 takes and v2 does not, not even for its own user, is a project token."""
    web.get(ME).mock(return_value=httpx.Response(own, json={"message": "no"}))
    web.get("/api/v2/project/gh/acme/web").mock(return_value=httpx.Response(status, json={"message": "no"}))
    web.get("/api/v1.1/project/gh/acme/web").mock(return_value=httpx.Response(200, json=[]))
    with pytest.raises(SourceRefused, match="project token") as error:
        await rig.api.get(PROJECT, slug="gh/acme/web")
    assert error.value.reason == "wrong_token_type"


@pytest.mark.parametrize("old", [200, 403])
async def test_forbidden(rig, web, old):
    """403 with a token that is good elsewhere, also in v1.1: its user has no access, and which project is said."""
    web.get(ME).mock(return_value=httpx.Response(200, json={"id": "x"}))
    web.get("/api/v2/project/gh/acme/web").mock(return_value=httpx.Response(403, json={"message": "Forbidden"}))
    web.get("/api/v1.1/project/gh/acme/web").mock(return_value=httpx.Response(old, json=[]))
    with pytest.raises(SourceRefused, match="gh/acme/web") as error:
        await rig.api.get(PROJECT, slug="gh/acme/web")
    assert (error.value.reason, rig.api.refused) == ("no_access", None)


async def test_missing_project_is_refused_and_a_missing_thing_is_not_found(rig, web):
    """404 about a project is a matter for a human; about anything else it is retention."""
    web.get(url__regex=r".*").mock(return_value=httpx.Response(404, json={"message": "Project not found"}))
    with pytest.raises(SourceRefused, match="Project not found") as error:
        await rig.api.get(PROJECT + "/pipeline", slug="gh/acme/gone")
    assert error.value.reason == "project_not_found"
    with pytest.raises(NotFound):
        await rig.api.get("/api/v2/pipeline/{id}/workflow", id="x")
    with pytest.raises(NotFound):
        await rig.api.get("/api/v2/project/{project}/job/{number}", project="gh/acme/web", number="7")


async def test_nested_message_of_v1_is_unpacked(rig, web):
    """v1.1 hands GitHub's JSON on as text; people see its message."""
    said = '{"message":"{\\"message\\":\\"Not Found\\",\\"documentation_url\\":\\"https://developer.github.com\\"}"}'
    web.get(url__regex=r".*").mock(return_value=httpx.Response(404, text=said))
    with pytest.raises(SourceRefused, match=r": 404 Not Found; ") as error:
        await rig.api.get("/api/v1.1/project/{slug}", slug="gh/acme/web")
    assert "documentation_url" not in str(error.value)


@pytest.mark.parametrize("status", [301, 400, 418])
async def test_unforeseen_answer_is_unavailable(rig, web, status):
    """Anything else is neither followed nor repeated; the next round asks again."""
    route = web.get(ME).mock(return_value=httpx.Response(status, headers={"Location": "https://evil.test"}))
    with pytest.raises(SourceUnavailable, match=str(status)):
        await rig.api.get(ME)
    assert route.call_count == 1


async def test_no_error_or_log_line_holds_a_secret(web, caplog):
    """Whatever goes wrong, token and proxy are not told, not even when the far side repeats them."""
    caplog.set_level(logging.DEBUG)
    proxy = "http://user:canary_password@proxy.test:3128"
    for trouble in (
        httpx.Response(401, text=f"bad token {TOKEN}"),
        httpx.Response(403, json={"message": TOKEN}),
        httpx.Response(404, text=TOKEN),
        httpx.Response(500, text=TOKEN),
        httpx.Response(200, text=TOKEN),
        httpx.Response(400, text=TOKEN),
        httpx.ConnectError(f"cannot reach {proxy} with {TOKEN}"),
    ):
        rig = Rig(attempts=1, proxy=proxy)
        web.get(url__regex=r".*").mock(side_effect=[trouble])
        with pytest.raises((SourceRefused, SourceUnavailable, NotFound)) as error:
            await rig.api.get(ME)
        await rig.api.aclose()
        told = (
            repr(error.value)
            + repr(error.value.__cause__)
            + repr(error.value.__context__)
            + caplog.text
            + repr(rig.metrics.counts)
        )
        assert "canary" not in told


# --- Pages --------------------------------------------------------------------------------------------------------


def _page(*ids, token):
    return httpx.Response(200, json={"items": [{"id": one} for one in ids], "next_page_token": token})


async def test_all_pages_are_read(rig, web):
    """Tokens are followed until there is none."""
    route = _sequence(
        web, "/api/v2/x", _page("a", "b", token="1"), _page("c", token="2"), _page(token="3"), _page("d", token=None)
    )
    assert [item["id"] for item in await rig.api.items("/api/v2/x", params={"p": "q"})] == ["a", "b", "c", "d"]
    assert [call.request.url.params.get("page-token") for call in route.calls] == [None, "1", "2", "3"]
    assert {"q"} == {call.request.url.params["p"] for call in route.calls}


@pytest.mark.parametrize("tokens", [("1", "1"), ("1", "2", "1")], ids=["at once", "in a circle"])
async def test_repeated_page_token_is_an_error(rig, web, tokens):
    """A token seen before means that the list has no end; it is never taken for the end."""
    web.get("/api/v2/x").mock(side_effect=[_page("a", token=token) for token in tokens])
    with pytest.raises(SourceUnavailable, match="repeated a page token"):
        await rig.api.items("/api/v2/x")


@pytest.mark.parametrize("body", ["[]", "{}", '{"items": null}', '{"items": "x"}', "null"])
async def test_page_of_the_wrong_shape_is_an_error(rig, web, body):
    """A page without items is not an empty page."""
    web.get("/api/v2/x").mock(return_value=httpx.Response(200, text=body))
    with pytest.raises(SourceUnavailable, match="no items"):
        await rig.api.items("/api/v2/x")


# --- Time ---------------------------------------------------------------------------------------------------------


def _dated(text, **headers):
    return httpx.Response(200, json={}, headers={"Date": text, **headers})


async def test_skew_is_learned_from_the_date_header(rig, web):
    """An hour's difference is seen at once, a jump is believed at once, and less than a second is none."""
    rig.clock = rig.api._clock = ManualClock(1_604_403_543_500)  # 11:39:03.500
    _sequence(
        web,
        ME,
        _dated("Tue, 03 Nov 2020 11:39:03 GMT"),
        _dated("Tue, 03 Nov 2020 12:39:03 GMT"),
        _dated("Tue, 03 Nov 2020 10:39:03 GMT", Age="3600"),
        _dated("nonsense"),
        _dated("Tue, 03 Nov 2020 11:38:33 GMT"),
    )
    seen = []
    for _ in range(5):
        await rig.api.get(ME)
        seen.append(rig.api.skew_ms)
    assert seen == [0, 3_600_000, 3_600_000, 3_600_000, -30_000]


async def test_missing_ca_file_is_said(web):
    """A private CA that cannot be read is named; the daemon goes on and asks again."""
    rig = Rig(ca_file="/nowhere/ca.pem")
    with pytest.raises(SourceUnavailable, match=r"/nowhere/ca\.pem"):
        await rig.api.get(ME)
