"""Datadog's dashboards and monitors: whole, as the vendor's own models, about what is sent, pushed without doubles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.model_utils import ModelComposed, ModelNormal, UnparsedObject
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor
from datadog_api_client.v1.model.monitor_update_request import MonitorUpdateRequest

from headgate.core.ports import HttpReply, HttpRequest
from headgate.dashboards._datadog_queries import Scope, answer, metric_query
from headgate.dashboards.datadog import TARGETS
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Question
from headgate.dashboards.target import Talk

TARGET = TARGETS[0]
ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "data" / "sinks"
KEYS = {"DD_API_KEY": "api", "DD_APP_KEY": "app"}
SCOPE = Scope("*", "", 10)
BOARDS = [f"{one.key}.json" for one in DASHBOARDS]
WATCHES = [f"monitor-{one.key}.json" for one in MONITORS]


def body(name: str) -> dict[str, Any]:
    """A file, decoded."""
    found: dict[str, Any] = orjson.loads(TARGET.render()[name])
    return found


def strict(value: Any, where: str = "") -> Iterator[str]:
    """Where the client's model of something has parts that it does not know."""
    if isinstance(value, UnparsedObject):
        yield f"{where}: not of the model"
    elif isinstance(value, ModelComposed):
        yield from strict(value.get_oneof_instance(), where)
    elif isinstance(value, ModelNormal):
        for name, one in value._data_store.items():
            if name not in value.openapi_types:
                yield f"{where}.{name}: unknown"
            yield from strict(one, f"{where}.{name}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from strict(one, f"{where}[{number}]")


def faults(value: Any, model: type) -> list[str]:
    """What the vendor's model says against a body."""
    read = ApiClient(Configuration()).deserialize(orjson.dumps(value).decode(), (model,), True)
    return [*strict(read), *(["unparsed"] if read._unparsed else [])]


@pytest.mark.parametrize("name", BOARDS)
def test_each_board_is_the_vendors_own_model(name: str) -> None:
    """What is pushed parses strictly as the client's dashboard, with no key that it does not know."""
    assert faults(body(name), Dashboard) == []


@pytest.mark.parametrize("name", WATCHES)
def test_each_monitor_is_the_vendors_own_model(name: str) -> None:
    """So do monitors, created and edited."""
    assert faults(body(name), Monitor) == []
    assert faults(body(name), MonitorUpdateRequest) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "query_valu"}, "not of the model"),
        ({"nonsense": 1}, "nonsense: unknown"),
        ({"requests": [{"response_format": "vector"}]}, "not of the model"),
    ],
)
def test_a_board_that_is_wrong_is_found(change: dict[str, Any], words: str) -> None:
    """The oracle says no to words and keys that Datadog does not have, however deep."""
    board = body("overview.json")
    board["widgets"][0]["definition"] |= change
    assert words in " ".join(faults(board, Dashboard))


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_whole(name: str) -> None:
    """Every panel of the catalogue is there, in twelve columns, no two on one place, formulas of queries that exist."""
    board = body(name)
    (asked,) = (one for one in DASHBOARDS if name == f"{one.key}.json")
    assert [one["definition"]["title"] for one in board["widgets"]] == [panel.title for panel in asked.panels]
    cells: set[tuple[int, int]] = set()
    for widget in board["widgets"]:
        at = widget["layout"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["width"]) for y in range(at["y"], at["y"] + at["height"])}
        assert not mine & cells
        assert max(x for x, _ in mine) < 12
        cells |= mine
        (request,) = widget["definition"]["requests"]
        names = [query["name"] for query in request["queries"]]
        assert len(set(names)) == len(names)
        assert set(re.findall(r"\b[a-z]\b", request["formulas"][0]["formula"])) == set(names)
        variables = re.findall(r"\$(\w+)", orjson.dumps(request["queries"]).decode())
        assert variables == ["project"] * len(names)
    assert [one["name"] for one in board["template_variables"]] == ["project"]


def test_titles_and_tags_are_unique() -> None:
    """A push finds by them."""
    assert len({body(name)["title"] for name in BOARDS}) == len(BOARDS)
    assert len({body(name)["tags"][1] for name in WATCHES}) == len(WATCHES)


