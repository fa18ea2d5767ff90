"""The Loki fake holds to the server's limits and texts."""

import gzip
import ssl
import zlib

import httpx
import orjson
import pytest

from headgate.testing.sinks import FakeVendor, all_cases

HTTP = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no certificates to load: loopback is plain
    limits=httpx.Limits(max_keepalive_connections=0),
)

NOW_NS = 1_795_168_800_000_000_000  # 2026-11-20T10:00:00Z
HOUR = 3_600 * 10**9
PATH = "/loki/api/v1/push"


def entry(offset=0, line="x", metadata=None):
    """Return one line, `offset` nanoseconds from now."""
    return [str(NOW_NS + offset), line] + ([] if metadata is None else [metadata])


def body(*entries, labels=None):
    """Return a push of one stream."""
    return orjson.dumps({"streams": [{"stream": labels or {"record": "job"}, "values": entries}]})


def push(fake, data, **headers):
    """Send a push; keywords are headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"content-type": "application/json", **named}
    return HTTP.post(fake.url + PATH, content=data, headers=sent)


def loki(**options):
    """Return a fake whose clock stands at NOW_NS."""
    return FakeVendor("loki", clock_ms=lambda: NOW_NS // 10**6, **options)


@pytest.fixture
def fake():
    """Run a fake with default options and a fixed clock."""
    with loki() as running:
        yield running


def test_good_push_is_204_and_stored_as_sent(fake):
    """A push is kept line by line with stream, time, line and metadata."""
    answer = push(fake, body(entry(line="hello", metadata={"record_id": "r1", "job_id": "j"})))
    assert (answer.status_code, answer.content) == (204, b"")
    native = {
        "tenant": "fake",
        "stream": {"record": "job"},
        "time_ns": str(NOW_NS),
        "line": "hello",
        "metadata": {"record_id": "r1", "job_id": "j"},
    }
    assert [("r1", native)] == [(row["record_id"], row["native"]) for row in fake.stored()]


@pytest.mark.parametrize(
    ("line", "metadata", "expected"),
    [
        ("{}", {"id": "m"}, "m"),
        ('{"id":"l"}', None, "l"),
        ('{"record_id":"l"}', None, "l"),
        ("{broken", None, None),
        ("text", None, None),
    ],
    ids=["metadata", "line-id", "line-record-id", "broken-line", "text"],
)
def test_record_id_is_found(fake, line, metadata, expected):
    """The id is read from the metadata, else from a JSON line."""
    push(fake, body(entry(line=line, metadata=metadata)))
    assert [expected] == fake.record_ids()


def test_gzip_and_raw_deflate_are_read(fake):
    """The two encodings of the server are unpacked; zlib-wrapped deflate is not one of them."""
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(body(entry(1))) + packer.flush()
    assert push(fake, gzip.compress(body(entry())), content_encoding="gzip").status_code == 204
    assert push(fake, raw, content_encoding="deflate").status_code == 204
    assert push(fake, zlib.compress(body(entry(2))), content_encoding="deflate").status_code == 400
    assert len(fake.stored()) == 2


def test_cut_gzip_is_refused(fake):
    """A gzip stream without its end is no body."""
    assert push(fake, gzip.compress(body(entry()))[:-9], content_encoding="gzip").status_code == 400


def test_protobuf_is_not_read(fake):
    """The fake says that it reads JSON only."""
    assert push(fake, b"\0", content_type="application/x-protobuf").status_code == 415


def test_good_lines_stay_when_others_are_refused(fake):
    """A 400 for single lines stores the good ones and folds equal refusals in its text."""
    answer = push(fake, body(entry(-8 * 24 * HOUR), entry(-9 * 24 * HOUR), entry(), entry(HOUR)))
    assert answer.status_code == 400
    assert answer.text == (
        "2 errors like: entry for stream '{record=\"job\"}' has timestamp too old: 2026-11-12T10:00:00Z, "
        "oldest acceptable timestamp is: 2026-11-13T10:00:00Z; "
        "entry for stream '{record=\"job\"}' has timestamp too new: 2026-11-20T11:00:00Z\n"
    )
    assert [str(NOW_NS)] == [row["native"]["time_ns"] for row in fake.stored()]


def test_line_more_than_an_hour_behind_its_stream_is_refused(fake):
    """The hour is counted from the newest line of the same stream; another stream is free."""
    answer = push(fake, body(entry(), entry(-HOUR), entry(-HOUR - 1)))
    assert answer.status_code == 400
    first = (
        "entry with timestamp 2026-11-20 08:59:59.999999999 +0000 UTC ignored, "
        "reason: 'entry too far behind, "
        "entry timestamp is: 2026-11-20T08:59:59.999999999Z, "
        "oldest acceptable timestamp is: 2026-11-20T09:00:00Z',"
    )
    second = "user 'fake', total ignored: 1 out of 3 for stream: {record=\"job\"}"
    assert answer.text.splitlines() == [first, second]
    assert push(fake, body(entry(-2 * HOUR), labels={"record": "backfill"})).status_code == 204
    assert len(fake.stored()) == 3


def test_equal_lines_are_ignored(fake):
    """Equal stream, time, line and metadata is one line; any difference is another."""
    push(fake, body(entry(), entry(), entry(line="y"), entry(1), entry(metadata={"a": "b"})))
    push(fake, body(entry(), labels={"record": "test"}))
    assert (len(fake.stored()), fake.stats()["duplicates"]) == (5, 1)


@pytest.mark.parametrize(
    ("labels", "metadata", "line", "status"),
    [
        ({f"l{i}": "v" for i in range(15)}, None, "x", 204),
        ({"l": "v" * 2_048}, None, "x", 204),
        ({"l": "v" * 2_049}, None, "x", 400),
        ({"l" * 1_025: "v"}, None, "x", 400),
        (None, {f"m{i}": "v" for i in range(128)}, "x", 204),
        (None, {f"m{i}": "v" for i in range(129)}, "x", 400),
        (None, {"k": "v" * 65_535}, "x", 204),
        (None, {"k": "é" * 32_768}, "x", 400),
        (None, None, "x" * 262_144, 204),
        (None, None, "é" * 131_073, 400),
        ({"__backfill__": "true"}, None, "x", 400),
    ],
    ids=[
        "15-labels",
        "value-2048",
        "value-2049",
        "name-1025",
        "128-metadata",
        "129-metadata",
        "metadata-64k",
        "metadata-over-64k-in-bytes",
        "line-256k",
        "line-over-256k-in-bytes",
        "reserved-label",
    ],
)
def test_limits_hold_to_the_byte(fake, labels, metadata, line, status):
    """Each limit takes its last good value and refuses the next."""
    answer = push(fake, body(entry(line=line, metadata=metadata), labels=labels))
    assert (status, int(status == 204)) == (answer.status_code, len(fake.stored()))


def test_stream_limit_refuses_the_new_stream_alone():
    """Over the limit a new stream gets 429 while known streams are stored."""
    with loki(max_streams=1) as fake:
        push(fake, body(entry()))
        two = {"streams": [{"stream": {"record": r}, "values": [entry(1)]} for r in ("job", "test")]}
        answer = push(fake, orjson.dumps(two))
        assert answer.status_code == 429
        assert answer.text.startswith(
            'maximum active stream limit exceeded when trying to create stream {record="test"}'
        )
        assert len(fake.stored()) == 2


def test_request_limits_are_413():
    """Too many bytes packed or unpacked are 413."""
    with loki(max_packed_bytes=1_000, max_unpacked_bytes=2_000) as fake:
        assert push(fake, body(entry(line="x" * 1_000))).status_code == 413
        assert push(fake, gzip.compress(body(entry(line="x" * 2_000))), content_encoding="gzip").status_code == 413
        assert push(fake, gzip.compress(body(entry(line="x" * 1_500))), content_encoding="gzip").status_code == 204


def test_rate_limit_is_429_and_stores_nothing():
    """Past the burst the tenant's rate is refused with the server's text."""
    with loki(rate_bytes_per_second=10, burst_bytes=100) as fake:
        assert push(fake, body(entry())).status_code == 204
        answer = push(fake, body(entry(1)))
        assert answer.status_code == 429
        assert answer.text.startswith("ingestion rate limit exceeded for user fake (limit: 10 bytes/sec)")
        assert len(fake.stored()) == 1


def test_tenant_is_required_when_multi_tenant():
    """Without X-Scope-OrgID 401 `no org id`; with it the tenant is kept."""
    with loki(tenant="acme") as fake:
        assert (push(fake, body(entry())).status_code, push(fake, body(entry())).text) == (401, "no org id\n")
        assert push(fake, body(entry()), X_Scope_OrgID="acme").status_code == 204
        assert [row["native"]["tenant"] for row in fake.stored()] == ["acme"]


def test_basic_auth_is_required():
    """Grafana Cloud's form: 401 without the right user and password."""
    with loki(basic="123:token") as fake:
        assert push(fake, body(entry())).status_code == 401
        good = HTTP.post(
            fake.url + PATH,
            content=body(entry()),
            headers={"content-type": "application/json"},
            auth=("123", "token"),
        )
        assert good.status_code == 204


