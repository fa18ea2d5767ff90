"""The dashboard over our own API: whole, relative, pushed as Grafana's others; every metric in it is one."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from headgate.core.ports import HttpReply
from headgate.dashboards.infinity import TARGETS
from headgate.insights.catalogue import CATALOGUE

TARGET = TARGETS[0]


def test_the_dashboard_asks_for_what_there_is() -> None:
    """Relative addresses with Grafana's window, metrics of the catalogue with dimensions that they have."""
    asked = TARGET.queries()
    for one in asked:
        parts = urlsplit(one.query)
        query = parse_qs(parts.query)
        assert ("", "", True) == (parts.scheme, parts.netloc, parts.path.startswith("/api/v1/"))
        assert (["${__from:date:iso}"], ["${__to:date:iso}"]) == (query["since"], query["until"])
        for name in query.get("metric", ()):
            assert set(query.get("by", ())) <= set(CATALOGUE.names[name].dimensions)
    (board,) = [orjson.loads(text) for text in TARGET.render().values()]
    assert [one.query for one in asked] == [panel["targets"][0]["url"] for panel in board["panels"]]
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for one in places
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_a_push_creates_or_replaces_it() -> None:
    """Over Grafana's API, with the token of the environment; a refusal is told."""
    ((name, contents),) = TARGET.render().items()
    for status, said in ((200, ""), (403, "answered 403: no")):
        talk = TARGET.push("https://g", {"GRAFANA_TOKEN": "t"}, name, contents)
        assert talk is not None
        request = next(talk)
        assert ("POST", "https://g/api/dashboards/db") == (request.method, request.url)
        assert "headgate-infinity" == orjson.loads(request.body)["dashboard"]["uid"]
        with pytest.raises(StopIteration) as end:
            talk.send(HttpReply(status, {}, b"no"))
        assert said == end.value.value
