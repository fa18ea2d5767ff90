"""Questions in Sumo Logic's query language: parsed, about attributes that lines have, blind to resent lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.docs.generated import published_record

from headgate.core.record import Record
from headgate.dashboards._sumoql import sumo
from headgate.dashboards.questions import Question
from headgate.dashboards.sumologic import TARGETS
from headgate.sinks._sumologic_lines import log_document

TARGET = TARGETS[0]
GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "sinks" / "sumologic-logs.ndjson"

_NAMES = r"\w+(?:, \w+)*"
_TEXTS = r'"[^"]*"(?:, "[^"]*")*'
_STAGES = {
    "json": rf"json field=_raw (?P<paths>{_TEXTS}) as (?P<made>{_NAMES})",
    "where": rf'where (?P<conditions>\w+ (?:(?:[=<>]|>=) (?:"[^"]*"|\d+)|in \({_TEXTS}\))(?: and .+)?)',
    "dedup": r"dedup by (?P<used>\w+)",
    "timeslice": r"timeslice \d+ buckets",
    "if": r'if\((?P<used>\w+) = "[^"]*", \d+, \d+\) as (?P<made>\w+)',
    "aggregate": rf"(?:count|(?:sum|avg|pct)\((?P<used>\w+)(?:, \d+)?\)) as (?P<made>\w+)"
    rf"(?:, count as (?P<more>\w+))?(?: by (?P<by>{_NAMES}))?",
    "transpose": rf"transpose row (?P<used>_timeslice) column (?P<by>{_NAMES})",
    "sort": r"sort by (?P<used>\w+)",
    "limit": r"limit \d+",
}
_CONDITION = re.compile(rf'(?P<field>\w+) (?:(?:[=<>]|>=) (?:"[^"]*"|\d+)|in \({_TEXTS}\))')


def parsed(query: str) -> tuple[list[str], str, list[str]]:
    """The stages, the kind and the paths of a query. Fails at what is no stage, or uses a field that is not there."""
    scope, *rest = query.split("\n| ")
    assert re.fullmatch(r"_sourceCategory=(\{\{category\}\}|[\w/]+)", scope)
    there: set[str] = set()
    stages: list[str] = []
    kind, paths = "", []
    for text in rest:
        name, match = next((n, m) for n, p in _STAGES.items() if (m := re.fullmatch(p, text)))
        stages.append(name)
        parts = {key: value for key, value in match.groupdict().items() if value}
        by = set(parts.get("by", "").split(", ")) - {""}
        used = set(by)
        if "used" in parts:
            used.add(parts["used"])
        for condition in parts.get("conditions", "").split(" and "):
            if condition:
                met = _CONDITION.fullmatch(condition)
                assert met, text
                used.add(met["field"])
        assert used <= there, (text, there)
        made = parts.get("made", "").split(", ")
        if name == "json":
            paths = [path[1:-1] for path in parts["paths"].split(", ")]
            assert len(paths) == len(made) == len(set(made))
        if name == "where" and not kind:
            (kind,) = re.findall(r'^where kind = "(\w+)"', text)
        there = (by if name == "aggregate" else there) | {*made, parts.get("more", "")} - {""}
        there |= {"_timeslice"} if name == "timeslice" else set()
    return stages, kind, paths


def test_every_query_is_of_the_language() -> None:
    """Stages in an order that the product takes, fields made before they are used, a resent line counted once."""
    before = r"json where dedup (timeslice )?(if )?aggregate"
    for asked in TARGET.queries():
        stages, _, _ = parsed(asked.query)
        assert re.fullmatch(rf"{before}( transpose| sort limit| where)?", " ".join(stages)), asked
        assert ("timeslice" in stages) == ("transpose" in stages), asked
        assert "\n| dedup by id\n" in asked.query


@pytest.mark.parametrize(
    "query",
    [
        '_sourceCategory=a\n| json field=_raw "kind" as kind\n| where kind = "job"\n| dedup by id',
        '_sourceCategory=a\n| json field=_raw "id", "kind" as id, kind\n| count as runs\n| sort by id',
    ],
    ids=["not parsed", "lost by the aggregate"],
)
def test_a_field_that_is_not_there_is_found(query: str) -> None:
    """The check above does fail."""
    with pytest.raises(AssertionError):
        parsed(query)


def _line(kind: str, attributes: set[str]) -> dict[str, Any]:
    record = Record(
        id="i",
        schema=1,
        kind=kind,  # type: ignore[arg-type]  # one of the kinds: it comes from a question
        occurred_at="2026-11-20T10:02:10.000Z",
        observed_at="2026-11-20T10:02:10.000Z",
        sources=["api"],
        tenant="circleci.com",
        project="gh/acme/web",
        attributes=dict.fromkeys(sorted(attributes), "here"),
    )
    return log_document(record)


def test_every_path_leads_to_its_value_in_a_line() -> None:
    """In the line of a record with every attribute of its kind, where names below one another move to the top."""
    published = published_record()["attributes"]
    for asked in TARGET.queries():
        _, kind, paths = parsed(asked.query)
        line = _line(kind, set(published[kind]))
        for path in paths:
            value: Any = line
            for key in path.split("."):
                value = value[key]
            assert isinstance(value, str), (asked, path)


def test_paths_are_those_of_the_golden_lines() -> None:
    """What every run has stands in the reviewed lines where the queries look."""
    lines = GOLDEN.read_bytes().splitlines()
    found: dict[str, set[str]] = {}
    for line in map(orjson.loads, lines):
        found.setdefault(line["kind"], set()).update(_leaves(line))
    seen = 0
    for asked in TARGET.queries():
        _, kind, paths = parsed(asked.query)
        if kind in ("workflow", "job"):
            assert set(paths) <= found[kind] | {"circleci.approval_wait_ms"}, asked
            seen += 1
        assert {"id", "kind"} <= set(paths) & found[kind]
    assert seen > 15


def _leaves(value: dict[str, Any], above: str = "") -> set[str]:
    found: set[str] = set()
    for key, inner in value.items():
        found |= _leaves(inner, f"{above}{key}.") if isinstance(inner, dict) else {above + key}
    return found


def test_a_query_reads_as_people_write_it() -> None:
    """Attributes are taken out under plain names; resent lines go; the rate is a percentage."""
    question = Question("workflow", "success_rate", by=("project",))
    assert sumo(question, over="1h").splitlines() == [
        "_sourceCategory={{category}}",
        '| json field=_raw "id", "kind", "headgate.status", "project" as id, kind, headgate_status, project',
        '| where kind = "workflow" and headgate_status in ("success", "failure", "error", "timeout")',
        "| dedup by id",
        "| timeslice 1h",
        '| if(headgate_status = "success", 100, 0) as good',
        "| avg(good) as success_percent by _timeslice, project",
        "| transpose row _timeslice column project",
    ]
