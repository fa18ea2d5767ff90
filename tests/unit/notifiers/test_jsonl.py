"""Notifier `jsonl`: lines, their shape, who may read them, rotation, what a bad path or a sleeping reader means."""

import asyncio
import contextlib
import dataclasses
import json
import os

import pytest

from headgate.core.clock import ManualClock
from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.messages import CallNotifier, Message
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.notifiers.jsonl import JsonlNotifier, JsonlNotifierConfig
from headgate.plugins import lines as lines_of
from headgate.testing.notifier_suite import DIGEST, NOW_MS, messages, notification, told

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")


def made(path, **options):
    """A notifier that writes to this file."""
    return JsonlNotifier("file", JsonlNotifierConfig(path=str(path), **options), CONTEXT)


async def no_http(_request):
    """Nothing is asked of anybody."""
    raise AssertionError


def say(notifier, *told_ones):
    """Send messages, one after the other; what was remembered of the last."""

    async def go():
        return [await notifier.send(one, now_ms=NOW_MS, http=no_http) for one in told_ones][-1]

    return asyncio.run(go())


def read(path):
    """The objects of a file."""
    return [json.loads(text) for text in path.read_bytes().splitlines()]


def test_a_message_is_one_line(tmp_path):
    """Every field of an alert; nothing is remembered; only the owner reads the file."""
    path = tmp_path / "a" / "alerts.jsonl"
    assert say(made(path), told(notification())) is None
    assert path.stat().st_mode & 0o777 == 0o600
    assert read(path) == [
        {
            "schema": 1,
            "key": "f" * 64 + ":1795000000000:2",
            "state": "firing",
            "group": {},
            "alerts": [
                {
                    "key": "f" * 64 + ":1795000000000:2",
                    "fingerprint": "f" * 64,
                    "rule": "DefaultBranchFailing",
                    "state": "firing",
                    "reason": "breach",
                    "labels": {"project": "gh/acme/web", "severity": "warning", "workflow": "build"},
                    "annotations": {
                        "summary": "gh/acme/web build: 60% of 30 runs",
                        "link": "https://app.circleci.com/x?a=1&b=2",
                    },
                    "starts_at": "2026-11-18T11:05:40.000Z",
                    "ends_at": None,
                    "at": "2026-11-18T11:06:39.000Z",
                    "numbers": {"value": 0.6, "n": 30.0},
                    "good_news": False,
                }
            ],
        }
    ]


def test_it_is_a_notifier_that_takes_everything(tmp_path):
    """Hostile, huge, groups and digests: a line each, with its key."""
    path = tmp_path / "alerts.jsonl"
    notifier = made(path)
    assert isinstance(notifier, CallNotifier)
    all_of_them = messages(notifier)
    assert {"group", "digest", "hostile"} <= set(all_of_them)
    say(notifier, *all_of_them.values())
    assert [one["key"] for one in read(path)] == [one.key for one in all_of_them.values()]


def test_a_digest_has_its_numbers(tmp_path):
    """And its Markdown."""
    path = tmp_path / "alerts.jsonl"
    say(made(path), Message(DIGEST.key, (), digest=DIGEST))
    (found,) = read(path)
    assert found["digest"] == {
        "title": "CI, 20 November",
        "since": "2026-11-17T11:06:40.000Z",
        "until": "2026-11-18T11:06:40.000Z",
        "markdown": DIGEST.markdown,
        "data": {"alerts": 3},
    }


def test_a_file_rotates(tmp_path):
    """Before it would grow beyond; the oldest goes."""
    path = tmp_path / "alerts.jsonl"
    notifier = made(path, rotate_bytes=10, keep=2)
    say(notifier, *(told(dataclasses.replace(notification(), key=f"k{n}")) for n in range(4)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["alerts.jsonl", "alerts.jsonl.1", "alerts.jsonl.2"]
    assert [one["key"] for one in read(path)] == ["k3"]
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_path_that_cannot_be_written_holds_the_notifier(tmp_path):
    """For a message and for the check alike; the check writes nothing."""
    with pytest.raises(SinkRefused) as caught:
        say(made(tmp_path), told(notification()))
    assert caught.value.reason == "config"
    with pytest.raises(SinkRefused):
        asyncio.run(made(tmp_path).reach(no_http))
    path = tmp_path / "alerts.jsonl"
    asyncio.run(made(path).reach(no_http))
    assert path.read_bytes() == b""


@pytest.fixture
def pipe(monkeypatch):
    """A pipe in place of standard output."""
    reader, writer = os.pipe()
    monkeypatch.setattr(lines_of._Stdout, "__init__", _to(writer, lines_of._Stdout.__init__))
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def _to(fd, make):
    def init(self):
        make(self, fd)

    return init


def _fill(fd):
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(fd, b"x" * 4096):
            pass


def test_standard_output_gets_a_line(pipe):
    """`-` is the default, and stays open."""
    notifier = JsonlNotifier("out", JsonlNotifierConfig(), CONTEXT)
    say(notifier, told(notification()))
    say(notifier, told(notification()))
    assert os.read(pipe[0], 65_536).count(b"\n") == 2


def test_a_reader_that_sleeps_is_not_waited_for_without_end(pipe):
    """A full pipe: the write is given up and tried again later."""
    _fill(pipe[1])
    notifier = JsonlNotifier("out", JsonlNotifierConfig(timeout="20ms"), CONTEXT)
    with pytest.raises(SinkUnavailable, match="not written in time"):
        say(notifier, told(notification()))


def test_the_configuration_is_described():
    """NOTIF-11: frozen, unknown keys refused, each key described."""
    model = JsonlNotifierConfig
    assert model.model_config.get("frozen")
    assert model.model_config.get("extra") == "forbid"
    assert all(info.description for info in model.model_fields.values())
