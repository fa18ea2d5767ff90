"""The control endpoints and the orders of every fake, shown on the plain HTTP fake."""

import socket
import ssl

import httpx
import orjson
import pytest

from headgate.testing.sinks import FakeVendor, Keep, all_cases, fakes, front_door
from headgate.testing.sinks.wire import Request

HTTP = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no certificates to load: loopback is plain
    limits=httpx.Limits(max_keepalive_connections=0),
)

JSON = {"content-type": "application/json"}


def lines(answer):
    """Return the values of an answer in JSON Lines."""
    return [orjson.loads(line) for line in answer.content.splitlines()]


def post(fake, *ids, timeout=5.0):
    """Send one record for each id."""
    body = orjson.dumps([{"id": identity} for identity in ids])
    return HTTP.post(fake.url, content=body, headers=JSON, timeout=timeout)


@pytest.fixture
def fake():
    """Run a fake with default options and a fixed clock."""
    with FakeVendor("http", clock_ms=lambda: 1_000) as running:
        yield running


def test_stored_lists_records_in_order_of_arrival(fake):
    """`/_fake/stored` holds one line per record with its id, time, request and native form."""
    post(fake, "b", "a")
    expected = [
        {
            "record_id": "b",
            "n": 1,
            "at_ms": 1_000,
            "request": 1,
            "native": {"path": "/", "record": {"id": "b"}},
        },
        {
            "record_id": "a",
            "n": 2,
            "at_ms": 1_000,
            "request": 1,
            "native": {"path": "/", "record": {"id": "a"}},
        },
    ]
    assert expected == lines(HTTP.get(f"{fake.url}/_fake/stored")) == fake.stored()
    assert fake.record_ids() == ["b", "a"]


def test_stats_count_records_requests_duplicates_and_bytes(fake):
    """`/_fake/stats` counts; a repeat is a duplicate and no record."""
    post(fake, "a")
    post(fake, "a")
    expected = {"records": 1, "requests": 2, "duplicates": 1, "bytes": 24}
    assert expected == HTTP.get(f"{fake.url}/_fake/stats").json() == fake.stats()


def test_requests_show_what_was_sent_and_answered(fake):
    """`/_fake/requests` holds path, query, headers, body, status and what was stored."""
    HTTP.post(f"{fake.url}/in?x=1", content=b'{"id":"a"}', headers={**JSON, "X-Own": "v"})
    (request,) = lines(HTTP.get(f"{fake.url}/_fake/requests"))
    assert request == fake.requests()[0]
    assert request["headers"]["x-own"] == "v"
    wanted = {"method": "POST", "path": "/in", "query": {"x": "1"}, "body": '{"id":"a"}', "stored": 1}
    assert wanted == {key: request[key] for key in wanted}
    assert (request["status"], request["told"], request["fault"]) == (200, "judged", "none")


def test_delete_stored_forgets_everything(fake):
    """After `DELETE /_fake/stored` the fake is as new."""
    post(fake, "a")
    assert HTTP.delete(f"{fake.url}/_fake/stored").status_code == 204
    assert (fake.stored(), fake.stats()["requests"]) == ([], 0)


def test_unknown_control_is_404(fake):
    """A mistyped control does not reach the vendor."""
    assert HTTP.get(f"{fake.url}/_fake/store").status_code == 404
    assert fake.stats()["requests"] == 0


