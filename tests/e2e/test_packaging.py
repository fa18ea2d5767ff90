"""The unit file, the container file, the example configurations: checked by the tools that will read them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jsonschema_rs
import pytest
import yaml
from tests.e2e.harness import (
    CHILD_ENV,
    ROOT,
    SECRET,
    Child,
    Daemon,
    ancient_loki,
    free_port,
    made_up_job,
    signature,
    wait_until,
    write_config,
)

from headgate.app.settings import load
from headgate.plugins import load_plugins
from headgate.testing.relay import make_certificate
from headgate.testing.sinks import FakeVendor

UNIT = ROOT / "systemd" / "headgate.service"
COMPOSE = ROOT / "config" / "sidecar" / "compose.yaml"
CONFIGS = sorted(ROOT.glob("config/**/*.yaml"))
DUMMY = {
    "CIRCLECI_TOKEN": "dummy-token",
    "CIRCLECI_WEBHOOK_SECRET": "dummy-secret",
    "DD_API_KEY": "dummy-key",
    "ES_API_KEY": "ZHVtbXk6ZHVtbXk=",
    "NEW_RELIC_ACCOUNT_ID": "1",
    "NEW_RELIC_LICENSE_KEY": "dummy-key",
    "SLACK_TOKEN": "xoxb-dummy",
    "SUMO_APP_URL": "https://collectors.example/receiver/v1/http/dummy-app",
    "SUMO_URL": "https://collectors.example/receiver/v1/http/dummy",
}
SECRET_WORDS = re.compile(r"token|secret|passw|api_?key|credential", re.IGNORECASE)


# --- systemd --------------------------------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path):
    """The unit file with a program that exists here, for the tools look for it."""
    copy = tmp_path / UNIT.name
    text, found = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", UNIT.read_text())
    assert found == 1
    copy.write_text(text)
    return copy


def test_systemd_finds_nothing_wrong_with_the_unit(unit):
    """`systemd-analyze verify` is silent and content."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_the_unit_offers_for_certificates_is_right_too(unit):
    """Lines that are commented out are as good as the others, and are those of the page."""
    text, offered = re.subn(r"(?m)^#(?=[A-Z]\w+=)", "", unit.read_text())
    assert offered == 3
    unit.write_text(text)
    test_systemd_finds_nothing_wrong_with_the_unit(unit)
    page = (ROOT / "docs" / "access.md").read_text()
    assert [
        line for line in re.findall(r"(?m)^(?:LoadCredential=tls-|SupplementaryGroups=).*", text) if line in page
    ] == (re.findall(r"(?m)^(?:LoadCredential|SupplementaryGroups)=.*", page))


