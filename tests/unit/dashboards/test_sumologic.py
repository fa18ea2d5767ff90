"""Sumo Logic's dashboards: whole, as the vendor's models have them, pushed without doubles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec
import orjson
import pytest

from headgate.core.ports import HttpReply, HttpRequest
from headgate.dashboards.questions import DASHBOARDS, MONITORS
from headgate.dashboards.sumologic import TARGETS
from headgate.dashboards.target import Talk

TARGET = TARGETS[0]
ROOT = Path(__file__).parents[3]
KEYS = {"SUMO_ACCESS_ID": "su12", "SUMO_ACCESS_KEY": "geheim"}
API = "https://api.eu.sumologic.com"


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The vendor's models as its API and its Terraform provider describe them: no other key, no other word."""


class Boundary(_Strict):
    """A moment before now."""

    type: Literal["RelativeTimeRangeBoundary"]
    relative_time: str


class TimeRange(msgspec.Struct, forbid_unknown_fields=True):
    """From a moment until now."""

    type: Literal["BeginBoundedTimeRange"]
    start: Boundary = msgspec.field(name="from")


class Query(_Strict):
    """A log query."""

    query_string: str
    query_type: Literal["Logs"]
    query_key: str
    parse_mode: Literal["Auto", "Manual"]
    time_source: Literal["Message", "Receipt"]


class BoardPanel(_Strict):
    """A search panel; its visual settings are JSON in a text."""

    key: str
    title: str
    panel_type: Literal["SumoSearchPanel"]
    visual_settings: str
    keep_visual_settings_consistent_with_parent: bool
    queries: list[Query]


class Place(_Strict):
    """Where a panel is; JSON in a text."""

    key: str
    structure: str


class Layout(_Strict):
    """The grid."""

    layout_type: Literal["Grid"]
    layout_structures: list[Place]


class Csv(_Strict):
    """Values in a list."""

    variable_source_type: Literal["CsvVariableSourceDefinition"]
    values: str


class Variable(_Strict):
    """A template variable; a display name may hold no spaces, so there is none."""

    name: str
    default_value: str
    source_definition: Csv
    allow_multi_select: bool
    include_all_option: bool
    hide_from_ui: bool = msgspec.field(name="hideFromUI")


class Board(_Strict):
    """`DashboardRequest`."""

    title: str
    description: str
    refresh_interval: Literal[0, 30, 60, 120, 300, 900, 3600, 86400]
    theme: Literal["Light", "Dark"]
    time_range: TimeRange
    panels: list[BoardPanel]
    layout: Layout
    variables: list[Variable]


class MonitorQuery(_Strict):
    """A query of a monitor."""

    row_id: Literal["A"]
    query: str


class Trigger(_Strict):
    """`LogsStaticCondition`; without a field it compares the number of rows."""

    detection_method: Literal["LogsStaticCondition"]
    trigger_type: Literal["Critical", "Warning", "ResolvedCritical", "ResolvedWarning"]
    time_range: Literal["-5m", "-10m", "-15m", "-30m", "-1h", "-3h", "-6h", "-12h", "-24h"]
    threshold: float
    threshold_type: Literal["LessThan", "GreaterThan", "LessThanOrEqual", "GreaterThanOrEqual"]


class MonitorExport(_Strict):
    """`MonitorsLibraryMonitorExport`."""

    type: Literal["MonitorsLibraryMonitorExport"]
    name: str
    description: str
    monitor_type: Literal["Logs"]
    evaluation_delay: str
    queries: list[MonitorQuery]
    triggers: list[Trigger]
    notifications: list[Any]
    is_disabled: bool
    group_notifications: bool
    notification_group_fields: list[str]


class Folder(_Strict):
    """`MonitorsLibraryFolderExport`."""

    type: Literal["MonitorsLibraryFolderExport"]
    name: str
    description: str
    children: list[MonitorExport]


def boards() -> dict[str, Board]:
    """The dashboards, read as the vendor's model."""
    files = TARGET.render()
    return {one.key: msgspec.json.decode(files[f"{one.key}.json"], type=Board) for one in DASHBOARDS}


def monitors() -> list[MonitorExport]:
    """The monitors, read as the vendor's model."""
    return msgspec.json.decode(TARGET.render()["monitors.json"], type=Folder).children


