"""Kibana's dashboards and rules: whole, about fields that documents have, brought in without doubles."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import TypeAdapter
from tests.unit.dashboards.kibana_models import Board, Lens, Rule, RuleChange, SavedObject, Terms, View

from headgate.core.fieldlist import ATTRIBUTES
from headgate.core.ports import HttpReply, HttpRequest
from headgate.core.record import KINDS, Attribute, Kind
from headgate.dashboards._lens import formula, kql
from headgate.dashboards.kibana import TARGETS, esql
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Question
from headgate.dashboards.target import Talk
from headgate.sinks._ecs import EcsMapper
from headgate.sinks._elasticsearch_templates import Layout, data_views, mapping_types
from headgate.testing.sink_harness import make_entry
from headgate.testing.sinks import FakeVendor

(TARGET,) = TARGETS
FILES = TARGET.render()
GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "sinks"
KEYS = {"KIBANA_API_KEY": "aWQ6c2VjcmV0"}
SAMPLES: dict[str, Attribute] = {
    "text": "word",
    "time": "2026-11-20T10:00:00.000Z",
    "integer": 7,
    "number": 0.5,
    "bool": True,
    "list": ["word"],
}


def objects() -> list[View | Lens | Board]:
    """Every saved object, checked strictly."""
    adapter: TypeAdapter[View | Lens | Board] = TypeAdapter(SavedObject)
    return [adapter.validate_json(line) for line in FILES["objects.ndjson"].splitlines()]


def lenses() -> list[Lens]:
    """The panels."""
    return [one for one in objects() if isinstance(one, Lens)]


def sent_fields() -> dict[str, set[str]]:
    """Kind -> fields of its documents: those in golden bodies, and those of a record that has every attribute."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for path in GOLDEN.glob("elasticsearch-*.ndjson"):
        for line in path.read_bytes().splitlines()[1::2]:
            document = orjson.loads(line)
            found[document["headgate.kind"]].update(document)
    mapper = EcsMapper(namespace="default")
    for kind in KINDS:
        found[kind].update(orjson.loads(mapper.document(full_record(kind))))
    return found


def full_record(kind: Kind) -> bytes:
    """A record with every attribute that its kind can have."""
    named: dict[str, Any] = {
        name.replace(".", "__"): SAMPLES[one.type] for name, one in ATTRIBUTES[kind].items() if "*" not in name
    }
    return make_entry(1, kind=kind, **named).body


def fields_of(lens: Lens) -> Iterator[str]:
    """Every field that a panel reads, in queries, filters and columns."""
    state = lens.attributes.state
    queries = [state.query.query]
    for column in state.datasourceStates.formBased.layers["layer"].columns.values():
        source, filter_ = getattr(column, "sourceField", None), getattr(column, "filter", None)
        if source and source != "___records___":
            yield source
        if filter_:
            queries.append(filter_.query)
    for query in queries:
        yield from re.findall(r"([a-z_@.]+) : ", query)


def test_every_panel_is_an_object_and_every_reference_resolves() -> None:
    """Ids are unique, each dashboard shows its panels, no two on one place, and what is referred to is there."""
    found = objects()
    ids = {(one.type, one.id) for one in found}
    assert len(ids) == len(found) == 1 + sum(len(board.panels) for board in DASHBOARDS) + len(DASHBOARDS)
    assert {(ref.type, ref.id) for one in found for ref in one.references} <= ids
    titles = {one.id: one.attributes.title for one in lenses()}
    boards = [one for one in found if isinstance(one, Board)]
    for board, asked in zip(boards, DASHBOARDS, strict=True):
        named = {ref.name: ref.id for ref in board.references}
        panels = board.attributes.panelsJSON
        shown = [titles[named[f"{panel.panelIndex}:{panel.panelRefName}"]] for panel in panels]
        assert shown == [panel.title for panel in asked.panels]
        cells: set[tuple[int, int]] = set()
        for at in (panel.gridData for panel in panels):
            mine = {(x, y) for x in range(at.x, at.x + at.w) for y in range(at.y, at.y + at.h)}
            assert not mine & cells
            assert max(x for x, _ in mine) < 48
            cells |= mine
        controls = board.attributes.controlGroupInput.panelsJSON
        assert {f"controlGroup_{name}:optionsListDataView" for name in controls} <= named.keys()


