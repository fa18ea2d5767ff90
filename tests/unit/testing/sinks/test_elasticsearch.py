"""The Elasticsearch fake holds to the cluster's rules, item by item."""

import gzip
import ssl

import httpx
import orjson
import pytest
from elasticsearch import AsyncElasticsearch, UnsupportedProductError

from headgate.testing.sinks import FakeVendor, all_cases

HTTP = httpx.Client(
    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # no certificates to load: loopback is plain
    limits=httpx.Limits(max_keepalive_connections=0),
)

STREAM = "logs-circleci.job-default"
PLAIN = "circleci-job-2026.11"
AT = "2026-11-20T10:00:00.000Z"
LINES = {"content-type": "application/x-ndjson"}


def bulk_body(*documents, op="create", index=STREAM):
    """Return a bulk body; `_id` of a document is taken out, else documents are numbered."""
    parts = []
    for number, document in enumerate(documents, 1):
        stamped = {"@timestamp": AT, **document}
        parts += [{op: {"_index": index, "_id": document.pop("_id", str(number))}}, stamped]
        stamped.pop("_id", None)
    return b"".join(orjson.dumps(part, option=orjson.OPT_APPEND_NEWLINE) for part in parts)


def bulk(fake, *documents, op="create", index=STREAM, path="/_bulk", **headers):
    """Send documents as one bulk request."""
    data = bulk_body(*documents, op=op, index=index)
    return HTTP.post(fake.url + path, content=data, headers=LINES | headers)


def outcomes(answer):
    """Return status and type of error of each item."""
    return [
        (item["status"], item.get("error", {}).get("type")) for one in answer.json()["items"] for item in one.values()
    ]


@pytest.fixture
def fake():
    """Run a fake with default options and a fixed clock."""
    with FakeVendor("elasticsearch", clock_ms=lambda: 1_795_168_800_000) as running:
        yield running


def test_created_documents_are_stored_with_their_id(fake):
    """A good bulk is 201 per item, in a backing index of the day, with the product header."""
    answer = bulk(fake, {"_id": "a", "event": {"kind": "event"}})
    (item,) = answer.json()["items"]
    backing = f".ds-{STREAM}-2026.11.20-000001"
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert (201, "a", backing) == tuple(item["create"][key] for key in ("status", "_id", "_index"))
    native = {
        "_index": STREAM,
        "backing": backing,
        "_id": "a",
        "op": "create",
        "source": {"@timestamp": AT, "event": {"kind": "event"}},
    }
    assert [("a", native)] == [(row["record_id"], row["native"]) for row in fake.stored()]


def test_second_create_of_an_id_is_409(fake):
    """A document sent again, even in the same request, is a version conflict and no second row."""
    bulk(fake, {"_id": "a"})
    answer = bulk(fake, {"_id": "a"}, {"_id": "b"}, {"_id": "b"})
    conflict = (409, "version_conflict_engine_exception")
    assert [conflict, (201, None), conflict] == outcomes(answer)
    assert (answer.json()["errors"], fake.record_ids(), fake.stats()["duplicates"]) == (True, ["a", "b"], 2)


def test_after_a_rollover_an_id_is_stored_again(fake):
    """`_id` is unique per backing index only."""
    bulk(fake, {"_id": "a"})
    assert HTTP.post(f"{fake.url}/{STREAM}/_rollover").json()["rolled_over"]
    assert outcomes(bulk(fake, {"_id": "a"})) == [(201, None)]
    assert fake.record_ids() == ["a", "a"]


def test_index_op_replaces_in_a_plain_index(fake):
    """In a plain index `index` updates, `create` conflicts, `delete` removes."""
    assert outcomes(bulk(fake, {"s": "running"}, op="index", index=PLAIN)) == [(201, None)]
    assert outcomes(bulk(fake, {"s": "success"}, op="index", index=PLAIN)) == [(200, None)]
    assert outcomes(bulk(fake, {}, index=PLAIN))[0][0] == 409
    assert [row["native"]["source"]["s"] for row in fake.stored()] == ["success"]
    assert HTTP.get(f"{fake.url}/{PLAIN}/_count").json() == {"count": 1}
    delete = b'{"delete":{"_index":"%s","_id":"1"}}\n' % PLAIN.encode()
    answers = [HTTP.post(f"{fake.url}/_bulk", content=delete, headers=LINES) for _ in range(2)]
    assert [outcomes(answer) for answer in answers] == [[(200, None)], [(404, None)]]


