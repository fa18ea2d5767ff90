"""`headgate sinks setup` typed: what it prints, what it exits with, and what it never does."""

import json

import pytest
import yaml

from headgate.cli import main
from headgate.testing.sinks import FakeVendor


@pytest.fixture
def configured(tmp_path):
    """A configuration with a cluster that wants set-up and a file that wants none."""
    with FakeVendor("elasticsearch", api_key="canary-key") as vendor:
        file = tmp_path / "headgate.yaml"
        sinks = {
            "search": {"type": "elasticsearch", "hosts": [vendor.url], "api_key": "canary-key"},
            "file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")},
        }
        store = {"url": f"sqlite:///{tmp_path / 'store.db'}"}
        file.write_text(yaml.safe_dump({"version": 1, "store": store, "sinks": sinks}))
        yield vendor, str(file), tmp_path


def test_setup_says_what_it_did(configured, capsys):
    """A dry run shows lines of difference and writes nothing; then it is done; then nothing is left to do."""
    vendor, file, directory = configured
    assert main(["sinks", "setup", "search", "--dry-run", "-c", file]) == 0
    dry = capsys.readouterr().out
    assert "would make    component template circleci@mappings" in dry
    assert "      + priority: 200" in dry
    assert {row["method"] for row in vendor.requests()} == {"GET"}
    assert main(["sinks", "setup", "search", "-c", file]) == 0
    assert "done          index template logs-circleci-default" in capsys.readouterr().out
    assert main(["sinks", "setup", "search", "--json", "-c", file]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(row["sink"], row["outcome"], row["dry_run"]) for row in rows} == {("search", "unchanged", False)}
    assert not (directory / "store.db").exists()


def test_a_failed_step_is_exit_1_and_shows_no_secret(configured, capsys):
    """The words of the cluster are told with what to do."""
    vendor, file, _ = configured
    vendor.answer(status=403, path="/_index_template", body={"error": "canary-key may not"})
    assert main(["sinks", "setup", "search", "-c", file]) == 1
    told = capsys.readouterr()
    assert "failed        index template logs-circleci-default" in told.out
    assert "manage_index_templates" in told.out
    assert "canary-key" not in told.out + told.err


@pytest.mark.parametrize(("name", "words"), [("nobody", "configured: file, search"), ("file", "wants nothing set up")])
def test_a_sink_that_cannot_be_set_up_is_wrong_usage(configured, capsys, name, words):
    """Exit 2, with the names that there are."""
    _, file, _ = configured
    assert main(["sinks", "setup", name, "-c", file]) == 2
    assert words in capsys.readouterr().err
