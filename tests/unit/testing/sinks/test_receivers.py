"""The plain HTTP receiver and the alert webhook receiver."""

import gzip
import ssl
import zlib

import httpx
import pytest

from headgate.testing.sinks import FakeVendor, signature
from headgate.testing.sinks.vendors.webhook import NOW_S, sample

HTTP = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no certificates to load: loopback is plain
    limits=httpx.Limits(max_keepalive_connections=0),
)

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b'{"id":"a"}', JSON),
        (b'[{"id":"a"}]', JSON),
        (b'{"id":"a"}\n', LINES),
        (gzip.compress(b'{"id":"a"}'), {**JSON, "content-encoding": "gzip"}),
        (zlib.compress(b'{"id":"a"}'), {**JSON, "content-encoding": "deflate"}),
    ],
    ids=["object", "array", "lines", "gzip", "deflate"],
)
def test_http_takes_each_form(data, headers):
    """One record comes out of every form."""
    with FakeVendor("http") as fake:
        answer = HTTP.post(f"{fake.url}/ingest", content=data, headers=headers)
        assert (answer.status_code, fake.record_ids()) == (200, ["a"])


def test_http_keeps_different_contents_of_one_id():
    """Equal content is a duplicate, whatever its key order; other content is a row of its own."""
    with FakeVendor("http") as fake:
        for data in (b'{"id":"a","s":1,"t":1}', b'{"t":1,"s":1,"id":"a"}', b'{"id":"a","s":2}'):
            HTTP.post(fake.url, content=data, headers=JSON)
        assert (fake.record_ids(), fake.stats()["duplicates"]) == (["a", "a"], 1)


def test_http_request_is_taken_whole_or_not_at_all():
    """One bad record refuses its request."""
    with FakeVendor("http", max_records=2) as fake:
        assert HTTP.post(fake.url, content=b'[{"id":"a"},{}]', headers=JSON).status_code == 400
        many = b'[{"id":"a"},{"id":"b"},{"id":"c"}]'
        assert HTTP.post(fake.url, content=many, headers=JSON).status_code == 413
        assert fake.stored() == []


def test_http_signature_over_the_bytes_sent():
    """One of several signatures fits, with and without a time stamp."""
    data = b'{"id":"a"}'
    with FakeVendor("http", hmac_secret="k") as fake:
        plain = {**JSON, "x-headgate-signature": f"v1=00, {signature('k', data)}"}
        stamped = {**JSON, "x-headgate-timestamp": "7", "x-headgate-signature": signature("k", data, "7")}
        answers = [HTTP.post(fake.url, content=data, headers=headers) for headers in (plain, stamped)]
        assert [answer.status_code for answer in answers] == [200, 200]


def test_signature_is_the_documented_one():
    """A fixed vector that other implementations can be held against."""
    expected = "v1=6cc2d12597770db519f654bdda27360503cb9b8516338abf455d82cef7500700"
    assert signature("k", b"x", "7") == expected


@pytest.mark.parametrize(
    ("options", "auth"),
    [({"bearer": "t"}, "Bearer t"), ({"basic": "u:p"}, "Basic dTpw")],
    ids=["bearer", "basic"],
)
def test_http_credentials(options, auth):
    """The right credentials pass, none are 401."""
    with FakeVendor("http", **options) as fake:
        data = b'{"id":"a"}'
        assert HTTP.post(fake.url, content=data, headers=JSON).status_code == 401
        assert HTTP.post(fake.url, content=data, headers={**JSON, "authorization": auth}).status_code == 200


def notify(fake, key=None, data=None, **headers):
    """Send a notification with an idempotency key."""
    sent = JSON | headers | ({"idempotency-key": key} if key else {})
    return HTTP.post(fake.url, content=data or sample(), headers=sent)


def test_webhook_keeps_notification_and_idempotency_key():
    """A notification is one row under its idempotency key; a repeat is folded and answered 200."""
    with FakeVendor("webhook") as fake:
        assert [notify(fake, key).status_code for key in ("k1", "k1", None)] == [200, 200, 200]
        rows = fake.stored()
        assert (fake.record_ids(), fake.stats()["duplicates"]) == (["k1", "request-3"], 1)
        assert (rows[0]["native"]["idempotency_key"], rows[0]["native"]["fingerprints"]) == ("k1", ["c0ffee"])
        assert rows[0]["native"]["body"]["alerts"][0]["status"] == "firing"


def test_webhook_takes_extra_keys_and_resolved_alerts():
    """Keys beyond Alertmanager's are allowed; a resolved notification has an end."""
    with FakeVendor("webhook") as fake:
        data = sample(
            status="resolved",
            headgate={"n": 1},
            alert={"status": "resolved", "endsAt": "2026-11-20T11:00:00Z"},
        )
        assert notify(fake, data=data).status_code == 200
        early = sample(status="resolved", alert={"status": "resolved", "endsAt": "2026-11-20T09:00:00Z"})
        assert notify(fake, data=early).status_code == 400


def test_webhook_signature_and_timestamp():
    """The signature covers the time stamp, which must be near now."""
    with FakeVendor("webhook", hmac_secret="k", clock_ms=lambda: NOW_S * 1000) as fake:
        stamp = str(NOW_S - 299)
        good = {"x-headgate-timestamp": stamp, "x-headgate-signature": signature("k", sample(), stamp)}
        assert notify(fake, **good).status_code == 200
        assert notify(fake).status_code == 401
        assert notify(fake, **{"x-headgate-timestamp": stamp}).status_code == 401
        assert HTTP.get(fake.url).status_code == 405
