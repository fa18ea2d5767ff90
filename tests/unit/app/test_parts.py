"""The small parts of the application: supervisor messages, runtime file, metrics, log, comparison, supervision."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from headgate.app.check import REASONS
from headgate.app.compose import build_parts, context_of
from headgate.app.logs import Redactor, secrets_of, set_up_logging
from headgate.app.notify import Notify
from headgate.app.runtimefile import Running, find_running, forget_running, write_running
from headgate.app.settings import PluginSettings
from headgate.app.supervise import keep_running, store_failure
from headgate.app.telemetry import Telemetry
from headgate.app.views import provider_id_of
from headgate.core.clock import ManualClock, SystemClock
from headgate.core.errors import ConfigError, StoreFailed
from headgate.core.metrics import METRICS
from headgate.core.ports import Plugin
from headgate.plugins import PluginConfig

ROOT = Path(__file__).parents[3]
CANARY = "canary-1b7e5-secret"


def test_messages_reach_an_abstract_socket() -> None:
    """Systemd may give one; its name begins with @."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"headgate-test-{os.getpid()}"
        listener.bind("\0" + name)
        listener.settimeout(5)
        Notify(ManualClock(), {"NOTIFY_SOCKET": "@" + name}).ready("serving")
        assert listener.recv(100) == b"READY=1\nSTATUS=serving"


def test_no_supervisor_and_a_gone_one_are_no_trouble(tmp_path: Path) -> None:
    """Nothing is sent, nothing is raised."""
    Notify(ManualClock(), {}).ready("x")
    Notify(ManualClock(), {"NOTIFY_SOCKET": str(tmp_path / "gone")}).watchdog()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
    ],
)
def test_the_watchdog_interval(environ: dict[str, str], expected: float | None) -> None:
    """Only when it is meant for this process."""
    assert expected == Notify(ManualClock(), environ).watchdog_seconds


def test_the_daemon_of_a_store_is_found_until_it_is_gone(tmp_path: Path) -> None:
    """The file is private; a dead process, a damaged file and no file all mean nobody."""
    store = tmp_path / "x.db"
    assert find_running(store) is None
    write_running(store, Running(os.getpid(), "http://h", "http://w"))
    assert find_running(store) == Running(os.getpid(), "http://h", "http://w")
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    write_running(store, Running(2**22 + 1, "http://h", "http://w"))
    assert find_running(store) is None
    file.write_text("{")
    assert find_running(store) is None
    forget_running(store)
    assert list(tmp_path.iterdir()) == []


def test_every_declared_metric_is_kept_and_shown() -> None:
    """All of core.metrics, each kind by its own method; nothing else."""
    telemetry = Telemetry()
    for name, definition in METRICS.items():
        labels = dict.fromkeys(definition.labels, "x")
        act = {"counter": telemetry.count, "gauge": telemetry.set, "histogram": telemetry.observe}[definition.kind]
        act(name, 1, **labels)
    page = telemetry.page().decode()
    for name in METRICS:
        assert re.search(rf"^{name}(_count)?({{[^}}]*}})? 1\.0$", page, re.MULTILINE), name
    with pytest.raises(KeyError):
        telemetry.count("headgate_invented_total")
    with pytest.raises(ValueError, match="label"):
        telemetry.count("headgate_reloads_total", project="x")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    redactor = Redactor()
    redactor.learn([CANARY, "abc"])
    before = logging.getLogger().handlers[:]
    set_up_logging(level="info", form="json", redactor=redactor, stream=stream)
    yield stream
    logging.getLogger().handlers[:] = before
    structlog.reset_defaults()


def test_the_log_is_json_and_hides_secrets_wherever_they_are(log: io.StringIO) -> None:
    """In the event, in values, nested, in tracebacks, and from libraries' loggers."""
    ours = structlog.get_logger("headgate.x")
    ours.info(f"with {CANARY}", nested={"deep": [CANARY]}, abc="abc")
    try:
        int(CANARY)
    except ValueError:
        ours.exception("failed")
    logging.getLogger("library").warning("said %s", CANARY)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert CANARY not in log.getvalue()
    assert lines[0]["event"] == "with [redacted]"
    assert {"level": "info", "logger": "headgate.x", "abc": "abc"}.items() <= lines[0].items()
    assert "[redacted]" in lines[1]["exception"]
    assert lines[2]["event"] == "said [redacted]"


def test_request_ids_travel_in_context(log: io.StringIO) -> None:
    """What is bound once is on every line."""
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("headgate.x").info("inside")
    assert json.loads(log.getvalue())["request_id"] == "r-1"


def test_secrets_are_found_at_any_depth() -> None:
    """Models, lists, maps."""

    class Inner(PluginConfig):
        key: SecretStr

    found = secrets_of({"a": [Inner(key=SecretStr(CANARY))], "b": (SecretStr("other-secret"),), "c": 1})
    assert [CANARY, "other-secret"] == list(found)


def test_a_secret_address_is_hidden_in_parts_too() -> None:
    """A client that writes the address its own way, or the path alone, gives nothing away; the host stays readable."""
    redactor = Redactor()
    redactor.learn(secrets_of(SecretStr("http://Hooks.example/services/T0-0123456789abcdef?key=0123456789abcdef&a=b")))
    said = redactor.text(
        "POST http://hooks.example:443/services/T0-0123456789abcdef?key=0123456789abcdef 403: 0123456789abcdef is wrong"
    )
    assert said == "POST http://hooks.example:443/[redacted]?key=[redacted] 403: [redacted] is wrong"
    assert redactor.text("services of Hooks.example") == "services of Hooks.example"


def _missing(_name: str, _config: object, _context: object) -> None:
    raise ImportError("No module named 'elasticsearch'")


def test_a_missing_client_names_the_command_that_installs_it() -> None:
    """A person can copy it."""
    plugin = Plugin("sink", "elasticsearch", PluginConfig, _missing, "elasticsearch")
    with pytest.raises(ConfigError, match=re.escape("pip install 'headgate[elasticsearch]'")):
        build_parts([PluginSettings("es", plugin, PluginConfig())], context_of(SystemClock(), Telemetry()))


async def test_a_part_that_fails_starts_again_and_a_failed_store_ends_it(log: io.StringIO) -> None:
    """One unforeseen error is logged; StoreFailed comes out, also from a group."""
    runs: list[int] = []

    async def part() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError("unforeseen")
        raise ExceptionGroup("group", [ValueError("x"), StoreFailed("flush")])

    with pytest.raises(StoreFailed, match="flush"):
        await keep_running("part", part, ManualClock(jitter=0.0))
    assert len(runs) == 2
    assert json.loads(log.getvalue().splitlines()[0])["part"] == "part"


async def test_cancelling_a_supervised_part_gets_through() -> None:
    """A stop is never taken for a failure."""
    task = asyncio.create_task(keep_running("part", asyncio.Event().wait, ManualClock()))  # type: ignore[arg-type]  # waits
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store_failure(ValueError()) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "https://app.circleci.com/pipelines/github/acme/web/12/workflows/103316E3-dc90-4f00-b223-afbeb0dd4fb6/jobs/3",
            "103316e3-dc90-4f00-b223-afbeb0dd4fb6",
        ),
        (" job-7 ", "job-7"),
    ],
)
def test_an_address_is_read_for_its_id(query: str, expected: str) -> None:
    """The last UUID, else the text."""
    assert expected == provider_id_of(query)


def test_every_reason_is_documented() -> None:
    """docs/check-reasons.md is the closed set, with the same words."""
    text = (ROOT / "docs" / "check-reasons.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.+?) \|", text, re.MULTILINE))
    assert rows == REASONS
