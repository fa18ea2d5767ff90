"""Two sinks with sections of their own get what they should of the same webhooks, now and after a reload."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.e2e.harness import Daemon, headgate, made_up_job, read_jsonl, uuid_of, wait_until, write_config

from headgate.testing.sinks import FakeVendor

GITHUB = "ghp_a1B2c3D4e5F6a7B8c9D0e1F2a3B4c5D6e7F8"
PROJECT = "gh/DavidS/circleci-hook"
SECRET_WORD = "canary-key-of-hashes"


def job(number: int, branch: str, subject: str) -> bytes:
    """A job of a pipeline of its own, for a branch and commit."""
    told = json.loads(made_up_job(number))
    told["pipeline"] |= {"id": uuid_of(number + 100), "number": number}
    told["workflow"]["id"] = uuid_of(number + 200)
    told["pipeline"]["vcs"]["branch"] = branch
    told["pipeline"]["vcs"]["commit"]["subject"] = subject
    return json.dumps(told).encode()


def jobs(lines: list[bytes]) -> dict[str, dict[str, Any]]:
    """Id of the job -> attributes of its record, as a sink got them."""
    found = (json.loads(line)["attributes"] for line in lines)
    return {one["cicd.pipeline.task.run.id"]: one for one in found}


def sinks(folder: Path, vendor_url: str, team: str) -> dict[str, dict[str, Any]]:
    """One for a team, that sees its branch and no names; one for everybody, with names hidden under a key."""
    own = {"branches": {"include": ["main"]}, "privacy": {"circleci.author.*": "drop"}, "tags": {"team": team}}
    everybody = {
        "projects": {"exclude": ["gh/acme/*"]},
        "privacy": {"circleci.author.*": "hash"},
        "hash_key": "${HASH_KEY}",
        "tag_rules": [{"match": {"branch": "release/*", "project": PROJECT}, "set": {"stage": "release"}}],
        "redact": ["ACME-[0-9]{4}"],
        "max_text": 100,
    }
    return {
        "team": {"type": "jsonl", "path": str(folder / "team.jsonl"), "records": own},
        "all": {"type": "http", "url": f"{vendor_url}/r", "records": everybody},
    }


def test_two_sinks_get_what_their_sections_say(tmp_path: Path) -> None:
    """Filters, tags, privacy, redaction and length on the way; the log keeps all; commands tell; a reload applies."""
    team = tmp_path / "team.jsonl"
    env = {"HASH_KEY": SECRET_WORD}
    with FakeVendor("http") as vendor:
        config = write_config(tmp_path, sinks(tmp_path, vendor.url, "web"))
        with Daemon(config, env=env) as daemon:
            for number, branch, subject in (
                (1, "main", f"Remove {GITHUB}"),
                (2, "release/1", "ACME-2026 is done"),
                (3, "main", "ä" * 90),
            ):
                assert daemon.deliver(job(number, branch, subject)).status_code == 200
            wait_until(lambda: len(vendor.record_ids()) == 3, "three records at the vendor")
            wait_until(lambda: len(read_jsonl(team)) == 2, "two records in the file")
            daemon.wait_settled()

            own = jobs(read_jsonl(team))
            everybody = jobs([json.dumps(row["native"]["record"]).encode() for row in vendor.stored()])
            assert set(own) == {uuid_of(1), uuid_of(3)}
            assert own[uuid_of(1)]["circleci.commit.subject"] == "Remove ***"
            assert own[uuid_of(3)]["circleci.commit.subject"] == "ä" * 90
            assert {one["tag.team"] for one in own.values()} == {"web"}
            assert not any(name.startswith("circleci.author.") for one in own.values() for name in one)

            assert everybody[uuid_of(2)]["circleci.commit.subject"] == "*** is done"
            assert everybody[uuid_of(3)]["circleci.commit.subject"] == "ä" * 50
            assert "circleci.commit.subject" in everybody[uuid_of(3)]["headgate.truncated"]
            assert [one.get("tag.stage") for _, one in sorted(everybody.items())] == [None, "release", None]
            names = {one["circleci.author.name"] for one in everybody.values()}
            assert len(names) == 1
            assert names.pop().startswith("hmac:")

            assert daemon.metric("headgate_sink_filtered_total", sink="team", by="branches") == 1
            [found] = data_of("explain", uuid_of(2), config=config)
            assert found["path"] == {"all.post": "accepted", "team.lines": "filtered by sinks.team.records.branches"}
            assert found["record"]["attributes"]["circleci.commit.subject"] == "ACME-2026 is done"
            status = daemon.status()
            assert status["sinks"]["team"]["records"]["tags"] == {"team": "web"}
            assert status["sinks"]["all"]["records"]["redact"] == 1
            assert SECRET_WORD not in json.dumps(status) + daemon.text()
            listed = headgate("sinks", "list", "-c", str(config), env=env)
            assert "branches, tags, privacy" in listed.stdout

            write_config(tmp_path, sinks(tmp_path, vendor.url, "mobile"))
            daemon.send(signal.SIGHUP)
            wait_until(lambda: daemon.status()["sinks"]["team"]["records"]["tags"]["team"] == "mobile", "the reload")
            assert daemon.deliver(job(4, "main", "Go on")).status_code == 200
            wait_until(lambda: len(read_jsonl(team)) == 3, "a record under the new section")
            assert [one["tag.team"] for _, one in sorted(jobs(read_jsonl(team)).items())] == ["web", "web", "mobile"]
            assert daemon.stop() == 0


def data_of(*words: str, config: Path) -> list[dict[str, Any]]:
    """The JSON objects that a command prints."""
    done = headgate(*words, "--json", "-c", str(config), env={"HASH_KEY": SECRET_WORD})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