def test_the_unit_is_well_locked_in(unit):
    """`systemd-analyze security` gives 2.0 or better."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", str(unit)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stdout[-300:] + done.stderr
    assert (done.returncode, float(level[1]) <= 2.0) == (0, True), level[0]


@contextmanager
def supervisor(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A socket such as systemd's; gives its address and a list that `collect` fills."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(folder / "notify"))
        ear.setblocking(False)
        heard: list[str] = []

        class Heard(list[str]):
            def collect(self) -> list[str]:
                while True:
                    try:
                        heard.append(ear.recv(4096).decode())
                    except BlockingIOError:
                        return heard

        yield str(folder / "notify"), Heard()


def words(heard: list[str]) -> list[str]:
    """The first line of each message, which is what systemd acts on."""
    return [message.splitlines()[0] for message in heard]


def test_systemd_is_told_ready_watchdog_reload_and_stopping(tmp_path):
    """READY once serving, WATCHDOG while the writer answers, RELOADING around a HUP, STOPPING at the end."""
    config = write_config(tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}})
    with supervisor(tmp_path) as (address, ear):
        daemon = Daemon(config, env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"})
        with daemon:
            wait_until(lambda: words(ear.collect()).count("WATCHDOG=1") >= 3, "three signs of life", 10)
            assert "READY=1" in words(ear.collect())
            before = len(ear.collect())
            daemon.send(signal.SIGHUP)
            wait_until(lambda: "READY=1" in words(ear.collect()[before:]), "ready after the reload", 10)
            reload = [word for word in words(ear.collect()[before:]) if word != "WATCHDOG=1"]
            assert reload == ["RELOADING=1", "READY=1"]
            message = next(one for one in ear.collect() if one.startswith("RELOADING=1"))
            assert re.search(r"^MONOTONIC_USEC=\d+$", message, re.MULTILINE)
            assert daemon.stop() == 0
        assert "STOPPING=1" in words(ear.collect())
        assert words(ear.collect()).index("READY=1") < words(ear.collect()).index("STOPPING=1")


# --- configurations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [path for path in CONFIGS if "version: 1" in path.read_text()],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_each_example_configuration_is_valid(path, tmp_path):
    """What we hand out can be used with nothing but the environment variables and the authority that it names."""
    if "ca_file:" in path.read_text():
        authority = ROOT / "tests" / "unit" / "deliver" / "data" / "ca.pem"
        given = tmp_path / path.name
        given.write_text(re.sub(r"ca_file: .*", f"ca_file: {authority}", path.read_text()))
        path = given
    named = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", path.read_text()), "dummy-secret")
    configuration = load(load_plugins(), file=path, environ=named | DUMMY)
    assert configuration.sources or configuration.sinks


def test_the_container_needs_a_token_only():
    """The configuration in the image is valid without a webhook secret; no webhook is then taken."""
    configuration = load(load_plugins(), file=ROOT / "config" / "container.yaml", environ={"CIRCLECI_TOKEN": "dummy"})
    assert configuration.sources["circleci"].config.webhook.secrets == ()
    assert "CIRCLECI_ORGS" in configuration.idle["circleci"]


def test_the_container_takes_organisations_from_a_variable():
    """`docker run -e CIRCLECI_ORGS=gh/acme,gh/other` is all that it takes."""
    given = {"CIRCLECI_TOKEN": "dummy", "CIRCLECI_ORGS": "gh/acme, gh/other"}
    configuration = load(load_plugins(), file=ROOT / "config" / "container.yaml", environ=given)
    assert configuration.sources["circleci"].config.orgs == ("gh/acme", "gh/other")
    assert configuration.idle == {}


def test_the_sidecar_example_runs_without_rights():
    """The compose file restricts the container and holds no secret."""
    compose = yaml.safe_load((ROOT / "config" / "sidecar" / "compose.yaml").read_text())
    service = compose["services"]["headgate"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert all(str(value).startswith("${") for value in service["environment"].values())


def test_the_sidecar_example_keeps_the_compose_specification():
    """Every key and value is one that the specification knows; volumes and dependencies that are named exist."""
    compose = yaml.safe_load(COMPOSE.read_text())
    schema = json.loads((ROOT / "tests" / "data" / "compose" / "compose_spec.json").read_text())
    known = jsonschema_rs.Draft7Validator(schema)
    known.validate(compose)
    misspelt = {"services": {"headgate": {**compose["services"]["headgate"], "capdrop": ["ALL"]}}}
    assert not known.is_valid(misspelt)
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        for volume in service.get("volumes", ()):
            place = volume.partition(":")[0]
            exists = (COMPOSE.parent / place).is_file() if place.startswith(".") else place in compose["volumes"]
            assert exists, volume
    image = dict(final_stage())
    assert compose["services"]["headgate"]["user"] == image["USER"]
    assert "/var/lib/headgate" in image["VOLUME"]


# Everything read-only but a volume at the place that the example names; then no rights.
CONFINED = """
set -e
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/headgate
mount --bind "$1" /var/lib/headgate
shift
mount -o remount,bind,ro /
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
"""


@pytest.mark.xfail(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare", run=False, strict=True
)
def test_the_sidecar_configuration_forwards_from_a_read_only_root(tmp_path):
    """The example's own configuration, with the secrets of the compose file alone, takes a webhook and forwards it."""
    volume, port, hooks = tmp_path / "volume", free_port(), free_port()
    volume.mkdir()
    with FakeVendor("loki", **ancient_loki()) as loki:
        text = (COMPOSE.parent / "headgate.yaml").read_text().replace("http://loki:3100", loki.url)
        config = tmp_path / "headgate.yaml"
        config.write_text(
            text.replace("0.0.0.0:8081", f"127.0.0.1:{hooks}").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        )
        names = yaml.safe_load(COMPOSE.read_text())["services"]["headgate"]["environment"]
        env = dict.fromkeys(names, SECRET) | {
            "HEADGATE__SOURCES__CIRCLECI__BASE_URL": f"http://127.0.0.1:{free_port()}",
            "HEADGATE__SOURCES__CIRCLECI__ENRICH": "none",
            "HEADGATE__SINKS__LOKI__MAX_AGE": "10000d",
        }
        inner = [sys.executable, "-m", "headgate", "run", "-c", str(config)]
        command = ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", CONFINED, "run", str(volume), *inner]
        with Child(command, tmp_path / "log", env=env) as confined:
            confined.start()
            body = made_up_job(1)
            headers = {"content-type": "application/json", "circleci-signature": signature(SECRET, body)}
            answer = httpx.post(
                f"http://127.0.0.1:{hooks}/webhooks/circleci", content=body, headers=headers, trust_env=False
            )
            assert answer.status_code == 200
            wait_until(loki.stored, "the record at Loki", 60)
        assert (volume / "headgate.db").is_file()