def test_target_in_the_path_is_the_default_index(fake):
    """`/<target>/_bulk` serves actions without `_index`."""
    data = b'{"create":{}}\n{"@timestamp":"%s","id":"r"}\n' % AT.encode()
    answer = HTTP.put(
        f"{fake.url}/{STREAM}/_bulk",
        content=gzip.compress(data),
        headers=LINES | {"content-encoding": "gzip"},
    )
    assert (outcomes(answer), fake.record_ids()) == ([(201, None)], ["r"])


@pytest.mark.parametrize(
    ("first", "second", "index", "good"),
    [
        ({"a": 1}, {"a": {"b": 1}}, STREAM, False),
        ({"a": {"b": 1}}, {"a": 1}, STREAM, False),
        ({"a.b": 1}, {"a": "x"}, STREAM, False),
        ({"a": 1}, {"a.b": 1}, STREAM, False),
        ({"a": [{"b": 1}]}, {"a": [1]}, PLAIN, False),
        ({"a": 1}, {"a": "text"}, STREAM, True),
        ({"a": 1}, {"a": "text"}, PLAIN, False),
        ({"a": 1}, {"a": "12"}, PLAIN, True),
        ({"a": 1}, {"a": 1 << 63}, PLAIN, False),
        ({"a": 1.5}, {"a": True}, PLAIN, False),
        ({"a": True}, {"a": 1}, PLAIN, False),
        ({"a": "2026-11-20"}, {"a": "soon"}, PLAIN, False),
        ({"a": "2026-11-20"}, {"a": "soon"}, STREAM, True),
        ({"a": "x"}, {"a": 5}, PLAIN, True),
        ({"a": None}, {"a": {"b": None}}, PLAIN, True),
        ({}, {" ": 1}, PLAIN, False),
        ({}, {"@timestamp": "yesterday"}, STREAM, False),
    ],
)
def test_mapping_conflicts(fake, first, second, index, good):
    """Objects and scalars never mix; malformed scalars pass in the built-in logs template alone."""
    bulk(fake, {"_id": "1", **first}, index=index)
    answer = bulk(fake, {"_id": "2", **second}, index=index)
    expected = (201, None) if good else (400, "document_parsing_exception")
    assert ([expected], 1 + good) == (outcomes(answer), len(fake.stored()))


def test_refused_document_teaches_no_mapping(fake):
    """The fields of a refused document leave no type behind."""
    bulk(fake, {"a": 1}, index=PLAIN)
    assert outcomes(bulk(fake, {"_id": "2", "new": {"x": 1}, "a": {}}, index=PLAIN))[0][0] == 400
    assert outcomes(bulk(fake, {"_id": "3", "new": 1}, index=PLAIN)) == [(201, None)]


def test_field_limit_holds():
    """More fields than the limit refuse the document."""
    with FakeVendor("elasticsearch", max_fields=3) as fake:
        assert outcomes(bulk(fake, {"a": 1, "b": 1}, index=PLAIN)) == [(201, None)]
        assert outcomes(bulk(fake, {"_id": "2", "c": 1}, index=PLAIN)) == [(400, "document_parsing_exception")]


def put(fake, path, value):
    """Send a JSON value with PUT."""
    return HTTP.put(fake.url + path, json=value)


