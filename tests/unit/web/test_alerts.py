"""Alerts and silences over HTTP: in whose name something is done."""

from __future__ import annotations

import httpx
import pytest
from tests.unit.web.access.bench import ACCESS, ADMIN, COMMAND, PASSWORD, basic, bearer
from tests.unit.web.test_api import Answers, Health

from headgate.core.clock import ManualClock
from headgate.web.access.gate import Gate
from headgate.web.access.grants import OPEN
from headgate.web.api import build_app
from headgate.web.guard import Guard
from headgate.web.metricpages import MetricPages
from headgate.web.operations import Json, NewSilence, Problem


class Told(Answers):
    """Operations that hear of alerts."""

    async def acknowledge(self, fingerprint: str, *, by: str, comment: str, verdict: str) -> Json:
        self._note("acknowledge", fingerprint, by, comment, verdict)
        raise Problem("unknown", "heard")

    async def silence(self, wanted: NewSilence) -> Json:
        self._note("silence", wanted.author)
        raise Problem("refused", "heard")

    async def expire_silence(self, number: int, *, by: str, comment: str) -> Json:
        self._note("expire_silence", number, by, comment)
        raise Problem("unknown", "heard")


SILENCE = {"matchers": ["team=web"], "starts_ms": 1, "ends_ms": 2, "comment": "moved"}


@pytest.mark.parametrize(
    ("access", "shown", "said", "kept"),
    [
        (ACCESS, bearer(ADMIN), "ann", "ann (by root)"),
        (ACCESS, bearer(ADMIN), "root", "root"),
        (ACCESS, basic("anna", PASSWORD), "eve (by root)", "eve (by root) (by anna)"),
        (ACCESS, bearer(COMMAND), "ann", "ann"),
        (OPEN, {}, "ann", "ann"),
    ],
    ids=["a token", "itself", "a person", "a command", "loopback"],
)
async def test_what_is_kept_names_who_asked(access, shown, said, kept):
    """Beside whom they speak for; on this machine everybody is who they say."""
    answers, clock = Told(), ManualClock()
    app = build_app(answers, Health(), MetricPages(bytes, lambda _: b""), version="0")
    guard = Guard(app, gate=Gate(clock, access, command_token=COMMAND), clock=clock)
    headers = shown | {"x-headgate-request": "1"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1/api/v1") as http:
        await http.post("/alerts/f0/ack", json={"by": said, "comment": "seen"}, headers=headers)
        await http.post("/silences", json=SILENCE | {"author": said}, headers=headers)
        await http.delete("/silences/5", params={"by": said, "comment": "done"}, headers=headers)
    acknowledged, ended = ("acknowledge", "f0", kept, "seen", ""), ("expire_silence", 5, kept, "done")
    assert [acknowledged, ("silence", kept), ended] == answers.asked
