"""`headgate dashboards` typed: a push to a strict fake of the product, twice."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest

from headgate.cli import main
from headgate.dashboards.questions import MONITORS
from headgate.dashboards.target import targets
from headgate.testing.sinks import FakeVendor

KEY = "canary-key"


@pytest.fixture
def kibana(monkeypatch):
    """A strict Kibana and its key."""
    monkeypatch.setenv("KIBANA_API_KEY", KEY)
    with FakeVendor("kibana", api_key=KEY) as vendor:
        yield vendor


def rules_of(kibana):
    """The rules that are there, by name."""
    return {
        row["native"]["shown"]["name"]: row["native"]["shown"] for row in kibana.stored() if "shown" in row["native"]
    }


def test_a_push_to_kibana_doubles_nothing_and_keeps_what_was_added(kibana, capsys):
    """Every file is taken below a space, and once more; actions of a rule stay."""
    assert main(["dashboards", "push", "kibana", "--url", f"{kibana.url}/s/ci", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["file"], row["sent"], row["problem"]) for row in rows] == [
        (name, True, "") for name in targets()["kibana"].render()
    ]
    ids = sorted(kibana.record_ids())
    rule = rules_of(kibana)[MONITORS[0].title]
    action = {"group": "query matched", "id": "log", "params": {"message": "slow"}}
    change = {name: rule[name] for name in ("name", "schedule", "params")} | {"actions": [action], "tags": ["mine"]}
    headers = {"kbn-xsrf": "1", "authorization": f"ApiKey {KEY}"}
    url = f"{kibana.url}/s/ci/api/alerting/rule/{rule['id']}"
    assert httpx.put(url, json=change, headers=headers).status_code == 200
    assert main(["dashboards", "push", "kibana", "--url", f"{kibana.url}/s/ci"]) == 0
    assert sorted(kibana.record_ids()) == ids
    assert rules_of(kibana)[MONITORS[0].title]["tags"] == ["circleci", "headgate"]
    assert rules_of(kibana)[MONITORS[0].title]["actions"] == [{**action, "connector_type_id": ".server-log"}]


class Echo(BaseHTTPRequestHandler):
    """Refuses, and repeats what it was sent, in colour."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        answer = f"\x1b[31mno:\n{self.headers['authorization']}\x07".encode()
        self.send_response(403)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_answer_that_repeats_the_key_is_shown_without_it(capsys, monkeypatch, form):
    """On one line, and a terminal is not told what to do."""
    monkeypatch.setenv("GRAFANA_TOKEN", "a-secret-of-mine")
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert main(["dashboards", "push", "grafana-loki", "--url", url, *form]) == 1
        finally:
            server.shutdown()
            thread.join()
    told = capsys.readouterr().out
    assert "answered 403: no: Bearer" in told
    assert [] == [word for word in ("a-secret-of-mine", "\x1b", "\x07", "\\u001b", "\\u0007") if word in told]


def test_a_push_with_a_wrong_key_is_exit_1(kibana, capsys, monkeypatch):
    """Each file says what was answered, and no key is printed."""
    monkeypatch.setenv("KIBANA_API_KEY", "wrong-secret")
    assert main(["dashboards", "push", "kibana", "--url", kibana.url]) == 1
    told = capsys.readouterr()
    assert told.out.count("answered 401") == len(targets()["kibana"].render())
    assert "4 files were not taken" in told.err
    assert "wrong-secret" not in told.out + told.err
    assert kibana.stored() == []
