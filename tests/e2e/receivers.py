"""Real receivers of metrics, from Debian's packages: started on a free port of loopback, ended by process id."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.harness import ASKING, free_port, wait_until


def program(name: str) -> str:
    """Path of a program of Debian's; `make test` unpacks it beside the environment."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.prefix) / "debian/usr/bin"))
    assert found, f"{name} is not here: run `make test`, which fetches Debian's package"
    return found


@contextmanager
def running(command: list[str], url: str, log: Path) -> Iterator[str]:
    """The program until the end of the context, from when `url` answers."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(url), f"{command[0]} to answer")
            assert process.poll() is None, log.read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, **ASKING).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def prometheus(directory: Path, scrape: str | None = None) -> Iterator[str]:
    """A Prometheus that takes remote writes, and scrapes `scrape` (host:port/path) each second; yields its address."""
    port = free_port()
    target, _, path = (scrape or "").partition("/")
    job = f'scrape_configs: [{{job_name: ci, metrics_path: "/{path}", static_configs: [{{targets: ["{target}"]}}]}}]'
    (directory / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n" + (job if scrape else ""))
    command = [
        program("prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    with running(command, f"http://127.0.0.1:{port}/-/ready", directory / "prometheus.log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def alertmanager(directory: Path, port: int, webhook: str) -> Iterator[str]:
    """An Alertmanager that keeps its state in `directory` and tells a webhook at once; yields its address."""
    (directory / "alertmanager.yml").write_text(
        "route: {receiver: hook, group_by: [alertname, project], group_wait: 0s, group_interval: 1s,"
        " repeat_interval: 1h}\n"
        f'receivers: [{{name: hook, webhook_configs: [{{url: "{webhook}"}}]}}]\n'
    )
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(_with_templates(command), f"http://127.0.0.1:{port}/-/ready", directory / "alertmanager.log"):
        yield f"http://127.0.0.1:{port}"


def _with_templates(command: list[str]) -> list[str]:
    """Debian's Alertmanager reads its templates from /usr/share: where it is only unpacked, in a mount of its own."""
    if Path("/usr/share/prometheus/alertmanager/default.tmpl").exists():
        return command
    share = Path(command[0]).parent.parent / "share"
    return ["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"', str(share), *command]


@contextmanager
def victoria_metrics(directory: Path) -> Iterator[str]:
    """A VictoriaMetrics; yields its address."""
    port = free_port()
    command = [
        program("victoria-metrics"),
        f"-storageDataPath={directory / 'vm'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s",
    ]
    with running(command, f"http://127.0.0.1:{port}/health", directory / "vm.log"):
        yield f"http://127.0.0.1:{port}"


def query(url: str, promql: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Labels and present value of each series that a query gives."""
    reply = httpx.get(f"{url}/api/v1/query", params={"query": promql}, **ASKING)
    answer: dict[str, Any] = reply.json()
    assert answer["status"] == "success", answer
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in answer["data"]["result"]}