def test_told_status_is_given_count_times(fake):
    """`{"status", "count"}` fails so many requests, then judges again."""
    order = {"status": 503, "count": 2, "headers": {"retry-after": "7"}, "body": {"error": "busy"}}
    assert HTTP.put(f"{fake.url}/_fake/answer", json=order).status_code == 204
    answers = [post(fake, str(n)) for n in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert (answers[0].headers["retry-after"], answers[0].json()) == ("7", {"error": "busy"})
    assert fake.record_ids() == ["2"]


def test_delete_answer_ends_an_order(fake):
    """`DELETE /_fake/answer` returns to strict judgement."""
    fake.answer(status=500)
    assert post(fake, "a").status_code == 500
    assert HTTP.delete(f"{fake.url}/_fake/answer").status_code == 204
    assert post(fake, "a").status_code == 200


def test_list_of_orders_is_used_in_turn(fake):
    """Several orders run one after the other, each for its count."""
    fake.answer({"status": 429, "count": 1}, {"status": 500, "count": 1})
    assert [post(fake, "a").status_code for _ in range(3)] == [429, 500, 200]


def test_order_for_a_path_leaves_others_alone(fake):
    """`path` limits an order to what begins so."""
    fake.answer(status=500, path="/logs")
    assert HTTP.post(f"{fake.url}/ci", content=b'{"id":"a"}', headers=JSON).status_code == 200
    assert HTTP.post(f"{fake.url}/logs", content=b'{"id":"a"}', headers=JSON).status_code == 500


def test_rate_hits_a_share_by_seed(fake):
    """`rate` draws from the seed: the same requests fail each time."""
    fake.answer(status=500, rate=0.5)
    first = [post(fake, "a").status_code for _ in range(20)]
    assert {200, 500} == set(first)
    with FakeVendor("http") as other:
        other.answer(status=500, rate=0.5)
        assert first == [post(other, "a").status_code for _ in range(20)]


@pytest.mark.parametrize(
    "order",
    [
        {"stauts": 500},
        {"status": 99},
        {"rate": 2},
        {"cut": "never"},
        {"case": "loki/nothing"},
        {"count": "x"},
    ],
    ids=lambda order: next(iter(order)),
)
def test_senseless_order_is_refused_and_the_old_one_stays(fake, order):
    """A wrong order gets 400 with a reason and changes nothing."""
    fake.answer(status=418)
    answer = HTTP.put(f"{fake.url}/_fake/answer", json=order)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert post(fake, "a").status_code == 418
    with pytest.raises(ValueError, match=r"."):
        fake.answer(order)


def test_cut_after_store_stores_and_closes_without_an_answer(fake):
    """The records of a cut request are there although the sender saw only the end of the connection."""
    fake.answer(cut="after_store", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        post(fake, "a")
    assert fake.record_ids() == ["a"]
    assert post(fake, "a").status_code == 200
    assert fake.stats()["duplicates"] == 1


def test_cut_before_store_stores_nothing(fake):
    """A connection cut before storing leaves no record."""
    fake.answer(cut="before_store")
    with pytest.raises(httpx.RemoteProtocolError):
        post(fake, "a")
    assert fake.stored() == []


def test_cut_mid_answer_stores_and_sends_half(fake):
    """An answer cut in its middle promises more bytes than come."""
    fake.answer(cut="mid_answer")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        post(fake, "a")
    assert fake.record_ids() == ["a"]


def test_hang_never_answers_and_stores_nothing(fake):
    """A hanging request ends by the sender's own time-out."""
    fake.answer(hang=True)
    with pytest.raises(httpx.ReadTimeout):
        post(fake, "a", timeout=0.05)
    assert fake.stored() == []


def test_slow_answer_has_stored_before_the_wait(fake):
    """A sender that gives up on a slow answer has been stored all the same."""
    fake.answer(slow_seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        post(fake, "a", timeout=0.05)
    assert fake.record_ids() == ["a"]


def test_store_overrules(fake):
    """`store` makes a failing answer keep the records: a server that stored and then said 500."""
    fake.answer(status=500, store=True)
    assert post(fake, "a").status_code == 500
    assert fake.record_ids() == ["a"]


def test_broken_json_is_half_a_body(fake):
    """`broken_json` answers the right status with a body that does not parse."""
    fake.answer(broken_json=True)
    answer = post(fake, "a")
    assert (answer.status_code, answer.content[:7]) == (200, b'{"accep')
    with pytest.raises(ValueError, match=r"."):
        answer.json()


def test_chunked_answer_is_whole(fake):
    """`chunked` sends the same answer in small chunks."""
    fake.answer(chunked=True)
    answer = post(fake, "a")
    assert (answer.headers["transfer-encoding"], answer.json()) == ("chunked", {"accepted": 1})


def test_success_told_does_not_make_a_bad_body_good(fake):
    """Strict judgement wins over an ordered success."""
    fake.answer(status=200)
    answer = HTTP.post(fake.url, content=b"{", headers=JSON)
    assert (answer.status_code, fake.stored()) == (400, [])


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.sink}-{case.name}")
def test_every_row_can_be_told(fake, case):
    """The plain fake answers every row of every sink with its status, headers and body."""
    fake.answer(case=f"{case.sink}/{case.name}")
    answer = post(fake, "a")
    assert case.status == answer.status_code
    for name, value in case.headers.items():
        assert value in (answer.headers[name], "<HTTP date>")
    if isinstance(case.body, str):
        assert case.body == answer.text
    elif case.body is not None:
        assert case.body == answer.json()


def test_http_date_of_a_row_is_a_date_ahead(fake):
    """`<HTTP date>` becomes a real date five seconds after the fake's clock."""
    fake.answer(case="otlp/throttled-date")
    assert post(fake, "a").headers["retry-after"] == "Thu, 01 Jan 1970 00:00:06 GMT"


@pytest.mark.parametrize("name", sorted(fakes()))
def test_every_fake_serves_the_controls(name):
    """All fakes share the control endpoints."""
    with FakeVendor(name) as fake:
        for control in ("stored", "requests", "stats"):
            assert HTTP.get(f"{fake.url}/_fake/{control}").status_code == 200
        fake.clear()


def test_keep_ids_and_none_hold_less():
    """`keep` decides what stays in memory: ids and repeats, or bare counts."""
    with FakeVendor("http", keep=Keep.IDS) as fake:
        post(fake, "a")
        post(fake, "a")
        assert ([row["native"] for row in fake.stored()], fake.stats()["duplicates"]) == ([{}], 1)
    with FakeVendor("http", keep="none") as fake:
        post(fake, "a")
        post(fake, "a")
        assert (fake.stored(), fake.requests(), fake.stats()["records"]) == ([], [], 2)


def test_unknown_option_is_an_error():
    """A mistyped option does not go unnoticed."""
    with pytest.raises(TypeError, match="tenat"):
        FakeVendor("loki", tenat="x")


def raw(fake, data):
    """Send bytes, end the sending side, return all that comes back."""
    host, port = fake.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: link.recv(65_536), b""))


