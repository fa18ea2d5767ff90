"""Several organisations with tokens of their own in one process: what befalls one token stops its own alone."""

import json

import pytest
from tests.e2e.harness import HOST, Daemon, TwinProcess, read_jsonl, source, wait_until, write_config

TOKENS = ("token-one", "token-two")


def records_of(path, org):
    """Ids of the workflows of an organisation that the sink has."""
    found = (json.loads(line) for line in read_jsonl(path))
    return {one["id"] for one in found if one["kind"] == "workflow" and one["project"].startswith(org + "/")}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_revoked_token_stops_its_own_source_alone(tmp_path, again):
    """The other goes on; the refusal is shown; once the token is good again, within a minute, what was missed comes."""
    twin = TwinProcess(tmp_path, *("--days", "1", "--projects", "4", "--runs-per-day", "80"))
    with twin:
        orgs = [slug for slug in twin.about()["orgs"] if slug.startswith(("gh/", "bb/"))]
        rights = {token: {"orgs": [org]} for token, org in zip(TOKENS, orgs, strict=True)}
        twin.ask("PUT", "/rights", json=rights)
        out = tmp_path / "out.jsonl"
        sources = {
            name: source(twin.url, [org], token=token, poll={"every": "1s"}, host=HOST)
            for name, org, token in zip(("one", "two"), orgs, TOKENS, strict=True)
        }
        config = write_config(tmp_path, {"file": {"type": "jsonl", "path": str(out)}}, sources)
        with Daemon(config) as daemon:
            for org in orgs:
                wait_until(lambda org=org: records_of(out, org), f"the runs of {org}")
            wait_until(
                lambda: all(one["calls_per_hour_estimate"] for one in daemon.status()["sources"].values()),
                "the estimates",
            )
            assert {line["source"] for line in daemon.lines() if line["event"] == "calls_estimated"} == {"one", "two"}
            twin.ask("DELETE", f"/rights/{TOKENS[0]}")
            wait_until(lambda: daemon.status()["sources"]["one"]["refused"] == "token_expired", "the refusal")
            daemon.wait_settled()  # what was collected before still comes
            before = [records_of(out, org) for org in orgs]
            twin.advance(6 * 3600)
            wait_until(lambda: records_of(out, orgs[1]) > before[1], "the other's new runs")
            assert before[0] == records_of(out, orgs[0])
            assert daemon.status()["sources"]["two"]["refused"] is None
            assert (daemon.metric("headgate_source_refused", source="one"), 0) == (
                1,
                daemon.metric("headgate_source_refused", source="two"),
            )
            if not again:
                return
            twin.ask("PUT", "/rights", json=rights)
            wait_until(lambda: daemon.status()["sources"]["one"]["refused"] is None, "the token being good again", 90)
            wait_until(lambda: records_of(out, orgs[0]) > before[0], "what was missed")
