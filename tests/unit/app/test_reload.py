"""Reloading: what is applied at once, what waits for a restart, and that a failure leaves everything as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from headgate.app.compose import build_plant
from headgate.app.engines import Engines
from headgate.app.operations import StoreOperations
from headgate.app.reload import compare
from headgate.app.serving import Serving
from headgate.app.settings import Configuration, load
from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.errors import ConfigError
from headgate.core.metrics import NullMetrics
from headgate.plugins import load_plugins
from headgate.store import MemoryStore
from headgate.testing.relay import make_certificate


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
        ({"http": {"listen": "127.0.0.1:0", "access": {"tokens": ["a-token-that-is-long"]}}}, ["http.access"], ()),
        ({"exports": {"x": {"table": "runs", "every": "1h", "to": "out"}}}, ["exports"], ()),
        ({"reports": {"x": {"to": "out"}}}, ["reports"], ()),
    ],
)
def test_each_changed_key_is_named(tmp_path: Path, changes: Any, at_once: list[str], restart: tuple[str, ...]) -> None:
    """Under what is applied, or under what needs a restart; never nowhere."""
    found = compare(configured(tmp_path), configured(tmp_path, **changes))
    assert (at_once, restart) == (found.words(), found.restart)


def test_another_certificate_is_taken_and_whether_there_is_one_waits(tmp_path: Path) -> None:
    """A listener that is plain stays plain until the next start."""
    certificate, key = make_certificate(tmp_path)
    copy = tmp_path / "copy.pem"
    copy.write_bytes(certificate.read_bytes())
    listen = {"listen": "localhost:0"}
    plain, first, second = (
        configured(tmp_path, webhooks={**listen, **tls})
        for tls in (
            {},
            {"tls": {"cert": str(certificate), "key": str(key)}},
            {"tls": {"cert": str(copy), "key": str(key)}},
        )
    )
    assert ([], ("webhooks.tls",)) == (compare(plain, first).words(), compare(plain, first).restart)
    assert (["webhooks.tls"], ()) == (compare(first, second).words(), compare(first, second).restart)


async def test_a_listener_that_others_reach_is_not_opened_by_a_reload(tmp_path: Path) -> None:
    """The new address waits for a restart, so the new access must too: nothing is changed."""
    access = {"access": {"tokens": ["a-token-that-is-long"]}}
    before = configured(tmp_path, http={"listen": "0.0.0.0:0", **access})
    after = configured(tmp_path, http={"listen": "127.0.0.1:0"})
    store = MemoryStore(clock=ManualClock())
    await store.open()
    operations = StoreOperations(store, ManualClock())
    parts = {"clock": ManualClock(), "on_webhooks": print, "sinks": dict, "lens": operations.lens}
    with Serving(before, operations, store, Telemetry(), **parts) as serving:
        with pytest.raises(ConfigError, match="other machines reach the listener until a restart"):
            serving.prepare(after)
        assert {} == dict(serving.prepare(configured(tmp_path, http={"listen": "127.0.0.1:0", **access})))


def test_retention_is_applied_and_the_store_is_not(tmp_path: Path) -> None:
    """`store.retention` counts from the next trimming; quota and address from the next start."""
    store = {"url": f"sqlite://{tmp_path}/other.db", "max_bytes": "1GiB", "retention": {"log": "1d"}}
    found = compare(configured(tmp_path), configured(tmp_path, store=store))
    assert (["store.retention"], ("store.max_bytes", "store.url")) == (found.words(), found.restart)


async def test_a_higher_budget_is_taken_by_a_reload(tmp_path: Path) -> None:
    """The source is built anew beside the old one of the same token, which lets go of the budget then."""

    def asked(per_second: int, **more: Any) -> Configuration:
        budget = {"per_second": per_second, "burst": 2 * per_second}
        ci = {"type": "circleci", "token": "t" * 40, "orgs": ["gh/acme"], "budget": budget, **more}
        return configured(tmp_path, sources={"ci": ci})

    clock, metrics, before = ManualClock(), NullMetrics(), asked(10)
    store = MemoryStore(clock=clock)
    await store.open()
    plant = build_plant(before, clock, metrics)
    engines = Engines(before, store, plant, clock, metrics)
    left = []
    for following in (asked(50), asked(5), asked(5, timeout="9s"), asked(40)):
        await engines.swap(following, engines.prepare(following, {"ci"}, set(), set()))
        clock.advance(60)
        left.append(engines.plant.sources["ci"].usage().budget_left)
    assert left == [100, 10, 10, 80]
    await engines.aclose()


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


_CHANGING = """
import os, signal, sys
from pathlib import Path
from headgate.app.lifecycle import Daemon, run_on_loop
from headgate.app.settings import load
from headgate.plugins import load_plugins

file = Path(sys.argv[1])
texts = ["info", "debug"]

def read():
    return load(load_plugins(), file=file)

def reread():
    found, level = read(), texts.pop(0)
    if texts:
        file.write_text(file.read_text().replace(level, texts[0]))
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
    return found

sys.exit(run_on_loop(lambda: Daemon(read(), reread).run()))
"""


def test_a_hang_up_during_a_reload_is_not_lost(tmp_path: Path) -> None:
    """The file that was written after the running one had read it is read too, once however many signals came."""
    configured(tmp_path, log={"level": "info", "format": "json"})
    words = [sys.executable, "-c", _CHANGING, str(tmp_path / "headgate.yaml")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as popen:
        watch = threading.Timer(30, popen.kill)
        watch.start()
        try:
            assert popen.stderr is not None
            next(line for line in popen.stderr if '"ready"' in line)
            popen.send_signal(signal.SIGHUP)
            told = [json.loads(line)["changed"] for line in _until(popen.stderr, '"reloaded"', 2)]
            popen.send_signal(signal.SIGTERM)
            _, rest = popen.communicate()
        finally:
            watch.cancel()
            popen.kill()
    assert told == [[], ["log.level"]]
    assert (popen.returncode, "reload" in rest) == (0, False)


def _until(lines: Iterable[str], word: str, n: int) -> list[str]:
    """The first so many lines with a word; fewer where there are no more."""
    return list(islice((line for line in lines if word in line), n))


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
