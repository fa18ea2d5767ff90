"""The Logstash example: its pipeline file, and what its http input makes of the bodies that our http sink sends.

The input is modelled after logstash-input-http and the json codec ("multiple events will be created, one per element",
Logstash Reference, read November 2026); Logstash itself was not run.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.golden.test_sinks import batch

from headgate.core.errors import SinkUnavailable
from headgate.core.verdicts import SendResult
from headgate.sinks import http
from headgate.sinks._elasticsearch_templates import mapping_types
from headgate.testing.sink_harness import ids_of, open_sink, send, try_send
from headgate.testing.sinks.wire import HttpServer, Reply, Request

FOLDER = Path(__file__).parents[3] / "config" / "examples" / "logstash"
TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*') | (?P<mark>=>|[{}\[\],])
    | (?P<number>-?\d+(?:\.\d+)?) | (?P<word>[A-Za-z_]\w*)""",
    re.VERBOSE,
)
PASSWORD = "between-the-two"
ENVELOPE = {"id", "schema", "kind", "occurred_at", "observed_at", "sources", "tenant", "org", "project", "attributes"}


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each token of a pipeline file; anything else fails."""
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match, f"cannot be read: {text[at : at + 40]!r}"
        at = match.end()
        if match.lastgroup:
            yield match.lastgroup, match.group()


class Pipeline:
    """A pipeline file as data: section -> list of (plugin, settings)."""

    def __init__(self, text: str) -> None:
        self._rest = list(tokens(text))[::-1]
        self.sections: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        while self._rest:
            name = self._take("word")
            self._take("mark", "{")
            plugins = self.sections.setdefault(name, [])
            while not self._at("}"):
                plugins.append((self._take("word"), self._settings()))
            self._take("mark", "}")

    def plugin(self, section: str, name: str) -> dict[str, Any]:
        """The settings of the only plugin of this name."""
        (found,) = [settings for plugin, settings in self.sections[section] if plugin == name]
        return found

    def _take(self, kind: str, text: str | None = None) -> str:
        found_kind, found = self._rest.pop()
        assert (found_kind, found) == (kind, text or found)
        return found

    def _at(self, mark: str) -> bool:
        return self._rest[-1] == ("mark", mark)

    def _settings(self) -> dict[str, Any]:
        self._take("mark", "{")
        found: dict[str, Any] = {}
        while not self._at("}"):
            kind, name = self._rest.pop()
            assert kind in ("word", "string")
            self._take("mark", "=>")
            assert found.setdefault(name.strip("\"'"), self._value()) is not None
        self._take("mark", "}")
        return found

    def _value(self) -> Any:
        if self._at("{"):
            return self._settings()
        if self._at("["):
            self._rest.pop()
            values = []
            while not self._at("]"):
                values.append(self._value())
                if self._at(","):
                    self._rest.pop()
            self._rest.pop()
            return values
        kind, text = self._rest.pop()
        assert kind in ("string", "number", "word")
        return float(text) if kind == "number" else text.strip("\"'")


PIPELINE = Pipeline((FOLDER / "pipeline.conf").read_text("utf-8"))


class HttpInput:
    """What Logstash's http input does: basic authentication, gzip, a codec by content type, 200 `ok`, 429 when busy."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.events: list[dict[str, Any]] = []
        self.busy = False

    def __call__(self, request: Request) -> Reply:
        """Answer one request and keep its events."""
        pair = f"{self._settings['user']}:{PASSWORD}".encode()
        if request.headers.get("authorization") != f"Basic {base64.b64encode(pair).decode()}":
            return Reply(401)
        if self.busy:
            return Reply(429, b"Server busy, please retry request later")
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        codec = self._settings["additional_codecs"].get(request.headers["content-type"], "plain")
        self.events += self._decoded(codec, body)
        return Reply(200, b"ok", {"content-type": "text/plain"})

    def _decoded(self, codec: str, body: bytes) -> list[dict[str, Any]]:
        if codec != "json":
            return [{"message": body.decode()}]
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return [{"message": body.decode(), "tags": ["_jsonparsefailure"]}]
        return value if isinstance(value, list) else [value]


