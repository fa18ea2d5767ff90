"""Thirty days of twelve projects, told badly: what the sink holds in the end is what happened.

One tenth of the webhooks is lost, one tenth comes twice, many come out of order, some are forged; the API answers
429 in several styles and 5xx, and cuts bodies off.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.e2e.compare import compare, statuses
from tests.e2e.harness import (
    SECRET,
    Daemon,
    TwinProcess,
    ancient_loki,
    free_port,
    loki_sink,
    pause,
    read_jsonl,
    run_until_idle,
    source,
    write_config,
)

from headgate.testing.sinks import FakeVendor

DAYS = 30
PROJECTS = 12
RUNS_PER_DAY = 0.7
FAULTS = {
    "webhook_lost": {"rate": 0.1},
    "webhook_doubled": {"rate": 0.1},
    "webhook_reordered": {"rate": 0.3},
    "webhook_late": {"rate": 0.02, "seconds": 7200},
    "webhook_forged": {"rate": 0.02},
    "rate_limited": {"count": 6, "style": "retry_after", "seconds": 1},
    "server_error": {"rate": 0.03, "status": 503},
    "cut_body": {"rate": 0.01},
}
LAST_FAULTS = {
    "rate_limited": {"count": 4, "style": "x_reset", "seconds": 1},
    "server_error": {"rate": 0.03},
    "cut_body": {"rate": 0.01, "style": "connection"},
}


def tell_everything(folder: Path, seed: int, loki: FakeVendor, *, runs_per_day: float = RUNS_PER_DAY) -> str:
    """Let the twin live through its days, hold the sinks against the truth, and give what is wrong as text."""
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    port = free_port()
    twin = TwinProcess(
        folder,
        *("--seed", str(seed), "--days", "1", "--projects", str(PROJECTS), "--runs-per-day", str(runs_per_day)),
        *("--now", began.isoformat().replace("+00:00", "Z"), "--knob", "schedules=false"),
        *("--webhook-url", f"http://127.0.0.1:{port}/webhooks/circleci", "--webhook-secret", SECRET),
    )
    with twin:
        polled = source(twin.url, twin.about()["orgs"], poll={"every": "15s", "initial": "40d"}, enrich="batch")
        config = write_config(
            folder,
            {"file": {"type": "jsonl", "path": str(folder / "out.jsonl")}, "loki": loki_sink(loki.url)},
            {"circleci": polled},
            webhooks={"listen": f"127.0.0.1:{port}"},
        )
        twin.faults(**FAULTS)
        with Daemon(config) as daemon:
            for _ in range(DAYS - 1):
                twin.advance(86_400)
            refused = daemon.metric("headgate_webhook_requests_total", status="401")
            assert daemon.stop() == 0
        twin.faults(**LAST_FAULTS)
        run_until_idle(config)
        truth, delivered = twin.truth(), twin.delivered()
        with Daemon(config) as daemon:
            ended = daemon.overview()["ended"]
    lines = read_jsonl(folder / "out.jsonl")
    report = compare(truth, lines, delivered)
    assert refused > 0, "the forged webhooks were not sent"
    assert report.clean, f"seed {seed}: {report}"
    assert report.compared > 10 * len(truth)
    assert ended == statuses(truth), f"seed {seed}"
    assert compare(truth, [row["native"]["line"].encode() for row in loki.stored()], delivered).clean, f"seed {seed}"
    return str(report)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4, 5))])
def test_the_sinks_hold_what_happened(tmp_path, seed):
    """Every id, no other id, each once, every knowable value equal; both sinks and the counters agree."""
    with FakeVendor("loki", **ancient_loki()) as loki:
        tell_everything(tmp_path, seed, loki)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3, 4, 5, 6])
def test_the_sinks_hold_what_happened_to_other_seeds(tmp_path, seed):
    """The same for organisations three times as busy."""
    with FakeVendor("loki", **ancient_loki()) as loki:
        tell_everything(tmp_path, seed, loki, runs_per_day=3 * RUNS_PER_DAY)


@pytest.mark.timeout(300)
def test_what_was_seen_half_done_is_told_whole(tmp_path):
    """Lists are read every hour, a month late: runs are seen on their way, and webhooks tell of their ends alone.

    Approvals and jobs that never ran, also those of reruns of old pipelines, are asked for after the end.
    """
    began = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    port = free_port()
    twin = TwinProcess(
        tmp_path,
        *("--seed", "1", "--days", "1", "--projects", "6", "--runs-per-day", "12"),
        *("--now", began.isoformat().replace("+00:00", "Z"), "--knob", "schedules=false"),
        *("--webhook-url", f"http://127.0.0.1:{port}/webhooks/circleci", "--webhook-secret", SECRET),
    )
    with twin:
        polled = source(twin.url, twin.about()["orgs"], poll={"every": "1s", "initial": "40d"}, enrich="batch")
        file = {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}}
        config = write_config(tmp_path, file, {"circleci": polled}, webhooks={"listen": f"127.0.0.1:{port}"})
        with Daemon(config) as daemon:
            for _ in range(12):
                twin.advance(3_600)
                pause(1.1)  # for the lists to be read
            twin.advance(86_400)  # what ended meanwhile is beyond what the daemon looks back over by itself
            twin.advance(86_400)
            assert daemon.stop() == 0
        run_until_idle(config)
        report = compare(twin.truth(), read_jsonl(tmp_path / "out.jsonl"), twin.delivered())
    assert report.clean, report