def sent_metrics() -> dict[str, set[str]]:
    """Metric -> the tags of it in the golden bodies."""
    found: dict[str, set[str]] = {}
    for name in ("metrics", "distributions"):
        for series in orjson.loads((GOLDEN / f"datadog-{name}.json").read_bytes())["series"]:
            found.setdefault(series["metric"], set()).update(one.split(":", 1)[0] for one in series["tags"])
    return found


def sent_logs() -> dict[str, set[str]]:
    """Kind -> what logs of it have in the golden body: attributes with `@`, tags without."""
    found: dict[str, set[str]] = {}
    for log in orjson.loads((GOLDEN / "datadog-logs.json").read_bytes()):
        tags = {one.split(":", 1)[0] for one in log["ddtags"].split(",")}
        found.setdefault(log["kind"], set()).update({f"@{name}" for name in log} | tags | {"source"})
        assert log["ddsource"] == "circleci"
    return found


def all_queries() -> tuple[list[str], list[dict[str, Any]]]:
    """Queries of metrics, and of logs, in all files."""
    requests = [widget["definition"]["requests"][0] for name in BOARDS for widget in body(name)["widgets"]]
    found = [query for request in requests for query in request["queries"]]
    found += [query for name in WATCHES for query in body(name)["options"].get("variables", [])]
    metrics = [one["query"] for one in found if one["data_source"] == "metrics"]
    metrics += [body(name)["query"] for name in WATCHES if "variables" not in body(name)["options"]]
    return metrics, [one for one in found if one["data_source"] == "logs"]


def test_every_query_of_the_files_is_listed() -> None:
    """What checks read is what is pushed."""
    metrics, logs = all_queries()
    listed = [orjson.loads(asked.query) for asked in TARGET.queries()]
    flat = [query for one in listed for query in one.get("variables", [one])]
    assert [one for one in flat if one.get("data_source") == "logs"] == logs
    assert [one["query"] for one in listed if "{" in one.get("query", "")] == metrics


def test_every_metric_and_tag_is_one_that_is_sent() -> None:
    """Percentiles are asked of distributions, sums of counts, and both have the tags in a golden body."""
    known = sent_metrics()
    distributions = orjson.loads((GOLDEN / "datadog-distributions.json").read_bytes())["series"]
    metrics, _ = all_queries()
    for query in metrics:
        parts = re.search(r"(p50|p95|sum):([a-z_.]+)\{([^}]*)\}(?: by \{([^}]*)\})?", query)
        assert parts is not None, query
        how, metric, filters, by = parts.groups()
        assert (how != "sum") == (metric in {one["metric"] for one in distributions})
        tags = {one.split(":")[0] for one in filters.split(",")} - {"$project", "*"}
        assert tags | set((by or "").split(",")) - {""} <= known[metric], query
    (variable,) = body("overview.json")["template_variables"]
    assert all(variable["prefix"] in tags for name, tags in known.items() if any(name in query for query in metrics))


def test_every_facet_is_one_that_is_sent() -> None:
    """What is searched, counted and grouped by is in a golden log of that kind."""
    known = sent_logs()
    _, logs = all_queries()
    for query in logs:
        text = query["search"]["query"]
        (kind,) = re.findall(r"kind:(\w+)", text)
        named = set(re.findall(r"(@?[a-z_.]+):", text)) | {query["compute"]["metric"]}
        named |= {one["facet"] for one in query["group_by"]}
        assert named <= known[kind], query


def test_queries_read_as_people_write_them() -> None:
    """A percentile of a distribution, a count, a search over logs."""
    queue = Question("job", "p95", "circleci.queue_ms", ("circleci.resource_class",))
    assert metric_query(queue, "$project") == (
        "p95:cicd.pipeline.task.run.queue.duration{$project} by {circleci.resource_class}"
    )
    failed_deployments = Question("deployment", "count", by=("project",), where=(("deployment.status", "failed"),))
    assert metric_query(failed_deployments, "*") == (
        "sum:deployment.count{*,deployment.status:failed} by {circleci.project}.as_count()"
    )
    rate = answer(Question("workflow", "success_rate", by=("project",)), Scope("*", "project:x", 10))
    assert rate.formula == "100 * default_zero(a) / b"
    assert [query["search"]["query"] for query in rate.queries] == [
        "source:circleci kind:workflow project:x @headgate.status:success",
        "source:circleci kind:workflow project:x @headgate.status:(success OR failure OR error OR timeout)",
    ]
    assert rate.queries[0]["compute"] == {"aggregation": "cardinality", "metric": "@record_id"}
    assert [one["facet"] for one in rate.queries[0]["group_by"]] == ["project"]


