"""The strict New Relic: what it keeps, and how it is told to be another account or as lax as New Relic."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import httpx
import orjson

from headgate.testing.sinks import FakeVendor

NOW_MS = 1_795_168_800_000
MINUTE_MS = 60_000
HEADERS = {"content-type": "application/json", "api-key": "k"}
EVENTS = "/v1/accounts/1/events"


def fake(**options: Any) -> FakeVendor:
    """A fake whose clock stands."""
    return FakeVendor("newrelic", **{"clock_ms": lambda: NOW_MS, **options})


def post(vendor: FakeVendor, path: str, value: object, body: bytes | None = None, **headers: str) -> httpx.Response:
    """One request with a key."""
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    content = orjson.dumps(value) if body is None else body
    return httpx.post(vendor.url + path, content=content, headers={**HEADERS, **more}, trust_env=False)


def span(trace: str, at_ms: int, own: str = "1" * 16) -> list[dict[str, Any]]:
    """A body of one span."""
    return [{"spans": [{"id": own, "trace.id": trace * 32, "timestamp": at_ms, "attributes": {"record.id": own}}]}]


def test_each_api_gives_its_own_receipt() -> None:
    """Events are answered 200 with a uuid, all else 202 with a request id; ids are found where each form has them."""
    with fake() as vendor:
        event = post(vendor, EVENTS, [{"eventType": "CircleCIJob", "id": "a"}])
        log = post(vendor, "/log/v1", [{"logs": [{"message": "x", "attributes": {"id": "b"}}]}])
        metric = post(vendor, "/metric/v1", [{"metrics": [{"name": "n", "value": 1, "attributes": {"id": "c"}}]}])
        trace = post(vendor, "/trace/v1", span("a", NOW_MS))
        assert (event.status_code, event.json()["success"], "uuid" in event.json()) == (200, True, True)
        assert [reply.status_code for reply in (log, metric, trace)] == [202] * 3
        assert all("requestId" in reply.json() for reply in (log, metric, trace))
        assert vendor.record_ids() == ["a", "b", "c", "1" * 16]


def test_nothing_is_folded() -> None:
    """The same event twice is there twice."""
    with fake() as vendor:
        for _ in range(2):
            post(vendor, EVENTS, [{"eventType": "CircleCIJob", "id": "a"}])
        assert vendor.record_ids() == ["a", "a"]


def test_encodings() -> None:
    """Every API takes gzip, the Event API deflate too."""
    body = orjson.dumps([{"eventType": "CircleCIJob", "id": "a"}])
    with fake() as vendor:
        assert post(vendor, EVENTS, None, gzip.compress(body), content_encoding="gzip").status_code == 200
        assert post(vendor, EVENTS, None, zlib.compress(body), content_encoding="deflate").status_code == 200
        assert post(vendor, "/log/v1", [{"logs": []}], content_encoding="deflate").status_code == 415
        assert vendor.record_ids() == ["a", "a"]


def test_what_is_common_holds_for_each() -> None:
    """Common attributes and intervals are every item's, and an item's own win."""
    common = {"interval.ms": 1_000, "attributes": {"a": 1, "b": 1}}
    item = {"name": "n", "type": "count", "value": 2, "attributes": {"b": 2}}
    with fake() as vendor:
        assert post(vendor, "/metric/v1", [{"common": common, "metrics": [item]}]).status_code == 202
        (row,) = vendor.stored()
    assert row["native"]["attributes"] == {"a": 1, "b": 2}
    assert row["native"]["interval.ms"] == 1_000


def test_a_key_belongs_to_an_account() -> None:
    """A wrong key and another account are 403, and nothing is kept."""
    event = [{"eventType": "CircleCIJob"}]
    with fake(key="k", account=1) as vendor:
        assert post(vendor, EVENTS, event).status_code == 200
        assert post(vendor, EVENTS, event, api_key="other").status_code == 403
        assert post(vendor, "/v1/accounts/2/events", event).status_code == 403
        assert len(vendor.record_ids()) == 1


def test_a_fresh_trace_takes_old_spans() -> None:
    """A span that began long ago is taken only where its trace was seen lately, or where any age is."""
    old = NOW_MS - 21 * MINUTE_MS
    with fake() as vendor:
        assert post(vendor, "/trace/v1", span("a", old)).status_code == 400
        assert post(vendor, "/trace/v1", span("a", NOW_MS)).status_code == 202
        assert post(vendor, "/trace/v1", span("a", old, "2" * 16)).status_code == 202
        assert post(vendor, "/trace/v1", span("b", old)).status_code == 400
        vendor.clear()
        assert post(vendor, "/trace/v1", span("a", old)).status_code == 400
    with fake(span_age_seconds=0) as vendor:
        assert post(vendor, "/trace/v1", span("a", old)).status_code == 202


def test_it_can_drop_in_silence() -> None:
    """As New Relic itself: 2xx for a request, and only its good items are there."""
    items = [{"eventType": "CircleCIJob", "id": "a"}, {"eventType": "CircleCIJob", "id": "b", "ok": True}]
    with fake(reject=False) as vendor:
        assert post(vendor, EVENTS, items).status_code == 200
        assert vendor.record_ids() == ["a"]
