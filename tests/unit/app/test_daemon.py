"""The daemon as a process: ready line, health, signals, reload, supervisor, exit codes, the demo."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.e2e.harness import headgate

from headgate.cli import main
from headgate.core.alertdata import AlertState, encode_alert, new_alert
from headgate.core.clock import ManualClock, SystemClock
from headgate.core.messages import Notification, payload_of
from headgate.core.metrics import NullMetrics
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry
from headgate.core.times import HOUR_MS
from headgate.store.sqlite import SqliteStore
from headgate.testing.relay import make_certificate

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nothing is asked over TLS

CANARY = "canary-9d2c1-secret"
SOURCE = {
    "type": "circleci",
    "webhook": {"secrets": [CANARY]},
    "poll": {"enabled": False},
}


def configuration(directory: Path, **changes: Any) -> Path:
    data: dict[str, Any] = {
        "version": 1,
        "store": {"url": f"sqlite://{directory / 'headgate.db'}"},
        "http": {"listen": "127.0.0.1:0"},
        "webhooks": {"listen": "localhost:0"},
        "sources": {"circleci": SOURCE},
        "sinks": {"file": {"type": "jsonl", "path": str(directory / "records.jsonl")}},
        **changes,
    }
    file = directory / "headgate.yaml"
    file.write_text(json.dumps(data))
    return file


@dataclass
class Process:
    """A daemon under test and what it said."""

    popen: subprocess.Popen[str]
    ready: dict[str, Any]
    said: list[str]

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.ready["http"] + path, **{"verify": NO_AUTHORITIES, "trust_env": False, **options})

    def until_said(self, pattern: str) -> str:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.said.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"never said {pattern}: {self.said}")

    def stop(self, number: int = signal.SIGTERM) -> float:
        began = time.monotonic()
        self.popen.send_signal(number)
        _, rest = self.popen.communicate(timeout=10)
        self.said.append(rest)
        return time.monotonic() - began


def command(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return headgate(*words, env={**os.environ, **environ})


@contextmanager
def daemon(file: Path, *words: str, **environ: str) -> Iterator[Process]:
    popen = subprocess.Popen(
        [sys.executable, "-m", "headgate", "run", "-c", str(file), *words],
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process = Process(popen, {}, [])
    try:
        process.ready = json.loads(process.until_said('"event":"ready"'))
        yield process
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.communicate()
        for stream in (popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()


def test_a_daemon_from_ready_to_term(tmp_path: Path) -> None:
    """Ready line, both listeners, health, page, status, and a stop within 5 s with exit 0."""
    file = configuration(tmp_path)
    with daemon(file) as process:
        ready = process.ready
        assert {"event", "http", "webhooks", "store", "version"} == set(ready)
        assert ready["http"] != ready["webhooks"]
        assert [200] * 4 == [process.get(path).status_code for path in ("/livez", "/readyz", "/metrics", "/")]
        hook = httpx.post(
            ready["webhooks"] + "/webhooks/circleci", content=b"{}", verify=NO_AUTHORITIES, trust_env=False
        )
        assert hook.status_code == 415
        assert process.get("/webhooks/circleci").status_code == 404
        status = json.loads(command("status", "--json", "-c", str(file)).stdout)
        assert {"sinks", "inbox", "sources", "audit", "store", "files", "notifiers"} == set(status)
        assert {"expected", "present", "repaired", "unrepairable", "unannounced"} == set(status["audit"])
        assert {
            "calls",
            "gone",
            "budget_left",
            "calls_per_hour",
            "calls_per_hour_estimate",
            "last_complete_walk",
            "last_insights",
            "refused",
            "waits_until",
        } == set(status["sources"]["circleci"])
        signal_keys = {"state", "cursor", "lag_seconds", "waiting", "dead", "skipped", "accepted", "replay"}
        assert signal_keys == set(status["sinks"]["file"]["signals"]["lines"])
        assert {"bytes", "schema"} == set(status["store"])
        assert 'headgate_webhook_requests_total{source="circleci",status="415"} 1.0' in process.get("/metrics").text
        assert process.stop() < 5
    assert process.popen.returncode == 0
    assert CANARY not in "".join(process.said)
    assert list(tmp_path.glob("*.daemon.json")) == []


def test_a_second_process_on_the_store_is_refused(tmp_path: Path) -> None:
    """Exit 3, one line that says what to do; the first one goes on."""
    file = configuration(tmp_path)
    with daemon(file) as process:
        second = command("run", "-c", str(file))
        assert second.returncode == 3
        assert "another process holds" in second.stderr
        assert "Traceback" not in second.stderr
        assert process.get("/readyz").status_code == 200
        assert process.stop(signal.SIGINT) < 5
    assert process.popen.returncode == 0


def test_a_hang_up_swaps_what_changed_and_refuses_what_is_wrong(tmp_path: Path) -> None:
    """A bad file changes nothing and is told; a good one adds a sink."""
    file = configuration(tmp_path)
    with daemon(file) as process:
        file.write_text(file.read_text().replace('"jsonl"', '"jsnl"'))
        process.popen.send_signal(signal.SIGHUP)
        assert "no sink of type jsnl" in process.until_said("reload refused")
        assert process.get("/readyz").status_code == 200
        more = {"type": "jsonl", "path": str(tmp_path / "more.jsonl")}
        configuration(tmp_path, sinks={"more": more}, log={"level": "debug"})
        process.popen.send_signal(signal.SIGHUP)
        process.until_said('"reloaded"|reloaded')
        assert "more" in process.get("/api/v1/status").json()["sinks"]
        metrics = process.get("/metrics").text
        assert 'headgate_reloads_total{result="refused"} 1.0' in metrics
        assert 'headgate_reloads_total{result="done"} 1.0' in metrics
        answer = httpx.post(
            process.ready["http"] + "/api/v1/reload",
            headers={"x-headgate-request": "1"},
            verify=NO_AUTHORITIES,
            trust_env=False,
        )
        assert (True, []) == (answer.json()["ok"], answer.json()["changed"])
        assert process.stop() < 5
    assert process.popen.returncode == 0


def test_the_supervisor_is_told_of_each_state(tmp_path: Path) -> None:
    """READY, WATCHDOG, RELOADING, READY, STOPPING on a real datagram socket."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(20)
        heard: list[str] = []

        def until(word: str) -> None:
            while not any(message.startswith(word) for message in heard):
                heard.append(listener.recv(4096).decode())

        with daemon(configuration(tmp_path), NOTIFY_SOCKET=address, WATCHDOG_USEC="600000") as process:
            until("READY=1")
            until("WATCHDOG=1")
            process.popen.send_signal(signal.SIGHUP)
            until("RELOADING=1\nMONOTONIC_USEC=")
            heard.clear()
            until("READY=1")
            process.popen.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            process.popen.communicate(timeout=10)