# --- the container file ---------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", "\n".join(line for line in _dockerfile().splitlines() if not line.startswith("#")))
    pairs = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(pair[0].upper(), pair[1].strip()) for pair in pairs]


def _dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    last = max(at for at, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
def test_the_container_starts_in_exec_form(name):
    """Signals reach the daemon, not a shell."""
    [rest] = [rest for kind, rest in final_stage() if kind == name]
    assert all(isinstance(word, str) for word in json.loads(rest))


def health_check() -> list[str]:
    """The command of the health check, which is in exec form."""
    [rest] = [rest for kind, rest in final_stage() if kind == "HEALTHCHECK"]
    command: list[str] = json.loads(rest.partition("CMD ")[2])
    return command


def test_the_health_check_asks_the_daemon_of_the_image():
    """By the store that the image's configuration names."""
    settings = yaml.safe_load((ROOT / "config" / "container.yaml").read_text())
    assert health_check()[-1] == settings["store"]["url"].removeprefix("sqlite://")


@pytest.mark.parametrize("tls", [False, True])
def test_the_container_checks_its_own_health(tmp_path, tls):
    """Healthy while the daemon runs, whichever port it has and whether it speaks TLS; not when it is gone."""
    config = write_config(tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}})
    if tls:
        certificate, key = make_certificate(tmp_path)
        settings = yaml.safe_load(config.read_text())
        for listener in ("http", "webhooks"):  # at one address
            settings[listener]["tls"] = {"cert": str(certificate), "key": str(key)}
        config.write_text(yaml.safe_dump(settings))
    store = str(yaml.safe_load(config.read_text())["store"]["url"]).removeprefix("sqlite://")
    probe = [sys.executable, *health_check()[1:-1], store]
    env = {**CHILD_ENV, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    with Daemon(config) as daemon:
        assert daemon.http.startswith("https:" if tls else "http:")
        assert subprocess.run(probe, check=False, env=env, timeout=30).returncode == 0
        daemon.stop()
        assert subprocess.run(probe, check=False, env=env, timeout=30).returncode == 1


def test_the_container_does_not_run_as_root():
    """The last USER is a number that is not 0, and nothing is run after it."""
    kinds = [kind for kind, _ in final_stage()]
    [user] = [rest for kind, rest in final_stage() if kind == "USER"]
    assert int(user.split(":")[0]) > 0
    assert "RUN" not in kinds[kinds.index("USER") :]


def test_stages_are_pinned_and_replaceable():
    """Each stage starts from BASE, whose default names a version, or from another stage."""
    found = instructions()
    [base] = [rest for kind, rest in found if kind == "ARG"]
    name, _, default = base.partition("=")
    assert (name, bool(re.search(r":\d+\.\d+[\w.-]*$", default))) == ("BASE", True), default
    assert {rest.split()[0] for kind, rest in found if kind == "FROM"} == {"${BASE}"}
    assert sum(kind == "FROM" for kind, _ in found) == 2


def test_no_secret_is_built_in():
    """Neither ARG nor ENV nor COPY names one; nothing is fetched by ADD; no pip cache stays."""
    found = instructions()
    named = [rest for kind, rest in found if kind in ("ARG", "ENV", "COPY", "ADD") and SECRET_WORDS.search(rest)]
    assert named == []
    assert not [rest for kind, rest in found if kind == "ADD"]
    assert all("--no-cache-dir" in rest for kind, rest in found if kind == "RUN" and "pip install" in rest)


def test_what_the_container_file_copies_is_there():
    """Every copied path exists and is not kept out by .dockerignore."""
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.strip()}
    for kind, rest in instructions():
        if kind == "COPY" and not rest.startswith("--from"):
            for path in rest.split()[:-1]:
                assert (ROOT / path).exists(), path
                assert path.split("/")[0] not in ignored, path
    assert ".git" in ignored


def test_the_entry_point_is_the_installed_command():
    """`headgate` of the ENTRYPOINT is declared by the package and answers."""
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'(?m)^headgate = "headgate\.cli:main"$', project)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['headgate', '--version']; from headgate.cli import main; main()",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout.split()[:1]) == (0, ["headgate"])