def sink_settings(url: str) -> dict[str, object]:
    """The http sink of the example, pointed at the fake input."""
    example = yaml.safe_load((FOLDER / "headgate.yaml").read_text("utf-8"))["sinks"]["logstash"]
    example["basic_auth"]["password"] = PASSWORD
    assert example.pop("type") == "http"
    return {**example, "url": url}


@pytest.fixture
async def logstash() -> Any:
    """The input and its address."""
    taken = HttpInput(PIPELINE.plugin("input", "http"))
    server = HttpServer(taken)
    port = await server.start()
    yield taken, f"http://127.0.0.1:{port}"
    await server.stop()


async def test_every_record_of_a_request_is_one_event(logstash) -> None:
    """The body of our http sink, as it goes over the wire, becomes the records themselves, in their order."""
    taken, url = logstash
    entries = batch()
    async with open_sink(http.PLUGINS[0], sink_settings(url)) as (_, signal):
        assert await send(signal, entries) == SendResult()
    assert [event["id"] for event in taken.events] == ids_of(entries)
    assert [orjson.loads(entry.body) for entry in entries] == taken.events


async def test_a_busy_logstash_is_asked_again_later(logstash) -> None:
    """429 is no dead letter."""
    taken, url = logstash
    taken.busy = True
    async with open_sink(http.PLUGINS[0], sink_settings(url)) as (_, signal):
        assert isinstance(await try_send(signal, batch()), SinkUnavailable)
    assert taken.events == []


async def test_lines_would_be_one_event(logstash) -> None:
    """Why the example sends arrays: the input knows no codec for lines unless it is told one."""
    taken, url = logstash
    settings = {**sink_settings(url), "format": "jsonl"}
    async with open_sink(http.PLUGINS[0], settings) as (_, signal):
        await send(signal, batch())
    assert [set(event) for event in taken.events] == [{"message"}]


def test_the_pipeline_writes_under_the_records_ids() -> None:
    """`create` with the record's id in the index of its month; no template of Logstash's own."""
    output = PIPELINE.plugin("output", "elasticsearch")
    assert output["action"] == "create"
    assert output["document_id"] == "%{[event][id]}"
    assert output["index"] == "circleci-%{[headgate][kind]}-%{+yyyy.MM}"
    assert [output[name] for name in ("data_stream", "ilm_enabled", "manage_template")] == ["false"] * 3


def test_the_pipeline_takes_the_whole_envelope_and_names_it_as_the_sink_does() -> None:
    """Each part of a record has its place, and each place is a field of the mapping."""
    mutates = [settings for plugin, settings in PIPELINE.sections["filter"] if plugin == "mutate"]
    renamed: dict[str, str] = next(one["rename"] for one in mutates if "rename" in one)
    date = PIPELINE.plugin("filter", "date")
    removed = {name for one in mutates for name in one["remove_field"]}
    assert {*renamed, date["match"][0], "attributes"} == ENVELOPE
    assert (date["match"], date["target"]) == (["occurred_at", "ISO8601"], "@timestamp")
    fields = {name.strip("[]").replace("][", ".") for name in renamed.values()}
    assert fields <= mapping_types().keys()
    assert len(fields) == len(renamed)
    assert ENVELOPE & removed == {"occurred_at"}
    assert "circleci.credits.used" in PIPELINE.plugin("filter", "ruby")["code"]


def test_the_first_filter_clears_what_the_input_adds() -> None:
    """`event` and `url` of the request would else stand where the record's fields go."""
    plugin, settings = PIPELINE.sections["filter"][0]
    assert plugin == "mutate"
    assert {"event", "headers", "host", "http", "url"} <= set(settings["remove_field"])