def test_own_template_pins_types_and_makes_data_streams(fake):
    """A template of higher priority decides; component templates count; HEAD and GET find it."""
    part = {"template": {"mappings": {"properties": {"circleci": {"properties": {"n": {"type": "long"}}}}}}}
    template = {
        "index_patterns": ["circleci-*"],
        "priority": 200,
        "data_stream": {},
        "composed_of": ["ci"],
        "template": {"mappings": {"dynamic": "strict", "properties": {"raw": {"type": "flattened"}}}},
    }
    path = "/_index_template/circleci"
    assert HTTP.head(fake.url + path).status_code == 404
    assert put(fake, "/_component_template/ci", part).json() == {"acknowledged": True}
    assert put(fake, path, template).status_code == 200
    assert (HTTP.head(fake.url + path).status_code, HTTP.head(fake.url + path).content) == (200, b"")
    assert HTTP.get(fake.url + path).json()["index_templates"][0]["index_template"] == template
    good = bulk(fake, {"circleci": {"n": 1}, "raw": {"any": {"thing": 1}}}, index="circleci-job")
    bad = bulk(fake, {"_id": "2", "circleci": {"n": "x"}}, {"_id": "3", "other": 1}, index="circleci-job")
    assert outcomes(good) == [(201, None)]
    assert outcomes(bad) == [(400, "document_parsing_exception"), (400, "strict_dynamic_mapping_exception")]
    assert outcomes(bulk(fake, {}, op="index", index="circleci-job"))[0] == (
        400,
        "illegal_argument_exception",
    )
    assert HTTP.delete(fake.url + path).status_code == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/_index_template/x", {"template": {}}),
        ("/_ilm/policy/x", {"phases": {}}),
        ("/_component_template/x", {}),
        ("/_plugins/_ism/policies/x", {"policy": {}}),
    ],
)
def test_bad_templates_and_policies_are_400(fake, path, value):
    """What lacks its required part, or belongs to the other product, is refused."""
    assert put(fake, path, value).status_code == 400


def test_policies_are_kept_per_product(fake):
    """ILM belongs to Elasticsearch, ISM to OpenSearch."""
    assert put(fake, "/_ilm/policy/p", {"policy": {"phases": {}}}).status_code == 200
    assert HTTP.get(f"{fake.url}/_ilm/policy/p").json()["p"]["policy"] == {"phases": {}}
    with FakeVendor("elasticsearch", generation="opensearch") as other:
        assert put(other, "/_ilm/policy/p", {"policy": {}}).status_code == 400
        assert put(other, "/_plugins/_ism/policies/p", {"policy": {}}).status_code == 200


def test_a_template_of_missing_parts_is_refused(fake):
    """Component templates must be there, be built in, or be allowed to lack; OpenSearch knows neither of the latter."""
    template = {"index_patterns": ["x-*"], "composed_of": ["ecs@mappings", "mine"]}
    path = "/_index_template/x"
    answer = put(fake, path, template)
    assert (answer.status_code, "['mine'] that do not exist" in answer.text) == (400, True)
    lenient = template | {"ignore_missing_component_templates": ["mine"]}
    assert put(fake, path, lenient).status_code == 200
    with FakeVendor("elasticsearch", generation="opensearch") as other:
        assert "unknown field [ignore_missing_component_templates]" in put(other, path, lenient).text
        assert put(other, path, {"index_patterns": ["x-*"], "composed_of": ["ecs@mappings"]}).status_code == 400


def test_an_ism_policy_is_replaced_only_by_its_number():
    """Who has not read what is there is refused with 409."""
    path = "/_plugins/_ism/policies/p"
    with FakeVendor("elasticsearch", generation="opensearch") as fake:
        assert put(fake, path, {"policy": {"states": []}}).status_code == 200
        assert put(fake, path, {"policy": {"states": [1]}}).status_code == 409
        shown = HTTP.get(fake.url + path).json()
        guard = f"?if_seq_no={shown['_seq_no']}&if_primary_term={shown['_primary_term']}"
        assert put(fake, path + guard, {"policy": {"states": [1]}}).status_code == 200
        assert put(fake, path + guard, {"policy": {"states": [2]}}).status_code == 409
        assert HTTP.get(fake.url + path).json()["policy"]["states"] == [1]