def test_the_boards_are_whole() -> None:
    """Every question is answered; keys and titles are unique, places refer to panels, no two panels on one place."""
    found = boards()
    assert sorted(TARGET.render()) == sorted([*(f"{key}.json" for key in found), "monitors.json"])
    assert len({board.title for board in found.values()}) == len(DASHBOARDS)
    for dashboard in DASHBOARDS:
        board = found[dashboard.key]
        assert [panel.title for panel in board.panels] == [panel.title for panel in dashboard.panels]
        keys = [panel.key for panel in board.panels]
        assert len(set(keys)) == len(keys)
        assert keys == [place.key for place in board.layout.layout_structures]
        cells: set[tuple[int, int]] = set()
        for place in board.layout.layout_structures:
            at = orjson.loads(place.structure)
            mine = {
                (x, y) for x in range(at["x"], at["x"] + at["width"]) for y in range(at["y"], at["y"] + at["height"])
            }
            assert not mine & cells
            assert max(x for x, _ in mine) < 24
            cells |= mine


def test_shapes_are_those_of_the_product() -> None:
    """A number, a line or a table, each with a query that gives it just that."""
    ends = {
        "svp": r"(count|sum\(\w+\)|avg\(\w+\)|pct\(\w+, \d+\)) as \w+",
        "line": r"transpose row _timeslice column \w+",
        "table": r"limit 20",
    }
    for board in boards().values():
        for panel in board.panels:
            kind = orjson.loads(panel.visual_settings)["general"]["type"]
            (query,) = panel.queries
            assert re.fullmatch(ends[kind], query.query_string.split("\n| ")[-1]), query


def test_the_source_category_is_a_variable_with_that_of_the_example() -> None:
    """Each query has the variable in its scope; its default is what the example's sink sends."""
    example = (ROOT / "config" / "examples" / "sumologic" / "headgate.yaml").read_text(encoding="utf-8")
    for board in boards().values():
        (variable,) = board.variables
        assert variable.name == "category"
        assert f"category: {variable.default_value}\n" in example
        assert variable.source_definition.values == variable.default_value
        for panel in board.panels:
            assert panel.queries[0].query_string.startswith("_sourceCategory={{category}}\n")


def test_each_monitor_tells_of_groups_beyond_its_limit() -> None:
    """A row for each such group; any row fires over the catalogue's span, one alert for each group."""
    limits = ["success_percent < 80 and runs >= 5", "p95 > 300000 and runs >= 5", "p95 > 3600000 and runs >= 5"]
    for monitor, made, limit in zip(MONITORS, monitors(), limits, strict=True):
        (query,) = made.queries
        assert query.query.endswith(f"\n| where {limit}")
        assert len(query.query) <= 4000
        assert "{{" not in query.query
        assert re.fullmatch(r"[\w -]+", made.name)
        fires, ends = made.triggers
        assert (fires.trigger_type, fires.threshold_type, fires.threshold) == ("Warning", "GreaterThan", 0)
        assert (ends.trigger_type, ends.threshold_type, ends.threshold) == ("ResolvedWarning", "LessThanOrEqual", 0)
        assert fires.time_range == ends.time_range == f"-{monitor.minutes // 60}h"
        assert made.notification_group_fields == [name.replace(".", "_") for name in monitor.question.by]
        assert not monitor.minutes % 60


