"""Real Prometheus and VictoriaMetrics, from Debian's packages: metrics are queried back and compared with the truth."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.harness import Daemon, TwinProcess, made_up_job, source, wait_until, write_config
from tests.e2e.receivers import prometheus, query, victoria_metrics

RUNS = "cicd_pipeline_run_duration_seconds"
JOBS = "cicd_pipeline_task_run_duration_seconds"
# The twin's history is older than what a counter would be told of by default.
HISTORY = {"type": "prometheus", "max_age": "30d"}


def by_project(series: dict[tuple[tuple[str, str], ...], float]) -> dict[str, float]:
    """Values by project."""
    return {dict(labels)["circleci_project"]: value for labels, value in series.items()}


def runs_of(truth: list[dict[str, Any]]) -> dict[str, int]:
    """Ended workflows by project."""
    return dict(Counter(one["project"] for one in truth if one["kind"] == "workflow"))


def seconds_of(truth: list[dict[str, Any]]) -> dict[str, float]:
    """Execution of all jobs by project, seconds."""
    total: Counter[str] = Counter()
    for one in truth:
        if one["kind"] == "job":
            total[one["project"]] += one["final"].get("circleci.duration_ms", 0)
    return {project: amount / 1000 for project, amount in total.items() if amount}


def test_both_real_receivers_hold_what_happened(tmp_path: Path) -> None:
    """Runs counted and seconds summed by project are the twin's, written remotely to both and scraped by one."""
    twin = TwinProcess(tmp_path, "--rate-limit", "off", "--days", "2", "--projects", "3", "--runs-per-day", "6")
    with twin, prometheus(tmp_path) as prom, victoria_metrics(tmp_path) as victoria:
        sinks = {
            "prom": {**HISTORY, "url": f"{prom}/api/v1/write", "scrape": True, "zero_first": "3s"},
            "victoria": {**HISTORY, "url": f"{victoria}/api/v1/write"},
        }
        polled = source(twin.url, twin.about()["orgs"], poll={"initial": "3d"})
        with Daemon(write_config(tmp_path, sinks, {"circleci": polled})) as daemon:
            truth = [one for one in twin.truth() if one["final"].get("circleci.stopped_at")]
            wait_until(lambda: len(daemon.overview()["runs"]) > 0, "the first runs")
            daemon.wait_settled(60)
            address = daemon.http.removeprefix("http://")
            folder = tmp_path / "scraper"
            folder.mkdir()
            with prometheus(folder, f"{address}/metrics/ci") as scraper:
                wait_until(lambda: sum(query(scraper, f"{RUNS}_count").values()), "a scrape after the first")
                asked = {"pushed": prom, "scraped": scraper, "victoria": victoria}
                for name, url in asked.items():
                    runs = by_project(query(url, f"sum by (circleci_project) ({RUNS}_count)"))
                    assert runs == runs_of(truth), name
                    spent = by_project(query(url, f"sum by (circleci_project) ({JOBS}_sum) > 0"))
                    # API v2 gives whole seconds.
                    assert spent == pytest.approx(seconds_of(truth), rel=0.002), name
                    middle = query(url, f"histogram_quantile(0.5, sum by (le) ({JOBS}_bucket))")
                    assert len(middle) == 1, name
                for url in (prom, scraper):
                    increase = sum(query(url, f"sum(increase({RUNS}_count[1h]))").values())
                    assert increase >= sum(runs_of(truth).values())


def test_a_restart_is_a_reset_that_loses_nothing(tmp_path: Path) -> None:
    """Counters begin anew with the process; the increase over both lives is everything that was counted."""
    with prometheus(tmp_path) as prom:
        config = write_config(tmp_path, {"prom": {"type": "prometheus", "url": f"{prom}/api/v1/write"}})
        with Daemon(config) as daemon:
            for number in range(3):
                daemon.deliver(made_up_job(number))
            wait_until(lambda: sum(query(prom, f"{JOBS}_count").values()) == 3, "three jobs")
            daemon.stop()
            daemon.start()
            for number in range(3, 8):
                daemon.deliver(made_up_job(number))
            wait_until(lambda: sum(query(prom, f"{JOBS}_count").values()) == 5, "five jobs of the second life")
            daemon.wait_settled()
        resets = query(prom, f"sum(resets({JOBS}_count[5m]))")
        assert sum(resets.values()) >= 1
        raw = httpx.get(f"{prom}/api/v1/query", params={"query": f"{JOBS}_count[5m]"}, trust_env=False).json()["data"][
            "result"
        ]
        (series,) = raw
        values = [float(value) for _, value in series["values"]]
        assert values[0] == 0
        gained = sum(max(0.0, b - a) if b >= a else b for a, b in pairwise(values))
        assert gained == 8


def test_the_page_is_found_or_says_what_to_configure(tmp_path: Path) -> None:
    """Without such a sink the answer says how to have one; with two that are scraped, to name one."""
    with Daemon(write_config(tmp_path, {})) as daemon:
        missing = daemon.get("/metrics/ci")
    assert (missing.status_code, "type: prometheus" in missing.text) == (404, True)
    two = {"one": {"type": "prometheus"}, "two": {"type": "prometheus", "tags": {"x": "y"}}}
    with Daemon(write_config(tmp_path, two)) as daemon:
        assert daemon.deliver(made_up_job(1)).status_code == 200
        daemon.wait_settled()
        assert "?sink=NAME: one, two" in daemon.get("/metrics/ci").json()["detail"]
        assert 'x="y"' in daemon.get("/metrics/ci?sink=two").text
