"""New Relic's dashboard: whole, about events and attributes that are sent, pushed without doubles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.docs.generated import published_record

from headgate.core.errors import ConfigError
from headgate.core.ports import HttpReply
from headgate.dashboards.newrelic import TARGETS, nrql
from headgate.dashboards.questions import DASHBOARDS, MONITORS, Question

TARGET = TARGETS[0]
GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "sinks"
KEYS = {"NEW_RELIC_USER_KEY": "NRAK-x", "NEW_RELIC_ACCOUNT_ID": "42"}


def sent_events() -> dict[str, set[str]]:
    """Event type -> the attributes of it in the golden bodies."""
    found: dict[str, set[str]] = {}
    for path in GOLDEN.glob("newrelic*events.json"):
        for event in orjson.loads(path.read_bytes()):
            found.setdefault(event["eventType"], set()).update(event)
    return found


def test_the_board_is_whole() -> None:
    """One page for each dashboard, in twelve columns, no two widgets on one place."""
    board = orjson.loads(TARGET.render()["dashboard.json"])
    assert [page["name"] for page in board["pages"]] == [one.title for one in DASHBOARDS]
    for page in board["pages"]:
        cells: set[tuple[int, int]] = set()
        for widget in page["widgets"]:
            at = widget["layout"]
            mine = {
                (x, y)
                for x in range(at["column"], at["column"] + at["width"])
                for y in range(at["row"], at["row"] + at["height"])
            }
            assert not mine & cells
            assert max(x for x, _ in mine) <= 12
            cells |= mine


def test_every_event_and_attribute_is_one_that_is_sent() -> None:
    """Event types are those of golden bodies; attributes are in them, or in the published record of the kind."""
    sent = sent_events()
    published = published_record()["attributes"]
    anywhere = {name for kind in published.values() for name in kind}
    for asked in TARGET.queries():
        (event,) = re.findall(r"FROM (\w+)", asked.query)
        assert event in sent, asked
        for name in re.findall(r"`([^`]+)`", asked.query):
            known = name in sent[event] or name in anywhere or name.startswith("headgate.alert.")
            assert known, (asked, name)


def test_a_query_reads_as_people_write_it() -> None:
    """Runs are counted by id, outcomes filtered, groups bounded."""
    question = Question("workflow", "success_rate", by=("project",))
    assert nrql(question, over="TIMESERIES") == (
        "FROM CircleCIWorkflow SELECT 100 * filter(uniqueCount(id), WHERE `headgate.status` IN ('success')) /"
        " filter(uniqueCount(id), WHERE `headgate.status` IN ('success', 'failure', 'error', 'timeout'))"
        " FACET `project` LIMIT 20 TIMESERIES"
    )


def test_each_monitor_is_a_condition() -> None:
    """Limits, windows and directions are those of the catalogue; windows overlap, and a rate is a percentage."""
    conditions = orjson.loads(TARGET.render()["conditions.json"])
    assert [(one["terms"][0]["threshold"], one["terms"][0]["operator"]) for one in conditions] == [
        (80 if monitor.key == "success-rate" else monitor.limit, monitor.beyond.upper()) for monitor in MONITORS
    ]
    for monitor, one in zip(MONITORS, conditions, strict=True):
        signal = one["signal"]
        assert signal == {
            "aggregationWindow": monitor.minutes * 60,
            "aggregationMethod": "EVENT_FLOW",
            "aggregationDelay": 120,
            "slideBy": 300,
        }
        # The product's limits: half a minute to six hours, and a slide that divides the window.
        assert 30 <= signal["aggregationWindow"] <= 21_600
        assert not signal["aggregationWindow"] % signal["slideBy"]


def test_few_runs_are_beyond_no_limit() -> None:
    """A condition has one value, so of fewer than five runs a hundred is added to the rate and the percentile is 0."""
    rate, wait, _ = [one["nrql"]["query"] for one in orjson.loads(TARGET.render()["conditions.json"])]
    ran = "filter(uniqueCount(id), WHERE `headgate.status` IN ('success', 'failure', 'error', 'timeout'))"
    assert f" / {ran} + 100 * clamp_min(clamp_max(5 - {ran}, 1), 0) FACET `project`" in rate
    waited = "filter(uniqueCount(id), WHERE `circleci.queue_ms` IS NOT NULL)"
    assert f"percentile(`circleci.queue_ms`, 95) * clamp_min(clamp_max({waited} - 4, 1), 0) FACET" in wait


def test_widgets_name_their_unit() -> None:
    """Rates are percentages, durations are milliseconds, counts have none."""
    board = orjson.loads(TARGET.render()["dashboard.json"])
    shown = [widget["rawConfiguration"].get("units") for page in board["pages"] for widget in page["widgets"]]
    units = {"ratio": {"unit": "PERCENTAGE"}, "ms": {"unit": "MS"}}
    assert shown == [units.get(panel.unit) for one in DASHBOARDS for panel in one.panels]


def test_an_export_is_of_the_account_that_is_told() -> None:
    """Its number stands in every widget; without one the placeholder is left, and nonsense is refused."""
    files = TARGET.render()
    exported = TARGET.localise(files, {"NEW_RELIC_ACCOUNT_ID": "42"})
    assert set(re.findall(rb'"accountId": (\d+)', exported["dashboard.json"])) == {b"42"}
    assert TARGET.localise(files, {}) == files
    with pytest.raises(ConfigError, match="NEW_RELIC_ACCOUNT_ID: not a number"):
        TARGET.localise(files, {"NEW_RELIC_ACCOUNT_ID": "x"})


def reply(body: dict[str, Any], status: int = 200) -> HttpReply:
    """An answer of NerdGraph."""
    return HttpReply(status, {}, orjson.dumps(body))


def found(*entities: dict[str, str]) -> HttpReply:
    """The answer to a search."""
    return reply({"data": {"actor": {"entitySearch": {"results": {"entities": list(entities)}}}}})


@pytest.mark.parametrize(
    ("entities", "mutation"),
    [([], "dashboardCreate"), ([{"guid": "G", "name": "CircleCI by Headgate"}], "dashboardUpdate")],
)
def test_a_push_replaces_the_board_of_its_name(entities: list[dict[str, str]], mutation: str) -> None:
    """It is looked for first; the account's number replaces the placeholder."""
    talk = TARGET.push("https://api", KEYS, "dashboard.json", TARGET.render()["dashboard.json"])
    assert talk is not None
    assert ("api-key", "NRAK-x") in next(talk).headers
    request = talk.send(found(*entities))
    body = orjson.loads(request.body)
    assert mutation in body["query"]
    widget = body["variables"]["dashboard"]["pages"][0]["widgets"][0]
    assert widget["rawConfiguration"]["nrqlQueries"][0]["accountIds"] == [42]
    with pytest.raises(StopIteration) as end:
        talk.send(reply({"data": {mutation: {"errors": None}}}))
    assert end.value.value == ""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply({"errors": [{"message": "bad key"}]}), "bad key"),
        (reply({}, 403), "answered 403"),
        (HttpReply(200, {}, b"<html>"), "no JSON"),
    ],
)
def test_a_refusal_is_told(answer: HttpReply, words: str) -> None:
    """Errors come with status 200 too."""
    talk = TARGET.push("https://api", KEYS, "dashboard.json", TARGET.render()["dashboard.json"])
    assert talk is not None
    next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(answer)
    assert words in end.value.value
