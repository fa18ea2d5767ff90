"""Two hundred projects behind one token: its budget holds in every window, and webhooks get their detail meanwhile."""

import pytest
from tests.e2e.harness import SECRET, TOKEN, Daemon, TwinProcess, free_port, pause, source, wait_until, write_config

PROJECTS = 200
PER_SECOND = 40
BURST = 20


def run_busy(folder, seconds):
    """Walk, audit, revisit and enrich 200 projects for so long beside a twin that refuses whatever is too much."""
    port = free_port()
    twin = TwinProcess(
        folder,
        *("--days", "1", "--projects", str(PROJECTS), "--runs-per-day", "10", "--live", "--speed", "60"),
        # The twin's own clock counts, in a bucket of one second's calls: what that is above BURST is the slack for
        # calls that network and scheduler bunch up.
        *("--rights", f'{{"{TOKEN}": {{"rate_limit": {PER_SECOND}}}}}'),
        *("--webhook-url", f"http://127.0.0.1:{port}/webhooks/circleci", "--webhook-secret", SECRET),
    )
    with twin:
        budget = {"per_second": PER_SECOND, "burst": BURST}
        polled = source(
            twin.url, twin.about()["orgs"], budget=budget, poll={"every": "5s"}, enrich="batch", enrich_wait="20s"
        )
        config = write_config(folder, {}, {"circleci": polled}, webhooks={"listen": f"127.0.0.1:{port}"})
        with Daemon(config) as daemon:
            wait_until(
                lambda: (
                    daemon.metric("headgate_source_calls_total", route="/api/v1.1/project/{slug}", status="200") > 0
                ),
                "an enrichment while 200 projects are walked for the first time",
                30,
            )
            walked = daemon.status()["sources"]["circleci"]["last_complete_walk"]
            pause(seconds)
            calls = daemon.metric("headgate_source_calls_total")
            limited = daemon.metric("headgate_source_calls_total", status="429")
        return walked, calls, limited, seconds


def check(walked, calls, limited, seconds):
    """The first walk was not over when the first detail came; nothing was too much; the budget was used."""
    assert walked is None
    assert limited == 0
    assert seconds * PER_SECOND / 4 < calls


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [8, 600])
def test_two_hundred_projects_stay_within_the_budget(tmp_path, seconds):
    """So many real seconds of it."""
    check(*run_busy(tmp_path, seconds))