def test_tokens_guard_the_page_and_commands_still_work(tmp_path: Path) -> None:
    """With http.access the page asks; the command takes the token from the configuration."""
    file = configuration(tmp_path, http={"listen": "127.0.0.1:0", "access": {"tokens": ["${UI_TOKEN}"]}})
    with daemon(file, UI_TOKEN=CANARY) as process:
        assert [401, 401, 200] == [process.get(path).status_code for path in ("/", "/api/v1/status", "/readyz")]
        assert process.get("/", headers={"authorization": f"Bearer {CANARY}"}).status_code == 200
        assert command("status", "--json", "-c", str(file), UI_TOKEN=CANARY).returncode == 0
        assert process.stop() < 5
    assert CANARY not in "".join(process.said)


def test_listeners_speak_tls_with_the_newest_certificate(tmp_path: Path) -> None:
    """Both; commands know it, a signal brings the next one, and the trail knows who did what."""
    certificate, key = make_certificate(tmp_path)
    tls = {"cert": certificate.name, "key": key.name}
    file = configuration(
        tmp_path,
        http={"listen": "127.0.0.1:0", "tls": tls, "access": {"tokens": [{"token": "${UI_TOKEN}", "role": "viewer"}]}},
        webhooks={"listen": "localhost:0", "tls": tls},
    )
    shown = {"authorization": f"Bearer {CANARY}"}
    with daemon(file, UI_TOKEN=CANARY) as process:
        assert [True, True] == [process.ready[name].startswith("https://") for name in ("http", "webhooks")]
        trust = ssl.create_default_context(cafile=str(certificate))
        answer = process.get("/run/nothing", headers=shown, verify=trust)
        assert (404, "max-age=31536000") == (answer.status_code, answer.headers["strict-transport-security"])
        hook = httpx.post(process.ready["webhooks"] + "/webhooks/circleci", verify=trust, trust_env=False)
        assert hook.status_code in {400, 401, 403, 411, 415}
        assert command("status", "-c", str(file), UI_TOKEN="").returncode == 0

        make_certificate(tmp_path)
        process.popen.send_signal(signal.SIGHUP)
        process.until_said("reloaded")
        with pytest.raises(httpx.ConnectError):
            process.get("/livez", verify=trust)
        assert process.get("/livez", verify=ssl.create_default_context(cafile=str(certificate))).status_code == 200
        done = command("trail", "--json", "-c", str(file), UI_TOKEN="")
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        assert ["read token", "reload local"] == [f"{one['action']} {one['who']}" for one in entries], done.stderr

        key.write_text("junk")
        process.popen.send_signal(signal.SIGHUP)
        assert "loopback.key cannot be used" in process.until_said("reload refused")
        assert process.stop() < 5
    assert CANARY not in "".join(process.said)


