"""The fake OTLP receiver: answers in the form of the request, partial success, totals that never fall."""

from __future__ import annotations

import httpx

from headgate.testing.sinks import FakeVendor
from headgate.testing.sinks.vendors._otlp_bad import JSON, LOG, NOW, POINT, PROTOBUF, SPAN, histogram, logs, spans
from headgate.testing.sinks.vendors._otlp_read import message_of, read_json

NOW_MS = int(NOW) // 1_000_000


def post(fake: FakeVendor, path: str, body: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
    """Send one body."""
    return httpx.post(fake.url + path, content=body, headers=headers, trust_env=False)


def test_a_span_is_kept_once_by_its_ids():
    """A resend is a duplicate, in whichever encoding it comes."""
    body = spans({**SPAN, "attributes": [{"key": "headgate.record_id", "value": {"stringValue": "r1"}}]})
    with FakeVendor("otlp") as fake:
        assert post(fake, "/v1/traces", body).json() == {"partialSuccess": {}}
        binary = read_json("traces", body).SerializeToString()
        again = post(fake, "/v1/traces", binary, PROTOBUF)
        assert (again.status_code, again.content, again.headers["content-type"]) == (200, b"", PROTOBUF["content-type"])
        (row,) = fake.stored()
        assert fake.stats()["duplicates"] == 1
    assert (row["record_id"], row["native"]["traceId"], row["native"]["kind"]) == ("r1", SPAN["traceId"], 1)
    assert row["native"]["resource"] == {"service.name": "web"}


def test_what_is_too_old_is_refused_alone_in_both_encodings():
    """The rest is kept, and the answer counts without naming."""
    old = {**LOG, "timeUnixNano": "1"}
    with FakeVendor("otlp", max_age_seconds=60, clock_ms=lambda: NOW_MS) as fake:
        told = post(fake, "/v1/logs", logs(LOG, old)).json()["partialSuccess"]
        assert told == {"rejectedLogRecords": "1", "errorMessage": "too old"}
        binary = read_json("logs", logs(LOG, old)).SerializeToString()
        answer = message_of("logs", "Response").FromString(post(fake, "/v1/logs", binary, PROTOBUF).content)
        assert answer.partial_success.rejected_log_records == 1
        assert len(fake.stored()) == 1


def test_a_told_partial_success_uses_the_name_of_the_signal():
    """The row speaks of log records; the answer of the path's own things, and so many are not kept."""
    with FakeVendor("otlp") as fake:
        fake.answer(case="partial")
        many = [{**SPAN, "spanId": f"{n:016x}"} for n in range(1, 5)]
        told = post(fake, "/v1/traces", spans(*many)).json()
        assert told == {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}
        assert len(fake.stored()) == 2


def test_a_total_that_falls_is_refused_until_it_starts_anew():
    """A series of one start only grows."""
    less = {**POINT, "count": "1", "bucketCounts": ["1", "0"]}
    with FakeVendor("otlp") as fake:
        assert post(fake, "/v1/metrics", histogram(POINT, 2)).status_code == 200
        assert "went back" in post(fake, "/v1/metrics", histogram(less, 2)).json()["message"]
        restarted = {**less, "startTimeUnixNano": str(int(NOW) - 1)}
        assert post(fake, "/v1/metrics", histogram(restarted, 2)).status_code == 200
        fake.clear()
        assert post(fake, "/v1/metrics", histogram(less, 2)).status_code == 200


def test_what_deltas_measured_is_kept_each_time():
    """A delta sent twice is counted twice, as any backend would."""
    with FakeVendor("otlp") as fake:
        for _ in range(2):
            post(fake, "/v1/metrics", histogram(POINT))
        assert [row["native"]["metric"] for row in fake.stored()] == ["cicd.pipeline.run.duration"] * 2


def test_a_protobuf_refusal_is_a_status_in_protobuf():
    """`google.rpc.Status` with code 3 and the words."""
    bad = read_json("traces", spans({**SPAN, "name": ""})).SerializeToString()
    with FakeVendor("otlp") as fake:
        answer = post(fake, "/v1/traces", bad, PROTOBUF)
    assert answer.status_code == 400
    assert answer.content[:2] == b"\x08\x03"
    assert b"without a name" in answer.content


def test_an_array_of_values_is_read():
    """Attributes may hold arrays."""
    values = {"arrayValue": {"values": [{"stringValue": "aws"}, {"intValue": "2"}]}}
    body = spans({**SPAN, "attributes": [{"key": "contexts", "value": values}]})
    with FakeVendor("otlp") as fake:
        assert post(fake, "/v1/traces", body).status_code == 200
        assert fake.stored()[0]["native"]["attributes"] == {"contexts": ["aws", 2]}
