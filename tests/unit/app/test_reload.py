"""Reloading: what is applied at once, what waits for a restart, and that a failure leaves everything as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headgate.app.reload import compare
from headgate.app.settings import Configuration, load
from headgate.plugins import load_plugins


def configured(directory: Path, **changes: Any) -> Configuration:
    data = {
        "version": 1,
        "store": {"url": f"sqlite://{directory / 'headgate.db'}"},
        "http": {"listen": "127.0.0.1:0"},
        "webhooks": {"listen": "127.0.0.1:0"},
        "alerts": {"notifiers": {"ops": {"type": "webhook", "url": "http://127.0.0.1:9"}}},
        **changes,
    }
    file = directory / "headgate.yaml"
    file.write_text(json.dumps(data))
    return load(load_plugins(), file=file, environ={})


NOTIFIERS = {"ops": {"type": "webhook", "url": "http://127.0.0.1:9"}}


@pytest.mark.parametrize(
    ("changes", "at_once", "restart"),
    [
        ({}, [], ()),
        ({"alerts": {"notifiers": NOTIFIERS, "default": []}}, ["alerts.default"], ()),
        ({"alerts": {"notifiers": NOTIFIERS, "rules": ["x.yaml"]}}, ["alerts.rules"], ()),
        ({"alerts": {}}, ["alerts.notifiers.ops"], ()),
        ({"log": {"level": "debug", "format": "json"}}, ["log.level"], ("log.format",)),
        ({"http": {"listen": "127.0.0.1:1", "hosts": ["x"]}}, ["http.hosts"], ("http.listen",)),
        ({"webhooks": {"listen": "127.0.0.1:1"}}, [], ("webhooks.listen",)),
    ],
)
def test_each_changed_key_is_named(tmp_path: Path, changes: Any, at_once: list[str], restart: tuple[str, ...]) -> None:
    """Under what is applied, or under what needs a restart; never nowhere."""
    found = compare(configured(tmp_path), configured(tmp_path, **changes))
    assert (at_once, restart) == (found.words(), found.restart)


def test_retention_is_applied_and_the_store_is_not(tmp_path: Path) -> None:
    """`store.retention` counts from the next trimming; quota and address from the next start."""
    store = {"url": f"sqlite://{tmp_path}/other.db", "max_bytes": "1GiB", "retention": {"log": "1d"}}
    found = compare(configured(tmp_path), configured(tmp_path, store=store))
    assert (["store.retention"], ("store.max_bytes", "store.url")) == (found.words(), found.restart)


_FAILING = """
import sys
from pathlib import Path
from headgate.app.lifecycle import Daemon, run_on_loop
from headgate.app.settings import load
from headgate.plugins import load_plugins

def reread():
    raise RuntimeError("nobody foresaw this")

async def work():
    return await Daemon(load(load_plugins(), file=Path(sys.argv[1])), reread).run()

sys.exit(run_on_loop(work))
"""


def test_an_unforeseen_error_of_a_hang_up_is_told_and_counted(tmp_path: Path) -> None:
    """Nobody awaits the answer to a signal: the log and a metric say it, and the daemon goes on."""
    import httpx

    configured(tmp_path)
    words = [sys.executable, "-c", _FAILING, str(tmp_path / "headgate.yaml")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as popen:
        try:
            assert popen.stderr is not None
            ready = json.loads(next(line for line in popen.stderr if '"ready"' in line))
            popen.send_signal(signal.SIGHUP)
            told = json.loads(next(line for line in popen.stderr if "reload failed" in line))
            metrics = httpx.get(ready["http"] + "/metrics", trust_env=False).text
            popen.send_signal(signal.SIGTERM)
            popen.communicate(timeout=10)
        finally:
            popen.kill()
    assert "nobody foresaw this" in told["error"]
    assert 'headgate_reloads_total{result="failed"} 1.0' in metrics
    assert popen.returncode == 0
