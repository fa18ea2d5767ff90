"""Grafana's dashboards: complete, about metrics and attributes that exist, and stable."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.docs.generated import published_record

from headgate.core.record import decode_record
from headgate.dashboards._logql import logql
from headgate.dashboards._promql import promql
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Question
from headgate.dashboards.target import targets
from headgate.sinks._measures import MEASURES, Point
from headgate.sinks._tally import Tally, samples
from headgate.testing.sink_harness import NOW_MS, make_entry

PROMETHEUS, LOKI = targets()["grafana-prometheus"], targets()["grafana-loki"]
# Attributes of records that no table of fields declares.
_ALERTS = {"headgate.alert.state", "headgate.alert.rule"}


def boards(name: str) -> list[dict[str, Any]]:
    """The dashboards of a target, decoded."""
    return [orjson.loads(text) for file, text in targets()[name].render().items() if file.endswith(".json")]


@pytest.mark.parametrize("name", ["grafana-prometheus", "grafana-loki"])
def test_boards_are_whole(name: str) -> None:
    """Ids are unique, panels overlap nowhere, every panel has one query with the chosen project."""
    found = boards(name)
    assert len({board["uid"] for board in found}) == len(found) == 6
    for board in found:
        cells: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not mine & cells
            assert max(x for x, _ in mine) < 24
            cells |= mine
            assert "$project" in panel["targets"][0]["expr"]
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_loki_answers_every_question_and_prometheus_says_what_it_cannot() -> None:
    """Lines hold every attribute; metrics know no branch, no trigger, no name of a test and no alert."""
    asked = [panel for board in DASHBOARDS for panel in board.panels]
    assert all(logql(panel.question, "1h") for panel in asked)
    assert {panel.title for panel in asked if promql(panel.question, "1h") is None} == {
        "Failures by branch",
        "Runs by trigger",
        "Failing tests",
        "Slowest tests",
        "Flaky tests listed",
        "Alerts by state",
        "Alerts by rule",
    }


def test_every_metric_and_label_is_one_that_the_sink_makes() -> None:
    """Names in PromQL are those of a real page: metric and label by label."""
    known: dict[str, set[str]] = {}
    tally = Tally(most=1000, stale_ms=1)
    for measure in MEASURES:
        labels = tuple((name, "x") for name in sorted(measure.labels))

        tally.take(tally.after([Point(measure, 1.0, labels, NOW_MS)], NOW_MS))
    for key, cell in tally.items():
        for name, found, _ in samples(key, cell):
            known.setdefault(name, set()).update(found)
    for asked in PROMETHEUS.queries():
        metrics = re.findall(r"([a-z_]+)\{([^}]*)\}|increase\(([a-z_]+)\[", asked.query)
        assert metrics, asked
        for metric, matchers, bare in metrics:
            name = metric or bare
            assert name in known, (asked, name)
            assert set(re.findall(r"([a-z_]+)=", matchers)) <= known[name], asked
        grouped = re.findall(r"by \(([^)]*)\) \(increase\(([a-z_]+)", asked.query)
        assert len(grouped) == asked.query.count(" by (")
        for by, name in grouped:
            assert set(by.split(", ")) <= known[name], asked


def test_every_attribute_is_one_that_records_have() -> None:
    """Paths in LogQL are attributes of the published record of that kind."""
    published = published_record()["attributes"]
    for asked in LOKI.queries():
        kinds = set(re.findall(r'record="(\w+)"', asked.query))
        assert len(kinds) == 1
        kind = kinds.pop()
        shared = set(published["workflow"]) | set(published["job"])
        known = shared | _ALERTS if kind == "alert" else set(published[kind]) | shared
        assert set(re.findall(r'attributes\[\\"([a-z_.]+)\\"\]', asked.query)) <= known, asked


def test_lines_are_taken_apart_as_they_are_sent() -> None:
    """The path that a query takes leads to the attribute in a real line."""
    line = orjson.loads(make_entry(1).body)
    assert line["attributes"]["headgate.status"] == decode_record(make_entry(1).body).attributes["headgate.status"]
    query = logql(Question("job", "failures", by=("cicd.pipeline.task.name",)), "6h")
    assert query == (
        'sum by (cicd_pipeline_task_name) (count_over_time({service_name="circleci", record="job"}'
        ' | json cicd_pipeline_task_name="attributes[\\"cicd.pipeline.task.name\\"]",'
        ' headgate_status="attributes[\\"headgate.status\\"]" | headgate_status=~`failure|error|timeout` [6h]))'
    )


@pytest.mark.parametrize("name", ["grafana-prometheus", "grafana-loki"])
def test_rules_hold_every_monitor(name: str) -> None:
    """One rule for each monitor, with a limit and a summary; few runs say nothing about a rate."""
    (group,) = yaml.safe_load(targets()[name].render()["rules.yaml"])["groups"]
    assert [rule["labels"]["headgate_monitor"] for rule in group["rules"]] == [one.key for one in MONITORS]
    assert all(re.search(r" (?:<|>|>=) [\d.e+]+$", rule["expr"]) for rule in group["rules"])
    rate = group["rules"][0]["expr"]
    share, enough = rate.split(" < 0.8 and ")
    assert enough == share.split(") / ")[-1] + " >= 5"


def test_the_page_of_the_sink_asks_as_the_dashboards_do() -> None:
    """Its example counts projects that never failed, and neither canceled nor skipped runs."""
    page = (Path(__file__).parents[3] / "docs" / "sinks" / "prometheus.md").read_text()
    asked = promql(Question("workflow", "success_rate", by=("project",)), "1d")
    assert asked is not None
    assert asked in " ".join(page.split())


def test_a_push_replaces_by_uid_and_leaves_rules_alone() -> None:
    """Dashboards go to Grafana's API with the token; the ruler's file is not sent."""
    files = PROMETHEUS.render()
    talk = PROMETHEUS.push("http://g", {"GRAFANA_TOKEN": "t"}, "overview.json", files["overview.json"])
    assert talk is not None
    request = next(talk)
    body = orjson.loads(request.body)
    assert (request.url, body["overwrite"], body["dashboard"]["uid"]) == (
        "http://g/api/dashboards/db",
        True,
        "headgate-prometheus-overview",
    )
    assert ("authorization", "Bearer t") in request.headers
    assert PROMETHEUS.push("http://g", {"GRAFANA_TOKEN": "t"}, "rules.yaml", files["rules.yaml"]) is None


def test_the_same_code_gives_the_same_files() -> None:
    """Rendering twice changes no byte, for every target."""
    for target in targets().values():
        assert target.render() == target.render()
        assert list(target.render()) == sorted(target.render())