def test_dynamic_templates_type_new_fields(fake):
    """The first rule whose path and type fit decides; without it a whole number would refuse the next fraction."""
    rule = {"path_match": "n.*", "match_mapping_type": "long", "mapping": {"type": "double"}}
    template = {"index_patterns": ["y-*"], "template": {"mappings": {"dynamic_templates": [{"numbers": rule}]}}}
    assert put(fake, "/_index_template/y", template).status_code == 200
    assert outcomes(bulk(fake, {"n.a": 1, "m": 1}, index="y-1")) == [(201, None)]
    answers = bulk(fake, {"_id": "2", "n.a": "words"}, {"_id": "3", "m": "words"}, index="y-1")
    reasons = [one["create"]["error"]["reason"] for one in answers.json()["items"]]
    assert ["[double]" in reasons[0], "[long]" in reasons[1]] == [True, True]


def test_opensearch_has_no_built_in_data_streams():
    """Without a template of one's own the name makes a plain index, and no product header is sent."""
    with FakeVendor("elasticsearch", generation="opensearch") as fake:
        assert outcomes(bulk(fake, {}, op="index")) == [(201, None)]
        info = HTTP.get(fake.url)
        assert info.json()["version"]["distribution"] == "opensearch"
        assert "x-elastic-product" not in info.headers


@pytest.mark.parametrize(
    ("generation", "version", "status"),
    [("8", 8, 200), ("8", 9, 400), ("9", 9, 200), ("9", 8, 200), ("9", 7, 400), ("opensearch", 8, 406)],
)
def test_media_types_by_generation(generation, version, status):
    """A client's generation is taken or refused as the server's documents say."""
    with FakeVendor("elasticsearch", generation=generation) as fake:
        kind = f"application/vnd.elasticsearch+x-ndjson; compatible-with={version}"
        accept = f"application/vnd.elasticsearch+json; compatible-with={version}"
        answer = bulk(fake, {}, **{"content-type": kind, "accept": accept})
        assert (status, int(status == 200)) == (answer.status_code, len(fake.stored()))
        if status == 200:
            assert answer.headers["content-type"].endswith(f"compatible-with={version}")


def test_one_sided_compatibility_is_refused(fake):
    """A compatible content type with a plain Accept is an error."""
    kind = "application/vnd.elasticsearch+x-ndjson; compatible-with=9"
    answer = bulk(fake, {}, **{"content-type": kind, "accept": "application/json"})
    assert "required on both" in answer.json()["error"]["reason"]


def test_filter_path_keeps_named_parts_in_place(fake):
    """Items keep their positions; unnamed keys go."""
    answer = bulk(fake, {}, {"_id": "1"}, path="/_bulk?filter_path=errors,items.*.status,items.*.error.type")
    error = {"type": "version_conflict_engine_exception"}
    assert answer.json() == {
        "errors": True,
        "items": [{"create": {"status": 201}}, {"create": {"status": 409, "error": error}}],
    }
    assert bulk(fake, {}, path="/_bulk?filter_path=**.reason").json()["items"][0]["create"]["error"]["reason"]
    assert bulk(fake, {}, path="/_bulk?filter_path=nothing").json() == {}
    only_errors = bulk(fake, {"_id": "9"}, {"_id": "1"}, path="/_bulk?filter_path=items.*.error.type").json()
    assert only_errors["items"] == [{}, {"create": {"error": error}}]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"api_key": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
        ({"basic": "u:p"}, "Basic dTpw"),
        ({"bearer": "t"}, "Bearer t"),
    ],
    ids=["api-key", "basic", "bearer"],
)
def test_credentials(options, header):
    """The right credentials pass, none or others are 401."""
    with FakeVendor("elasticsearch", **options) as fake:
        statuses = [bulk(fake, {}, authorization=value).status_code for value in (header, "Basic eDp5")]
        assert [*statuses, bulk(fake, {}).status_code] == [200, 401, 401]


def test_size_limit_counts_unpacked_bytes():
    """413 above the limit, packed or not."""
    with FakeVendor("elasticsearch", max_body_bytes=1_000) as fake:
        data = bulk_body({"a": "x" * 1_000})
        packed = HTTP.post(
            f"{fake.url}/_bulk", content=gzip.compress(data), headers=LINES | {"content-encoding": "gzip"}
        )
        assert [bulk(fake, {"a": "x" * 1_000}).status_code, packed.status_code] == [413, 413]