def test_columns_refer_to_columns_that_are_there() -> None:
    """Accessors, rankings and the parts of a formula are columns of the layer, in the order in which buckets nest."""
    for lens in lenses():
        layer = lens.attributes.state.datasourceStates.formBased.layers["layer"]
        assert layer.columnOrder == list(layer.columns)
        buckets = [column.isBucketed for column in layer.columns.values()]
        assert buckets == sorted(buckets, reverse=True)
        text = orjson.dumps(lens.attributes.state.visualization.model_dump(exclude_none=True)).decode()
        named = set(re.findall(r'"(?:xAccessor|splitAccessor|columnId|metricAccessor)":"(\w+)"', text))
        named |= {"value"} if '"accessors":["value"]' in text else set()
        assert "value" in named
        for column in layer.columns.values():
            named |= set(getattr(column, "references", ()))
            if isinstance(column, Terms):
                order = column.params.orderBy
                assert (order.columnId is None) == (order.type == "custom") == (column.params.orderAgg is not None)
                named |= {order.columnId} if order.columnId else set()
        assert named <= layer.columns.keys()
        assert lens.references[0].name == "indexpattern-datasource-layer-layer"


def test_every_question_is_answered() -> None:
    """Documents hold every attribute: no panel and no monitor is left out."""
    asked = {panel.title for board in DASHBOARDS for panel in board.panels} | {one.title for one in MONITORS}
    assert {one.title for one in TARGET.queries()} == asked
    # Lines over time are split by one thing at most, as Lens can.
    series = [panel for board in DASHBOARDS for panel in board.panels if panel.shape == "series"]
    assert max(len(panel.question.by) for panel in series) == 1


def test_every_field_is_one_that_the_sink_sends() -> None:
    """Each field of each panel is in documents of the kind that the panel asks for."""
    sent = sent_fields()
    for lens in lenses():
        (kind,) = re.findall(r'headgate\.kind : "(\w+)"', lens.attributes.state.query.query)
        found = set(fields_of(lens))
        assert found <= sent[kind] | {"@timestamp"}, lens.id
        assert "headgate.kind" in found
    for asked in TARGET.queries():
        (kind,) = re.findall(r'headgate\.kind ={0,2}:? ?"(\w+)"', asked.query)
        text = re.sub(r'"[^"]*"|FROM [^|]*', "", asked.query)
        assert set(re.findall(r"[a-z_]+\.[a-z_.]+", text)) <= sent[kind], asked


def test_fields_have_types_that_their_use_needs() -> None:
    """What is grouped by is a keyword, what is reckoned with a number, in the mapping that `sinks setup` makes."""
    types = mapping_types()
    for lens in lenses():
        for column in lens.attributes.state.datasourceStates.formBased.layers["layer"].columns.values():
            if column.operationType == "terms":
                assert types[column.sourceField] == "keyword"
            if column.operationType in ("sum", "percentile"):
                assert types[column.sourceField] in ("long", "double")


def test_a_query_reads_as_people_write_it() -> None:
    """KQL says which documents, a formula what of them; the formula's parts are what Kibana takes it apart into."""
    failures = Question("workflow", "failures", by=("project",))
    assert kql(failures) == ('headgate.kind : "workflow" and headgate.status : ("failure" or "error" or "timeout")')
    assert formula(Question("workflow", "p95", "circleci.duration_ms")) == (
        "percentile(circleci.duration_ms, percentile=95)"
    )
    rate = Question("workflow", "success_rate", by=("project",))
    text = (
        "count(kql='headgate.status : \"success\"') /"
        ' count(kql=\'headgate.status : ("success" or "failure" or "error" or "timeout")\')'
    )
    assert formula(rate) == text
    lines = map(orjson.loads, FILES["objects.ndjson"].splitlines())
    (lens,) = [one for one in lines if one["id"] == "headgate-overview-success-rate"]
    columns = lens["attributes"]["state"]["datasourceStates"]["formBased"]["layers"]["layer"]["columns"]
    assert columns["value"]["params"]["formula"] == text
    assert columns["value"]["references"] == ["valueX2"]
    assert columns["valueX2"]["references"] == ["valueX0", "valueX1"]
    assert [columns[name]["filter"]["query"] for name in ("valueX0", "valueX1")] == re.findall(r"kql='([^']*)'", text)