def test_backfill_shard_skips_the_age_check_and_has_its_own_streams():
    """With the option the header lets old lines in, each shard with an hour of its own."""
    with loki(backfill_shards=True) as fake:
        live = push(fake, body(entry()))
        old = [push(fake, body(entry(-day * 24 * HOUR)), X_Loki_Backfill_Shard=f"d{day}") for day in (8, 30)]
        assert [answer.status_code for answer in (live, *old)] == [204, 204, 204]
        assert push(fake, body(entry(-10 * 24 * HOUR)), X_Loki_Backfill_Shard="d8").status_code == 400
        assert push(fake, body(entry()), X_Loki_Backfill_Shard="x" * 129).status_code == 400
        assert fake.stored()[1]["native"]["stream"]["__backfill_shard__"] == "d8"


def test_backfill_shard_is_ignored_without_the_option(fake):
    """Servers up to 3.8 do not know the header."""
    assert push(fake, body(entry(-8 * 24 * HOUR)), X_Loki_Backfill_Shard="d8").status_code == 400


def test_ages_can_be_switched_off():
    """An operator may raise the limits; 0 takes any age."""
    with loki(max_age_seconds=0, max_ahead_seconds=0, max_behind_seconds=0) as fake:
        answer = push(fake, body(entry(9_000 * HOUR), entry(-9_000 * HOUR)))
        assert (answer.status_code, len(fake.stored())) == (204, 2)