def test_failure_store_takes_what_cannot_be_mapped():
    """As in 9.x a refused document of the built-in logs template is 201 with `failure_store: used`."""
    with FakeVendor("elasticsearch", failure_store=True) as fake:
        bulk(fake, {"a": 1})
        (item,) = bulk(fake, {"_id": "2", "a": {}}).json()["items"]
        assert (item["create"]["status"], item["create"]["failure_store"]) == (201, "used")
        assert fake.stored()[1]["native"]["backing"].startswith(".fs-logs")


def test_other_routes(fake):
    """Root, health, creation and existence of an index, unknown routes."""
    assert HTTP.get(fake.url).json()["version"]["number"].startswith("9.")
    assert HTTP.get(f"{fake.url}/_cluster/health").json()["status"] == "green"
    assert HTTP.head(f"{fake.url}/{PLAIN}").status_code == 404
    assert put(fake, f"/{PLAIN}", {"mappings": {"properties": {"n": {"type": "ip"}}}}).status_code == 200
    assert HTTP.head(f"{fake.url}/{PLAIN}").status_code == 200
    assert put(fake, f"/{PLAIN}", {}).status_code == 400
    assert outcomes(bulk(fake, {"n": "10.0.0.1"}, {"_id": "2", "n": "x"}, index=PLAIN))[1][0] == 400
    assert HTTP.post(f"{fake.url}/{PLAIN}/_rollover").status_code == 400
    assert HTTP.get(f"{fake.url}/_cat/indices").status_code == 400
    assert HTTP.get(f"{fake.url}/_bulk").status_code == 405


CASES = [case for case in all_cases() if case.sink == "elasticsearch"]
CLAIMS = {200, 201, 409}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rows_fit_the_request_and_store_what_they_claim(fake, case):
    """Sample items are repeated to the number of actions; what they claim to hold is held."""
    fake.answer(case=case.name)
    answer = bulk(fake, *({"_id": str(n)} for n in range(6)))
    assert case.status == answer.status_code
    assert case.headers.get("x-elastic-product") == answer.headers.get("x-elastic-product")
    if not isinstance(case.body, dict) or "items" not in case.body:
        assert len(fake.stored()) == (6 if case.name == "truncated-json" else 0)
        return
    samples = [next(iter(item.values()))["status"] for item in case.body["items"]]
    expected = [samples[n % len(samples)] for n in range(6)]
    assert expected == [status for status, _ in outcomes(answer)]
    assert [str(n) for n in range(6) if expected[n] in CLAIMS] == fake.record_ids()


def test_row_does_not_hide_a_refused_document(fake):
    """A document that the strict rules refuse gets its true item within a told row."""
    fake.answer(case="all-created")
    answer = HTTP.post(
        f"{fake.url}/_bulk",
        content=bulk_body({}, {"_id": "2"}).replace(b"@timestamp", b"at", 1),
        headers=LINES,
    )
    assert outcomes(answer) == [(400, "document_parsing_exception"), (201, None)]
    assert answer.json()["errors"]
    assert HTTP.post(f"{fake.url}/_bulk", content=b"{}\n", headers=LINES).status_code == 400


async def test_official_client_writes_and_conflicts(fake):
    """The vendor's own client is served."""
    async with AsyncElasticsearch(fake.url) as client:
        operations = [{"create": {"_index": STREAM, "_id": "a"}}, {"@timestamp": AT}]
        first = await client.bulk(operations=operations)
        second = await client.bulk(operations=operations)
    assert [answer["items"][0]["create"]["status"] for answer in (first, second)] == [201, 409]


async def test_official_client_refuses_another_product_after_the_write():
    """Without the product header the client raises although the documents are stored."""
    with FakeVendor("elasticsearch", product=False) as fake:
        async with AsyncElasticsearch(fake.url) as client:
            with pytest.raises(UnsupportedProductError):
                await client.bulk(operations=[{"create": {"_index": STREAM, "_id": "a"}}, {"@timestamp": AT}])
        assert fake.record_ids() == ["a"]


def test_unknown_generation_is_an_error():
    """Only the generations that the fake knows can be asked for."""
    with pytest.raises(ValueError, match="generation"):
        FakeVendor("elasticsearch", generation="7")