def test_a_rule_reads_as_people_write_it() -> None:
    """The limit is in the query; data streams and month indices are both looked at."""
    assert esql(MONITORS[0]) == (
        'FROM logs-circleci.workflow-*, circleci-workflow-* | WHERE headgate.kind == "workflow"'
        ' AND headgate.status IN ("success", "failure", "error", "timeout")'
        ' | EVAL succeeded = CASE(headgate.status == "success", 1.0, 0.0)'
        " | STATS value = AVG(succeeded), runs = COUNT(*) BY service.name | WHERE value < 0.8 AND runs >= 5"
    )
    assert esql(MONITORS[1]).endswith(
        "| STATS value = PERCENTILE(circleci.queue_ms, 95), runs = COUNT(circleci.queue_ms) BY service.name"
        " | WHERE value > 300000 AND runs >= 5"
    )


def test_each_monitor_is_a_rule() -> None:
    """Limits, directions and windows are those of the catalogue, and Kibana's rules about rules are kept."""
    assert [name for name in FILES if name.startswith("rule-")] == sorted(f"rule-{one.key}.json" for one in MONITORS)
    for monitor in MONITORS:
        rule = Rule.model_validate_json(FILES[f"rule-{monitor.key}.json"])
        sign = {"above": ">", "below": "<"}[monitor.beyond]
        assert rule.name == monitor.title
        beyond = f"| WHERE value {sign} {monitor.limit} AND runs >= {monitor.at_least}"
        assert rule.params.esqlQuery.esql.endswith(beyond)
        assert (rule.params.timeWindowSize, rule.params.timeWindowUnit) == (monitor.minutes, "m")


def talk_about(name: str, url: str = "http://k") -> Talk:
    """The conversation of one file."""
    talk = TARGET.push(url, KEYS, name, FILES[name])
    assert talk is not None
    return talk


def brought(kibana: FakeVendor) -> str:
    """Carry the conversation about the objects out."""
    talk = talk_about("objects.ndjson", kibana.url)
    with httpx.Client() as client:
        try:
            request = next(talk)
            while True:
                reply = client.request(request.method, request.url, headers=list(request.headers), content=request.body)
                request = talk.send(HttpReply(reply.status_code, dict(reply.headers), reply.content))
        except StopIteration as end:
            return str(end.value)


def test_objects_are_brought_in_once() -> None:
    """A strict Kibana takes all of them with the key; a second push finds nothing to do."""
    with FakeVendor("kibana", api_key=KEYS["KIBANA_API_KEY"]) as kibana:
        assert brought(kibana) == ""
        assert sorted(map(str, kibana.record_ids())) == sorted(one.id for one in objects())
        asked = len(kibana.requests())
        assert brought(kibana) == ""
        assert [one["path"] for one in kibana.requests()[asked:]] == ["/api/saved_objects/_export"]


def test_a_data_view_that_is_there_is_left_alone() -> None:
    """`sinks setup` made it for month indices; a push brings dashboards and keeps its title."""
    view = data_views(Layout("month", "default", "acme", 0))[0]
    form = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.ndjson"\r\n\r\n'
    headers = {"kbn-xsrf": "true", "content-type": "multipart/form-data; boundary=b"}
    with FakeVendor("kibana") as kibana:
        body = form + orjson.dumps(view) + b"\r\n--b--\r\n"
        assert httpx.post(f"{kibana.url}/api/saved_objects/_import", headers=headers, content=body).status_code == 200
        assert brought(kibana) == ""
        (kept,) = [one["native"] for one in kibana.stored() if one["native"]["type"] == "index-pattern"]
        assert kept["attributes"] == view["attributes"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 401, "body": {"message": "bad key aWQ6c2VjcmV0"}}, "answered 401"),
        ({"status": 503}, "answered 503"),
        (
            {
                "status": 200,
                "path": "/api/saved_objects/_import",
                "store": False,
                "body": {
                    "success": False,
                    "successCount": 0,
                    "errors": [{"type": "lens", "id": "headgate-overview-success-rate", "error": {"type": "unknown"}}],
                },
            },
            "Kibana lens headgate-overview-success-rate: ",
        ),
        ({"status": 200, "path": "/api/saved_objects/_import", "store": False, "body": "<html>"}, "is no import"),
    ],
    ids=["401", "503", "200 with errors", "page"],
)
def test_a_refused_import_is_told(answer: dict[str, Any], words: str) -> None:
    """Status 200 may hold errors; the key is in no words."""
    with FakeVendor("kibana") as kibana:
        kibana.answer(answer)
        problem = brought(kibana)
        assert words in problem
        assert "aWQ6c2VjcmV0" not in problem