def test_pipelined_requests_are_answered_in_order(fake):
    """Two requests in one packet get two answers in their order, the slow first one first."""
    fake.answer({"status": 202, "count": 1, "slow_seconds": 0.01})
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
    request = head + b'{"id":"a"}'
    last = request.replace(b"host: x", b"host: x\r\nconnection: close")
    host, port = fake.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(request + last)
        answer = b"".join(iter(lambda: link.recv(65_536), b""))
    assert answer.index(b"202 Accepted") < answer.index(b"200 OK")


def test_chunked_request_body_is_joined(fake):
    """A request in chunks is read like any other."""
    answer = HTTP.post(fake.url, content=iter([b'{"id":', b'"a"}']), headers=JSON)
    assert (answer.status_code, fake.record_ids()) == (200, ["a"])


def test_expect_continue_is_answered(fake):
    """A client that waits for permission gets it."""
    lines_sent = [b"POST / HTTP/1.1", b"host: x", b"expect: 100-continue", b"content-length: 0", b"", b""]
    assert raw(fake, b"\r\n".join(lines_sent)).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n"], ids=["line", "url"])
def test_broken_http_is_400(fake, data):
    """Broken framing gets 400 and the end of the connection."""
    assert raw(fake, data).startswith(b"HTTP/1.1 400 Bad Request")


def test_mistake_of_a_fake_is_shown(capsys):
    """What the rules trip over is answered 500 and named in the request list."""
    door = front_door("http")
    door.vendor = None
    assert door(Request("POST", "/", {}, {}, b"")).status == 500
    assert door.ledger.requests()[0]["told"].startswith("the fake failed: AttributeError")
    assert "Traceback" in capsys.readouterr().err
