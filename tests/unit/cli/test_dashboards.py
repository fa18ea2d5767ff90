"""`headgate dashboards` typed: a push to a strict fake of the product, twice."""

import json

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


def test_a_push_with_a_wrong_key_is_exit_1(kibana, capsys, monkeypatch):
    """Each file says what was answered, and no key is printed."""
    monkeypatch.setenv("KIBANA_API_KEY", "wrong-secret")
    assert main(["dashboards", "push", "kibana", "--url", kibana.url]) == 1
    told = capsys.readouterr()
    assert told.out.count("answered 401") == len(targets()["kibana"].render())
    assert "4 files were not taken" in told.err
    assert "wrong-secret" not in told.out + told.err
    assert kibana.stored() == []