def test_metrics_answer_what_they_can() -> None:
    """A test's name and a branch are no tags, so logs are asked, in the attribute's own unit."""
    slow = answer(Question("test_result", "p95", "circleci.test.duration_ms", ("test.case.name",)), SCOPE)
    assert (slow.queries[0]["data_source"], slow.unit) == ("logs", "millisecond")
    assert slow.queries[0]["compute"] == {"aggregation": "pc95", "metric": "@circleci.test.duration_ms"}
    by_job = answer(Question("test_result", "p50", "circleci.test.duration_ms", ("cicd.pipeline.task.name",)), SCOPE)
    assert (by_job.queries[0]["aggregator"], by_job.unit) == ("percentile", "second")
    assert metric_query(Question("workflow", "failures", by=("vcs.ref.head.name",)), "*") is None


def test_each_monitor_has_its_limit() -> None:
    """Milliseconds become seconds; of the success rate its complement is watched, so a run of failures is seen."""
    asked = {name: (body(name)["query"], body(name)["options"]["thresholds"]) for name in WATCHES}
    assert asked == {
        "monitor-success-rate.json": (
            'formula("a / b * is_greater(b, 4)").last("6h") > 0.2',
            {"critical": 0.2},
        ),
        "monitor-queue.json": (
            "percentile(last_1h):p95:cicd.pipeline.task.run.queue.duration{*} by {circleci.project} > 300",
            {"critical": 300.0},
        ),
        "monitor-duration.json": (
            "percentile(last_6h):p95:cicd.pipeline.run.duration{*} by {circleci.project,cicd.pipeline.name} > 3600",
            {"critical": 3600.0},
        ),
    }
    failures, evidence = body("monitor-success-rate.json")["options"]["variables"]
    assert failures["search"]["query"].endswith("@headgate.status:(failure OR error OR timeout)")
    assert evidence["search"]["query"].endswith("@headgate.status:(success OR failure OR error OR timeout)")


def test_the_page_names_what_has_to_be_set_up_by_hand() -> None:
    """Distributions whose percentiles are asked, facets and measures."""
    page = (ROOT / "docs" / "sinks" / "datadog.md").read_text()
    metrics, logs = all_queries()
    wanted = {found for query in metrics for found in re.findall(r"p\d\d:([a-z_.]+)", query)}
    wanted |= {one["facet"] for query in logs for one in query["group_by"]}
    wanted |= {query["compute"]["metric"] for query in logs}
    wanted |= {found for query in logs for found in re.findall(r"(@[a-z_.]+):", query["search"]["query"])}
    assert {one for one in wanted if f"`{one}`" not in page} == set()


def push(name: str) -> tuple[Talk, HttpRequest]:
    """The conversation about a file, and its first request."""
    talk = TARGET.push("https://api.datadoghq.eu", KEYS, name, TARGET.render()[name])
    assert talk is not None
    return talk, next(talk)


def reply(value: object, status: int = 200) -> HttpReply:
    """An answer of Datadog."""
    return HttpReply(status, {"content-type": "application/json"}, orjson.dumps(value))


def end_of(talk: Talk, answer: HttpReply) -> str:
    """What went wrong, as the conversation tells after its last answer."""
    with pytest.raises(StopIteration) as end:
        talk.send(answer)
    return str(end.value.value)


def summary(number: int, title: str) -> dict[str, Any]:
    """A dashboard in the list of all, as the API reference has it."""
    return {
        "id": f"abc-{number}",
        "title": title,
        "description": None,
        "layout_type": "ordered",
        "url": f"/dashboard/abc-{number}/x",
        "is_read_only": False,
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        "modified_at": "2026-01-01T00:00:00.000000+00:00",
        "author_handle": "octocat@example.org",
    }