def told(talk: Talk, answer: HttpReply) -> str:
    """How a conversation ends on this answer."""
    with pytest.raises(StopIteration) as end:
        talk.send(answer)
    return str(end.value.value)


def reply(body: object, status: int = 200) -> HttpReply:
    """An answer of Kibana's alerting."""
    return HttpReply(status, {}, orjson.dumps(body))


MISSING = reply({"statusCode": 404, "error": "Not Found", "message": "Saved object [alert/x] not found"}, 404)


def asked_first(name: str) -> tuple[Talk, HttpRequest]:
    """The conversation about a rule, and the request that looks for it."""
    talk = talk_about(name)
    return talk, next(talk)


def test_a_rule_that_is_missing_is_created_under_its_own_id() -> None:
    """The id is a UUID of version 4, the same for ever; another rule has another."""
    talk, request = asked_first("rule-queue.json")
    assert (request.method, request.url) == (
        "GET",
        "http://k/api/alerting/rule/" + request.url.rpartition("/")[2],
    )
    assert uuid.UUID(request.url.rpartition("/")[2]).version == 4
    assert {("authorization", "ApiKey aWQ6c2VjcmV0"), ("kbn-xsrf", "true")} <= set(request.headers)
    assert asked_first("rule-queue.json")[1].url == request.url != asked_first("rule-duration.json")[1].url
    created = talk.send(MISSING)
    assert (created.method, created.url) == ("POST", request.url)
    Rule.model_validate_json(created.body)
    assert told(talk, reply({"id": "x"})) == ""


def test_a_rule_that_is_there_is_changed_and_keeps_what_an_operator_added() -> None:
    """Actions stay, without the names that Kibana shows and does not take; type and state are not sent."""
    talk, _ = asked_first("rule-queue.json")
    action = {
        "group": "query matched",
        "id": "c1",
        "params": {"text": "slow"},
        "uuid": "u",
        "frequency": {"summary": True},
    }
    there = orjson.loads(FILES["rule-queue.json"]) | {
        "name": "old",
        "enabled": False,
        "throttle": None,
        "notify_when": "onActiveAlert",
        "actions": [{**action, "connector_type_id": ".slack"}],
    }
    request = talk.send(reply(there))
    change = RuleChange.model_validate_json(request.body)
    assert request.method == "PUT"
    assert change.name == MONITORS[1].title
    assert change.notify_when == "onActiveAlert"
    assert orjson.loads(request.body)["actions"] == [action]
    assert told(talk, reply(there)) == ""


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([reply({"message": "Unauthorized aWQ6c2VjcmV0"}, 401)], "answered 401"),
        ([HttpReply(200, {}, b"<html>")], "is no rule"),
        ([MISSING, reply({"message": "params invalid: [threshold]: is required to be 0"}, 400)], "answered 400: "),
        ([MISSING, MISSING], "answered 404"),
        ([reply({"actions": []}), reply({"message": "conflict"}, 409)], "answered 409"),
    ],
    ids=["401", "page", "400", "no alerting", "409"],
)
def test_a_refused_rule_is_told(answers: list[HttpReply], words: str) -> None:
    """With the server's words, and never the key."""
    talk, _ = asked_first("rule-duration.json")
    for answer in answers[:-1]:
        talk.send(answer)
    problem = told(talk, answers[-1])
    assert words in problem
    assert "aWQ6c2VjcmV0" not in problem
