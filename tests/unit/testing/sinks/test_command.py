"""The command `python -m headgate.testing.sinks`."""

import os
import signal
import subprocess
import sys

import httpx
import orjson
import pytest

from headgate.testing.sinks.__main__ import parser


def test_command_says_ready_serves_and_stops_on_term():
    """The port comes on standard error, options reach the fake, TERM ends it with 0."""
    command = [sys.executable, "-m", "headgate.testing.sinks", "loki", "--port", "0", "--tenant", "acme"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ) as process:
        ready = orjson.loads(process.stderr.readline())
        url = f"http://127.0.0.1:{ready['port']}"
        assert ready["event"] == "ready"
        assert httpx.get(f"{url}/ready").status_code == 200
        assert httpx.post(f"{url}/loki/api/v1/push").text == "no org id\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_discard_and_options_are_parsed():
    """`--discard` keeps nothing; flags of a fake come from its options."""
    found = parser().parse_args(["elasticsearch", "--discard", "--no-product", "--generation", "8"])
    assert (found.keep, found.product, found.generation) == ("none", False, "8")


def test_unknown_name_is_wrong_usage(capsys):
    """A name that no fake has exits with 2 and lists the names."""
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["splunk"])
    assert stopped.value.code == 2
    assert "loki" in capsys.readouterr().err
