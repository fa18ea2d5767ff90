"""Commands that people type at a running daemon: dead letters, replay, tail, explain."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.harness import Daemon, headgate, made_up_job, wait_until, write_config

from headgate.testing.sinks import FakeVendor


def data_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The JSON objects that a command printed."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_dead_letters_and_replay_by_command(tmp_path: Path) -> None:
    """Refused records are listed, shown, exported, sent again and purged; a range is replayed; runs are explained."""
    with FakeVendor("http") as vendor:
        config = write_config(tmp_path, {"hooks": {"type": "http", "url": f"{vendor.url}/r", "batch_records": 1}})

        def ask(*words: str) -> subprocess.CompletedProcess[str]:
            return headgate(*words, "-c", str(config))

        vendor.answer(status=400)
        with Daemon(config) as daemon:
            for number in range(3):
                assert daemon.deliver(made_up_job(number)).status_code == 200
            wait_until(lambda: daemon.status()["sinks"]["hooks"]["signals"]["post"]["dead"] == 3, "three dead letters")
            letters = data_of(ask("deadletters", "list", "--json"))
            assert {("hooks.post", "refused", 400)} == {
                (one["signal"], one["reason"], one["status"]) for one in letters
            }
            first = min(letters, key=lambda one: one["id"])
            assert [first] == data_of(ask("deadletters", "show", str(first["id"]), "--json"))
            assert letters == data_of(ask("deadletters", "export", "--reason", "refused"))
            [known] = data_of(ask("explain", first["record_id"], "--json"))
            assert (known["record_id"], list(known["path"])) == (first["record_id"], ["hooks.post"])
            assert first["record"] in data_of(ask("tail", "--json", "--lines", "3"))

            vendor.answer()
            unknown = ask("deadletters", "replay", str(first["id"]), "999999")
            assert (unknown.returncode, "no dead letter 999999" in unknown.stderr) == (1, True)
            assert [{"requeued": 1}] == data_of(ask("deadletters", "replay", str(first["id"]), "--json"))
            wait_until(lambda: vendor.record_ids() == [first["record_id"]], "the letter that was sent again")
            assert ask("deadletters", "purge", "--all").returncode == 130, "a purge asks first"
            wait_until(lambda: len(data_of(ask("deadletters", "list", "--json"))) == 2, "two letters left")
            assert [{"purged": 2}] == data_of(ask("deadletters", "purge", "--all", "--yes", "--json"))

            [opened] = data_of(ask("replay", "--sink", "hooks", "--since", "2d", "--json"))
            assert (opened["signal"], opened["total"]) == ("hooks.post", 3)
            wait_until(lambda: {one["record_id"] for one in letters} == {*vendor.record_ids()}, "the replay", 60)
            assert daemon.stop() == 0
