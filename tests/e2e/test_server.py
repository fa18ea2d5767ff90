"""A Server installation: history of more than 90 days and what happens now, without a usage export."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.e2e.compare import compare
from tests.e2e.harness import (
    SECRET,
    Daemon,
    TwinProcess,
    free_port,
    headgate,
    read_jsonl,
    run_until_idle,
    source,
    write_config,
)


@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_server_tells_its_history_and_what_happens_now(tmp_path: Path) -> None:
    """A backfill of 100 days and an afternoon of webhooks give every record."""
    port, out = free_port(), tmp_path / "out.jsonl"
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
    twin = TwinProcess(
        tmp_path,
        *("--mode", "server", "--rate-limit", "off", "--days", "100", "--projects", "2", "--runs-per-day", "1"),
        *("--now", began.isoformat().replace("+00:00", "Z"), "--knob", "schedules=false"),
        *("--webhook-url", f"http://127.0.0.1:{port}/webhooks/circleci", "--webhook-secret", SECRET),
    )
    with twin:
        polled = source(
            twin.url, twin.about()["orgs"], mode="server", app_url="https://app.circleci.com", enrich="batch"
        )
        config = write_config(
            tmp_path,
            {"file": {"type": "jsonl", "path": str(out)}},
            {"circleci": polled},
            webhooks={"listen": f"127.0.0.1:{port}"},
        )
        with Daemon(config) as daemon:
            twin.advance(6 * 3600)
            assert daemon.stop() == 0
        done = headgate("backfill", "-c", str(config), "--since", "120d", seconds=150)
        assert done.returncode == 0, done.stderr[-3000:]
        run_until_idle(config)
        report = compare(twin.truth(), read_jsonl(out), twin.delivered())
        calls = twin.ask("GET", "/calls").json()
    assert report.clean, str(report)
    assert not [route for route in calls if "usage_export" in route]