class Account:
    """The dashboards of an account, listed two a page, as the API of the vendor does. Counts what was sent."""

    def __init__(self) -> None:
        self.dashboards: list[dict[str, Any]] = [
            {"id": str(n), "title": f"Other {n}", "variables": None, "isPublic": False} for n in range(3)
        ]
        self.sent: list[str] = []

    def answer(self, request: HttpRequest) -> HttpReply:
        """The answer to one request."""
        assert ("authorization", "Basic c3UxMjpnZWhlaW0=") in request.headers
        address = urlsplit(request.url)
        self.sent.append(request.method)
        if request.method == "GET":
            asked = parse_qs(address.query)
            assert asked["mode"] == ["allViewableByUser"]
            start = int(asked.get("token", ["0"])[0].removeprefix("t=/"))
            more = start + 2 < len(self.dashboards)
            page = {"dashboards": self.dashboards[start : start + 2], "next": f"t=/{start + 2}" if more else None}
            return HttpReply(200, {}, orjson.dumps(page))
        body = orjson.loads(request.body)
        if request.method == "POST":
            assert address.path == "/api/v2/dashboards"
            self.dashboards.append({"folderId": "MINE", **body, "id": f"N{len(self.dashboards)}"})
            return HttpReply(200, {}, b"{}")
        assert request.method == "PUT"
        (place,) = [n for n, one in enumerate(self.dashboards) if address.path == f"/api/v2/dashboards/{one['id']}"]
        self.dashboards[place] = {**body, "id": self.dashboards[place]["id"]}
        return HttpReply(200, {}, b"{}")

    def push(self) -> None:
        """Push every file."""
        for name, contents in TARGET.render().items():
            talk = TARGET.push(API, KEYS, name, contents)
            assert (talk is None) == (name == "monitors.json")
            if talk:
                assert _end(talk, self) == ""


def _end(talk: Talk, account: Account) -> str:
    request = next(talk)
    while True:
        try:
            request = talk.send(account.answer(request))
        except StopIteration as end:
            return str(end.value)


def test_a_second_push_doubles_nothing() -> None:
    """Every page is looked through; the first push creates, the second one replaces; others' dashboards stay."""
    account = Account()
    account.push()
    assert account.sent.count("POST") == len(DASHBOARDS)
    account.push()
    assert (account.sent.count("POST"), account.sent.count("PUT")) == (len(DASHBOARDS), len(DASHBOARDS))
    assert len({one["title"] for one in account.dashboards}) == len(account.dashboards) == 3 + len(DASHBOARDS)


def test_folder_and_category_stay_as_chosen() -> None:
    """A dashboard that was moved stays there, with the default that was chosen; panels are replaced."""
    account = Account()
    account.push()
    there = account.dashboards[3]
    there["folderId"] = "TEAM"
    there["variables"][0]["defaultValue"] = "prod/ci"
    there["panels"] = []
    account.push()
    now = account.dashboards[3]
    assert (now["folderId"], now["variables"][0]["defaultValue"]) == ("TEAM", "prod/ci")
    assert now["panels"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HttpReply(401, {}, b'{"id":"A","errors":[{"code":"unauthorized","message":"Credential"}]}'), "answered 401"),
        (HttpReply(301, {}, b'{"status":301,"code":"moved"}'), "answered 301"),
        (HttpReply(429, {}, b'{"errors":[{"code":"rate.limit.exceeded"}]}'), "rate.limit.exceeded"),
        (HttpReply(200, {}, b"<html>"), "no list of dashboards: <html>"),
        (HttpReply(200, {}, b'{"dashboards":[{"title":"x"}]}'), "no list of dashboards"),
    ],
    ids=["key", "deployment", "rate", "page", "shape"],
)
def test_a_refusal_is_told_and_ends_it(answer: HttpReply, words: str) -> None:
    """Nothing is created where the list could not be read."""
    talk = TARGET.push(API, KEYS, "overview.json", TARGET.render()["overview.json"])
    assert talk is not None
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(answer)
    assert words in end.value.value


def test_a_page_that_comes_again_ends_it() -> None:
    """No endless walk, and nothing created."""
    talk = TARGET.push(API, KEYS, "overview.json", TARGET.render()["overview.json"])
    assert talk is not None
    next(talk)
    again = HttpReply(200, {}, b'{"dashboards":[],"next":"x"}')
    assert talk.send(again).url.endswith("&token=x")
    with pytest.raises(StopIteration) as end:
        talk.send(again)
    assert "same page" in end.value.value


def test_a_refused_change_is_told() -> None:
    """What the API says of a dashboard that may not be changed."""
    talk = TARGET.push(API, KEYS, "overview.json", TARGET.render()["overview.json"])
    assert talk is not None
    next(talk)
    request = talk.send(HttpReply(200, {}, b'{"dashboards":[{"id":"7","title":"CircleCI by Headgate - overview"}]}'))
    assert (request.method, request.url) == ("PUT", f"{API}/api/v2/dashboards/7")
    with pytest.raises(StopIteration) as end:
        talk.send(HttpReply(403, {}, b'{"errors":[{"code":"forbidden"}]}'))
    assert "forbidden" in end.value.value