def _with_credentials(directory: Path) -> Path:
    """A configuration all of whose secrets are systemd credentials."""
    source = {**SOURCE, "webhook": {"secrets": ["${credential:hook}"]}}
    http = {"listen": "127.0.0.1:0", "access": {"tokens": ["hg-${credential:page}"]}}
    return configuration(directory, sources={"circleci": source}, http=http)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The store that a daemon leaves behind."""
    directory = tmp_path_factory.mktemp("left")
    with daemon(configuration(directory)) as process:
        process.stop()
    return (directory / "headgate.db").read_bytes()


@pytest.mark.parametrize("words", [["status"], ["tail"], ["deadletters", "list"], ["alerts", "list"], ["doctor"]])
def test_commands_without_a_need_for_secrets_do_without_them(tmp_path: Path, words: list[str], left: bytes) -> None:
    """On a host whose credentials only the service sees, over a store that no daemon has open."""
    file = _with_credentials(tmp_path)
    (tmp_path / "headgate.db").write_bytes(left)
    done = command(*words, "-c", str(file), CREDENTIALS_DIRECTORY="")
    assert (0, "") == (done.returncode, done.stderr.replace("No dead letters.\n", "").replace("No alert.\n", "")) or (
        words == ["doctor"] and "left out" in done.stderr and done.returncode == 0
    ), done.stderr


def test_commands_that_need_a_credential_say_how_to_give_it(tmp_path: Path) -> None:
    """`check`: exit 2, and the words to run it with. The running daemon opens to its own user without any."""
    file = _with_credentials(tmp_path)
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "hook").write_text(CANARY)
    (given / "page").write_text(CANARY)
    with daemon(file, CREDENTIALS_DIRECTORY=str(given)) as process:
        done = command("check", "-c", str(file), CREDENTIALS_DIRECTORY="")
        assert done.returncode == 2, done.stderr
        assert "sudo CREDENTIALS_DIRECTORY=/run/credentials/headgate.service headgate" in done.stdout + done.stderr
        assert command("status", "-c", str(file), CREDENTIALS_DIRECTORY="").returncode == 0
        process.stop()


def test_one_address_may_serve_both(tmp_path: Path) -> None:
    """Equal addresses share a socket."""
    file = configuration(tmp_path, webhooks={"listen": "127.0.0.1:0"})
    with daemon(file) as process:
        assert process.ready["http"] == process.ready["webhooks"]
        assert process.get("/readyz").status_code == 200
        assert process.get("/webhooks/circleci").status_code == 405
        process.stop()


def test_piped_tables_say_what_their_columns_are(tmp_path: Path) -> None:
    """Names first, tab separated."""
    file = configuration(tmp_path)
    with daemon(file) as process:
        lines = command("status", "-c", str(file)).stdout.splitlines()
        process.stop()
    assert lines[0] == "Signal\tState\tAccepted\tWaiting\tLag\tDead"
    assert lines[1].startswith("file.lines\tok\t0\t")


def test_an_idle_daemon_stops_at_once(tmp_path: Path) -> None:
    """With a sink that is down, a page that stays connected and a notifier.

    It takes half a second; a busy machine may take more, and whatever waits for its time-out takes all of 5 s.
    """
    sinks = {"loki": {"type": "loki", "url": "http://127.0.0.1:9"}}
    notifiers = {"ops": {"type": "webhook", "url": "http://127.0.0.1:9"}}
    file = configuration(tmp_path, sinks=sinks, alerts={"notifiers": notifiers})
    with daemon(file) as process, httpx.Client(verify=NO_AUTHORITIES, trust_env=False) as page:
        assert page.get(process.ready["http"] + "/readyz").status_code == 200
        assert process.stop() < 4
    assert process.popen.returncode == 0


async def _over_and_untold(directory: Path) -> None:
    """A store in which an alert is over whose beginning waits to be told since three hours ago."""
    clock = ManualClock(SystemClock().now_ms() - 3 * HOUR_MS)
    store = SqliteStore(directory / "headgate.db", clock=clock, metrics=NullMetrics())
    await store.open()
    now_ms = clock.now_ms()
    said = Notification("k", "f", "Failing", "firing", "breach", {}, {}, now_ms, None, now_ms, {})
    over = msgspec.structs.replace(new_alert(now_ms), state=AlertState.RESOLVED, since_ms=now_ms)
    row = AlertRow("f", "Failing", {}, "resolved", encode_alert(over), now_ms)
    change = AlertChange(rows=[row], outbox=[OutboxEntry("file", "k", payload_of(said), now_ms, "")])
    await store.transition(change)
    await store.close()


def test_after_a_restart_nobody_is_told_of_what_is_long_over(tmp_path: Path) -> None:
    """What waited in the outbox is judged by the stored alerts, before the first evaluation of the new process."""
    asyncio.run(_over_and_untold(tmp_path))
    told = tmp_path / "told.jsonl"
    alerts = {"notifiers": {"file": {"type": "jsonl", "path": str(told)}}}
    with daemon(configuration(tmp_path, alerts=alerts)) as running:
        for _ in range(600):
            found = re.search(r"headgate_notifications_total\{(.*)\} 1", running.get("/metrics").text)
            if found:
                break
    assert found is not None
    assert 'outcome="unwanted"' in found[1]
    assert not told.exists()


def test_until_idle_ends_by_itself(tmp_path: Path) -> None:
    """Nothing to do: exit 0."""
    done = command("run", "-c", str(configuration(tmp_path)), "--until-idle", "--timeout", "30")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "-c", "{dir}/nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["run", "-c", "{dir}/bad.yaml"], 2, 'bad.yaml:2: sinkss: unknown key; did you mean "sinks"?'),
        (["run", "--no-such-flag"], 2, "No such option"),
        (["status", "-c", "{dir}/headgate.yaml"], 3, "there is no store yet"),
        (["check", "-c", "{dir}/bad.yaml"], 2, "config_invalid"),
        (["explain", "x", "-c", "{dir}/headgate.yaml"], 3, "there is no store yet"),
        (["rules", "check", "{dir}/bad.yaml"], 1, "bad.yaml"),
        (["sinks", "reset", "x", "-c", "{dir}/headgate.yaml"], 2, "Missing option '--start'"),
        (["sinks", "reset", "x", "--start", "soon", "-c", "{dir}/headgate.yaml"], 2, "soon"),
    ],
    ids=["no-file", "typing", "flag", "no-store", "check", "explain", "rules", "start", "moment"],
)
def test_exit_codes(tmp_path: Path, words: list[str], code: int, says: str) -> None:
    """1 a problem, 2 usage or configuration, 3 the store; never a traceback."""
    configuration(tmp_path)
    (tmp_path / "bad.yaml").write_text("version: 1\nsinkss: {}\n")
    done = command(*[word.format(dir=tmp_path) for word in words])
    assert code == done.returncode, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_store_that_cannot_be_made_is_exit_code_3(tmp_path: Path) -> None:
    """A directory that cannot be made, because a file stands in its way, is said without a traceback."""
    (tmp_path / "file").touch()
    done = command("run", "-c", str(configuration(tmp_path, store={"url": f"sqlite://{tmp_path}/file/sub/x.db"})))
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert "cannot be made" in done.stderr


def test_a_damaged_store_is_told_of(tmp_path: Path) -> None:
    """In the log of the start that set it aside, and in `status` afterwards."""
    file = configuration(tmp_path)
    (tmp_path / "headgate.db").write_bytes(b"no database" * 1000)
    with daemon(file) as process:
        process.stop()
    assert "store was damaged" in "".join(process.said)
    said = command("status", "-c", str(file)).stdout
    assert "damaged: set aside as headgate.db.damaged-1" in said


def _flip_page(whole: bytes) -> bytes:
    """A page in the middle that holds nothing of what it did."""
    middle = len(whole) // 2 // 4096 * 4096
    return whole[:middle] + b"\xff" * 4096 + whole[middle + 4096 :]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda _whole: b"no database" * 1000, "file is not a database"),
        (lambda _whole: b"", "the file is empty"),
        (lambda whole: whole[: len(whole) // 2], "is damaged: "),
        (_flip_page, "is damaged: "),
    ],
    ids=["text", "empty", "cut", "page"],
)
def test_commands_never_repair_a_damaged_store(
    tmp_path: Path, damage: Callable[[bytes], bytes], says: str, left: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """They say what is wrong, where, and what repairs it, with exit 3, and leave every byte as it is."""
    file = configuration(tmp_path)
    database = tmp_path / "headgate.db"
    database.write_bytes(damage(left))
    before = database.read_bytes()
    for words in (["status"], ["explain", "x"], ["sinks", "reset", "file", "--start", "now"]):
        assert main([*words, "-c", str(file)]) == 3
        said = capsys.readouterr().err
        assert says in said
        assert str(database) in said
        assert "`headgate run` sets the file aside" in said
    assert before == database.read_bytes()
    assert [] == [path.name for path in tmp_path.iterdir() if "damaged" in path.name or "salvage" in path.name]


def test_check_finds_rules_with_which_run_would_not_start(tmp_path: Path) -> None:
    """A rule file that is missing, with a reason of its own and exit code 1."""
    done = command("check", "--json", "-c", str(configuration(tmp_path, alerts={"rules": ["rules/*.yaml"]})))
    found = {line["name"]: line["reason"] for line in map(json.loads, done.stdout.splitlines())}
    assert (found["alerts"], done.returncode) == ("rules_invalid", 1)


def test_a_source_that_collects_nothing_is_told(tmp_path: Path) -> None:
    """By `check` with exit 1, in the log of `run`, and by `status`: each says what to set."""
    source = {"type": "circleci", "token": CANARY, "base_url": "http://127.0.0.1:9", "orgs": "${CIRCLECI_ORGS:-}"}
    file = configuration(tmp_path, sources={"circleci": source})
    done = command("check", "--json", "-c", str(file), CIRCLECI_ORGS="")
    found = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}["source circleci scope"]
    assert (False, "collects_nothing", 1) == (found["ok"], found["reason"], done.returncode)
    assert "CIRCLECI_ORGS" in found["fix"]
    with daemon(file, CIRCLECI_ORGS="") as process:
        said = command("status", "-c", str(file), CIRCLECI_ORGS="").stdout
        process.stop()
    assert "! Source circleci polls nothing: orgs is empty" in said
    assert any("source polls nothing" in line and "CIRCLECI_ORGS" in line for line in process.said)
    with_orgs = command("check", "--json", "-c", str(file), CIRCLECI_ORGS="gh/acme, gh/other").stdout
    assert "source circleci scope" not in with_orgs


def test_check_prints_json_lines_and_keeps_secrets(tmp_path: Path) -> None:
    """One object a line with the four keys; reasons of the closed set."""
    done = command("check", "--json", "-c", str(configuration(tmp_path)))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"name", "ok", "reason", "fix"} == set(lines[0])
    assert {"config", "store"} <= {line["name"] for line in lines}
    assert CANARY not in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


def test_doctor_measures_and_its_bundle_has_no_secret(tmp_path: Path) -> None:
    """Findings as JSON Lines; configuration, status, versions in the bundle."""
    import tarfile

    target = tmp_path / "bundle.tar.gz"
    notifiers = {"ops": {"type": "webhook", "url": f"https://hooks.example/{CANARY}?key={CANARY}"}}
    file = configuration(tmp_path, alerts={"notifiers": notifiers})
    done = command("doctor", "--json", "--bundle", str(target), "-c", str(file))
    names = {json.loads(line)["name"] for line in done.stdout.splitlines()}
    assert {"flush_median", "flush_p99", "expected_webhooks", "sqlite", "disk_free"} <= names
    with tarfile.open(target) as bundle:
        held = {entry.name: bundle.extractfile(entry).read() for entry in bundle}  # type: ignore[union-attr]  # all files
    assert {"configuration.json", "status.json", "versions.json", "findings.json"} == {
        name.removeprefix("headgate-doctor/") for name in held
    }
    assert CANARY.encode() not in b"".join(held.values())


def test_backup_and_restore(tmp_path: Path) -> None:
    """A copy made while the daemon runs becomes the store of an empty host."""
    file = configuration(tmp_path)
    copy = tmp_path / "copy.db"
    with daemon(file) as process:
        assert command("backup", str(copy), "-c", str(file)).returncode == 0
        again = command("backup", str(copy), "-c", str(file))
        assert (1, True) == (again.returncode, "does not exist" in again.stderr)
        process.stop()
    other = tmp_path / "other"
    other.mkdir()
    restored = command("restore", str(copy), "-c", str(configuration(other)))
    assert restored.returncode == 0, restored.stderr
    assert command("status", "--json", "-c", str(other / "headgate.yaml")).returncode == 0
    assert command("restore", str(copy), "-c", str(other / "headgate.yaml")).returncode == 3


def test_help_and_version_are_quick_and_complete() -> None:
    """Every command is listed; nothing heavy is imported for it."""
    listed = command("--help").stdout
    for word in ("run", "demo", "check", "status", "tail", "explain", "deadletters", "replay", "sinks", "schema"):
        assert word in listed
    for word in ("rules", "alerts", "backup", "restore", "doctor"):
        assert word in listed
    assert command("--version").stdout.startswith("headgate ")
    code = (
        "import sys, headgate.cli.application; print([m for m in ('fastapi', 'apsw', 'uvicorn') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
