"""The template project for plugins: built, installed, tested and run as a third party would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.harness import Daemon, made_up_job, write_config

from headgate.testing.sinks import FakeVendor

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "docs" / "plugin-template"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has built and installed a copy of the template."""
    copy = tmp_path_factory.mktemp("beacon") / "project"
    shutil.copytree(TEMPLATE, copy)
    target = copy.parent / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def run(site: Path, *command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """One command where the installed plugin and Headgate are to be found."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{site}", "PYTEST_ADDOPTS": "", **more}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_installed_sink_keeps_the_contract(installed: Path) -> None:
    """Its own tests, in a process of their own, pass every rule of the suite."""
    done = run(installed, "pytest", "-q", "-p", "no:cacheprovider", cwd=installed.parent / "project")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b6 passed\b", done.stdout), done.stdout


def test_the_installed_sink_is_used_by_name(installed: Path, tmp_path: Path) -> None:
    """`check` finds the type and asks its far side; a wrong option is told with the nearest one."""
    config = tmp_path / "headgate.yaml"
    text = (TEMPLATE / "headgate.yaml").read_text(encoding="utf-8").replace("/tmp/", f"{tmp_path}/")
    config.write_text(re.sub(r"sources:\n.*\n", "", text), encoding="utf-8")
    with FakeVendor("http", bearer="a-long-token") as vendor:
        config.write_text(config.read_text().replace("http://127.0.0.1:9999", vendor.url))
        known = {"CIRCLECI_TOKEN": "x", "BEACON_TOKEN": "a-long-token"}
        done = run(installed, "headgate", "check", "-c", str(config), "--json", cwd=tmp_path, **known)
        told = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
        assert told["sink beacon"]["ok"], done.stdout + done.stderr
        config.write_text(config.read_text().replace("token:", "tokn:"))
        wrong = run(installed, "headgate", "check", "-c", str(config), cwd=tmp_path, **known)
    assert (wrong.returncode, 'did you mean "token"' in wrong.stdout + wrong.stderr) == (2, True), wrong


def test_a_plugin_that_breaks_takes_nobody_down(installed: Path, tmp_path: Path) -> None:
    """A module that cannot be imported is named by `check`, and everything else still works."""
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    (site / "headgate_beacon.py").write_text("raise RuntimeError('half installed')\n", encoding="utf-8")
    config = tmp_path / "headgate.yaml"
    out = tmp_path / "out.jsonl"
    config.write_text(
        f"version: 1\nstore: {{url: 'sqlite://{tmp_path}/h.db'}}\nsinks: {{file: {{type: jsonl, path: {out}}}}}\n",
        encoding="utf-8",
    )
    done = run(site, "headgate", "check", "-c", str(config), "--json", cwd=tmp_path)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["reason"] for line in told if "headgate_beacon" in str(line)] == ["plugin_broken"], done.stdout
    assert any(line["ok"] and "file" in line["name"] for line in told), done.stdout
    idle = run(site, "headgate", "run", "-c", str(config), "--until-idle", "--timeout", "30", cwd=tmp_path)
    assert idle.returncode == 0, idle.stderr


def test_the_installed_sink_gets_records(installed: Path, tmp_path: Path) -> None:
    """A running daemon delivers a webhook's record through the third party's sink, once."""
    with FakeVendor("http", bearer="a-long-token") as vendor:
        config = write_config(tmp_path, {"mine": {"type": "beacon", "url": vendor.url, "token": "a-long-token"}})
        with Daemon(config, env={"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{installed}"}) as daemon:
            assert daemon.deliver(made_up_job(1)).status_code == 200
            daemon.wait_settled()
        assert len(vendor.record_ids()) == 1
