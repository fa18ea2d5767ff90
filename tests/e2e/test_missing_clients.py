"""Without the vendors' clients: everything that needs none works, and what needs one names the command to type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.harness import CHILD_ENV, ROOT, Daemon, loki_sink, made_up_job, wait_until, write_config

from headgate.testing.sinks import FakeVendor

# Packages that extras install, and nothing else of ours does.
CLIENTS = (
    "datadog_api_client,elasticsearch,elastic_transport,newrelic_telemetry_sdk,cramjam,google.protobuf,"
    "opentelemetry.proto"
)
URL = "http://127.0.0.1:1"
NEEDY: dict[str, dict[str, Any]] = {
    "datadog": {"api_key": "a-made-up-key"},
    "elasticsearch": {"url": URL},
    "newrelic": {"license_key": "a-made-up-key", "account_id": 7},
    "prometheus": {"url": f"{URL}/api/v1/write"},
}
ENV = {**CHILD_ENV, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def without(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of Headgate where no client is installed."""
    command = [sys.executable, "-m", "tests.e2e.without", CLIENTS, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=ENV)


@pytest.mark.parametrize("command", ["check", "run"])
def test_each_missing_extra_names_the_command_that_installs_it(tmp_path: Path, command: str) -> None:
    """All of them at once, exit 2, nothing started; no trace of Python."""
    config = write_config(tmp_path, {f"my-{name}": {"type": name, **more} for name, more in NEEDY.items()})
    done = without(command, "-c", str(config), *(["--json"] if command == "check" else []))
    told = done.stdout + done.stderr
    assert done.returncode == 2, told
    for name in NEEDY:
        assert f"sink my-{name} ({name}) cannot be loaded: No module named" in told
        assert f"pip install 'headgate[{name}]'" in told
    assert "Traceback" not in told
    if command == "check":
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(one["ok"], one["reason"]) for one in found] == [(False, "config_invalid")] * len(NEEDY)


def test_clients_are_imported_only_for_their_sink(tmp_path: Path) -> None:
    """A daemon whose sinks need no client delivers where none can be imported."""
    with FakeVendor("loki") as loki, FakeVendor("sumologic") as sumo, FakeVendor("otlp") as otlp:
        needless = {
            "loki": loki_sink(loki.url),
            "sumo": {"type": "sumologic", "url": f"{sumo.url}/receiver/v1/http/made-up"},
            "otlp": {"type": "otlp", "url": otlp.url},
            "scraped": {"type": "prometheus"},
            "file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")},
        }
        config = write_config(tmp_path, needless)
        checked = without("check", "--json", "-c", str(config))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        daemon = Daemon(config)
        daemon.command = [sys.executable, "-m", "tests.e2e.without", CLIENTS, "run", "-c", str(config)]
        daemon.env["PYTHONPATH"] = ENV["PYTHONPATH"]
        with daemon:
            assert daemon.deliver(made_up_job(1)).status_code == 200
            wait_until(lambda: all(fake.stored() for fake in (loki, sumo, otlp)), "the record at all of them")
            daemon.wait_settled()
            states = {one["state"] for sink in daemon.status()["sinks"].values() for one in sink["signals"].values()}
            assert states == {"ok"}
            assert daemon.stop() == 0