MINE = "CircleCI overview (Headgate)"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([], ("POST", "https://api.datadoghq.eu/api/v1/dashboard")),
        ([(1, "CircleCI overview"), (2, f"{MINE} (cloned)")], ("POST", "https://api.datadoghq.eu/api/v1/dashboard")),
        ([(1, "x"), (7, MINE)], ("PUT", "https://api.datadoghq.eu/api/v1/dashboard/abc-7")),
    ],
    ids=["none", "others", "there"],
)
def test_a_push_replaces_the_board_of_its_title(listed: list[tuple[int, str]], expected: tuple[str, str]) -> None:
    """It is looked for first, with both keys; a board of people stays as it is."""
    talk, first = push("overview.json")
    assert (first.method, first.url) == ("GET", "https://api.datadoghq.eu/api/v1/dashboard?count=100&start=0")
    assert {("dd-api-key", "api"), ("dd-application-key", "app")} <= set(first.headers)
    request = talk.send(reply({"dashboards": [summary(*one) for one in listed]}))
    assert (request.method, request.url) == expected
    assert orjson.loads(request.body) == body("overview.json")
    assert end_of(talk, reply({"id": "abc-7"})) == ""


def test_a_board_on_a_later_page_is_found() -> None:
    """Lists come in pages of a hundred."""
    talk, _ = push("overview.json")
    second = talk.send(reply({"dashboards": [summary(number, "x") for number in range(100)]}))
    assert second.url.endswith("?count=100&start=100")
    request = talk.send(reply({"dashboards": [summary(100, MINE)]}))
    assert (request.method, request.url.rpartition("/")[2]) == ("PUT", "abc-100")


def test_a_list_without_pages_ends() -> None:
    """A page that says nothing new is the last one."""
    talk, _ = push("overview.json")
    everything = reply({"dashboards": [summary(number, "x") for number in range(100)]})
    assert talk.send(everything).method == "GET"
    assert talk.send(everything).method == "POST"


def test_two_boards_of_one_title_are_left_alone() -> None:
    """Nobody can tell which of them is ours."""
    talk, _ = push("overview.json")
    assert "2 dashboards are named" in end_of(talk, reply({"dashboards": [summary(1, MINE), summary(2, MINE)]}))


def test_a_monitor_is_found_by_its_tag_and_keeps_its_text() -> None:
    """People write there who is told."""
    talk, first = push("monitor-queue.json")
    assert first.url == "https://api.datadoghq.eu/api/v1/monitor?monitor_tags=headgate.monitor%3Aqueue"
    others = [{"id": 1, "name": "x", "tags": ["headgate.monitor:other"]}, {"id": 2, "name": "y"}]
    mine = {"id": 42, "name": "renamed", "message": "@pagerduty", "tags": ["headgate.monitor:queue", "team:web"]}
    request = talk.send(reply([*others, mine]))
    assert (request.method, request.url) == ("PUT", "https://api.datadoghq.eu/api/v1/monitor/42")
    assert orjson.loads(request.body) == {**body("monitor-queue.json"), "message": "@pagerduty"}
    assert end_of(talk, reply(mine)) == ""


def test_a_monitor_that_is_not_there_is_created() -> None:
    """With its text."""
    talk, _ = push("monitor-duration.json")
    request = talk.send(reply([]))
    assert (request.method, request.url) == ("POST", "https://api.datadoghq.eu/api/v1/monitor")
    assert orjson.loads(request.body) == body("monitor-duration.json")
    assert "answered 400: " in end_of(
        talk, reply({"errors": ["The value provided for parameter 'query' is invalid"]}, 400)
    )


def test_two_monitors_of_one_tag_are_left_alone() -> None:
    """A copy keeps its tags, so one of them is somebody's own."""
    talk, _ = push("monitor-queue.json")
    twins = [{"id": number, "tags": ["headgate.monitor:queue"]} for number in (1, 2)]
    assert "2 monitors have the tag headgate.monitor:queue" in end_of(talk, reply(twins))


@pytest.mark.parametrize("name", ["overview.json", "monitor-queue.json"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply({"errors": ["Forbidden"]}, 403), 'answered 403: {"errors":["Forbidden"]}'),
        (HttpReply(200, {}, b"<html>"), "answered no list"),
        (reply({"errors": ["x"]}), "answered no list"),
    ],
    ids=["forbidden", "page", "other"],
)
def test_a_refusal_is_told(name: str, answer: HttpReply, words: str) -> None:
    """A wrong key, a wrong address, another product; nothing is created then."""
    talk, _ = push(name)
    assert words in end_of(talk, answer)
