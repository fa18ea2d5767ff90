"""Webhooks from end to end: set up by command, sent by the twin, taken by a running daemon."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.e2e.harness import Daemon, TwinProcess, free_port, headgate, read_jsonl, source, wait_until, write_config

FIRST, SECOND = "wiring-secret-number-one", "wiring-secret-number-two"
_DAY = 86_400  # whole days: some hours of a night bring nothing


def test_what_apply_sets_up_arrives_at_a_daemon(tmp_path: Path) -> None:
    """Nothing before; after `apply` every delivery is taken and becomes records; a rotation loses none; then none."""
    out = tmp_path / "records.jsonl"
    listen = f"127.0.0.1:{free_port()}"
    options = ("--days", "2", "--projects", "4", "--knob", "webhooks_over_http=true", "--webhook-tries", "1")
    with TwinProcess(tmp_path, *options) as twin:

        def configure(*secrets: str) -> Path:
            webhook = {"secrets": list(secrets), "url": f"http://{listen}/webhooks/circleci/circleci"}
            made = source(twin.url, twin.about()["orgs"], webhook=webhook, poll={"enabled": False, "initial": "2d"})
            sinks = {"file": {"type": "jsonl", "path": str(out)}}
            return write_config(tmp_path, sinks, {"circleci": made}, webhooks={"listen": listen})

        def ask(*words: str) -> tuple[int, list[dict[str, Any]]]:
            done = headgate("webhooks", *words, "-c", str(config), "--json")
            assert FIRST not in done.stdout + done.stderr
            assert SECOND not in done.stdout + done.stderr
            return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

        def answers() -> list[int]:
            twin.ask("DELETE", "/deliveries")
            twin.advance(_DAY)
            return [one["attempts"][0]["status"] for one in twin.ask("GET", "/deliveries").json()]

        config = configure(FIRST)
        with Daemon(config) as daemon:
            assert [] == answers()
            assert 1 == ask("plan")[0]
            code, done = ask("apply", "--yes")
            assert (0, 4) == (code, sum(one["done"] for one in done))
            assert 0 == ask("plan")[0]

            assert {200} == set(answers())
            sent = {one["provider_id"] for one in twin.ask("GET", "/deliveries").json()}
            wait_until(lambda: sent <= told(out), "a record of everything that was delivered")

            reload(daemon, configure(SECOND, FIRST))
            assert {200} == set(answers()), "the old secret is good until all webhooks have the new one"
            assert 0 == ask("apply", "--rotate", "--yes")[0]
            reload(daemon, configure(SECOND))
            assert {200} == set(answers()), "the new one signs"

            assert 0 == ask("remove", "--yes")[0]
            assert [] == answers()
            assert 0 == daemon.stop()
            assert FIRST not in daemon.text()
            assert SECOND not in daemon.text()


def told(out: Path) -> set[str]:
    """Provider ids of the runs and jobs that were written so far; amendments, as reruns bring them, are no such."""
    keys = ("cicd.pipeline.task.run.id", "cicd.pipeline.run.id")
    found = (json.loads(line) for line in read_jsonl(out))
    told = [one["attributes"] for one in found if one["kind"] != "amendment"]
    return {next(one[key] for key in keys if key in one) for one in told}


def reload(daemon: Daemon, config: Path) -> None:
    """Make a running daemon read its file again."""
    assert daemon.config == config
    before = daemon.text().count("reloaded")
    daemon.send(signal.SIGHUP)
    wait_until(lambda: daemon.text().count("reloaded") > before, "the reload")