def test_read_side_answers(fake):
    """`/ready`, the label names, and 404 and 405 for what is not there."""
    push(fake, body(entry(), labels={"service_name": "circleci", "record": "job"}))
    assert HTTP.get(f"{fake.url}/ready").text == "ready\n"
    labels = HTTP.get(f"{fake.url}/loki/api/v1/labels").json()
    assert labels == {"status": "success", "data": ["record", "service_name"]}
    assert HTTP.get(fake.url + PATH).status_code == 405
    assert HTTP.post(f"{fake.url}/loki/push").status_code == 404


def test_clearing_forgets_the_newest_time_of_streams(fake):
    """A cleared fake takes what was too far behind before."""
    push(fake, body(entry()))
    fake.clear()
    assert push(fake, body(entry(-2 * HOUR))).status_code == 204


CASES = [case for case in all_cases() if case.sink == "loki"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_are_answered_and_store_what_they_say(fake, case):
    """`ok` stores all, a per-line refusal all but the first line, every other row nothing."""
    fake.answer(case=case.name)
    answer = push(fake, body(entry(line="1"), entry(line="2"), entry(line="3")))
    assert (case.status, case.body or "") == (answer.status_code, answer.text)
    stored = {"ok": ["1", "2", "3"], "partial": ["2", "3"]}.get(case.expect, [])
    assert stored == [row["native"]["line"] for row in fake.stored()]


def test_partial_row_does_not_hide_a_bad_body(fake):
    """Strict judgement wins over a told per-line refusal."""
    fake.answer(case="too-old")
    assert "couldn't parse" in push(fake, b"{").text


def test_discard_counts_lines():
    """A benchmark's fake counts lines and keeps none."""
    with loki(keep="none") as fake:
        push(fake, body(entry(), entry(1)))
        assert (fake.stats()["records"], fake.stored()) == (2, [])
