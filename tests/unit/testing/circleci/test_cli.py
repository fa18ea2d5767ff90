"""The command line: the ready line, the end, wrong usage."""

import json
import signal
import subprocess
import sys

import httpx
import pytest

from headgate.testing.circleci import TwinProcess
from headgate.testing.circleci.__main__ import knobs_from, main, options_from, parser

COMMAND = [sys.executable, "-m", "headgate.testing.circleci"]


def test_the_ready_line_tells_the_port_and_term_ends_it_well():
    """One line of JSON on stderr, nothing on stdout, exit code 0 on TERM."""
    arguments = [
        "--port",
        "0",
        "--days",
        "1",
        "--projects",
        "1",
        "--seed",
        "3",
        "--now",
        "2026-11-20T12:00:00Z",
    ]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        ready = json.loads(process.stderr.readline())
        assert ["event", "port"] == list(ready)
        assert "ready" == ready["event"]
        about = httpx.get(f"http://127.0.0.1:{ready['port']}/_twin").json()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=10)
    assert ("2026-11-20T12:00:00.000Z", 3) == (about["now"], about["seed"])
    assert (b"", 0) == (out, process.returncode)


def test_a_twin_in_a_process_of_its_own():
    """It takes the command line's arguments and has the same methods; what it refuses, it says."""
    with TwinProcess("--days", "1", "--projects", "1", "--now", "2026-11-20T12:00:00Z") as twin:
        assert "2026-11-20T13:00:00.000Z" == twin.advance(3600)["now"]
        assert "gh/acme/web" == twin.get("/api/v2/project/gh/acme/web")["slug"]
    with pytest.raises(RuntimeError, match="--days"):
        TwinProcess("--days", "0")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--projects", "0"], "--projects"),
        (["--days", "0"], "--days"),
        (["--knob", "nonsense=1"], "nonsense"),
        (["--now", "yesterday"], "yesterday"),
        (["--rate-limit", "many"], "many"),
        (["--rate-limit", "0"], "--rate-limit"),
    ],
)
def test_wrong_usage_is_2_with_a_reason(capsys, arguments, reason):
    """The reason names what is wrong."""
    assert 2 == main(arguments)
    assert reason in capsys.readouterr().err


def test_options_are_read():
    """Every option arrives."""
    text = (
        "--seed 5 --days 3 --projects 2 --runs-per-day 7 --rate-limit 9 --mode server --token t"
        " --live --speed 60 --webhook-url http://127.0.0.1:1/x --webhook-secret k"
        " --knob tag-rate=0.5 --knob stories=off"
    )
    options = options_from(parser().parse_args(text.split()))
    assert (5, 3, 2, 7.0, 9.0, "server", "t") == (
        options.seed, options.days, options.projects, options.runs_per_day, options.rate_limit, options.mode,
        options.token,
    )  # fmt: skip
    assert (True, 60.0, "http://127.0.0.1:1/x", "k") == (
        options.live, options.speed, options.webhook_url, options.webhook_secret,
    )  # fmt: skip
    assert (0.5, False) == (options.knobs.tag_rate, options.knobs.stories)


def test_limits_by_mode():
    """The cloud twin has none unless told; a server has the documented one."""
    limits = [options_from(parser().parse_args(["--mode", mode])).rate_limit for mode in ("cloud", "server")]
    assert [None, 150.0] == limits


def test_knobs_keep_their_types():
    """Whole numbers, fractions, switches."""
    knobs = knobs_from(["jobs_max=8", "tag_rate=0.25", "tests=false"])
    assert (8, 0.25, False) == (knobs.jobs_max, knobs.tag_rate, knobs.tests)
